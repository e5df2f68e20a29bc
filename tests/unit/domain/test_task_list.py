"""The list of tasks: one read a page, remembered for a while, and never more than it knows."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from signalbox.api import place_of, token_of
from signalbox.live import Live, Place, Pointers
from signalbox.store import RunStore
from signalbox.task_list import LIST_SECONDS, STALE_SECONDS, TaskList
from tests.builders import BUCKET, client_error, spec
from tests.fakes import FakeS3

SINCE = datetime(2026, 11, 21, 9, 14, 3, 250_000, tzinfo=UTC)
LATER = Place("clip-search", "2026-11-21T09:14:03.250000+00:00")


def live(name: str) -> Live:
    return Live(task_name=name, run_id=f"{name}-1", model="m", since=SINCE, task=spec(), student=True)


def pointers(*names: str, next: Place | None = None, unreadable: tuple[str, ...] = ()) -> Pointers:
    """Return a page of what is live under these names, and of pointers that cannot be read."""
    return Pointers([live(name) for name in names], frozenset((*names, *unreadable)), next)


class Pages:
    """Live pointers by where a page begins; counts how often one was read."""

    def __init__(self) -> None:
        self.by_start: dict[Place | None, Pointers] = {None: pointers("clip-search")}
        self.reads = 0
        self.error: Exception | None = None

    def page(self, limit: int | None = None, start: Place | None = None) -> Pointers:
        self.reads += 1
        if self.error:
            raise self.error
        return self.by_start[start]


class World:
    """A list over pages in memory, and a bucket with two uploaded tasks, of which one is live."""

    def __init__(self) -> None:
        self.pages, self.s3, self.now = Pages(), FakeS3(), 1000.0
        for name in ("clip-search", "clip-kind"):
            self.s3.objects[f"tasks/{name}/task.yaml"] = b"name: " + name.encode()
        self.tasks = TaskList(self.pages, RunStore(self.s3, BUCKET), lambda: self.now)


@pytest.fixture
def world() -> World:
    return World()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2286, 1, 1), timezones=st.just(UTC)))
def test_a_place_is_read_as_it_was_written(since: datetime) -> None:
    place = Place("clip-search", since.isoformat())
    assert place_of(token_of(place)) == place


@pytest.mark.parametrize("date", ["0", "9" * 16])
def test_every_number_of_so_many_digits_is_a_date(date: str) -> None:
    place = place_of(f"{date}~clip-search")
    assert place_of(token_of(place)) == place


def test_what_is_uploaded_and_not_live_is_named(world: World) -> None:
    page = world.tasks.page()
    assert [each.task_name for each in page.live] == ["clip-search"]
    assert page.not_live == ["clip-kind"]


def test_what_is_no_tasks_folder_is_not_named(world: World) -> None:
    world.s3.objects["tasks/Not A Task/task.yaml"] = b""
    assert world.tasks.page().not_live == ["clip-kind"]


def test_a_page_is_read_once_in_half_a_minute(world: World) -> None:
    first = world.tasks.page()
    world.now += LIST_SECONDS - 1
    assert world.tasks.page() is first
    world.now += 1
    world.pages.by_start[None] = pointers()
    assert world.tasks.page().live == []
    assert world.pages.reads == 2


def test_of_several_pages_each_is_read_and_none_claims_to_know_what_is_not_live(world: World) -> None:
    world.pages.by_start = {
        None: pointers("a", next=LATER),
        LATER: pointers("b"),
    }
    first = world.tasks.page()
    second = world.tasks.page(first.next)
    assert [each.task_name for each in (*first.live, *second.live)] == ["a", "b"]
    assert (first.not_live, second.not_live, second.next) == (None, None, None)


def test_a_page_that_cannot_be_read_again_is_used_stale_and_not_asked_for_at_once(world: World) -> None:
    first = world.tasks.page()
    world.pages.error = client_error("InternalServerError")
    world.now += LIST_SECONDS
    assert world.tasks.page() is first
    assert world.tasks.page() is first
    assert world.pages.reads == 2


def test_a_stale_list_is_used_for_an_hour_from_when_it_was_read_and_no_longer(world: World) -> None:
    first = world.tasks.page()
    read_at = world.now
    world.pages.error = client_error("InternalServerError")
    while world.now + LIST_SECONDS < read_at + STALE_SECONDS:
        world.now += LIST_SECONDS
        assert world.tasks.page() is first
    world.now = read_at + STALE_SECONDS
    with pytest.raises(ClientError):
        world.tasks.page()


def test_a_flood_of_made_up_places_takes_nothing_from_the_first_page(world: World) -> None:
    places = [Place(f"made-up-{number}", LATER.updated_at) for number in range(1_000)]
    world.pages.by_start |= dict.fromkeys(places, pointers())
    first = world.tasks.page()
    for place in places:
        world.tasks.page(place)
    world.pages.error = client_error("InternalServerError")
    assert world.tasks.page() is first


def test_a_task_whose_pointer_cannot_be_read_is_not_said_to_have_nothing_live(world: World) -> None:
    world.pages.by_start[None] = pointers("clip-search", unreadable=("clip-kind",))
    assert world.tasks.page().not_live == []


def test_a_page_that_was_never_read_and_cannot_be_is_an_error(world: World) -> None:
    world.pages.error = client_error("InternalServerError")
    with pytest.raises(ClientError):
        world.tasks.page()


def test_without_s3_the_list_is_there_and_does_not_claim_to_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: str) -> None:
        raise client_error("SlowDown", status=503)

    monkeypatch.setattr(world.s3, "get_paginator", fails)
    page = world.tasks.page()
    assert len(page.live) == 1
    assert page.not_live is None
