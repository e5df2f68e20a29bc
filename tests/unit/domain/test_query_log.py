"""The router's sample of queries: what is kept, when it is written, and that nothing of it ever holds up an answer."""

import json
import logging
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.answer import Answer
from signalbox.query_log import MOST_QUERIES, MOST_SECONDS, QueryLog
from signalbox.route import Routed
from tests.builders import client_error

ROUTED = Routed(Answer(label="watch"), "embedded", "embedded student", "clip-search-1", familiarity=0.4)
NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z


class Threads(Executor):
    """Does what it is given when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Future[None], Any, Any]] = []

    def submit(self, call: Any, /, *arguments: Any, **_: Any) -> Future[None]:
        future: Future[None] = Future()
        self.given.append((future, call, arguments))
        return future

    def work(self) -> None:
        while self.given:
            future, call, arguments = self.given.pop(0)
            try:
                future.set_result(call(*arguments))
            except Exception as error:
                future.set_exception(error)


class Bucket:
    """S3, as far as the log uses it."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.failures: list[Exception] = []

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        assert (Bucket, ContentType) == ("queries", "application/jsonl")
        if self.failures:
            raise self.failures.pop()
        self.objects[Key] = [json.loads(line) for line in Body.splitlines()]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [line for lines in self.objects.values() for line in lines]


class World:
    def __init__(self, share: float = 1.0) -> None:
        self.s3, self.threads, self.now, self.drawn = Bucket(), Threads(), NOON, 0.0
        self.log = QueryLog(self.s3, "queries", share, self.threads, lambda: self.now, lambda: self.drawn)

    def ask(self, query: str = "crowd cheering", task: str = "clip-search") -> None:
        self.log.note(task, query, ROUTED)


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_kept_is_the_query_masked_and_what_is_known_of_it(world: World) -> None:
    world.ask("videos of jane@example.com")
    world.now += MOST_SECONDS
    world.ask()
    world.threads.work()
    (key,) = world.s3.objects
    assert key.startswith("clip-search/2026/11/21/12/") and key.endswith(".jsonl")
    assert world.s3.lines[0] == {
        "at": "2026-11-21T12:00Z",
        "query": "videos of [e-mail address]",
        "source": "embedded",
        "run_id": "clip-search-1",
        "familiarity": 0.4,
    }


def test_only_its_share_is_kept() -> None:
    world = World(share=0.25)
    for number in range(100):
        world.drawn = number / 100
        world.ask(f"query {number}")
    world.now += MOST_SECONDS
    world.drawn = 0.99
    world.ask("not this one")
    world.threads.work()
    assert [line["query"] for line in world.s3.lines] == [f"query {number}" for number in range(25)]


def test_nothing_is_written_before_it_is_due_and_then_behind_the_answers_back(world: World) -> None:
    world.ask()
    world.now += MOST_SECONDS - 1
    world.ask()
    assert world.threads.given == []
    world.now += 1
    world.ask()
    assert len(world.threads.given) == 1 and world.s3.objects == {}
    # Then, while it is being written, another is not begun
    for _ in range(MOST_QUERIES):
        world.ask()
    assert len(world.threads.given) == 1
    world.threads.work()
    world.ask()
    world.threads.work()
    assert len(world.s3.lines) == 4 + MOST_QUERIES


def test_many_are_written_before_their_time(world: World) -> None:
    for _ in range(MOST_QUERIES):
        world.ask()
    world.threads.work()
    assert len(world.s3.lines) == MOST_QUERIES


def test_each_task_has_its_own_place(world: World) -> None:
    for task in ("clip-search", "clip-kind"):
        world.ask(task=task)
    world.now += MOST_SECONDS
    for _ in range(3):
        world.drawn = 1.0
        world.ask()
        world.threads.work()
    assert sorted(key.partition("/")[0] for key in world.s3.objects) == ["clip-kind", "clip-search"]


def test_a_sandbox_that_was_frozen_writes_again_to_the_same_place(world: World) -> None:
    world.s3.failures = [ConnectionError("the connection is gone")]
    world.ask()
    world.now += MOST_SECONDS
    for _ in range(3):
        world.ask()
        world.threads.work()
    assert len(world.s3.objects) == 1


def test_what_cannot_be_written_is_given_up_and_told_without_a_query(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.s3.failures = [client_error("AccessDenied"), client_error("AccessDenied")]
    world.ask("secret plans")
    world.now += MOST_SECONDS
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            world.drawn = 1.0
            world.ask()
            world.threads.work()
    assert world.s3.objects == {} and world.threads.given == []
    (record,) = caplog.records
    assert (record.message, record.queries, record.error) == ("sampled queries lost", 1, "AccessDenied")
    assert "secret" not in str(record.__dict__)


def test_no_fault_of_its_own_reaches_the_caller(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.threads.submit = None  # type: ignore[assignment,method-assign]
    world.ask()
    world.now += MOST_SECONDS
    world.ask()
    assert caplog.records[-1].message == "query log"


def test_memory_stays_bounded_while_nothing_can_be_written(world: World) -> None:
    for number in range(1_000):
        world.ask(f"query {number}")
    waiting = sum(len(batch.lines) for batch in world.log._waiting.values())
    assert len(world.threads.given) == 1 and waiting == 500


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 30)), max_size=120))
def test_whatever_happens_nothing_stands_twice(course: list[tuple[bool, bool, float]]) -> None:
    world = World()
    for number, (works, fails, seconds) in enumerate(course):
        world.now += seconds
        world.s3.failures = [OSError()] if fails else []
        world.ask(f"query {number}")
        if works:
            world.threads.work()
    queries = [line["query"] for line in world.s3.lines]
    assert len(queries) == len(set(queries))
