"""A run: one dataset on its way to a live model. The run table is the truth; every event only nudges."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from signalbox.attempt import found_trouble, found_waiting
from signalbox.items import condition_failed, condition_of, item_of, outdated, plain, readable, update_of
from signalbox.live import LIVE_ITEMS, LIVE_PREFIX, Live, live_of
from signalbox.release import Awaited, Expense
from signalbox.task import NAME_LENGTH, Deployment, Patience, is_task_name

NO_TASK = "no_task"
"""Stands in for a task; no task can be named so, as its name allows no underscore."""
ACTIVE_INDEX = "active-runs"
TASK_INDEX = "runs-by-task"
_ACTIVE = "active"
_AT_BEDROCK = "deployed"
"""The value of the index key under which ended runs stand that may still hold something at Bedrock."""
_FIRST_KEPT, _LAST_KEPT = 24, 24
"""How many moments of a history are kept: no way to an end has more than the first, what people do later has no limit.

With the longest reasons, of four bytes a character, they have 230 KB of the 400 KB of an item (DynamoDB Developer
Guide, "Quotas", item size). A test shows it.
"""


class State(StrEnum):
    """How far a run has come; the comment says what is under way or awaited in it."""

    RECEIVED = "RECEIVED"  # the dataset is being validated
    LABELLING = "LABELLING"  # the teacher answers the records that have no answer
    REJECTED = "REJECTED"
    ACCEPTED = "ACCEPTED"  # the embedded student is being trained, the customization job started
    TRAINING = "TRAINING"  # the customization job runs at Bedrock
    TRAINED = "TRAINED"  # the custom model is being given a deployment
    DEPLOYING = "DEPLOYING"  # the deployment is being created at Bedrock
    DEPLOYED = "DEPLOYED"  # the candidates are answering the golden set
    EVALUATING = "EVALUATING"  # the judge's evaluation job runs at Bedrock
    EVALUATED = "EVALUATED"  # the gates are being applied
    PROMOTED = "PROMOTED"
    HELD = "HELD"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the run has come to its end."""
        return self not in TRANSITIONS


TRANSITIONS: dict[State, frozenset[State]] = {
    state: frozenset({*following, State.FAILED})
    for state, following in {
        State.RECEIVED: {State.LABELLING, State.ACCEPTED, State.REJECTED},
        State.LABELLING: {State.ACCEPTED, State.REJECTED},
        State.ACCEPTED: {State.TRAINING, State.TRAINED},
        State.TRAINING: {State.TRAINED},
        State.TRAINED: {State.DEPLOYING, State.DEPLOYED},
        State.DEPLOYING: {State.DEPLOYED},
        State.DEPLOYED: {State.EVALUATING},
        State.EVALUATING: {State.EVALUATED},
        State.EVALUATED: {State.PROMOTED, State.HELD},
    }.items()
}
"""From each state that is not an end, the states that may follow."""
PROMOTABLE = frozenset({State.HELD, State.PROMOTED})
"""The ends from which a person, and nobody else, may promote: held, or promoted and no longer live."""


class Part(IntEnum):
    """What a run has made, in the order in which it is deleted; each stands for those before it as well."""

    NOTHING = 0
    DEPLOYMENT = 1
    MODEL = 2  # and the judge's jobs: all that is at Bedrock
    RUN = 3  # its objects and its item


