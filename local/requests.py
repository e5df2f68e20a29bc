"""A person's request to the app: put on its bus, as `aws events put-events` does, and followed to its answer."""

import json
import time
from collections.abc import Callable
from typing import Any

from local.client import App
from signalbox.events import OPERATOR_SOURCE, Asked
from signalbox.transactions import Outcome, Transactions

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.2


class NotAnswered(Exception):
    """A request has had no answer in time, or was not taken; the message says what to do."""


def entry(app: App, asked: Asked, detail: dict[str, str]) -> dict[str, str]:
    """The entry of PutEvents that asks for something; the documented AWS CLI call sends the same."""
    return {
        "EventBusName": app.bus,
        "Source": OPERATOR_SOURCE,
        "DetailType": asked.value,
        "Detail": json.dumps(detail, ensure_ascii=False),
    }


def ask(app: App, asked: Asked, **detail: str) -> str:
    """Put a request on the bus, and return the id under which its answer will stand.

    Raises
    ------
    NotAnswered
        EventBridge did not take it.
    """
    answer: dict[str, Any] = app.client("events").put_events(Entries=[entry(app, asked, detail)])
    if answer["FailedEntryCount"]:
        raise NotAnswered(f"EventBridge did not take the request: {answer['Entries'][0].get('ErrorMessage')}")
    return answer["Entries"][0]["EventId"]


def outcome(app: App, request_id: str, pause: Callable[[float], None] = time.sleep) -> Outcome:
    """Wait for the answer to a request, and until all that follows from it has been published.

    Raises
    ------
    NotAnswered
        There is none in time.
    """
    answers, end = Transactions(app.runs), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = answers.outcome(request_id)
        run = app.runs.load(found.run_id) if found else None
        if found is not None and (run is None or run.outbox is None):
            return found
        pause(_POLL_SECONDS)
    raise NotAnswered(
        f"request {request_id} has no answer after {PATIENCE_SECONDS:.0f} s: see the log of promote, or ask again"
    )
