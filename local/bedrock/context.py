"""What every part of the stand-in works with."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.bedrock.announcer import Announcer
from local.bedrock.configuration import Configuration
from local.bedrock.faults import Faults
from local.bedrock.objects import Objects
from local.bedrock.store import Store

_LOGGER = logging.getLogger(__name__)
_HOLD_CHECK_SECONDS = 0.5


@dataclass(frozen=True)
class Context:
    """The state folder and its store, S3, the configuration, scripted faults and the announcer."""

    folder: Path
    aws_endpoint: str
    store: Store
    configuration: Configuration
    faults: Faults
    announcer: Announcer
    closing: threading.Event

    def objects(self) -> Objects:
        """Return access to S3."""
        return Objects(self.aws_endpoint)

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def may_work(self, pause: float = 0.0) -> bool:
        """Wait `pause` seconds, and while jobs are held; return False when all is closing."""
        if self.closing.wait(pause):
            return False
        while not self.faults.wait_until_released(_HOLD_CHECK_SECONDS):
            if self.closing.is_set():
                return False
        return not self.closing.is_set()


class Workers:
    """A bounded number of threads that carry out jobs."""

    def __init__(self, count: int, name: str, closing: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(count, name)
        self._closing = closing

    def submit(self, work: Callable[[str], Any], arn: str) -> None:
        """Carry out `work(arn)` when a thread is free; what it raises is logged."""

        def carry_out() -> None:
            if self._closing.is_set():
                return
            try:
                work(arn)
            except Exception:
                _LOGGER.exception("The job %s broke", arn)

        if not self._closing.is_set():
            self._pool.submit(carry_out)

    def close(self) -> None:
        """Wait for the work at hand; drop what has not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)
