"""The apps that the end-to-end tests use."""

from collections.abc import Callable

import pytest

from tests.e2e.harness import LocalApp, labelled, push_small_tasks


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    """The app that most tests share, with the tasks `small` and `embedded-only` pushed."""
    running = LocalApp(tmp_path_factory.mktemp("app") / "state").start()
    push_small_tasks(running, tmp_path_factory.mktemp("tasks"))
    yield running
    running.stop()


@pytest.fixture
def own_app(tmp_path):
    """An app of the test's own, to be killed at will."""
    own = LocalApp(tmp_path / "state")
    yield own
    if own.process and own.process.poll() is None:
        own.kill()


@pytest.fixture(scope="session")
def small_dataset() -> Callable[[str], bytes]:
    """Makes a labelled dataset for the small tasks; another word makes another dataset."""
    return labelled
