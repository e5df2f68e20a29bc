"""A run: one dataset on its way to a live model. The run table is the truth; every event only nudges."""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from signalbox.live import LIVE_PREFIX, Live
from signalbox.task import NAME_LENGTH, NAME_PATTERN

NO_TASK = "no_task"
"""Stands in for a task; no task can be named so, as its name allows no underscore."""
ACTIVE_INDEX = "active-runs"
TASK_INDEX = "runs-by-task"
_ACTIVE = "active"


class State(StrEnum):
    """How far a run has come; the comment says what is under way or awaited in it."""

    RECEIVED = "RECEIVED"  # the dataset is being validated
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
        State.RECEIVED: {State.ACCEPTED, State.REJECTED},
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
        named = len(parts) > 2 and len(parts[1]) <= NAME_LENGTH and re.fullmatch(NAME_PATTERN, parts[1])
        return parts[1] if named else NO_TASK


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
    """One entry of a run's history: the state it came to, what there is to say, the event that was published."""

    state: State
    at: datetime
    note: str = ""
    event: str = ""


class Run(BaseModel):
    """One item of the run table.

    Attributes
    ----------
    updated_at : datetime
        The last sign of life; when its state began stands in the history.
    outbox : str | None
        The event that the last transition owes; removed once it is published, republished by `watch` otherwise.
    waiting : str
        What a run that cannot go on is waiting for (a quota, a job of Bedrock's); "" when nothing.
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
    stalled: bool = False
    reason: str = ""
    failure: Failure | None = None
    job_arn: str | None = None
    model_arn: str | None = None
    deployment_arn: str | None = None
    judge_job_arn: str | None = None
    summary: dict[str, Any] = {}


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
        now = _now()
        run = Run(
            id=run_id_for(dataset),
            task=dataset.task,
            state=State.RECEIVED,
            created_at=now,
            updated_at=now,
            dataset=dataset,
            history=[Moment(state=State.RECEIVED, at=now, note=f"s3://{dataset.bucket}/{dataset.key}")],
        )
        try:
            self._table.put_item(
                Item=_item(run) | {_ACTIVE: _ACTIVE}, ConditionExpression="attribute_not_exists(id)"
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            return self.load(run.id) or run
        return run

    def load(self, run_id: str) -> Run | None:
        """Return a run, or None if there is none of this id."""
        item = self._table.get_item(Key={"id": run_id}, ConsistentRead=True).get("Item")
        return _run(item) if item else None

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
        moved, write = self._transition(run, to, event, note, changes)
        try:
            self._table.update_item(**write)
        except ClientError as error:
            if _condition_failed(error):
                raise Superseded(f"{run.id} is no longer {run.state}") from error
            raise
        return moved

    def promote(
        self, run: Run, live: Live, replaces: str | None, *, event: str, note: str, **changes: Any
    ) -> Run:
        """Move a run to PROMOTED and the task's live pointer to it, both or neither.

        Parameters
        ----------
        replaces : str | None
            The run id that the pointer was read to name; None if there was no pointer.

        Raises
        ------
        Superseded
            If either has moved since it was read.
        """
        moved, update = self._transition(run, State.PROMOTED, event, note, changes)
        pointer: dict[str, Any] = {
            "TableName": self._table.name,
            "Item": live.item(),
            "ConditionExpression": "attribute_not_exists(id)",
        }
        if replaces is not None:
            pointer |= {
                "ConditionExpression": "run_id = :replaces",
                "ExpressionAttributeValues": {":replaces": replaces},
            }
        try:
            self._table.meta.client.transact_write_items(
                TransactItems=[{"Update": {"TableName": self._table.name, **update}}, {"Put": pointer}]
            )
        except ClientError as error:
            if _outdated(error):
                raise Superseded(f"{run.id} or the live pointer of {run.task} has moved") from error
            raise
        return moved

    def _transition(
        self, run: Run, to: State, event: str | None, note: str, changes: dict[str, Any]
    ) -> tuple[Run, dict[str, Any]]:
        """Return the run after a transition, and the conditional update that brings it about."""
        if to not in TRANSITIONS.get(run.state, frozenset()):
            raise ValueError(f"{run.id}: no transition leads from {run.state} to {to}")
        now = _now()
        moment = Moment(state=to, at=now, note=note, event=event or "")
        moved = run.model_copy(
            update={"reason": ""}  # why it had stalled in the state that it leaves
            | changes
            | {
                "state": to,
                "updated_at": now,
                "history": [*run.history, moment],
                "outbox": event,
                "waiting": "",
                "stalled": False,
            }
        )
        values = _item(moved)
        changed = {
            name: values.get(name)
            for name in (*changes, "state", "updated_at", "outbox", "waiting", "stalled", "reason")
        }
        changed["history"] = values["history"]
        changed[_ACTIVE] = _ACTIVE if event or not to.ended else None
        return moved, {
            "Key": {"id": run.id},
            **_update_expression(changed, condition="#state = :from", values={":from": run.state.value}),
        }

    def delivered(self, run: Run) -> None:
        """Note that the event in the run's outbox has been published."""
        gone: dict[str, Any] = {"outbox": None} | ({_ACTIVE: None} if run.state.ended else {})
        self._change(run, gone)

    def touch(self, run: Run) -> None:
        """Give a sign of life from a step that takes minutes, so that `watch` leaves the run to it."""
        self._change(run, {"updated_at": _now().isoformat()})

    def wait(self, run: Run, reason: str) -> None:
        """Note what a run is waiting for, "" if nothing; its state and its place in the line of `watch` stay."""
        if reason != run.waiting:
            self._change(run, {"waiting": reason})

    def mark_stalled(self, run: Run, note: str) -> Run:
        """Note that a run has overstayed in its state, and owe the event that says so."""
        stalled = run.model_copy(update={"stalled": True, "outbox": "RunStalled", "reason": note})
        self._change(run, {"stalled": True, "outbox": "RunStalled", "reason": note})
        return stalled

    def _change(self, run: Run, changes: dict[str, Any]) -> None:
        """Change attributes of a run that is still in the state it was loaded in; otherwise leave it."""
        write = _update_expression(changes, condition="#state = :from", values={":from": run.state.value})
        try:
            self._table.update_item(Key={"id": run.id}, **write)
        except ClientError as error:
            if not _condition_failed(error):
                raise

    def active(self) -> Iterator[Run]:
        """Return every run for which something is still to be done, the longest untouched first."""
        return map(_run, self._query(ACTIVE_INDEX, _ACTIVE, _ACTIVE))

    def of_task(self, task: str, limit: int) -> list[Run]:
        """Return the runs of a task, the newest first, `limit` of them at most.

        The index lags behind the table, as a rule by less than a second.
        """
        newest = self._query(TASK_INDEX, "task", task, ScanIndexForward=False, Limit=limit)
        return list(map(_run, islice(newest, limit)))

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
        item = self._table.get_item(Key={"id": LIVE_PREFIX + task}, ConsistentRead=True).get("Item")
        return Live.model_validate_json(item["pointer"]) if item else None


