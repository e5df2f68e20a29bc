"""Delivers events: in order, at least once, also those that a crash or a failing bus held up."""

import datetime
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from local.bedrock.store import Store

_LOGGER = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0

Emit = Callable[[dict[str, Any]], None]


def event(detail_type: str, resource: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as PutEvents takes it, of source `aws.bedrock` for the default bus."""
    return {
        "Source": "aws.bedrock",
        "DetailType": detail_type,
        "Resources": [resource],
        "Detail": json.dumps(detail),
    }


def event_time(moment: float) -> str:
    """Return a moment (seconds since 1970) as Bedrock's events write it."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Announcer:
    """A thread that hands the store's undelivered events to `emit`."""

    def __init__(self, store: Store, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bedrock-announcer", daemon=True)

    def start(self) -> None:
        """Start delivering, beginning with what an earlier process left."""
        self._changed.set()
        self._thread.start()

    def wake(self) -> None:
        """Say that there may be something to deliver."""
        self._changed.set()

    def stop(self) -> None:
        """Stop after the delivery at hand; what is left stays in the store."""
        self._stopped.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._stopped.is_set():
                return
            if not self._deliver() and not self._stopped.wait(_RETRY_SECONDS):
                self._changed.set()

    def _deliver(self) -> bool:
        """Deliver all; return False when one could not be, so that it is tried again."""
        for identifier, entry in self._store.unannounced():
            try:
                self._emit(entry)
            except Exception:
                _LOGGER.warning("Could not deliver the event %s", entry["DetailType"], exc_info=True)
                return False
            self._store.announced(identifier)
        return True
