"""moto, without what takes most of its time and memory here."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from moto import mock_aws
from moto.core import responses
from moto.core.common_models import BaseModel
from moto.core.responses import ActionResult, BaseResponse

_OF_ITEMS = frozenset(
    {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "TransactWriteItems"}
)
_serialized = BaseResponse.serialized


@contextmanager
def quick_aws() -> Iterator[None]:
    """Stand in for AWS by moto, where DynamoDB answers with its items as they are, and nobody remembers for nothing.

    An item has the form of the wire already, and needs no search through its shapes. And moto keeps a list of all that
    it ever made, for its dashboard: each copy of a bucket's keys, to go back to, would stay in it.
    """
    with (
        mock_aws(),
        mock.patch.object(BaseResponse, "serialized", _answer),
        mock.patch.object(BaseModel, "__new__", staticmethod(lambda kind, *_, **__: object.__new__(kind))),
        mock.patch.object(
            responses, "method_names_from_class", functools.cache(responses.method_names_from_class)
        ),
    ):
        yield


def _answer(response: BaseResponse, action_result: ActionResult) -> Any:
    result = action_result.result
    is_of_items = response.boto3_service_name == "dynamodb" and response._get_action() in _OF_ITEMS
    if not is_of_items or isinstance(result, Exception):
        return _serialized(response, action_result)
    headers = {"Content-Type": "application/x-amz-json-1.0"} | response.response_headers
    return 200, headers, json.dumps(result, default=lambda value: value.to_json())
