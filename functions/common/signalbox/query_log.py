"""The router's own log of queries: a sample, masked, in a bucket of its own, written behind the answers' backs.

Nothing of it is waited for. Lambda freezes a sandbox with the answer, so there is no time after it; what a query costs
is a random number and now and then a line in a list. A thread writes the list, while later requests are answered. What
a sandbox has not written when it is taken down is lost: at most the queries of ten seconds, or fifty.
"""

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import SystemRandom
from typing import Any

from botocore.exceptions import ClientError

from signalbox.observability import logger
from signalbox.personal_data import mask
from signalbox.route import Routed

MOST_QUERIES = 50
MOST_SECONDS = 10.0
"""Queries wait for being written until there are so many, or one has waited so long."""
_MOST_WAITING = 500
_ATTEMPTS = 2
_CHANCE = SystemRandom()
"""Not Python's own generator: all sandboxes that start from one snapshot would draw alike."""


def key_of(task: str, at: datetime, name: str) -> str:
    """Return where queries of a task lie that were asked in one hour, in UTC."""
    return f"{task}/{at:%Y/%m/%d/%H}/{name}.jsonl"


@dataclass
class _Batch:
    """Lines for one object; one that is written again replaces itself."""

    key: str
    since: float
    lines: list[str] = field(default_factory=list)
    attempts: int = 0


class QueryLog:
    """Keeps a share of the queries that people ask.

    Parameters
    ----------
    s3 : botocore S3 client
    bucket : str
        Holds nothing else.
    share : float
        Of the queries, from 0 to 1.
    threads : Executor
        Writes; one at a time is enough.
    clock : Callable[[], float]
        Seconds since 1970.
    draw : Callable[[], float]
        From 0 up to 1.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        share: float,
        threads: Executor | None = None,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = _CHANCE.random,
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._share = share
        self._threads = threads or ThreadPoolExecutor(1, "query-log")
        self._clock = clock
        self._draw = draw
        self._waiting: dict[str, _Batch] = {}
        self._writing: tuple[_Batch, Future[None]] | None = None

    def note(self, task: str, query: str, routed: Routed) -> None:
        """Keep a query if it is drawn, and have written what has waited long enough. Never raises, never waits."""
        try:
            if self._draw() < self._share:
                self._keep(task, query, routed)
            self._see_to_writing()
        except Exception:
            logger.exception("query log")

    def _keep(self, task: str, query: str, routed: Routed) -> None:
        now = self._clock()
        at = datetime.fromtimestamp(now, UTC)
        batch = self._waiting.get(task)
        if batch is None:
            batch = self._waiting[task] = _Batch(key_of(task, at, uuid.uuid4().hex), now)
        if len(batch.lines) >= _MOST_WAITING:
            return  # S3 does not keep up, and a sample may have gaps
        line = {
            "at": f"{at:%Y-%m-%dT%H}:00Z",  # to the hour: a moment would help to find out who asked
            "query": mask(query),
            "source": routed.source,
            "run_id": routed.run_id,
            "familiarity": routed.familiarity,
        }
        batch.lines.append(json.dumps(line, ensure_ascii=False))

    def _see_to_writing(self) -> None:
        """Take note of what the thread has done, and give it what is due."""
        if self._writing is not None:
            batch, done = self._writing
            if not done.done():
                return
            self._writing = None
            if error := done.exception():
                self._failed(batch, error)
                return
        batch = next(filter(self._is_due, self._waiting.values()), None)
        if batch is not None:
            self._waiting = {task: other for task, other in self._waiting.items() if other is not batch}
            self._write(batch)

    def _is_due(self, batch: _Batch) -> bool:
        return len(batch.lines) >= MOST_QUERIES or self._clock() - batch.since >= MOST_SECONDS

    def _write(self, batch: _Batch) -> None:
        batch.attempts += 1
        self._writing = batch, self._threads.submit(self._put, batch)

    def _failed(self, batch: _Batch, error: BaseException) -> None:
        """Try once more: a sandbox that was frozen meanwhile has lost its connection."""
        if batch.attempts < _ATTEMPTS:
            self._write(batch)
            return
        reason = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        logger.warning("sampled queries lost", extra={"queries": len(batch.lines), "error": reason})

    def _put(self, batch: _Batch) -> None:
        self._s3.put_object(
            Bucket=self._bucket,
            Key=batch.key,
            Body="".join(line + "\n" for line in batch.lines).encode(errors="replace"),
            ContentType="application/jsonl",
        )
