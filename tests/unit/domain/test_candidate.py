"""How candidates are asked: a fixed sample alone, the rest together, and nobody twice."""

import threading
from collections.abc import Callable

import pytest

from signalbox.answer import Answer
from signalbox.bedrock import Bedrock, Busy
from signalbox.candidate import ASKED_ALONE, REPEATS, Candidate, Refused, answers_of, embedded, measure
from signalbox.events import EventBus
from signalbox.pipeline import Pipeline
from signalbox.records import Record
from signalbox.run import Run
from signalbox.run_table import RunTable
from signalbox.scoring import Prediction
from signalbox.store import RunStore
from signalbox.task import Labels
from tests.builders import BUCKET, dataset_object
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import REGION, ScriptedBedrock

LABELS = Labels(labels=("watch", "read"))


def records(word: str, count: int) -> list[Record]:
    queries = [f"{word} {number}" for number in range(count)]
    return [Record(1, query, query, Answer(label="read"), "read") for query in queries]


GOLDEN = records("query", 120)


class World:
    """A candidate that can be asked, and who is being asked while."""

    def __init__(self) -> None:
        bedrock = ScriptedBedrock()
        self.table = RunTable(FakeTable())
        self.pipeline = Pipeline(
            self.table, RunStore(FakeS3(), BUCKET), EventBus(FakeEvents(), "bus"), Bedrock(bedrock, bedrock)
        )
        self.run: Run = self.table.receive(dataset_object())
        self.asked: list[str] = []
        self.most_at_once: dict[str, int] = {}
        self.fails: Callable[[str], Exception | None] = lambda query: None
        self.error = ""
        self.lingers = 0.0  # seconds in which to meet others; who is asked alone waits for them in vain
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    def ask(self, record: Record) -> Prediction:
        """Answer, and note how many were being asked meanwhile."""
        with self._changed:
            self.asked.append(record.query)
            self._under_way.add(record.query)
            for query in self._under_way:
                self.most_at_once[query] = max(self.most_at_once.get(query, 0), len(self._under_way))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most_at_once[record.query] > 1, timeout=self.lingers)
            self._under_way.remove(record.query)
        if failure := self.fails(record.query):
            raise failure
        return Prediction(query=record.query, reference="read", text="read", error=self.error, latency_ms=5)

    def answers(self, golden: list[Record] = GOLDEN, concurrency: int = 8) -> list[Prediction]:
        """Ask all that has not been asked."""
        candidate = Candidate("base", "some-model", "base", self.ask, concurrency)
        return answers_of(candidate, self.run, golden, self.pipeline)


@pytest.fixture
def world() -> World:
    return World()


def alone(predictions: list[Prediction]) -> set[str]:
    return {prediction.query for prediction in predictions if prediction.alone}


def test_a_sample_is_asked_with_nothing_else_in_flight_and_the_rest_together(world: World) -> None:
    world.lingers = 0.02
    said = world.answers()
    assert [prediction.query for prediction in said] == [record.query for record in GOLDEN]
    assert len(alone(said)) == ASKED_ALONE
    assert {world.most_at_once[query] for query in alone(said)} == {1}
    assert max(world.most_at_once.values()) > 1
    # And it comes last, over connections that stand
    assert set(world.asked[-ASKED_ALONE:]) == alone(said)


def test_the_sample_is_the_same_whoever_is_asked_and_in_whatever_order(world: World) -> None:
    said = alone(world.answers())
    assert alone(World().answers(GOLDEN[::-1], concurrency=1)) == said
    # And most of it stays when the golden set grows a little
    assert len(alone(World().answers(GOLDEN + records("more", 12))) & said) > ASKED_ALONE * 0.7


def test_a_small_golden_set_is_asked_alone_altogether(world: World) -> None:
    world.lingers = 0.02
    said = world.answers(GOLDEN[:30])
    assert len(alone(said)) == 30
    assert set(world.most_at_once.values()) == {1}


@pytest.mark.parametrize("last", [0, 40, 75, 119])
def test_an_attempt_that_was_cut_off_goes_on_and_asks_nobody_twice(world: World, last: int) -> None:
    # Given a model that answers so many queries and no more
    expected = alone(World().answers())
    world.fails = lambda query: Busy("throttled") if len(world.asked) > last else None
    with pytest.raises(Busy):
        world.answers(concurrency=1)
    first = list(world.asked)
    # When it answers again
    world.fails = lambda query: None
    said = world.answers()
    # Then the queries that it had answered are not asked again, and the sample is the same
    assert len(said) == 120
    assert set(world.asked[len(first) :]).isdisjoint(first[:last])
    assert alone(said) == expected


def test_a_model_that_refuses_every_query_is_given_up(world: World) -> None:
    world.error = "AccessDeniedException"
    with pytest.raises(Refused, match="AccessDenied"):
        world.answers()


def test_what_is_measured_of_a_candidate_has_its_model_and_its_cost(world: World) -> None:
    candidate = Candidate("embedded", "embedded student", "embedded", world.ask, 1)
    measured = measure(candidate, world.answers(), LABELS, REGION)
    assert (measured["model"], measured["accuracy"]) == ("embedded student", 1)
    assert measured["latency_ms"]["queries"] == ASKED_ALONE
    assert measured["cost"]["model_per_million"] == 0
    assert measured["cost"]["per_million_queries"] > 0  # the API and the function are not free


def test_a_model_without_a_price_is_not_given_one(world: World) -> None:
    candidate = Candidate("base", "local.base", "base", world.ask)
    assert "local.base" in measure(candidate, world.answers(), LABELS, REGION)["cost"]["unknown"]


def test_the_embedded_students_latency_is_the_shortest_of_several(
    student: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter([0.009, 0.002, 0.0015, 0.004, 0.003][:REPEATS])
    ends = iter(time for seconds in took for time in (1.0, 1.0 + seconds))
    asked = embedded("embedded", "embedded student", student)
    monkeypatch.setattr("signalbox.candidate.time.perf_counter", lambda: next(ends))
    assert asked.ask(GOLDEN[0]).latency_ms == pytest.approx(1.5)
    assert next(ends, None) is None
