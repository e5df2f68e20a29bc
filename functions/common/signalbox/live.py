"""The live pointer of a task: which run answers, with all that the router needs but the student itself."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

LIVE_PREFIX = "LIVE#"
LIVE_ITEMS = "live"
"""The value of the index key `active` under which the pointers stand, apart from the runs under way."""


class Live(BaseModel):
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
    previous : dict | None
        Run, model and date of the pointer before this one, for rollback; the rest stands in that run.
    """

    task_name: str
    run_id: str
    model: str
    since: datetime
    task: dict[str, Any]
    student: bool
    deployment_arn: str | None = None
    prior: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    previous: dict[str, Any] | None = None

    def item(self) -> dict[str, str]:
        """Return the pointer as an item of the run table, every attribute a string.

        The pointer itself is one JSON text, so that a reader needs nothing to take it apart.
        """
        return {
            "id": LIVE_PREFIX + self.task_name,
            "run_id": self.run_id,
            "active": LIVE_ITEMS,
            "updated_at": self.since.isoformat(),
            "pointer": self.model_dump_json(),
        }


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
        page = self._dynamodb.query(
            TableName=self._table,
            IndexName=self._index,
            KeyConditionExpression="active = :live",
            ExpressionAttributeValues={":live": {"S": LIVE_ITEMS}},
            ScanIndexForward=False,
        )
        return [Live.model_validate_json(item["pointer"]["S"]) for item in page["Items"]]
