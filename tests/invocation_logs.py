"""Entries of Bedrock's model invocation logs as its user guide shows them, for tests."""

import gzip
import json
from typing import Any

AT = "2026-11-20T09:30:00Z"


def converse(query: str, answer: str = "", **changes: Any) -> dict[str, Any]:
    """Return the entry of a Converse call ("Log entry format"); without an answer it has no output."""
    entry = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": AT,
        "accountId": "123456789012",
        "region": "us-east-1",
        "requestId": "7487ab04-734e-470b-8dfc-46d8d8506381",
        "operation": "Converse",
        "modelId": "us.amazon.nova-pro-v1:0",
        "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/Search/session"},
        "requestMetadata": {"use": "search"},
        "input": body(
            "input",
            {
                "messages": [{"role": "user", "content": [{"text": query}]}],
                "system": [{"text": "Weigh the signals."}],
                "inferenceConfig": {"maxTokens": 200},
            },
        ),
    }
    if answer:
        entry["output"] = body("output", converse_answer(answer))
    return entry | changes


def converse_answer(text: str) -> dict[str, Any]:
    """Return the body of a Converse answer."""
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 25, "outputTokens": 50, "totalTokens": 75},
        "metrics": {"latencyMs": 411},
    }


def body(side: str, content: Any) -> dict[str, Any]:
    """Return one side of an entry, "input" or "output", with a body."""
    return {f"{side}ContentType": "application/json", f"{side}BodyJson": content, f"{side}TokenCount": 25}


def invoked(asked: Any, answered: Any, **changes: Any) -> dict[str, Any]:
    """Return the entry of an InvokeModel call with these bodies."""
    parts = {"operation": "InvokeModel", "input": body("input", asked), "output": body("output", answered)}
    return converse("") | parts | changes


def lines(*entries: dict[str, Any]) -> bytes:
    """Return entries as S3 has them before they are compressed."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def exported(*entries: dict[str, Any]) -> bytes:
    """Return entries as an export task of CloudWatch Logs writes them."""
    return b"".join(b"2026-11-20T09:30:01.123Z " + json.dumps(entry).encode() + b"\n" for entry in entries)


def subscribed(*entries: dict[str, Any], kind: str = "DATA_MESSAGE") -> bytes:
    """Return entries in the envelope of a subscription of CloudWatch Logs, after which nothing stands."""
    events = [
        {"id": f"{number:056}", "timestamp": 1795248000000, "message": json.dumps(entry)}
        for number, entry in enumerate(entries)
    ]
    envelope = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "bedrock",
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def packed(content: bytes) -> bytes:
    """Return content as a gzip file, always the same."""
    return gzip.compress(content, mtime=0)