class DatasetObject(BaseModel):
    """The very object version that started a run."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    version_id: str | None = None
    etag: str = ""
    sequencer: str = ""
    size: int = 0

    @property
    def task(self) -> str:
        """The task under whose folder it was dropped, datasets/<task>/; NO_TASK if it lies in no such folder."""
        parts = self.key.split("/")
        return parts[1] if len(parts) > 2 and is_task_name(parts[1]) else NO_TASK


class Failure(BaseModel):
    """Why a run failed: in which step, for what reason, and what a person should do."""

    step: str
    reason: str
    remedy: str


class PermanentFailure(Exception):
    """A step cannot succeed however often it is tried: the run fails with this reason and remedy."""

    def __init__(self, step: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.failure = Failure(step=step, reason=reason, remedy=remedy)


class Moment(BaseModel):
    """One entry of a run's history: the state it came to, what there is to say, the event that was published.

    `by` and `reason` are a person's, or an alarm's, where it was not a step of the pipeline that moved the run. The
    note does not say the reason once more: a history of long ones has to fit an item. Of one that is too long for that,
    `left_out` moments before this one are not kept.
    """

    state: State
    at: datetime
    note: str = ""
    event: str = ""
    by: str = ""
    reason: str = ""
    left_out: int = 0

    @property
    def noted(self) -> str:
        """The note, and before it how many moments are not kept."""
        return (
            f"[{self.left_out:,} moments before this are not kept] {self.note}"
            if self.left_out
            else self.note
        )

    @property
    def said(self) -> str:
        """What is noted, with the reason."""
        return f"{self.noted}: {self.reason}" if self.reason else self.noted


class Run(BaseModel):
    """One item of the run table.

    Attributes
    ----------
    updated_at : datetime
        The last sign of life; when its state began stands in the history.
    outbox : str | None
        The event that the last transition owes; removed once it is published, republished by `watch` otherwise.
    judge_job_arns : dict[str, str]
        The judge's jobs, by the candidate whose answers each grades.
    waiting, trouble, waited_until :
        What the last attempt in this state found; see `Attempted`. It is tried again.
    awaits : Awaited | None
        What a person has to release before the run goes on; no step acts on it until then.
    released : list[Expense]
        What has been released.
    patience : Patience
        The task's, from the moment its dataset was accepted.
    deployment : Deployment
        The task's, likewise.
    committed_until : datetime | None
        Before when its provisioned throughput cannot be deleted, as far as that is known.
    surplus : Part
        How much of an ended run nobody needs, as `watch` noted.
    released_at : datetime | None
        Since when that has been so of any part of it.
    retired_at : datetime | None
        When it was given up; from then on the run cannot go live.
    gone : Part
        How much of it has been deleted.
    summary : dict
        What the last step found, small enough for an event and a mail.
    """

    id: str
    task: str
    state: State
    created_at: datetime
    updated_at: datetime
    dataset: DatasetObject
    history: list[Moment] = []
    outbox: str | None = None
    waiting: str = ""
    awaits: Awaited | None = None
    released: list[Expense] = []
    trouble: str = ""
    waited_until: datetime | None = None
    patience: Patience = Patience()
    deployment: Deployment = Deployment()
    stalled: bool = False
    reason: str = ""
    failure: Failure | None = None
    job_arn: str | None = None
    model_arn: str | None = None
    deployment_arn: str | None = None
    committed_until: datetime | None = None
    judge_job_arns: dict[str, str] = {}
    surplus: Part = Part.NOTHING
    released_at: datetime | None = None
    retired_at: datetime | None = None
    gone: Part = Part.NOTHING
    summary: dict[str, Any] = {}

    @property
    def taken(self) -> timedelta:
        """How long it took on its own way, to its end or so far; what people or alarms did later is no part of it."""
        last = next((moment for moment in self.history if moment.state.ended), None)
        last = last or (self.history[-1] if self.history else None)
        return last.at - self.created_at if last else timedelta()

    @property
    def awaits_until(self) -> datetime | None:
        """When it ends if nobody releases it; None if it awaits no release."""
        return self.awaits.since + timedelta(hours=self.patience.release_end_hours) if self.awaits else None


class Superseded(Exception):
    """Another invocation has already moved the run (or the live pointer) on."""


def run_id_for(dataset: DatasetObject) -> str:
    """Derive the id of the run that an object version starts, the same however often it is announced.

    Returns
    -------
    str
        `<task>-` and 12 hexadecimal digits of SHA-256 over bucket, key and version id (etag and sequencer in a
        bucket without versions).
    """
    version = dataset.version_id or f"{dataset.etag}\n{dataset.sequencer}"
    digest = hashlib.sha256("\n".join((dataset.bucket, dataset.key, version)).encode()).hexdigest()
    return f"{dataset.task}-{digest[:12]}"


def is_run_id(text: str) -> bool:
    """Tell whether a text can be the id of a run: it says nothing else, and fits wherever an id is put."""
    return re.fullmatch(rf"[a-z0-9_-]{{1,{NAME_LENGTH + 13}}}", text) is not None


def task_of(run_id: str) -> str:
    """Return the task that the id of a run names."""
    return run_id.rpartition("-")[0]


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
        if changes := found_waiting(run, reason):
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


def now() -> datetime:
    """Return the moment (UTC)."""
    return datetime.now(UTC)


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
