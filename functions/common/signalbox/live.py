"""The live pointer of a task: which run answers, with all that the router needs but the student itself."""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from signalbox.items import readable
from signalbox.task import Task

LIVE_PREFIX = "LIVE#"
ACTIVE_INDEX = "active-runs"
LIVE_ITEMS = "live"
"""The value of the index key `active` under which the pointers stand, apart from the runs under way."""
_ROOM = 350 * 1024
"""Bytes that a pointer may have; DynamoDB's items may have 400 KB (Developer Guide, "Quotas", item size)."""


class Named(BaseModel):
    """A pointer by its run, its model and its date alone; the rest stands in the run."""

    run_id: str
    model: str
    since: datetime

    def named(self) -> "Named":
        """Return no more of a pointer than these."""
        return Named(run_id=self.run_id, model=self.model, since=self.since)


class Rollback(BaseModel):
    """How a pointer was moved back: when, from which run to which, by whom and why."""

    at: datetime
    from_run_id: str
    to_run_id: str
    how: Literal["rollback", "alarm"]
    by: str
    reason: str


class Live(Named):
    """What is live for a task.

    Attributes
    ----------
    run_id, model, since :
        Which run is live, the name of the model that answers first, and since when.
    task : dict
        The task spec of that run, with the prompt that its models were trained with, without the teacher's prompt.
    student : bool
        Whether the run has an embedded student.
    deployment_arn : str | None
        What Converse is called with; None when the task builds no Bedrock model.
    prior : dict
        The mean answer of the training data: weights, or label and confidence.
    metrics : dict
        The headline numbers of the model that answers first.
    how : str
        What made it live: the gates, a person, a person's rollback or an alarm's.
    by, reason : str
        Who, and why; "" for the gates.
    previous : Live | Named | None
        The pointer before this one, whole but for what came before it, so that a rollback is one write and exact. Only
        named where an older version wrote it, or where both would not fit an item. None after a rollback.
    last_rollback : Rollback | None
        Of this task, however long ago.
    """

    task_name: str
    task: dict[str, Any]
    student: bool
    deployment_arn: str | None = None
    prior: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    how: Literal["gates", "person", "rollback", "alarm"] = "gates"
    by: str = ""
    reason: str = ""
    previous: "Live | Named | None" = Field(default=None, union_mode="left_to_right")
    last_rollback: Rollback | None = None

    @property
    def run_ids(self) -> set[str]:
        """The runs whose deployments are kept: the live one and the one before it."""
        return {self.run_id} | ({self.previous.run_id} if self.previous else set())

    def is_on_trial(self, at: datetime) -> bool:
        """Tell whether a promotion, and no rollback, has set it within the task's `serve.rollback_hours`."""
        allowed = timedelta(hours=Task.model_validate(self.task).serve.rollback_hours)
        promoted = self.how in ("gates", "person")
        return promoted and timedelta() <= at - self.since.replace(microsecond=0) <= allowed

    def as_previous(self) -> "Live":
        """Return the pointer as its successor keeps it."""
        return self.model_copy(update={"previous": None, "last_rollback": None})

    def item(self) -> dict[str, str]:
        """Return the pointer as an item of the run table, every attribute a string.

        The pointer itself is one JSON text, so that a reader needs nothing to take it apart.
        """
        return {
            "id": LIVE_PREFIX + self.task_name,
            "run_id": self.run_id,
            "active": LIVE_ITEMS,
            "updated_at": self.since.isoformat(),
            "pointer": self._text(),
        }

    @property
    def as_read(self) -> dict[str, str]:
        """The attributes by which a write makes sure that the pointer is still this one."""
        return {"run_id": self.run_id, "updated_at": self.since.isoformat()}

    def _text(self) -> str:
        text = self.model_dump_json()
        if len(text.encode()) <= _ROOM or self.previous is None:
            return text
        return self.model_copy(update={"previous": self.previous.named()}).model_dump_json()


class Place(NamedTuple):
    """Where a page of live pointers begins: after this task, whose pointer was last changed then."""

    task: str
    updated_at: str

    @classmethod
    def of(cls, key: dict[str, Any]) -> "Place":
        """Return the place after the item that DynamoDB evaluated last."""
        return cls(key["id"]["S"].removeprefix(LIVE_PREFIX), key["updated_at"]["S"])

    def key(self) -> dict[str, Any]:
        """Return what ExclusiveStartKey takes: the key of the table and that of the index."""
        return {
            "id": {"S": LIVE_PREFIX + self.task},
            "active": {"S": LIVE_ITEMS},
            "updated_at": {"S": self.updated_at},
        }


class Pointers(NamedTuple):
    """A page of live pointers, the tasks that have one on it, readable or not, and where the next page begins."""

    live: list[Live]
    tasks: frozenset[str]
    next: Place | None


class LivePointers:
    """Reads live pointers with DynamoDB's plain client, which is all that the router has to load for it.

    Parameters
    ----------
    dynamodb : botocore DynamoDB client
    table, index : str
        The run table, and its index of what is active.
    """

    def __init__(self, dynamodb: Any, table: str, index: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._index = index

    def get(self, task: str) -> Live | None:
        """Return the live pointer of a task, or None if nothing is live."""
        found = self._dynamodb.get_item(
            TableName=self._table, Key={"id": {"S": LIVE_PREFIX + task}}, ConsistentRead=True
        )
        return Live.model_validate_json(found["Item"]["pointer"]["S"]) if "Item" in found else None

    def all(self) -> list[Live]:
        """Return the live pointers of all tasks, the latest promotion first; one page, about a megabyte, of them."""
        return self.page().live

    def page(self, limit: int | None = None, start: Place | None = None) -> Pointers:
        """Return a page of live pointers, the latest change first: `limit` of them, or about a megabyte.

        One that cannot be read, since another version of the app wrote it, is left out: it is its task's trouble alone.
        """
        query: dict[str, Any] = {"Limit": limit} if limit else {}
        if start is not None:
            query["ExclusiveStartKey"] = start.key()
        found = self._dynamodb.query(
            TableName=self._table,
            IndexName=self._index,
            KeyConditionExpression="active = :live",
            ExpressionAttributeValues={":live": {"S": LIVE_ITEMS}},
            ScanIndexForward=False,
            **query,
        )
        items = [{"id": item["id"]["S"], "pointer": item["pointer"]["S"]} for item in found["Items"]]
        tasks = frozenset(item["id"].removeprefix(LIVE_PREFIX) for item in items)
        last = found.get("LastEvaluatedKey")
        return Pointers(list(readable(items, live_of)), tasks, Place.of(last) if last else None)


def live_of(item: dict[str, Any]) -> Live:
    """Read what is live from its item in the run table, and whether its task can be read, too.

    Raises
    ------
    ValueError
        One of them cannot be.
    """
    live = Live.model_validate_json(item["pointer"])
    Task.model_validate(live.task)
    return live
