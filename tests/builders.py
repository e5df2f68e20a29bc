"""What tests are made of: tasks, records, events and errors, with sound defaults that a test changes."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

import yaml
from botocore.exceptions import ClientError

from signalbox.dataset_object import DatasetObject
from signalbox.task import Task

BUCKET = "signalbox-data"
SIGNALS = ("picture", "sound", "words")
LABELS = ("watch", "listen", "read")
SEVEN_SIGNALS = ("visual", "audio", "transcription", "metadata", "camera_angle", "mood", "licensing_window")
"""Of the task that is made in the end-to-end tests from a spec alone."""
PROMPT = "Return JSON with picture, sound and words."
LABELS_PROMPT = "Answer with one label."

OPENINGS = {
    "ships turning in the": ((0.8, 0.1, 0.1), "watch"),
    "bells ringing over the": ((0.2, 0.7, 0.1), "listen"),
    "a speech about the": ((0.1, 0.2, 0.7), "read"),
}
"""The rule that a student can find: the opening of a query decides its answer."""
PLACES = ("harbour", "valley", "station", "market", "forest", "island", "bridge", "castle", "square", "mill")
MANNERS = ("slowly", "at night", "in the rain", "again", "for an hour")
QUERIES = [
    f"{opening} {place} {manner}" for opening, place, manner in itertools.product(OPENINGS, PLACES, MANNERS)
]
"""150 queries, 50 of each opening."""


def spec(**changes: Any) -> dict[str, Any]:
    """Return a task spec as its YAML holds it: a task for weights with every part, changed as asked."""
    return {
        "name": "clip-search",
        "output": {"weights": list(SIGNALS)},
        "prompt": PROMPT,
        "customization": {"teacher": "us.amazon.nova-pro-v1:0", "student": "amazon.nova-micro-v1:0:128k"},
        "compare": {
            "base": "amazon.nova-micro-v1:0",
            "baseline": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        },
        "judge": {"model": "us.amazon.nova-pro-v1:0"},
        "gates": {"mae": 0.06, "dominant_share": 0.85, "judge": 3.8},
    } | changes


def labels_spec(**changes: Any) -> dict[str, Any]:
    """Return the spec of a task for labels, without a judge."""
    asked_for = {"name": "clip-kind", "output": {"labels": list(LABELS)}, "prompt": LABELS_PROMPT}
    return spec(**asked_for, judge=None, gates={"accuracy": 0.9, "macro_f1": 0.9}) | changes


def tuned_spec(**changes: Any) -> dict[str, Any]:
    """Return the spec of a task whose student is fine-tuned on labelled records."""
    customization = {
        "type": "FINE_TUNING",
        "student": "amazon.nova-micro-v1:0:128k",
        "hyperparameters": {"epochCount": 3, "learningRate": 1e-5},
    }
    return spec(customization=customization) | changes


def reinforced_spec(**changes: Any) -> dict[str, Any]:
    """Return the spec of a task whose student is fine-tuned by reinforcement."""
    customization = {
        "type": "REINFORCEMENT_FINE_TUNING",
        "student": "amazon.nova-2-lite-v1:0:256k",
        "hyperparameters": {"epochCount": 3, "learningRate": 1e-5},
    }
    return spec(customization=customization) | changes


def embedded_spec(**changes: Any) -> dict[str, Any]:
    """Return the spec of a task that needs no Bedrock at all."""
    return (
        spec(
            candidates=["embedded"],
            serve={"order": ["embedded", "prior"]},
            compare={},
            judge=None,
            gates={"mae": 0.06},
        )
        | changes
    )


def task(content: dict[str, Any] | None = None, **changes: Any) -> Task:
    """Return a task."""
    return Task.model_validate((content or spec()) | changes)


def task_yaml(content: dict[str, Any]) -> bytes:
    """Write a task spec as it is uploaded."""
    return yaml.safe_dump(content, sort_keys=False).encode()


def weights_text(*weights: float, **more: Any) -> str:
    """Write weights in the order of SIGNALS as a model does."""
    return json.dumps(dict(zip(SIGNALS, weights, strict=True)) | more)


def truth(query: str) -> str:
    """Return the right answer of the task for weights, as a text."""
    return weights_text(*_rule(query)[0])


def true_label(query: str) -> str:
    """Return the right answer of the task for labels."""
    return _rule(query)[1]


def _rule(query: str) -> tuple[tuple[float, float, float], str]:
    return next(answer for opening, answer in OPENINGS.items() if query.startswith(opening))


def conversation(query: str, answer: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a record in the bedrock-conversation-2024 format."""
    messages = [{"role": "user", "content": [{"text": query}]}]
    if answer is not None:
        messages.append({"role": "assistant", "content": [{"text": answer}]})
    return {"schemaVersion": "bedrock-conversation-2024", "messages": messages} | changes


