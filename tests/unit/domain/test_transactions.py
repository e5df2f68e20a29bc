"""Promotion, rollback and retirement: all of it or nothing, and one winner."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from signalbox.events import NAME_OF_PERSON_LENGTH, REASON_LENGTH, Asked, OperatorRequest
from signalbox.live import Live, Named
from signalbox.run import Part, Run, State
from signalbox.run_table import RunTable, Superseded
from signalbox.transactions import Transactions
from tests.builders import client_error, dataset_object
from tests.fakes import FakeTable

EVALUATED = (
    State.ACCEPTED, State.TRAINING, State.TRAINED, State.DEPLOYING, State.DEPLOYED, State.EVALUATING, State.EVALUATED
)  # fmt: skip


class Table:
    """A run table in memory."""

    def __init__(self) -> None:
        self.fake = FakeTable()
        self.runs = RunTable(self.fake)
        self.transactions = Transactions(self.runs)

    def evaluated(self, version: str = "v1") -> Run:
        """Return a run that awaits its verdict, with a deployment."""
        run = self.runs.receive(dataset_object(version_id=version))
        for state in EVALUATED:
            run = self.runs.move(run, state, event=None)
        run.deployment_arn = f"arn:{run.id}"
        self.fake.items[run.id]["deployment_arn"] = run.deployment_arn
        return run

    def held(self, version: str = "v1") -> Run:
        """Return a run that was held, and has said so."""
        run = self.runs.move(self.evaluated(version), State.HELD, event="ModelHeld", reason="mae")
        self.runs.delivered(run)
        return self.stored(run)

    def promoted(self, version: str, replaced: Live | None = None) -> tuple[Run, Live]:
        """Return a run that is live, and has said so, with its pointer."""
        run = self.evaluated(version)
        pointer = live(run.id, previous=replaced.as_previous() if replaced else None)
        self.runs.delivered(self.transactions.promote(run, pointer, replaced, note="live"))
        return self.stored(run), pointer

    def stored(self, run: Run) -> Run:
        """Return a run as it stands in the table."""
        found = self.runs.load(run.id)
        assert found is not None
        return found


@pytest.fixture
def table() -> Table:
    return Table()


def live(run_id: str, **changes: Any) -> Live:
    content: dict[str, Any] = {
        "task_name": "clip-search",
        "run_id": run_id,
        "model": "m",
        "since": datetime.now(UTC),
        "task": {},
        "student": True,
        "prior": {"weights": {"a": 0.25, "b": 0.75}},
    }
    return Live.model_validate(content | changes)


def request(**changes: Any) -> OperatorRequest:
    content = {
        "id": "r1",
        "at": datetime.now(UTC),
        "asked": Asked.PROMOTION,
        "run_id": "x",
        "reason": "because",
    }
    return OperatorRequest.model_validate(content | changes)


def test_promotion_moves_run_and_pointer_together(table: Table) -> None:
    run, _ = table.promoted("v1")
    assert run.state is State.PROMOTED
    assert table.runs.live("clip-search").prior == {"weights": {"a": 0.25, "b": 0.75}}


@pytest.mark.parametrize("read", ["none", "another"])
def test_a_pointer_that_has_moved_since_it_was_read_stops_the_promotion(table: Table, read: str) -> None:
    # Given a pointer that another run has just taken
    _, rival = table.promoted("v0")
    run = table.evaluated()
    # When this run is promoted on what was read before, then neither moves
    with pytest.raises(Superseded):
        table.transactions.promote(
            run, live(run.id), None if read == "none" else live("clip-search-another"), note="live"
        )
    assert table.stored(run).state is State.EVALUATED
    assert table.runs.live("clip-search").run_id == rival.run_id


def test_a_pointer_that_was_set_anew_to_the_same_run_is_another(table: Table) -> None:
    run, before = table.promoted("v1")
    table.fake.items["LIVE#clip-search"] = live(run.id).item()
    challenger = table.evaluated("v2")
    with pytest.raises(Superseded):
        table.transactions.promote(challenger, live(challenger.id), before, note="live")


def test_a_history_of_a_run_that_is_promoted_and_withdrawn_without_end_fits_an_item(table: Table) -> None:
    # Given the longest that a person may say, in characters of four bytes each
    by, reason = "\U0001f600" * NAME_OF_PERSON_LENGTH, "\U0001f600" * REASON_LENGTH
    run = table.held()
    way = [moment.state for moment in run.history]
    for _ in range(100):
        pointer = live(run.id, how="person", by=by, reason=reason)
        run = table.transactions.promote(run, pointer, None, note=f"live; by {by}")
        table.fake.items[run.id]["outbox"] = None
        run = table.stored(run)
        back = live(run.id, how="rollback", by=by, reason=reason)
        run = table.transactions.roll_back(run, back, pointer, note=f"withdrawn; by {by}")
        table.fake.items[run.id]["outbox"] = None
        table.fake.items.pop(f"LIVE#{run.task}")
        run = table.stored(run)
    # Then its first and last moments are kept, with a count of those between
    assert [moment.state for moment in run.history[: len(way)]] == way
    assert (run.history[-1].note, len(run.history)) == (f"withdrawn; by {by}", 48)
    assert sum(moment.left_out for moment in run.history) + len(run.history) == len(way) + 200
    assert next(moment.noted for moment in run.history if moment.left_out).startswith(
        f"[{len(way) + 152} moments before this are not kept] "
    )
    assert len(json.dumps(run.model_dump(mode="json"), ensure_ascii=False).encode()) < 300 * 1024


def test_a_promotion_that_is_refused_for_its_size_is_no_lost_race(table: Table) -> None:
    run = table.evaluated()
    refused = client_error("TransactionCanceledException", operation="TransactWriteItems")
    refused.response["CancellationReasons"] = [{"Code": "None"}, {"Code": "ValidationError"}]
    table.fake.fail_next = refused
    with pytest.raises(ClientError):
        table.transactions.promote(run, live(run.id), None, note="live")


@pytest.mark.parametrize("how", ["gates", "rollback", "alarm"])
def test_only_a_person_promotes_what_was_held(table: Table, how: str) -> None:
    run = table.held()
    with pytest.raises(ValueError, match="by a person only"):
        table.transactions.promote(run, live(run.id, how=how), None, note="live")


def test_a_person_promotes_what_was_held_with_name_and_reason_in_the_history(table: Table) -> None:
    run = table.held()
    pointer = live(run.id, how="person", by="ada", reason="good enough")
    table.transactions.promote(run, pointer, None, note="live", request=request())
    stored = table.stored(run)
    moment = stored.history[-1]
    assert (moment.state, moment.by, moment.reason) == (State.PROMOTED, "ada", "good enough")
    assert (stored.outbox, [run.id for run in table.runs.active()]) == ("ModelPromoted", [run.id])
    assert table.transactions.outcome("r1").run_id == run.id


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED, State.EVALUATING])
def test_no_person_promotes_what_has_not_been_decided_upon(table: Table, state: State) -> None:
    run = table.evaluated().model_copy(update={"state": state})
    with pytest.raises(ValueError, match="by a person only"):
        table.transactions.promote(run, live(run.id, how="person"), None, note="live")


def test_a_run_that_owes_an_event_is_not_moved_before_it_is_published(table: Table) -> None:
    run = table.runs.move(table.evaluated(), State.HELD, event="ModelHeld")
    with pytest.raises(Superseded):
        table.transactions.promote(run, live(run.id, how="person"), None, note="live")
    assert table.stored(run).outbox == "ModelHeld"


def test_a_request_is_answered_once(table: Table) -> None:
    # Given two held runs, and a request that has promoted the first
    first, second = table.held("v1"), table.held("v2")
    pointer = live(first.id, how="person")
    table.transactions.promote(first, pointer, None, note="live", request=request())
    # When the same request is to promote the second, or is to be refused, then nothing changes
    with pytest.raises(Superseded):
        table.transactions.promote(
            second, live(second.id, how="person"), pointer, note="live", request=request()
        )
    with pytest.raises(Superseded):
        table.transactions.refuse(request(), "no")
    assert table.runs.live("clip-search").run_id == first.id
    assert table.transactions.outcome("r1").said == ""


def test_a_rollback_restores_the_pointer_before_and_notes_it_on_the_withdrawn_run(table: Table) -> None:
    # Given two promotions
    _, first = table.promoted("v1")
    withdrawn, second = table.promoted("v2", first)
    # When the second is rolled back
    restored = second.previous.model_copy(update={"since": datetime.now(UTC), "how": "rollback", "by": "ada"})
    table.transactions.roll_back(withdrawn, restored, second, note="withdrawn")
    # Then all but the date and how it came about is as it was
    found = table.runs.live("clip-search")
    assert found.model_dump(exclude={"since", "how", "by"}) == first.model_dump(
        exclude={"since", "how", "by"}
    )
    assert table.stored(withdrawn).outbox == "ModelRolledBack"
    assert table.stored(withdrawn).history[-1].by == "ada"


@pytest.mark.parametrize("place", ["live", "previous"])
def test_no_deployment_is_given_up_that_a_pointer_names(table: Table, place: str) -> None:
    older, first = table.promoted("v1")
    newer, second = table.promoted("v2", first)
    run = newer if place == "live" else older
    with pytest.raises(ValueError, match="live or kept"):
        table.transactions.give_up(run, second)


def test_of_a_promotion_and_a_retirement_at_once_one_wins(table: Table) -> None:
    # Given a held run that is to be retired, when a person promotes it just before
    run = table.held()
    table.transactions.promote(run, live(run.id, how="person"), None, note="live")
    # Then it keeps its deployment
    with pytest.raises(Superseded):
        table.transactions.give_up(run, None)
    # And the other way round: what has given up its deployment cannot go live
    other = table.held("v2")
    pointer = table.runs.live("clip-search")
    table.transactions.give_up(other, pointer)
    with pytest.raises(Superseded):
        table.transactions.promote(other, live(other.id, how="person"), pointer, note="live")
    assert table.stored(other).retired_at is not None


def test_an_event_published_late_does_not_clear_the_one_owed_since(table: Table) -> None:
    # Given a publisher that has read a run's owed event, and falls behind while another publishes it
    run = table.evaluated()
    pointer = live(run.id)
    slow = table.transactions.promote(run, pointer, None, note="live")
    table.runs.delivered(slow)
    # When the run goes live once more, and the first publisher comes to an end
    rival = table.evaluated("v2")
    taken = live(rival.id, previous=pointer.as_previous())
    table.transactions.promote(rival, taken, pointer, note="live")
    again = table.stored(run)
    table.transactions.promote(again, live(run.id, how="person"), taken, note="live")
    table.runs.delivered(slow)
    # Then the second event is still owed
    assert table.stored(run).outbox == "ModelPromoted"


def test_an_ended_run_is_found_until_nothing_of_it_is_at_bedrock(table: Table) -> None:
    run = table.held()
    assert [one.id for one in table.runs.at_bedrock()] == [run.id]
    table.transactions.give_up(run, None)
    table.runs.note_gone(table.stored(run), Part.DEPLOYMENT, "deleted")
    assert [one.id for one in table.runs.at_bedrock()] == [run.id]
    table.runs.note_gone(table.stored(run), Part.MODEL, "")
    assert list(table.runs.at_bedrock()) == []
    assert table.stored(run).history[-1].note == "deleted"


def test_a_pointer_of_an_older_version_is_read() -> None:
    old = live("b").model_dump(mode="json", exclude={"how", "by", "reason", "last_rollback"})
    old["previous"] = {"run_id": "a", "model": "m", "since": "2026-11-01T00:00:00Z"}
    pointer = Live.model_validate(old)
    assert isinstance(pointer.previous, Named)
    assert not isinstance(pointer.previous, Live)
    assert (pointer.how, pointer.run_ids) == ("gates", {"a", "b"})


def test_two_pointers_too_large_for_one_item_are_kept_as_one_and_a_name() -> None:
    large = {"prompt": "\N{EURO SIGN}" * 70_000}
    pointer = live("b", task=large, previous=live("a", task=large))
    stored = Live.model_validate_json(pointer.item()["pointer"])
    assert stored.previous == Named(run_id="a", model="m", since=pointer.previous.since)
    assert len(pointer.item()["pointer"].encode()) < 400_000
