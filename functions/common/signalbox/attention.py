"""Attention: which tasks `watch` has to read in a minute, since something of them has changed or may have."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from signalbox.live import Live
from signalbox.run import Run

_Kept = TypeVar("_Kept", Run, Live)


class Attention:
    """What `watch` remembers from one minute to the next, as long as its sandbox lives.

    A task is read for a purpose after something of it has changed, and otherwise at the time that was set when it was
    read last. A new sandbox remembers nothing, and reads everything once.

    Attributes
    ----------
    shown : dict[str, list[Run]]
        By task, what was read of its runs for the console.
    """

    def __init__(self) -> None:
        self.shown: dict[str, list[Run]] = {}
        self._again: dict[tuple[str, str], datetime] = {}
        self._under_way: dict[str, Run] = {}
        self._pointers: dict[str, Live] = {}
        self._lagging: set[str] = set()
        self._met: set[str] = set()

    def notice(self, under_way: Iterable[Run], pointers: Iterable[Live]) -> None:
        """Note the tasks as changed of which a run under way, or the pointer, is not what it was.

        Twice, in this minute and in the next: the index that they are read by lags behind the table.
        """
        runs = {run.id: run for run in under_way}
        live = {pointer.task_name: pointer for pointer in pointers}
        changed = {run.task for run in _differing(runs, self._under_way)}
        changed |= {pointer.task_name for pointer in _differing(live, self._pointers)}
        for task in changed | self._lagging:
            self.changed(task)
        self._under_way, self._pointers, self._lagging = runs, live, changed

    def show_only(self, tasks: Iterable[str]) -> None:
        """Forget what was read for the console of all other tasks, which are gone."""
        for gone in self.shown.keys() - set(tasks):
            del self.shown[gone]
            self.changed(gone)

    def changed(self, task: str) -> None:
        """Note that a task has to be read again, whatever for."""
        for known in [known for known in self._again if known[1] == task]:
            del self._again[known]

    def is_due(self, purpose: str, task: str, at: datetime) -> bool:
        """Tell whether a task has to be read for a purpose at a moment."""
        return self._again.get((purpose, task), at) <= at

    def has_read(self, purpose: str, task: str, again: datetime) -> None:
        """Note that a task has been read for a purpose, and when it has to be again at the latest."""
        self._again[purpose, task] = again

    def has_met(self, run_id: str) -> bool:
        """Tell whether a run of something dropped is known to stand in the table."""
        return run_id in self._met

    def meet(self, run_ids: Iterable[str]) -> None:
        """Remember of all that was dropped lately the runs that stand in the table, and forget all others."""
        self._met = set(run_ids)


def _differing(now: dict[str, _Kept], before: dict[str, _Kept]) -> list[_Kept]:
    """Return what has come, gone, or is not what it was."""
    return [
        now.get(key) or before[key] for key in now.keys() | before.keys() if now.get(key) != before.get(key)
    ]
