"""Every operation is found, read and answered as botocore writes and reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from local.bedrock import BedrockStandIn
from local.bedrock.errors import BedrockError
from local.bedrock.shapes import violations
from local.bedrock.wire import (
    CONTROL_PLANE,
    RUNTIME,
    Request,
    Routes,
    parse,
    render,
    render_error,
    service_model,
)

CONTROL_OPERATIONS = [
    "CreateModelCustomizationJob",
    "GetModelCustomizationJob",
    "ListModelCustomizationJobs",
    "StopModelCustomizationJob",
    "GetCustomModel",
    "ListCustomModels",
    "DeleteCustomModel",
    "CreateCustomModelDeployment",
    "GetCustomModelDeployment",
    "ListCustomModelDeployments",
    "UpdateCustomModelDeployment",
    "DeleteCustomModelDeployment",
    "CreateEvaluationJob",
    "GetEvaluationJob",
    "ListEvaluationJobs",
    "StopEvaluationJob",
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "GetFoundationModel",
    "ListFoundationModels",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
]
OPERATIONS = [(CONTROL_PLANE, name) for name in CONTROL_OPERATIONS] + [(RUNTIME, "Converse")]
ROUTES = Routes({CONTROL_PLANE: CONTROL_OPERATIONS, RUNTIME: ["Converse"]})
ARN = "arn:aws:bedrock:us-east-1:000000000000:model-customization-job/local.student/0123456789ab"


def values_of(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return a strategy for values that keep to every constraint of a shape."""
    if getattr(shape, "is_document_type", False):
        return st.just({"any": ["json", 1, None]})
    if isinstance(shape, StructureShape):
        return _structures(shape, depth)
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 2**31 - 1)
    if isinstance(shape, ListShape):
        return st.lists(values_of(shape.member, depth + 1), min_size=low, max_size=max(low, min(high, 1)))
    if isinstance(shape, MapShape):
        keys, values = values_of(shape.key, depth + 1), values_of(shape.value, depth + 1)
        return st.dictionaries(keys, values, min_size=low, max_size=max(low, min(high, 1)))
    if shape.type_name == "string":
        return _strings(shape, low, high)
    return {
        "boolean": st.booleans(),
        "integer": st.integers(low, high),
        "long": st.integers(low, high),
        "float": st.floats(low, min(high, 1e6), width=32),
        "double": st.floats(low, min(high, 1e6)),
        "timestamp": st.integers(0, 2**31).map(float),
        "blob": st.binary(min_size=max(low, 1), max_size=20),
    }[shape.type_name]


def _structures(shape: StructureShape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    if shape.is_tagged_union:
        names = sorted(shape.members)[:1] if depth > 1 else sorted(shape.members)
        return st.one_of(
            [st.fixed_dictionaries({name: values_of(shape.members[name], depth + 1)}) for name in names]
        )
    required = {name: values_of(shape.members[name], depth + 1) for name in shape.required_members}
    optional = [name for name in shape.members if name not in required and depth < 2]
    return st.fixed_dictionaries(
        required, optional={name: values_of(shape.members[name], depth + 1) for name in optional}
    )


def _strings(shape: Shape, low: int, high: int) -> st.SearchStrategy[str]:
    if getattr(shape, "enum", None):
        return st.sampled_from(shape.enum)
    pattern = shape.metadata.get("pattern")
    if pattern:
        texts = st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
        return texts.filter(lambda text: low <= len(text) <= high and not list(violations(shape, text)))
    return st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"]),
        min_size=max(low, 1),
        max_size=max(low, 9),
    )


slow = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def model(service: str, name: str) -> OperationModel:
    return service_model(service).operation_model(name)


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@slow
@given(data=st.data())
def test_a_request_is_read_as_botocore_wrote_it(
    service: str, name: str, data: st.DataObject, to_request: Callable[..., Request]
) -> None:
    operation = model(service, name)
    parameters = data.draw(values_of(operation.input_shape))
    request = to_request(operation, parameters)
    found = ROUTES.match(request.method, request.path)
    assert found is not None
    assert found[0].name == name
    assert parse(operation, found[1], request) == parameters


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@slow
@given(data=st.data())
def test_a_response_is_read_by_botocore_as_it_was_meant(
    service: str, name: str, data: st.DataObject, to_result: Callable[..., dict]
) -> None:
    operation = model(service, name)
    if not operation.output_shape or "Invoke" in name:
        return
    result = data.draw(values_of(operation.output_shape))
    response = render(operation, result)
    assert response.status == operation.http["responseCode"]
    read = to_result(operation, response)
    assert set(read) - {"ResponseMetadata"} == set(result)
    assert json.loads(response.body).keys() == result.keys()


@pytest.mark.parametrize(
    "path",
    [
        "/model-customization-jobs/" + ARN,
        f"/model-customization-jobs/{ARN.replace(':', '%3A').replace('/', '%2F')}",
    ],
)
def test_an_arn_in_a_path_may_be_escaped_or_not(path: str) -> None:
    operation, labels = ROUTES.match("GET", path) or (None, {})
    assert operation is not None
    assert labels == {"jobIdentifier": ARN}
    assert ROUTES.handles(path)


@pytest.mark.parametrize(
    "path",
    ["/", "/bucket/key", "/guardrails", "/model", "/restapis/model-x/converse", "/2015-03-31/functions"],
)
def test_other_services_paths_are_left_alone(path: str) -> None:
    assert not ROUTES.handles(path)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"\xff", b'{"jobName": NaN}', b"[" * 100_000, b'{"jobName": 7}']
)
def test_a_body_that_is_no_json_object_is_a_serialization_exception(body: bytes) -> None:
    operation = model(CONTROL_PLANE, "CreateModelCustomizationJob")
    with pytest.raises(BedrockError) as caught:
        parse(operation, {}, Request("POST", "/model-customization-jobs", body=body))
    assert caught.value.name == "SerializationException"


def test_all_violations_are_told_at_once() -> None:
    operation = model(CONTROL_PLANE, "CreateCustomModelDeployment")
    with pytest.raises(BedrockError, match=r"2 validation errors detected: .*; .*") as caught:
        parse(operation, {}, Request("POST", "/", body=b'{"modelDeploymentName": "a b"}'))
    assert caught.value.name == "ValidationException"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ThrottlingException", 429),
        ("ModelNotReadyException", 429),
        ("ResourceNotFoundException", 404),
        ("ConflictException", 400),
    ],
)
def test_an_error_has_the_models_status_and_name(name: str, status: int) -> None:
    response = render_error(BedrockError(name, "why"))
    assert response.status == status
    assert response.headers["x-amzn-errortype"].split(":")[0] == name
    assert json.loads(response.body) == {"message": "why"}


def test_a_method_without_an_operation_is_an_unknown_operation(tmp_path: Path) -> None:
    stand_in = BedrockStandIn(tmp_path, "http://127.0.0.1:1", print)
    response = stand_in.handle(Request("PUT", "/custom-models/x"))
    stand_in.shutdown()
    assert (response.status, response.headers["x-amzn-errortype"].split(":")[0]) == (
        404,
        "UnknownOperationException",
    )
