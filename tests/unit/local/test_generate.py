"""`generate`: what is checked before a request is uploaded, and what the stand-in's teacher knows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.commands.generate import follow, upload
from local.commands.options import UsageError
from local.tasks import lessons
from signalbox.generation import GenerationState, GenerationTable
from signalbox.run import run_id_for
from signalbox.run_table import RunTable
from signalbox.spec import TaskError
from tests.builders import dataset_object, spec, task_yaml
from tests.fakes import FakeTable
from tests.unit.template.stack import PROJECT

REQUEST = 'count: 100\nqueries: real.txt\ntemplates: ["two {thing}"]\nslots: {thing: [swans]}\n'


class Objects:
    """S3 that remembers what was put."""

    def __init__(self) -> None:
        self.put: dict[str, bytes] = {}

    def put_object(self, **request: Any) -> dict[str, str]:
        self.put[request["Key"]] = request["Body"]
        return {"VersionId": "v1", "ETag": '"e"'}


def app(there: bool = True) -> Any:
    """Return an app that has the tests' task, or none."""
    content = task_yaml(spec()) if there else None
    return SimpleNamespace(bucket="b", objects=Objects(), object=lambda key: content)


def written(folder: Path, name: str = "first.yaml", content: str = REQUEST) -> Path:
    """Write a request, and the queries that it names."""
    (folder / "real.txt").write_text("three swans\n")
    (folder / name).write_text(content)
    return folder / name


def test_a_request_is_uploaded_after_the_queries_that_it_names(tmp_path: Path) -> None:
    there = app()
    generation_id = upload(there, written(tmp_path), "clip-search")
    assert list(there.objects.put) == ["requests/clip-search/real.txt", "requests/clip-search/first.yaml"]
    expected = dataset_object(bucket="b", key="requests/clip-search/first.yaml", version_id="v1")
    assert generation_id == run_id_for(expected)


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("first.yaml", False, "there is no task"),
        ("first.yml", True, "end in .yaml"),
        ("a b.yaml", True, "must be letters"),
    ],
)
def test_what_cannot_be_uploaded_is_told(tmp_path: Path, name: str, there: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        upload(app(there), written(tmp_path, name), "clip-search")


def test_queries_that_are_not_beside_the_request_are_told(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "real.txt").unlink()
    with pytest.raises(UsageError, match="not beside it"):
        upload(app(), file, "clip-search")


def test_a_wrong_request_is_not_uploaded(tmp_path: Path) -> None:
    there = app()
    with pytest.raises(TaskError, match="line 1: count"):
        upload(there, written(tmp_path, content="count: 1\ndescription: swans\n"), "clip-search")
    assert there.objects.put == {}


def test_a_generation_is_followed_to_its_end() -> None:
    # Given a generation that moves on at each look
    table = GenerationTable(RunTable(FakeTable()))
    generation = table.receive(dataset_object(key="requests/clip-search/first.yaml"))
    ways = iter([GenerationState.LABELLING, GenerationState.COMPLETED])

    def pause(_: float) -> None:
        loaded = table.load(generation.id)
        assert loaded is not None
        table.move(loaded, next(ways))

    # When it is followed, it is to its end
    there = SimpleNamespace(runs=table._runs)
    assert follow(there, generation.id, None, pause).state is GenerationState.COMPLETED  # type: ignore[arg-type]
    # And it is open until its event is out
    (ended,) = table.open()
    table.delivered(ended)
    assert list(table.open()) == []


def test_the_teacher_knows_the_example_of_a_task_under_its_rich_prompt(tmp_path: Path) -> None:
    known = lessons(PROJECT / "tasks", PROJECT / "examples")
    (pairs,) = (
        pairs for prompt, pairs in known if prompt.startswith("You decide where a video search engine looks")
    )
    assert len(pairs) == 800
    assert set(json.loads(pairs[0][1])) >= {"visual", "audio"}
    assert list(lessons(PROJECT / "tasks", tmp_path)) == []
