"""The run table: what is true of every run and of what is live. An event only nudges."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from signalbox.attempt import found_trouble, found_waiting
from signalbox.dataset_object import DatasetObject
from signalbox.items import condition_failed, condition_of, item_of, outdated, plain, readable, update_of
from signalbox.live import ACTIVE_INDEX, LIVE_ITEMS, LIVE_PREFIX, Live, live_of
from signalbox.run import TRANSITIONS, Moment, Part, Run, State, now, run_id_for

TASK_INDEX = "runs-by-task"
_ACTIVE = "active"
_AT_BEDROCK = "deployed"
"""The value of the index key under which ended runs stand that may still hold something at Bedrock."""
_FIRST_KEPT, _LAST_KEPT = 24, 24
"""How many moments of a history are kept: no way to an end has more than the first, what people do later has no limit.

With the longest reasons, of four bytes a character, they have 230 KB of the 400 KB of an item (DynamoDB Developer
Guide, "Quotas", item size). A test shows it.
"""


class Superseded(Exception):
    """Another invocation has already moved the run (or the live pointer) on."""


class RunTable:
    """Runs and live pointers in DynamoDB. Every change of state is one conditional write.

    Parameters
    ----------
    table : boto3 DynamoDB Table resource
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def receive(self, dataset: DatasetObject) -> Run:
        """Create the run of a dropped dataset, or return it as it is if it has been created before."""
        at = now()
        run = Run(
            id=run_id_for(dataset),
            task=dataset.task,
            state=State.RECEIVED,
            created_at=at,
            updated_at=at,
            dataset=dataset,
            history=[Moment(state=State.RECEIVED, at=at, note=f"s3://{dataset.bucket}/{dataset.key}")],
        )
        try:
            self._table.put_item(
                Item=item_of(run) | {_ACTIVE: _ACTIVE}, ConditionExpression="attribute_not_exists(id)"
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return self.load(run.id) or run
        return run

    def load(self, run_id: str) -> Run | None:
        """Return a run, or None if there is none of this id; what else is in the table has a # in its own."""
        item = self.item(run_id) if run_id and "#" not in run_id else None
        return _run(item) if item else None

    def item(self, key: str) -> dict[str, Any] | None:
        """Return an item of the table as it stands there, or None."""
        return self._table.get_item(Key={"id": key}, ConsistentRead=True).get("Item")

    def move(self, run: Run, to: State, *, event: str | None, note: str = "", **changes: Any) -> Run:
        """Advance a run by one conditional write.

        Parameters
        ----------
        run : Run
            As loaded; the write happens only if its state is still the stored one.
        to : State
            A state that may follow (`TRANSITIONS`).
        event : str | None
            The event owed for this transition; it stays in the outbox until `delivered`.
        note : str
            For the history.
        changes
            Attributes of `Run` to set.

        Raises
        ------
        Superseded
            If the run is no longer in the state it was loaded in.
        """
        if to not in TRANSITIONS.get(run.state, frozenset()):
            raise ValueError(f"{run.id}: no transition leads from {run.state} to {to}")
        moved, write = transition(run, Moment(state=to, at=now(), note=note, event=event or ""), changes)
        try:
            self._table.update_item(**write)
        except ClientError as error:
            if condition_failed(error):
                raise Superseded(f"{run.id} is no longer {run.state}") from error
            raise
        return moved

    def transact(self, *writes: dict[str, Any]) -> None:
        """Make writes to several items of the table, all of them or none.

        Parameters
        ----------
        writes
            Each one entry of TransactItems, without the table's name.

        Raises
        ------
        Superseded
            If one of them no longer finds what was read.
        """
        named = [
            {kind: {"TableName": self._table.name, **write} for kind, write in each.items()}
            for each in writes
        ]
        try:
            self._table.meta.client.transact_write_items(TransactItems=named)
        except ClientError as error:
            if outdated(error):
                raise Superseded("what was read for this has changed since") from error
            raise

    def delivered(self, run: Run) -> None:
        """Note that the event in the run's outbox has been published; one that it owes since stays owed."""
        expected: dict[str, Any] = {"outbox": run.outbox}
        if run.state.ended:
            expected["updated_at"] = run.updated_at
        self._change(run, {"outbox": None} | ({_ACTIVE: _place(run)} if run.state.ended else {}), expected)

    def touch(self, run: Run) -> None:
        """Give a sign of life from a step that takes minutes, so that `watch` leaves the run to it."""
        self._change(run, {"updated_at": now()})

    def wait(self, run: Run, reason: str) -> None:
        """Note what a run is waiting for, "" if nothing; its state and its place in the line of `watch` stay."""
        if changes := found_waiting(run, reason, now()):
            self._change(run, changes)

    def note_trouble(self, run: Run, trouble: str) -> None:
        """Note what an attempt has broken off with; whatever the run had been waiting for, it waits no longer."""
        if changes := found_trouble(run, trouble, now()):
            self._change(run, changes)

    def mark_stalled(self, run: Run, note: str) -> Run:
        """Note that a run has overstayed in its state, and owe the event that says so.

        Raises
        ------
        Superseded
            If it is no longer in that state, or something is at work for it again.
        """
        changes = {"stalled": True, "outbox": "RunStalled", "reason": note}
        expected = {"state": run.state, "updated_at": run.updated_at}
        try:
            self._table.update_item(**update_of(run.id, changes, expected))
        except ClientError as error:
            if condition_failed(error):
                raise Superseded(f"{run.id} has moved on") from error
            raise
        return run.model_copy(update=changes)

    def note_surplus(self, run: Run, surplus: Part, released_at: datetime | None) -> None:
        """Note how much of an ended run nobody needs, and since when that has been so of any of it."""
        changes = {"surplus": int(surplus), "released_at": released_at}
        self._change(run, changes, {"updated_at": run.updated_at, "retired_at": run.retired_at})

    def note_commitment(self, run: Run, until: datetime) -> None:
        """Note before when a run's provisioned throughput cannot be deleted."""
        self._change(run, {"committed_until": until})

    def note_gone(self, run: Run, gone: Part, note: str) -> Run:
        """Note how much of a run that was given up has been deleted, and return it so; "" is no note."""
        moments = [Moment(state=run.state, at=now(), note=note)] if note else []
        noted = run.model_copy(update={"gone": gone, "history": _extended(run.history, *moments)})
        changes = {"gone": int(gone), "history": item_of(noted)["history"], _ACTIVE: _place(noted)}
        self._change(run, changes, {"retired_at": run.retired_at})
        return noted

    def delete(self, run: Run) -> None:
        """Delete the item of a run that was given up; one that is gone is left so.

        Raises
        ------
        Superseded
            If the run is not as it was loaded.
        """
        expected = {"state": run.state, "retired_at": run.retired_at}
        condition, values = condition_of(expected)
        try:
            self._table.delete_item(
                Key={"id": run.id},
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in expected},
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            if self.load(run.id) is not None:
                raise Superseded(f"{run.id} is not as it was loaded") from error

    def _change(self, run: Run, changes: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        """Change attributes of a run that is still in the state it was loaded in; otherwise leave it."""
        write = update_of(run.id, changes, {"state": run.state} | (expected or {}))
        try:
            self._table.update_item(**write)
        except ClientError as error:
            if not condition_failed(error):
                raise

    def active(self) -> Iterator[Run]:
        """Return every run for which something is still to be done, the longest untouched first."""
        return readable(self._query(ACTIVE_INDEX, _ACTIVE, _ACTIVE), _run)

    def at_bedrock(self) -> Iterator[Run]:
        """Return every ended run that may still hold something at Bedrock, the longest ended first."""
        return readable(self._query(ACTIVE_INDEX, _ACTIVE, _AT_BEDROCK), _run)

    def standing(self, place: str) -> Iterator[dict[str, Any]]:
        """Return the items that stand under a value of the index's key, the longest untouched first."""
        return self._query(ACTIVE_INDEX, _ACTIVE, place)

    def live_pointers(self) -> list[Live]:
        """Return what is live for each task; the index lags behind the table a little."""
        return list(readable(self._query(ACTIVE_INDEX, _ACTIVE, LIVE_ITEMS), live_of))

    def of_task(self, task: str, limit: int | None = None) -> list[Run]:
        """Return the runs of a task, the newest first, `limit` of them at most.

        The index lags behind the table, as a rule by less than a second.
        """
        page = {"Limit": limit} if limit else {}
        newest = self._query(TASK_INDEX, "task", task, ScanIndexForward=False, **page)
        return list(readable(islice(newest, limit), _run))

    def _query(self, index: str, key: str, value: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Return the items that stand under a key of an index, page after page."""
        query = {"IndexName": index, "KeyConditionExpression": "#key = :value"} | arguments
        query |= {"ExpressionAttributeNames": {"#key": key}, "ExpressionAttributeValues": {":value": value}}
        while True:
            page = self._table.query(**query)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def live(self, task: str) -> Live | None:
        """Return the live pointer of a task, or None if nothing is live."""
        item = self.item(LIVE_PREFIX + task)
        return Live.model_validate_json(item["pointer"]) if item else None


def transition(
    run: Run, moment: Moment, changes: dict[str, Any], expected: dict[str, Any] | None = None
) -> tuple[Run, dict[str, Any]]:
    """Return a run after a moment of its history, and the conditional update that brings it there.

    Parameters
    ----------
    moment : Moment
        Its event is owed from then on.
    changes : dict
        Attributes of `Run` to set.
    expected : dict
        What else than its state must be as it was read; None of an attribute that must not be there.
    """
    moved = run.model_copy(
        # Why it had stalled in the state that it leaves, what it waited for there, and whom.
        update={"reason": "", "waiting": "", "awaits": None}
        | changes
        | {
            "state": moment.state,
            "updated_at": moment.at,
            "history": _extended(run.history, moment),
            "outbox": moment.event or None,
            "trouble": "",
            "waited_until": None,
            "stalled": False,
        }
    )
    values = item_of(moved)
    changed = {
        name: values.get(name)
        for name in (
            *changes,
            "state",
            "updated_at",
            "outbox",
            "waiting",
            "awaits",
            "trouble",
            "waited_until",
            "stalled",
            "reason",
            "history",
        )
    }
    changed[_ACTIVE] = _ACTIVE if moment.event or not moved.state.ended else _place(moved)
    return moved, update_of(run.id, changed, {"state": run.state} | (expected or {}))


def _extended(history: list[Moment], *moments: Moment) -> list[Moment]:
    """Add moments to a history, of which the first and the last are kept, and how many between them are not."""
    history = [*history, *moments]
    first, last = history[:_FIRST_KEPT], history[-_LAST_KEPT:]
    between = history[_FIRST_KEPT:-_LAST_KEPT]
    if not between:
        return history
    left_out = sum(moment.left_out + 1 for moment in between) + last[0].left_out
    return [*first, last[0].model_copy(update={"left_out": left_out}), *last[1:]]


def _place(ended: Run) -> str | None:
    """Where in the index an ended run stands that owes nothing; one that failed may have made what it has not noted."""
    made = ended.deployment_arn or ended.model_arn or ended.state is State.FAILED
    return _AT_BEDROCK if made and ended.gone < Part.MODEL else None


def _run(item: dict[str, Any]) -> Run:
    return Run.model_validate(plain(item))
