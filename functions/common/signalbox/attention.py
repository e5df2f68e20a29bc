"""Attention: which tasks `watch` has to read in a minute, since something of them has changed or may have."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from signalbox.live import Live
from signalbox.run import Run
from signalbox.store import Marker


class Attention:
    """What `watch` remembers from one minute to the next, as long as its sandbox lives.

    A task is read for a purpose after something of it has changed, and otherwise at the time that was set when it was
    read last. A new sandbox remembers nothing, and reads everything once.

    Attributes
    ----------
    shown : dict[str, list[Run]]
        By task, what was read of its runs for the console.
    after : Marker | None
        After what the round through all that was ever dropped goes on; None if it begins anew.
    has_been_round : bool
        Whether it has come to its end once.
    """

    def __init__(self) -> None:
        self.shown: dict[str, list[Run]] = {}
        self._again: dict[tuple[str, str], datetime] = {}
        self._seen: dict[str, Mapping[tuple[str, str], Run | Live]] = {"runs": {}, "pointers": {}}
        self._lagging: dict[str, set[str]] = {"runs": set(), "pointers": set()}
        self.after: Marker | None = None
        self.has_been_round = False
        self._met: set[str] = set()
        self._met_before: set[str] = set()

    def notice_runs(self, under_way: Iterable[Run]) -> None:
        """Note the tasks as changed of which a run under way is not what it was."""
        self._notice("runs", {(run.task, run.id): run for run in under_way})

    def see(self, begun: Run) -> None:
        """Note a run as under way that has begun since runs were noticed; it may be over before they are again."""
        self._seen["runs"] = {**self._seen["runs"], (begun.task, begun.id): begun}

    def notice_pointers(self, pointers: Iterable[Live]) -> None:
        """Note the tasks as changed whose pointer is not what it was."""
        self._notice("pointers", {(pointer.task_name, ""): pointer for pointer in pointers})

    def _notice(self, kind: str, seen: Mapping[tuple[str, str], Run | Live]) -> None:
        """Note tasks as changed of which something has come, gone or changed.

        Twice, in this minute and in the next: the index that they are read by lags behind the table.
        """
        before = self._seen[kind]
        changed = {key[0] for key in seen.keys() | before.keys() if seen.get(key) != before.get(key)}
        for task in changed | self._lagging[kind]:
            self.changed(task)
        self._seen[kind], self._lagging[kind] = seen, changed

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
        return run_id in self._met or run_id in self._met_before

    def meet(self, run_id: str) -> None:
        """Note that the run of something dropped stands in the table."""
        self._met.add(run_id)

    def go_on(self, after: Marker | None) -> None:
        """Note how far the round has come; at its end, the runs are forgotten that it has not met."""
        self.after = after
        if after is None:
            self.has_been_round = True
            self._met_before, self._met = self._met, set()
