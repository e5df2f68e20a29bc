"""A stand-in without sockets: requests go straight to its `handle`, as botocore would have written them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from local.bedrock import BedrockStandIn, Configuration, Faults
from local.bedrock.wire import CONTROL_PLANE, RUNTIME, Request, Response, service_model

PROMPT = "Return JSON with visual, audio weights and reasoning for the given query."


class RefusedError(Exception):
    """The stand-in answered an error."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(f"{code} {status}: {message}")
        self.code, self.status, self.message = code, status, message


def as_request(operation: Any, parameters: dict[str, Any]) -> Request:
    """Return the request that botocore sends for an operation."""
    sent = create_serializer("rest-json", include_validation=False).serialize_to_request(
        parameters, operation
    )
    query = urlencode(sent["query_string"])
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    return Request(sent["method"], sent["url_path"], query, headers, sent["body"] or b"")


def as_result(operation: Any, response: Response) -> dict[str, Any]:
    """Return what botocore makes of a response."""
    answer = {"status_code": response.status, "headers": dict(response.headers), "body": response.body}
    return create_parser("rest-json").parse(answer, operation.output_shape)


class Client:
    """Calls operations of a stand-in by name; with a `region`, as if signed for it."""

    def __init__(self, stand_in: BedrockStandIn) -> None:
        self.stand_in = stand_in
        self.region = ""

    def __call__(self, name: str, **parameters: Any) -> dict[str, Any]:
        operation = service_model(RUNTIME if name == "Converse" else CONTROL_PLANE).operation_model(name)
        request = as_request(operation, parameters)
        if self.region:
            scope = f"AKIDEXAMPLE/20261121/{self.region}/bedrock/aws4_request"
            signed = {
                "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
            }
            request = replace(request, headers={**request.headers, **signed})
        response = self.stand_in.handle(request)
        if response.status >= 300:
            code = response.headers["x-amzn-errortype"].split(":")[0]
            raise RefusedError(code, response.status, json.loads(response.body)["message"])
        result = as_result(operation, response)
        result.pop("ResponseMetadata", None)
        return result


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Expect an error: `with refused("ValidationException", "part of the message"): ...`."""

    @contextmanager
    def refused(code: str, part: str = "") -> Iterator[None]:
        with pytest.raises(RefusedError) as caught:
            yield
        assert caught.value.code == code
        assert part in caught.value.message
        expected = service_model(CONTROL_PLANE).shape_for(code).metadata["error"]["httpStatusCode"]
        assert caught.value.status == expected

    return refused


@pytest.fixture(scope="session")
def to_request() -> Callable[..., Request]:
    """Write a request as botocore does: `to_request(operation, parameters)`."""
    return as_request


@pytest.fixture(scope="session")
def to_result() -> Callable[..., dict[str, Any]]:
    """Read a response as botocore does: `to_result(operation, response)`."""
    return as_result


@pytest.fixture
def faults() -> Faults:
    """Faults to script; jobs are held, so that none starts a process."""
    faults = Faults()
    faults.hold_jobs()
    return faults


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """The events that were emitted."""
    return []


@pytest.fixture
def make(tmp_path: Path, faults: Faults, events: list) -> Iterator[Callable[..., Client]]:
    """Make a client of a stand-in with the given configuration; all share one state folder."""
    made = []

    def make(**settings: Any) -> Client:
        stand_in = BedrockStandIn(
            tmp_path, "http://127.0.0.1:1", events.append, Configuration(**settings), faults
        )
        made.append(stand_in)
        return Client(stand_in)

    yield make
    for stand_in in made:
        stand_in.shutdown()


@pytest.fixture
def call(make: Callable[..., Client]) -> Client:
    """A client of a stand-in with default configuration."""
    return make()


@pytest.fixture
def distillation() -> dict[str, Any]:
    """Parameters of a customization job that is accepted."""
    return {
        "jobName": "task-0123456789ab",
        "customModelName": "task-0123456789ab",
        "clientRequestToken": "task-0123456789ab",
        "roleArn": "arn:aws:iam::000000000000:role/customization",
        "baseModelIdentifier": "local.student",
        "customizationType": "DISTILLATION",
        "customizationConfig": {
            "distillationConfig": {"teacherModelConfig": {"teacherModelIdentifier": "local.teacher"}}
        },
        "trainingDataConfig": {"s3Uri": "s3://data-bucket/runs/r/train.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://data-bucket/runs/r/customization/"},
    }


@pytest.fixture
def evaluation() -> dict[str, Any]:
    """Parameters of an evaluation job that is accepted."""
    evaluator = {"bedrockEvaluatorModels": [{"modelIdentifier": "local.judge"}]}
    metric = {
        "name": "OverallQuality",
        "instructions": "Rate {{prediction}} for {{prompt}} beside {{ground_truth}}.",
        "ratingScale": [{"definition": f"grade {n}", "value": {"floatValue": float(n)}} for n in range(1, 6)],
    }
    return {
        "jobName": "task-0123456789ab-judge",
        "clientRequestToken": "task-0123456789ab-judge",
        "roleArn": "arn:aws:iam::000000000000:role/evaluation",
        "evaluationConfig": {
            "automated": {
                "datasetMetricConfigs": [
                    {
                        "taskType": "General",
                        "dataset": {
                            "name": "golden",
                            "datasetLocation": {"s3Uri": "s3://data-bucket/runs/r/judge/dataset.jsonl"},
                        },
                        "metricNames": ["OverallQuality"],
                    }
                ],
                "customMetricConfig": {
                    "customMetrics": [{"customMetricDefinition": metric}],
                    "evaluatorModelConfig": evaluator,
                },
            }
        },
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "bedrock-student"}}]
        },
        "outputDataConfig": {"s3Uri": "s3://data-bucket/runs/r/judge/"},
    }


def record(query: str, answer: str | None, prompt: str | None = PROMPT) -> dict[str, Any]:
    """Return a `bedrock-conversation-2024` record."""
    messages = [{"role": "user", "content": [{"text": query}]}]
    if answer is not None:
        messages.append({"role": "assistant", "content": [{"text": answer}]})
    system = {"system": [{"text": prompt}]} if prompt else {}
    return {"schemaVersion": "bedrock-conversation-2024", **system, "messages": messages}


@pytest.fixture(name="record")
def record_fixture() -> Callable[..., dict[str, Any]]:
    """Make a training record: `record(query, answer_or_none)`."""
    return record


@pytest.fixture
def weighted_pairs() -> list[tuple[str, str]]:
    """120 queries whose words decide their weights, with answers on a grid of tenths."""
    sounds, sights = ("cheering", "thunder", "sirens", "piano"), ("sunset", "harbour", "red car", "portrait")
    pairs = []
    for number in range(120):
        sound, audio = sounds[number % 4], number % 3
        text = f"{sound} near gate {number}" if audio else f"{sights[number % 4]} near gate {number}"
        weights = {"visual": 0.1, "audio": 0.9} if audio else {"visual": 0.8, "audio": 0.2}
        pairs.append((text, json.dumps({**weights, "reasoning": "By its words."})))
    return pairs
