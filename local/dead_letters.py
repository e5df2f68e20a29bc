"""The dead letters: what is in the queue, of which run and function, and what was wrong; and their replay.

A message is either EventBridge's (the event itself; the reasons are message attributes: EventBridge user guide,
"Using dead-letter queues to process undelivered events") or Lambda's (a record of the invocation with the event in it:
Lambda developer guide, "Capturing records of Lambda asynchronous invocations").
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from local.client import App
from signalbox.events import dataset_in, run_id_in
from signalbox.run import run_id_for

HIDDEN_SECONDS = 960
"""How long a message is kept from other readers: longer than a function may run (15 minutes)."""
_WAIT_SECONDS = 1


@dataclass(frozen=True)
class DeadLetter:
    """One event that a function, or a rule on its way to it, failed on.

    Attributes
    ----------
    function : str
        Name of the function; "" if the message does not say it.
    run_id : str
        "" for an event that is of no run.
    sent_at : datetime
        When it came into the queue (UTC).
    event : dict | None
        As the function gets it; None if the message is none of those that are known.
    receipt : str
        What SQS wants to delete the message.
    """

    message_id: str
    function: str
    detail_type: str
    run_id: str
    error_code: str
    error_message: str
    sent_at: datetime
    event: dict[str, Any] | None
    receipt: str

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown; not the event, which may hold what a mail was to say."""
        age = (datetime.now(UTC) - self.sent_at).total_seconds()
        names = ("message_id", "function", "detail_type", "run_id", "error_code", "error_message")
        return {name: getattr(self, name) for name in names} | {
            "sent_at": self.sent_at.isoformat(),
            "age_seconds": round(age),
        }


@contextmanager
def received(app: App) -> Iterator[list[DeadLetter]]:
    """Receive all dead letters, the oldest first; those that are not deleted are visible again at the end."""
    queue = app.client("sqs")
    messages: dict[str, dict[str, Any]] = {}
    try:
        while batch := _batch(queue, app.dead_letter_queue):
            messages |= {message["MessageId"]: message for message in batch}
        yield sorted(map(_parsed, messages.values()), key=lambda letter: letter.sent_at)
    finally:
        for message in messages.values():
            _show(queue, app.dead_letter_queue, message["ReceiptHandle"])


def replay(app: App, letter: DeadLetter) -> str:
    """Send a dead letter's event to its function again, wait for the end, and delete the message if it went well.

    Every step looks at its run first, so an event of a run that has gone on since does nothing.

    Returns
    -------
    str
        "" once it is done, otherwise why it is still in the queue.
    """
    if letter.event is None or not letter.function:
        return "the message is neither EventBridge's nor Lambda's: read it in the SQS console"
    if letter.function not in app.functions:
        return f"{letter.function} is no function of this stack"
    answer = app.patient("lambda").invoke(
        FunctionName=letter.function, InvocationType="RequestResponse", Payload=json.dumps(letter.event)
    )
    said = answer["Payload"].read()
    if "FunctionError" in answer:
        return _error(json.loads(said or b"{}"))
    app.client("sqs").delete_message(QueueUrl=app.dead_letter_queue, ReceiptHandle=letter.receipt)
    return ""


def _batch(queue: Any, url: str) -> list[dict[str, Any]]:
    answer = queue.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=_WAIT_SECONDS,
        VisibilityTimeout=HIDDEN_SECONDS,
        MessageAttributeNames=["All"],
        AttributeNames=["SentTimestamp"],
    )
    return answer.get("Messages", [])


def _show(queue: Any, url: str, receipt: str) -> None:
    """Let a message be seen again; one that is gone stays so."""
    try:
        queue.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    except (queue.exceptions.MessageNotInflight, queue.exceptions.ReceiptHandleIsInvalid):
        return
    except queue.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in (
            "InvalidParameterValue",
            "AWS.SimpleQueueService.NonExistentQueue",
        ):
            raise


def _parsed(message: dict[str, Any]) -> DeadLetter:
    try:
        body = json.loads(message["Body"])
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    attributes = {
        name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
    }
    if "requestPayload" in body:
        arn = body.get("requestContext", {}).get("functionArn", "")
        event, payload = body["requestPayload"], body.get("responsePayload") or {}
        code, reason = body.get("requestContext", {}).get("condition", ""), _error(payload)
    else:
        arn, event = attributes.get("TARGET_ARN", ""), body
        code, reason = attributes.get("ERROR_CODE", ""), attributes.get("ERROR_MESSAGE", "")
    known = isinstance(event, dict) and "source" in event and "detail-type" in event
    return DeadLetter(
        message_id=message["MessageId"],
        function=_function_in(arn),
        detail_type=str(event["detail-type"]) if known else "",
        run_id=_run_in(event) if known else "",
        error_code=code,
        error_message=reason,
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        event=event if known else None,
        receipt=message["ReceiptHandle"],
    )


def _function_in(arn: str) -> str:
    """The name in arn:aws:lambda:REGION:ACCOUNT:function:NAME, with or without a version behind it."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 and parts[5] == "function" else ""


def _run_in(event: dict[str, Any]) -> str:
    try:
        key = event["detail"].get("object", {}).get("key", "")
        if key.startswith("datasets/"):
            dataset = dataset_in(event)
            return run_id_for(dataset) if dataset else ""
        return run_id_in(event)
    except (ValidationError, KeyError, IndexError, AttributeError):
        return ""


def _error(payload: Any) -> str:
    if not isinstance(payload, dict):
        return ""
    return f"{payload.get('errorType', 'Error')}: {payload.get('errorMessage', '')}"
