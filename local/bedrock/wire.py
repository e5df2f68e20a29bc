"""Bedrock's REST-JSON wire protocol: the operation of a request, its parameters, and the response.

Paths, methods, status codes, members and their places all come from botocore's service models; there is no
table of routes here.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.model import OperationModel, ServiceModel

from local.bedrock import shapes
from local.bedrock.errors import BedrockError, invalid

CONTROL_PLANE = "bedrock"
RUNTIME = "bedrock-runtime"


@dataclass(frozen=True)
class Request:
    """An HTTP request as the wire sees it; `path` is still percent-encoded, header names are lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of `service`, read once."""
    return botocore.session.get_session().get_service_model(service)


class Routes:
    """Find the operation of a request among those that are served.

    Parameters
    ----------
    operations
        Names of operations by service, for example `{"bedrock": ["GetCustomModel"]}`.
    """

    def __init__(self, operations: Mapping[str, Iterable[str]]) -> None:
        self._routes = []
        for service, names in operations.items():
            for name in names:
                operation = service_model(service).operation_model(name)
                self._routes.append((operation.http["method"], _path_pattern(operation), operation))

    def handles(self, path: str) -> bool:
        """Return whether `path` (percent-encoded or not) belongs to an operation, by any method."""
        path = path.split("?", 1)[0]
        return any(pattern.fullmatch(path) for _, pattern, _ in self._routes)

    def match(self, method: str, path: str) -> tuple[OperationModel, dict[str, str]] | None:
        """Return the operation and its decoded path labels; None when there is none."""
        for its_method, pattern, operation in self._routes:
            found = pattern.fullmatch(path) if method == its_method else None
            if found:
                return operation, {name: unquote(label) for name, label in found.groupdict().items()}
        return None


def _path_pattern(operation: OperationModel) -> re.Pattern[str]:
    template = operation.http["requestUri"].split("?", 1)[0]
    parts = re.split(r"\{(\w+)\+?\}", template)
    # A label may hold an ARN with its slashes unescaped: curl and some clients send it so.
    pattern = "".join(f"(?P<{part}>.+?)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
    return re.compile(pattern + "/?")


def parse(operation: OperationModel, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
    """Return the operation's parameters after checking them against its input shape.

    Raises
    ------
    BedrockError
        `SerializationException` for what is not the shape's JSON, `ValidationException` for a broken
        constraint.
    """
    shape = operation.input_shape
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    try:
        parameters = shapes.from_json(shape, _json_body(request.body))
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            wire_name = member.serialization.get("name", name)
            if location:
                parameters.pop(name, None)
            source = {"uri": labels, "querystring": query, "header": request.headers}.get(location, {})
            wire_name = wire_name.lower() if location == "header" else wire_name
            if wire_name in source:
                parameters[name] = shapes.from_text(member, source[wire_name], name)
    except shapes.SerializationError as error:
        raise BedrockError("SerializationException", str(error)) from error
    broken = list(shapes.violations(shape, parameters))
    if broken:
        errors = "1 validation error" if len(broken) == 1 else f"{len(broken)} validation errors"
        raise invalid(f"{errors} detected: {'; '.join(broken)}")
    return parameters


def _json_body(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise shapes.SerializationError("the request body is not valid JSON") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def render(operation: OperationModel, result: Mapping[str, Any]) -> Response:
    """Return the response of an operation that succeeded."""
    body = shapes.to_json(operation.output_shape, result) if operation.output_shape else {}
    return _response(operation.http.get("responseCode", 200), body)


def render_error(error: BedrockError) -> Response:
    """Return an error as Bedrock sends it: status and name from the service model, message in the body."""
    response = _response(_status(error.name), {"message": error.message})
    kind = f"{error.name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    return Response(response.status, {**response.headers, "x-amzn-errortype": kind}, response.body)


@cache
def _status(name: str) -> int:
    for service in (CONTROL_PLANE, RUNTIME):
        model = service_model(service)
        if name in model.shape_names:
            return int(model.shape_for(name).metadata.get("error", {}).get("httpStatusCode", 500))
    # Errors of AWS's front end that no service model lists.
    return {
        "UnknownOperationException": 404,
        "SerializationException": 400,
        "RequestEntityTooLargeException": 413,
    }.get(name, 500)


def _response(status: int, body: Any) -> Response:
    encoded = json.dumps(body, ensure_ascii=False).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(encoded)),
        "x-amzn-requestid": str(uuid.uuid4()),
    }
    return Response(status, headers, encoded)
