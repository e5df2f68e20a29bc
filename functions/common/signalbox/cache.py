"""A cache of answers: bounded, each entry for a limited time, the least recently used forgotten first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass
class Cache(Generic[Value]):
    """Keeps values by key.

    Parameters
    ----------
    clock : Callable[[], float]
        Monotonic seconds.
    entries : int
        The most it keeps.
    """

    clock: Callable[[], float]
    entries: int
    _kept: OrderedDict[Hashable, tuple[float, Value]] = field(default_factory=OrderedDict)

    def get(self, key: Hashable) -> Value | None:
        """Return what is kept under a key and has not expired, or None."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        expires, value = entry
        if self.clock() >= expires:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Value, seconds: float) -> None:
        """Keep a value for so many seconds."""
        self._kept[key] = (self.clock() + seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self.entries:
            self._kept.popitem(last=False)
