"""Items of the run table: how a model becomes one, how one is changed on a condition, what a refusal means."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from pydantic import BaseModel, TypeAdapter

from signalbox.observability import logger

Read = TypeVar("Read")


def item_of(model: BaseModel) -> dict[str, Any]:
    """Write a model as DynamoDB takes it: numbers as Decimal, nothing that is None."""
    plain = json.loads(model.model_dump_json(exclude_none=True), parse_float=Decimal)
    return {key: value for key, value in plain.items() if value is not None}


def plain(item: Any) -> Any:
    """Turn DynamoDB's Decimals back into numbers."""
    if isinstance(item, dict):
        return {key: plain(value) for key, value in item.items()}
    if isinstance(item, list):
        return [plain(value) for value in item]
    if isinstance(item, Decimal):
        return int(item) if item == item.to_integral_value() else float(item)
    return item


def readable(items: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], Read]) -> Iterator[Read]:
    """Read items one by one; one that cannot be read is left out, so that the others go on."""
    for item in items:
        try:
            yield read(item)
        except ValueError:  # pydantic's errors are ValueErrors
            logger.exception("item cannot be read", extra={"item": item["id"]})


def outdated(error: ClientError) -> bool:
    """Tell a transaction that lost a race from one that is refused for another reason, an item's size say."""
    reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
    return bool(reasons & {"ConditionalCheckFailed", "TransactionConflict"})


def condition_failed(error: ClientError) -> bool:
    """Tell a write whose condition did not hold."""
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def update_of(key: str, changes: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Write an update of one item: sets what is given, removes what is None, if what is expected is there.

    Moments become text as pydantic writes them, so that they compare equal to what is stored.
    """
    sets = {name: _plain_text(value) for name, value in changes.items() if value is not None}
    removes = [name for name, value in changes.items() if value is None]
    expression = ("SET " + ", ".join(f"#{name} = :{name}" for name in sets)) if sets else ""
    expression += (" REMOVE " + ", ".join(f"#{name}" for name in removes)) if removes else ""
    condition, values = condition_of(expected)
    return {
        "Key": {"id": key},
        "UpdateExpression": expression.strip(),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in {*changes, *expected}},
        "ExpressionAttributeValues": values | {f":{name}": value for name, value in sets.items()},
    }


def condition_of(expected: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Write the condition that attributes are as they were read, and its values; None is an absent one."""
    clauses = [
        f"attribute_not_exists(#{name})" if value is None else f"#{name} = :was_{name}"
        for name, value in expected.items()
    ]
    values = {f":was_{name}": _plain_text(value) for name, value in expected.items() if value is not None}
    return " AND ".join(clauses), values


def _plain_text(value: Any) -> Any:
    return TypeAdapter(datetime).dump_python(value, mode="json") if isinstance(value, datetime) else value
