"""What reading logs has in common: what was read and what was not, and what becomes of it."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from local.data.command import DONE, LEFT, NOTHING, CannotUse
from local.data.log_files import Fault
from local.data.query_sample import QuerySample
from local.data.summary import in_words
from signalbox.task import Task

_LISTED_FAULTS = 1_000


@dataclass
class Reading:
    """What was read of the logs: files, entries, and what was left out, by reason."""

    files: int = 0
    entries: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    unreadable: int = 0

    def note(self, fault: Fault) -> None:
        """Count something that could not be read, and list it while there is room."""
        self.unreadable += 1
        if len(self.faults) < _LISTED_FAULTS:
            self.faults.append(fault)

    def figures(self) -> dict[str, Any]:
        """Return it as it is printed."""
        return {
            "files": self.files,
            "entries": self.entries,
            "skipped": dict(self.skipped.most_common()),
            "unreadable": self.unreadable,
            "faults": [asdict(fault) for fault in self.faults],
        }


def sample_for(options: argparse.Namespace, task: Task) -> QuerySample:
    """Return an empty sample, once it is certain that it can be written.

    Raises
    ------
    CannotUse
        The file is there already, its folder is not, or the limit allows nothing.
    """
    most = task.limits.most if options.limit is None else options.limit
    if most < 1:
        raise CannotUse("--limit must be at least 1")
    if options.out.exists():
        raise CannotUse(f"{options.out} is there already; name another file, or remove it")
    if not options.out.parent.is_dir():
        raise CannotUse(f"there is no folder {options.out.parent}")
    return QuerySample(task, most)


def conclude(options: argparse.Namespace, task: Task, reading: Reading, sample: QuerySample) -> int:
    """Write the dataset, print what became of the logs, and return the exit code."""
    figures = {"task": task.name, "out": str(options.out), **reading.figures(), **sample.figures()}
    if figures["records"]:
        sample.write(options.out)
    if options.json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        print(*in_words(figures, task, sys.stdout.isatty()), sep="\n")
    if not figures["records"]:
        return NOTHING
    return LEFT if reading.unreadable else DONE


def moment(text: str | None, option: str, *, end: bool = False) -> datetime | None:
    """Read a date or a moment in UTC; where a span ends, a date is its last day."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        is_date = len(text) <= len("2026-11-21") and bool(date.fromisoformat(text))
    except ValueError as error:
        raise CannotUse(
            f"{option} wants a date or a moment such as 2026-11-21T08:00, not {text!r}"
        ) from error
    if end and is_date:
        last_day = found.date() == date.max
        found = datetime.max if last_day else found + timedelta(days=1)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
