"""Generations in the run table: no write leaves the diagram, and the index knows which are under way and which kept."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.generation import PREFIX, Generation, GenerationState, GenerationTable
from signalbox.run_table import RunTable, Superseded
from tests.builders import dataset_object
from tests.fakes import FakeTable

DIAGRAM = {
    "REQUESTED": {"LABELLING", "REJECTED", "FAILED"},
    "LABELLING": {"RETRYING", "COMPLETED", "FAILED"},
    "RETRYING": {"COMPLETED", "FAILED"},
}
EVENTS = {
    "LABELLING": "LabellingStarted",
    "COMPLETED": "GenerationCompleted",
    "REJECTED": "GenerationRejected",
    "FAILED": "GenerationFailed",
}


def received(key: str = "requests/clip-search/first.yaml") -> tuple[GenerationTable, FakeTable, Generation]:
    fake = FakeTable()
    table = GenerationTable(RunTable(fake))
    return table, fake, table.receive(dataset_object(key=key))


@given(st.booleans(), st.lists(st.tuples(st.sampled_from(GenerationState), st.booleans()), max_size=8))
def test_no_sequence_of_steps_leaves_the_diagram(
    labels_a_dataset: bool, steps: list[tuple[GenerationState, bool]]
) -> None:
    # Given a generation of either kind, and any sequence of steps that somebody might try
    key = "datasets/clip-search/drop.jsonl" if labels_a_dataset else "requests/clip-search/first.yaml"
    table, fake, generation = received(key)
    path = ["REQUESTED"]
    for to, delivers in steps:
        allowed = to.value in DIAGRAM.get(path[-1], set())
        try:
            generation = table.move(generation, to)
        except ValueError:
            # Then a step outside of the diagram is refused and changes nothing
            assert not allowed
            continue
        assert allowed
        path.append(to.value)
        # And one within it owes the event that says so; where a run waits for the end, its nudge
        ends = to.value not in DIAGRAM
        owed = "RunNudged" if labels_a_dataset and ends else EVENTS.get(to.value)
        assert generation.outbox == owed
        if delivers and owed:
            table.delivered(generation)
        stored = table.load(generation.id)
        assert stored is not None
        assert [moment.state for moment in stored.history] == path
        assert stored.outbox == (None if delivers else owed)
        # And the index has it under way until it is over and all is told, then kept
        place = fake.items[PREFIX + generation.id]["active"]
        assert place == ("generated" if ends and stored.outbox is None else "generating")
        generation = stored


def test_a_write_that_comes_too_late_changes_nothing() -> None:
    table, _, generation = received()
    table.move(generation, GenerationState.LABELLING)
    for late in (
        lambda: table.move(generation, GenerationState.REJECTED),
        lambda: table.note(generation, waiting="for nothing"),
        lambda: table.mark_stalled(generation),
        lambda: table.release(generation, datetime.now(UTC)),
    ):
        with pytest.raises(Superseded):
            late()
    stored = table.load(generation.id)
    assert stored is not None
    assert (stored.state, stored.waiting, stored.stalled) == (GenerationState.LABELLING, "", False)


def test_what_stalls_and_comes_on_is_not_stalled_any_more() -> None:
    table, _, generation = received()
    stalled = table.mark_stalled(generation)
    assert (stalled.outbox, stalled.stalled) == ("GenerationStalled", True)
    table.delivered(stalled)
    moved = table.move(stalled, GenerationState.LABELLING)
    assert not moved.stalled


def test_an_item_that_cannot_be_read_keeps_no_other_from_being_looked_after() -> None:
    table, fake, generation = received()
    broken = dict(fake.items[PREFIX + generation.id], id=PREFIX + "broken", state="NOWHERE")
    fake.items[PREFIX + "broken"] = broken
    assert [one.id for one in table.open()] == [generation.id]


def test_a_deleted_one_is_gone_and_can_be_deleted_again() -> None:
    table, _, generation = received()
    table.delete(generation)
    table.delete(generation)
    assert table.load(generation.id) is None
