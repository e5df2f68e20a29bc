"""watch reads a task after something of it has changed, twice, and otherwise when its time has come."""

from datetime import UTC, datetime, timedelta

import pytest

from signalbox.attention import Attention
from signalbox.live import Live
from signalbox.run import Run, State
from tests.builders import dataset_object, embedded_spec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def run(state: State = State.TRAINING, task: str = "a", **attributes: object) -> Run:
    """A run under way."""
    return Run(
        id=f"{task}-1",
        task=task,
        state=state,
        created_at=NOW,
        updated_at=NOW,
        dataset=dataset_object(),
        **attributes,
    )


def live(since: datetime, task: str = "a") -> Live:
    """The pointer of a task."""
    return Live(
        run_id=f"{task}-1", model="m", since=since, task_name=task, task=embedded_spec(), student=True
    )


@pytest.fixture
def attention() -> Attention:
    """What is remembered once everything has been read."""
    attention = Attention()
    for _ in range(2):
        attention.notice_runs([run(), run(task="b")])
        attention.notice_pointers([live(NOW)])
    for task in ("a", "b"):
        attention.has_read("retention", task, NOW + HOUR)
        attention.has_read("console", task, NOW + HOUR)
    return attention


def due(attention: Attention, at: datetime = NOW) -> list[str]:
    return [task for task in ("a", "b") if attention.is_due("retention", task, at)]


def test_what_is_not_known_is_due() -> None:
    assert due(Attention()) == ["a", "b"]


def test_a_task_that_was_read_is_due_again_at_its_time(attention: Attention) -> None:
    assert due(attention, NOW + HOUR - MINUTE) == []
    assert due(attention, NOW + HOUR) == ["a", "b"]


@pytest.mark.parametrize(
    ("under_way", "pointers"),
    [
        ([run(waiting="a quota"), run(task="b")], [live(NOW)]),
        ([run(task="b")], [live(NOW)]),
        ([run(), run(task="b")], [live(NOW + MINUTE)]),
        ([run(), run(task="b")], []),
    ],
    ids=["a run has changed", "a run has ended", "a pointer has moved", "a pointer is gone"],
)
def test_a_change_makes_its_task_due_in_this_minute_and_the_next(
    attention: Attention, under_way: list[Run], pointers: list[Live]
) -> None:
    for expected in (["a"], ["a"], []):
        attention.notice_runs(under_way)
        attention.notice_pointers(pointers)
        assert due(attention) == expected
        assert attention.is_due("console", "a", NOW) == bool(expected)
        attention.has_read("retention", "a", NOW + HOUR)
        attention.has_read("console", "a", NOW + HOUR)


def test_runs_of_what_was_dropped_are_forgotten_after_a_round_that_has_not_met_them(
    attention: Attention,
) -> None:
    attention.meet("a-1")
    attention.go_on(("datasets/a/1.jsonl", "v"))
    attention.meet("a-2")
    assert (attention.after, attention.has_been_round) == (("datasets/a/1.jsonl", "v"), False)
    attention.go_on(None)
    assert (attention.after, attention.has_been_round) == (None, True)
    attention.meet("a-2")
    assert (attention.has_met("a-1"), attention.has_met("a-2")) == (True, True)
    attention.go_on(None)
    assert (attention.has_met("a-1"), attention.has_met("a-2")) == (False, True)