def _now() -> datetime:
    return datetime.now(UTC)


def _item(model: BaseModel) -> dict[str, Any]:
    """Write a model as DynamoDB takes it: numbers as Decimal, nothing that is None."""
    plain = json.loads(model.model_dump_json(exclude_none=True), parse_float=Decimal)
    return {key: value for key, value in plain.items() if value is not None}


def _run(item: dict[str, Any]) -> Run:
    return Run.model_validate(_plain(item))


def _plain(item: Any) -> Any:
    """Turn DynamoDB's Decimals back into numbers."""
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_plain(value) for value in item]
    if isinstance(item, Decimal):
        return int(item) if item == item.to_integral_value() else float(item)
    return item


def _update_expression(changes: dict[str, Any], condition: str, values: dict[str, Any]) -> dict[str, Any]:
    """Write an update that sets every given attribute, and removes those that are None."""
    sets = [name for name, value in changes.items() if value is not None]
    removes = [name for name, value in changes.items() if value is None]
    expression = ("SET " + ", ".join(f"#{name} = :{name}" for name in sets)) if sets else ""
    expression += (" REMOVE " + ", ".join(f"#{name}" for name in removes)) if removes else ""
    return {
        "UpdateExpression": expression.strip(),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in {*changes, "state"}},
        "ExpressionAttributeValues": values | {f":{name}": changes[name] for name in sets},
    }


def _outdated(error: ClientError) -> bool:
    """Tell a transaction that lost a race from one that is refused for another reason, an item's size say."""
    reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
    return bool(reasons & {"ConditionalCheckFailed", "TransactionConflict"})


def _condition_failed(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"
