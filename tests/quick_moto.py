"""moto, without what takes most of its time and memory here."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSRequest
from botocore.signers import RequestSigner
from botocore.useragent import UserAgentString
from moto import mock_aws
from moto.core import responses
from moto.core.base_backend import BaseBackend
from moto.core.common_models import BaseModel
from moto.core.responses import ActionResult, BaseResponse

_OF_ITEMS = frozenset(
    {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "TransactWriteItems"}
)
_URLS: dict[type, dict[str, Any]] = {}
_serialized, _urls, _signed = BaseResponse.serialized, BaseBackend.urls.fget, RequestSigner.sign


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
        mock.patch.object(BaseBackend, "urls", property(_urls_of)),
        mock.patch.object(UserAgentString, "to_string", lambda _: "tests"),
        mock.patch.object(RequestSigner, "sign", _sign),
    ):
        yield


def _urls_of(backend: BaseBackend) -> dict[str, Any]:
    """Return what a service's requests look like; a property that moto works out anew for each of them."""
    known = _URLS.get(type(backend))
    if known is None:
        known = _URLS[type(backend)] = _urls(backend)
    return known


def _sign(signer: RequestSigner, operation: str, request: AWSRequest, *more: Any, **named: Any) -> None:
    """Say who asks, and for which region, which is all that moto reads of a signature, unless S3 is sent content."""
    if request.method == "PUT":  # whose signature says how it is cut into chunks
        return _signed(signer, operation, request, *more, **named)
    scope = f"testing/20000101/{signer.region_name}/{signer.signing_name}/aws4_request"
    request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    return None


def _answer(response: BaseResponse, action_result: ActionResult) -> Any:
    result = action_result.result
    is_of_items = response.boto3_service_name == "dynamodb" and response._get_action() in _OF_ITEMS
    if not is_of_items or isinstance(result, Exception):
        return _serialized(response, action_result)
    headers = {"Content-Type": "application/x-amz-json-1.0"} | response.response_headers
    return 200, headers, json.dumps(result, default=lambda value: value.to_json())
