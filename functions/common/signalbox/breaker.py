"""A circuit breaker: whoever keeps failing is left alone for a while."""

from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 5
REST_SECONDS = 15.0


@dataclass
class CircuitBreaker:
    """Opens after some failures in a row; after a rest lets one attempt through, which closes it or opens it anew.

    Parameters
    ----------
    clock : Callable[[], float]
        Monotonic seconds.
    failures : int
        As many in a row open it.
    rest_seconds : float
        How long it stays open.
    """

    clock: Callable[[], float]
    failures: int = FAILURES
    rest_seconds: float = REST_SECONDS
    _failed: int = 0
    _closed_from: float = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the next attempt is to be spared."""
        return self.clock() < self._closed_from

    def succeeded(self) -> None:
        """Note an attempt that went well."""
        self._failed = 0

    def failed(self) -> None:
        """Note an attempt that did not; the one that a rest let through opens the breaker by itself."""
        self._failed += 1
        if self._failed >= self.failures:
            self._closed_from = self.clock() + self.rest_seconds
