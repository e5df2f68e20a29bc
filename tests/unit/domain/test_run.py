"""Runs: their ids, the diagram of their states, and writes that happen once or not at all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.dataset_object import NO_TASK
from signalbox.failure import Failure
from signalbox.live import Live
from signalbox.run import TRANSITIONS, Run, State, run_id_for
from signalbox.run_table import RunTable, Superseded
from tests.builders import client_error, dataset_object
from tests.fakes import FakeTable

# As the design draws it.
DIAGRAM = {
    "RECEIVED": {"LABELLING", "REJECTED", "ACCEPTED"},
    "LABELLING": {"REJECTED", "ACCEPTED"},
    "ACCEPTED": {"TRAINING", "TRAINED"},
    "TRAINING": {"TRAINED"},
    "TRAINED": {"DEPLOYING", "DEPLOYED"},
    "DEPLOYING": {"DEPLOYED"},
    "DEPLOYED": {"EVALUATING"},
    "EVALUATING": {"EVALUATED"},
    "EVALUATED": {"PROMOTED", "HELD"},
}
ENDS = {"REJECTED", "PROMOTED", "HELD", "FAILED"}


def received() -> tuple[RunTable, FakeTable, Run]:
    fake = FakeTable()
    runs = RunTable(fake)
    return runs, fake, runs.receive(dataset_object())


def advanced(runs: RunTable, run: Run, *states: State) -> Run:
    for state in states:
        run = runs.move(run, state, event=None)
    return run


def live(run_id: str, **changes: object) -> Live:
    content = {
        "task_name": "clip-search",
        "run_id": run_id,
        "model": "m",
        "since": datetime.now(UTC),
        "task": {},
    }
    return Live.model_validate(
        content | {"student": True, "prior": {"weights": {"a": 0.25, "b": 0.75}}} | changes
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(State), st.sampled_from([None, "SomeEvent"]), st.booleans()), max_size=12
    )
)
def test_no_sequence_of_steps_leaves_the_diagram(steps: list[tuple[State, str | None, bool]]) -> None:
    # Given a run that has been received, and any sequence of steps that somebody might try
    runs, fake, run = received()
    path = ["RECEIVED"]
    for to, event, delivers in steps:
        allowed = to.value in DIAGRAM.get(path[-1], set()) or (to == "FAILED" and path[-1] not in ENDS)
        try:
            run = runs.move(run, to, event=event)
        except ValueError:
            # Then a step outside of the diagram is refused and changes nothing
            assert not allowed
            continue
        # And one within it is written, with its history
        assert allowed
        path.append(to.value)
        if delivers and event:
            runs.delivered(run)
        stored = runs.load(run.id)
        assert [moment.state for moment in stored.history] == path
        assert stored.outbox == (None if delivers else event)
        # And the index holds the run for as long as something is to be done for it; of one that failed, what it made
        is_open = path[-1] not in ENDS or stored.outbox is not None
        place = "active" if is_open else "deployed" if path[-1] == State.FAILED else None
        assert fake.items[run.id].get("active") == place


@pytest.mark.parametrize("state", State)
def test_the_ends_are_those_states_that_have_no_way_out(state: State) -> None:
    assert state.ended == (state.value in ENDS) == (state not in TRANSITIONS)


def test_of_two_invocations_that_move_a_run_at_once_one_is_superseded() -> None:
    runs, _, run = received()
    again = runs.load(run.id)
    runs.move(run, State.ACCEPTED, event="DatasetAccepted", note="first")
    with pytest.raises(Superseded):
        runs.move(again, State.REJECTED, event="DatasetRejected")
    stored = runs.load(run.id)
    assert (stored.state, stored.outbox, stored.history[-1].note) == (
        State.ACCEPTED,
        "DatasetAccepted",
        "first",
    )


@given(st.text(min_size=1), st.text())
def test_the_id_of_a_run_depends_on_the_object_version_alone(version: str, etag: str) -> None:
    one = dataset_object(version_id=version, etag=etag, size=1)
    other = dataset_object(version_id=version, etag="another", sequencer="9", size=2)
    assert run_id_for(one) == run_id_for(other)
    assert run_id_for(one) != run_id_for(dataset_object(version_id=version + "x"))
    assert run_id_for(one) != run_id_for(
        dataset_object(version_id=version, key="datasets/clip-search/b.jsonl")
    )


def test_in_a_bucket_without_versions_etag_and_sequencer_tell_uploads_apart() -> None:
    ids = {
        run_id_for(dataset_object(version_id=None, etag=etag, sequencer=sequencer))
        for etag in ("a", "b")
        for sequencer in ("1", "2")
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("key", "task"),
    [
        ("datasets/clip-search/drop.jsonl", "clip-search"),
        ("datasets/clip-search/2026/11/drop.jsonl", "clip-search"),
        ("datasets/drop.jsonl", NO_TASK),
        ("datasets/Clip/drop.jsonl", NO_TASK),
        ("datasets/a--b/drop.jsonl", NO_TASK),
        ("datasets/../drop.jsonl", NO_TASK),
        ("datasets/clip\n/drop.jsonl", NO_TASK),
        (f"datasets/{'a' * 24}/drop.jsonl", "a" * 24),
        (f"datasets/{'a' * 25}/drop.jsonl", NO_TASK),
    ],
)
def test_the_task_is_the_folder_if_that_can_be_a_tasks_name(key: str, task: str) -> None:
    dataset = dataset_object(key=key)
    assert dataset.task == task
    # The run id names jobs, models and deployments: at most 63 characters, with the ending of a judge's job as well.
    assert len(f"{run_id_for(dataset)}-judge-embedded") <= 63


def test_a_dataset_announced_again_is_the_run_that_there_is() -> None:
    runs, _, run = received()
    runs.move(run, State.ACCEPTED, event=None)
    assert runs.receive(dataset_object()).state is State.ACCEPTED


def test_what_a_step_finds_is_read_back_as_it_was_written() -> None:
    runs, _, run = received()
    failure = Failure(step="distill", reason="r", remedy="m")
    summary = {"mae": 0.0512345678901234, "share": 1.0, "none": None, "nested": {"list": [0.1, "x", True]}}
    moved = runs.move(run, State.FAILED, event="RunFailed", failure=failure, reason="r", summary=summary)
    assert runs.load(run.id) == moved


def test_waiting_is_noted_without_a_sign_of_life_and_gone_with_the_next_state() -> None:
    runs, _, run = received()
    runs.wait(run, "a quota")
    waiting = runs.load(run.id)
    assert (waiting.waiting, waiting.updated_at) == ("a quota", run.updated_at)
    assert runs.move(waiting, State.ACCEPTED, event=None).waiting == runs.load(run.id).waiting == ""


def test_a_day_of_waiting_and_trouble_adds_nothing_to_the_history() -> None:
    runs, fake, run = received()
    before = len(str(fake.items[run.id]))
    for _ in range(24 * 60 // 5):  # a nudge every five minutes
        runs.wait(runs.load(run.id), "Bedrock: ServiceQuotaExceededException")
        runs.note_trouble(runs.load(run.id), "ThrottlingException")
        runs.touch(run)
    assert len(runs.load(run.id).history) == 1
    assert len(str(fake.items[run.id])) < before + 200


def test_a_run_waits_or_has_trouble_whichever_its_last_attempt_found() -> None:
    runs, _, run = received()
    runs.note_trouble(run, "a bug")
    assert runs.load(run.id).waited_until is None
    runs.wait(runs.load(run.id), "a quota")
    assert (runs.load(run.id).waiting, runs.load(run.id).trouble) == ("a quota", "")
    runs.note_trouble(runs.load(run.id), "a bug")
    noted = runs.load(run.id)
    assert (noted.waiting, noted.trouble) == ("", "a bug")
    assert noted.waited_until > run.updated_at
    assert runs.move(noted, State.ACCEPTED, event=None).waited_until is runs.load(run.id).waited_until is None


def test_a_sign_of_life_changes_nothing_else() -> None:
    runs, _, run = received()
    runs.touch(run)
    touched = runs.load(run.id)
    assert touched.updated_at > run.updated_at
    assert touched == run.model_copy(update={"updated_at": touched.updated_at})


def test_a_late_sign_of_life_does_not_touch_a_run_that_has_moved_on() -> None:
    runs, _, run = received()
    moved = runs.move(run, State.ACCEPTED, event=None)
    runs.touch(run)
    runs.delivered(run)
    assert runs.load(run.id) == moved


def test_a_run_that_has_moved_on_does_not_wait() -> None:
    runs, _, run = received()
    runs.move(run, State.REJECTED, event=None)
    runs.wait(run, "a quota")
    assert runs.load(run.id).waiting == ""


EVALUATED = (
    State.ACCEPTED, State.TRAINING, State.TRAINED, State.DEPLOYING, State.DEPLOYED, State.EVALUATING, State.EVALUATED
)  # fmt: skip


@pytest.mark.parametrize("call", ["load", "move", "touch", "receive"])
def test_an_error_of_the_table_goes_on_to_be_retried(call: str) -> None:
    runs, fake, run = received()
    fake.fail_next = client_error("ProvisionedThroughputExceededException")
    calls = {
        "load": lambda: runs.load(run.id),
        "move": lambda: runs.move(run, State.ACCEPTED, event=None),
        "touch": lambda: runs.touch(run),
        "receive": lambda: runs.receive(dataset_object()),
    }
    with pytest.raises(Exception, match="ProvisionedThroughputExceeded"):
        calls[call]()
