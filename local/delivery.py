"""Delivery of events to functions: a bounded queue, retries with back-off, then the dead-letter queue.

What EventBridge and Lambda's asynchronous invocation do between them on AWS. An event waits its turn, a
handler's error sends it round again after a pause, and once its retries are used up it goes to the
dead-letter queue, so that nothing is lost in silence. Pauses are seconds here where AWS takes minutes.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

logger = logging.getLogger(__name__)

DEFAULT_RETRIES = 2
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True)
class Delivery:
    """One event for one function, with what its rule says about failures.

    `run` invokes the function and returns None, or the error as the Lambda runtime words it.
    `bury` sends the event to the dead-letter queue, with the error; None when the rule names no queue.
    """

    function: str
    event: object
    run: Callable[[], dict | None]
    retries: int = DEFAULT_RETRIES
    longest_age_seconds: float = 86400.0
    bury: Callable[[dict, int], None] | None = None


def retries_of(rule_target: Mapping, invoke_config: Mapping | None) -> int:
    """How often a failed event is tried again.

    The function's own asynchronous invoke configuration decides, as on AWS, where a handler's error never
    comes back to EventBridge; without one the rule's retry policy does; without either, Lambda's two.
    """
    configured = (invoke_config or {}).get("MaximumRetryAttempts")
    if configured is None:
        configured = (rule_target.get("RetryPolicy") or {}).get("MaximumRetryAttempts")
    return DEFAULT_RETRIES if configured is None else int(configured)


def pause_before(retry: int) -> float:
    """Seconds to wait before a retry: the first is number 1."""
    return min(FIRST_PAUSE_SECONDS * 2 ** (retry - 1), LONGEST_PAUSE_SECONDS)


class Courier:
    """Delivers events to functions, at most `limit` at a time for each function.

    A pause before a retry keeps no worker: the event waits aside and queues again behind the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queues: dict[str, ThreadPoolExecutor] = {}
        self._aside: list[tuple[float, int, Delivery, int, float]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._bring_back, name="retries", daemon=True).start()

    def deliver(self, delivery: Delivery) -> None:
        """Queue an event; returns at once."""
        self._queue(delivery, 0, time.monotonic())

    def close(self) -> None:
        """Take no more events and forget those that wait: `watch` finds the work again after a restart."""
        with self._changed:
            self._closed = True
            self._aside.clear()
            self._changed.notify_all()
            queues = list(self._queues.values())
        for queue in queues:
            queue.shutdown(wait=False, cancel_futures=True)

    def _queue(self, delivery: Delivery, retry: int, since: float) -> None:
        with self._changed:
            if self._closed:
                return
            queue = self._queues.get(delivery.function)
            if queue is None:
                queue = ThreadPoolExecutor(self._limit, thread_name_prefix=f"deliver-{delivery.function}")
                self._queues[delivery.function] = queue
            queue.submit(self._attempt, delivery, retry, since)

    def _attempt(self, delivery: Delivery, retry: int, since: float) -> None:
        try:
            error = delivery.run()
        except Exception as failure:
            logger.exception("Delivery to %s", delivery.function)
            error = {"errorMessage": str(failure), "errorType": type(failure).__name__}
        if error is None or self._closed:
            return
        pause = pause_before(retry + 1)
        age = time.monotonic() - since
        if retry < delivery.retries and age + pause <= delivery.longest_age_seconds:
            message = "%s failed (%s); retry %d of %d in %.0f s"
            logger.warning(message, delivery.function, _brief(error), retry + 1, delivery.retries, pause)
            with self._changed:
                due = time.monotonic() + pause
                heapq.heappush(self._aside, (due, next(self._order), delivery, retry + 1, since))
                self._changed.notify_all()
        elif delivery.bury is None:
            logger.error("%s failed (%s); no dead-letter queue, event lost", delivery.function, _brief(error))
        else:
            logger.error(
                "%s failed (%s); event goes to the dead-letter queue", delivery.function, _brief(error)
            )
            delivery.bury(error, retry)

    def _bring_back(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._aside or self._aside[0][0] > time.monotonic()):
                    self._changed.wait(self._aside[0][0] - time.monotonic() if self._aside else None)
                if self._closed:
                    return
                _, _, delivery, retry, since = heapq.heappop(self._aside)
            self._queue(delivery, retry, since)


def _brief(error: Mapping) -> str:
    return f"{error.get('errorType')}: {error.get('errorMessage')}"[:300]