def line(query: str, answer: str | None = None, **changes: Any) -> bytes:
    """Return a record as a line of a dataset."""
    return json.dumps(conversation(query, answer, **changes)).encode() + b"\n"


def labelled(queries: Iterable[str] = QUERIES, answer: Any = truth) -> bytes:
    """Return a dataset in which each query has its right answer."""
    return b"".join(line(query, answer(query)) for query in queries)


def prompts(queries: Iterable[str] = QUERIES) -> bytes:
    """Return a dataset without answers."""
    return b"".join(line(query) for query in queries)


def dataset_object(**changes: Any) -> DatasetObject:
    """Return the object version that started a run."""
    content = {
        "bucket": BUCKET,
        "key": "datasets/clip-search/drop.jsonl",
        "version_id": "v1",
        "etag": "e",
        "size": 9,
    }
    return DatasetObject.model_validate(content | changes)


def client_error(
    code: str, message: str = "scripted", operation: str = "Operation", status: int = 400
) -> ClientError:
    """Return the error that boto3 raises when AWS answers with an error code."""
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0},
    }
    return ClientError(answer, operation)


def _envelope(source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": detail_type,
        "source": source,
        "account": "123456789012",
        "time": "2026-11-21T08:00:00Z",
        "region": "us-east-1",
        "resources": resources,
        "detail": detail,
    }


def object_created(
    key: str, *, bucket: str = BUCKET, version_id: str | None = "v1", size: int = 9, etag: str = "e"
) -> dict[str, Any]:
    """Return S3's "Object Created" as EventBridge delivers it.

    Source: Amazon S3 user guide, "EventBridge event message structure".
    """
    described = {"key": key, "size": size, "etag": etag, "sequencer": "617f08299329d189"}
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": described | ({"version-id": version_id} if version_id else {}),
        "request-id": "N4N7GDK58NMKJ12R",
        "requester": "123456789012",
        "source-ip-address": "192.0.2.1",
        "reason": "PutObject",
    }
    return _envelope("aws.s3", "Object Created", detail, [f"arn:aws:s3:::{bucket}"])


def job_ended(name: str, status: str) -> dict[str, Any]:
    """Return Bedrock's event about a customization job (Amazon Bedrock user guide, "Monitor event changes").

    Its ARNs are as malformed as those of the documented sample.
    """
    arn = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/abcdefghwxyz"
    detail = {
        "version": "0.0",
        "jobName": name,
        "jobArn": arn,
        "outputModelName": "dummy-output-model-name",
        "outputModelArn": "arn:aws:bedrock:us-east-1:123456789012:dummy-output-model-name",
        "jobStatus": status,
    }
    return _envelope("aws.bedrock", "Model Customization Job State Change", detail, [arn])


def batch_ended(name: str, status: str) -> dict[str, Any]:
    """Return Bedrock's event about a batch job (Amazon Bedrock user guide, "Monitor event changes")."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"
    detail = {
        "version": "0.0",
        "accountId": "123456789012",
        "batchJobName": name,
        "batchJobArn": arn,
        "batchModelId": "us.amazon.nova-pro-v1:0",
        "status": status,
        "failureMessage": "",
        "creationTime": "Aug 28, 2024, 10:47:53 PM",
    }
    return _envelope("aws.bedrock", "Batch Inference Job State Change", detail, [arn])


def pipeline_event(detail_type: str, **detail: Any) -> dict[str, Any]:
    """Return one of the pipeline's own events."""
    said = {
        "version": "1",
        "run_id": "clip-search-0123456789ab",
        "task": "clip-search",
        "state": "ACCEPTED",
        "at": "2026-11-21T08:00:00Z",
        "summary": {},
    }
    return _envelope("signalbox", detail_type, said | detail, [])


def http_request(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return an HTTP API event of payload format 2.0; a body that is no text is written as JSON."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "request-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:08:00:00 +0000",
            "timeEpoch": 1795248000000,
        },
        "body": text,
        "isBase64Encoded": False,
    }
