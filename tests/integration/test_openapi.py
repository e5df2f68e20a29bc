"""The API keeps what its OpenAPI document promises, whatever it is sent: schemathesis tries.

`make fuzz` tries 2,000 requests; the tests try some at every run.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.builders import embedded_spec, http_request, labelled
from tests.integration.cloud import Cloud
from tests.quick_moto import quick_aws

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "200"))
OPERATIONS = ("POST /route", "POST /route/batch", "GET /tasks", "GET /tasks/{task}")
MODES = tuple(GenerationMode)
TASK = "clip-search"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    positive_data_acceptance,
    negative_data_rejection,
]


def served(cloud: Cloud) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return the handler as a WSGI application: a request becomes an event of payload format 2.0."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        event = http_request(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True} if body else {}
        asked = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        event["rawQueryString"] = environ["QUERY_STRING"]
        event["queryStringParameters"] = {name: ",".join(values) for name, values in asked.items()}
        answer = cloud.invoke("route", event)
        headers = [(name, value) for name, value in answer["headers"].items()]
        status = HTTPStatus(answer["statusCode"])
        start(f"{status.value} {status.phrase}", headers)
        return [answer["body"].encode()]

    return application


@pytest.fixture(scope="module")
def account(student: bytes) -> Iterator[Cloud]:
    """The app, with a live task that the embedded student answers."""
    with quick_aws(), Cloud(student).connected() as cloud:
        cloud.upload_task(embedded_spec())
        cloud.finish(cloud.drop(labelled()))
        yield cloud
        assert cloud.crashes == []


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_sent_is_answered_as_documented(
    account: Cloud, operation: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", served(account))
    method, path = operation.split()

    @settings(
        max_examples=REQUESTS // len(OPERATIONS) // len(MODES) + 1,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy(generation_mode=mode), is_live=st.booleans())
    def answered_as_documented(case: schemathesis.Case, is_live: bool) -> None:
        if is_live and mode is GenerationMode.POSITIVE:  # a name made up is hardly ever that of a live task
            for part in (case.body, case.path_parameters):
                if isinstance(part, dict) and "task" in part:
                    part["task"] = TASK
        case.call_and_validate(checks=CHECKS)

    answered_as_documented()


def test_the_document_says_how_each_operation_is_refused(account: Cloud) -> None:
    status, document = account.request("GET", "/openapi.json")
    assert status == 200
    paths = document["paths"]
    operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert operations == set(OPERATIONS)
    for path, operation in ((path, each) for path, methods in paths.items() for each in methods.values()):
        by_gateway = {"401", "403", "429", "500"} | ({"413"} if "requestBody" in operation else set())
        unknown = set() if path == "/tasks" else {"404"}
        assert set(operation["responses"]) == {"200", "400", "503"} | unknown | by_gateway
        refusal = operation["responses"]["400"]["content"]["application/json"]["schema"]
        assert refusal == {"$ref": "#/components/schemas/Refusal"}
    assert json.dumps(paths).count("HTTPValidationError") == 0


def test_the_document_describes_the_whole_of_an_answer(account: Cloud) -> None:
    schemas = account.request("GET", "/openapi.json")[1]["components"]["schemas"]
    answered = schemas["WeightsAnswered"]["properties"]
    tiers = ["bedrock", "embedded", "baseline", "prior"]
    assert answered["source"]["enum"] == tiers
    assert answered["passed_over"]["propertyNames"] == {"enum": tiers}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    assert share.items() <= answered["weights"]["additionalProperties"].items()
    assert share.items() <= answered["familiarity"]["anyOf"][0].items()
    _, answer = account.request("POST", "/route", {"query": "ships at sea", "task": TASK})
    assert set(answer) == set(answered) == set(schemas["WeightsAnswered"]["required"])
