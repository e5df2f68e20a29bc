"""Queries of people, each once, as many as a dataset may have: an even choice, in memory that does not grow."""

import hashlib
import heapq
import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.data.command import CannotUse
from signalbox.answer import without_quotations
from signalbox.personal_screen import Screen
from signalbox.query import printable
from signalbox.records import ANSWER_FIELD, QUERY_FIELD, Problem, Record, RecordReader
from signalbox.task import Task

_LARGEST = 1 << 64
_FIGURE = re.compile(r"(has|sum to) [\d.,e+-]*\d")


@dataclass(slots=True)
class _Kept:
    record: Record
    times: int = 1
    differing: bool = False


class QuerySample:
    """Keeps of all queries those with the smallest hashes.

    Which these are depends on the queries alone, not on how often or in what order they come: a frequent query is as
    likely to be kept as a rare one, and the same logs give the same dataset. Whatever is kept at the end has been kept
    since it was first seen, so it has been counted each time.

    Parameters
    ----------
    most : int
        How many different queries are kept.
    """

    def __init__(self, task: Task, most: int) -> None:
        masking = task.dataset.model_copy(update={"personal_data": "mask"})
        self._task = task.model_copy(update={"dataset": masking})
        self._screen, self._reader = Screen(self._task), RecordReader(self._task)
        self._most = most
        self._kept: dict[int, _Kept] = {}
        self._largest: list[int] = []  # a heap of the hashes kept, negated
        self._overflowed = False
        self.calls = 0
        self.refused: Counter[str] = Counter()
        self.unlabelled: Counter[str] = Counter()

    def add(self, query: str, answer: str | None = None) -> None:
        """Take a query, with what was answered if that may become its label.

        A query that no dataset may hold is counted in `refused`; an answer that is none to the task is left out, and
        counted in `unlabelled`, both by reason.
        """
        self.calls += 1
        try:
            entry = self._record(printable(query), answer)
        except ValueError as error:
            entry = Problem(0, QUERY_FIELD, str(error))
        if isinstance(entry, Problem):
            self.refused[_in_words(entry)] += 1
            return
        place = int.from_bytes(hashlib.sha256(entry.key.encode(errors="surrogatepass")).digest()[:8])
        if known := self._kept.get(place):
            known.times += 1
            known.differing |= _differ(known.record, entry)
            if known.record.answer is None:
                known.record = entry
        elif len(self._kept) < self._most:
            self._keep(place, entry)
        else:
            self._overflowed = True
            if place < -self._largest[0]:
                del self._kept[-heapq.heappop(self._largest)]
                self._keep(place, entry)

    def _keep(self, place: int, record: Record) -> None:
        self._kept[place] = _Kept(record)
        heapq.heappush(self._largest, -place)

    def _record(self, query: str, answer: str | None) -> Record | Problem:
        """Read a query as the line that it will be, masked; without its answer if that is what cannot be used."""
        line = Record(0, query, "", None, answer).to_json(self._task.prompt).rstrip(b"\n")
        entry = self._screen.passed(self._reader.read(0, line))
        if answer is None or isinstance(entry, Record) or entry.field == QUERY_FIELD:
            return entry
        self.unlabelled[_in_words(entry)] += 1
        return self._record(query, None)

    def write(self, file: Path) -> None:
        """Write the dataset, readable by its owner alone; whole or not at all.

        Raises
        ------
        CannotUse
            The file is there already, or its folder is not.
        """
        if file.exists():
            raise CannotUse(f"{file} is there already; name another file, or remove it")
        try:
            place, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        except OSError as error:
            raise CannotUse(f"{file} cannot be written: {error.strerror}") from error
        with os.fdopen(place, "wb") as output:
            # By hash: the order of the lines says nothing of who asked when.
            for _, kept in sorted(self._kept.items()):
                output.write(kept.record.to_json(self._task.prompt))
        Path(name).replace(file)

    def figures(self) -> dict[str, Any]:
        """Return what was kept and what was not, in numbers."""
        kept = self._kept.values()
        times = sorted((each.times for each in kept), reverse=True)
        personal = self._screen.findings()
        return {
            "records": len(kept),
            "labelled": sum(each.record.answer is not None for each in kept),
            "calls": self.calls,
            "different_queries": self._different(),
            "asked": {
                "once": times.count(1),
                "2 to 9 times": sum(2 <= each <= 9 for each in times),
                "10 to 99 times": sum(10 <= each <= 99 for each in times),
                "100 times and more": sum(each >= 100 for each in times),
                "most": times[0] if times else 0,
            },
            "differing_answers": sum(each.differing for each in kept),
            "refused": dict(self.refused.most_common()),
            "unlabelled": dict(self.unlabelled.most_common()),
            "masked": personal["kinds"],
        }

    def _different(self) -> int:
        """Return how many different queries there were: counted, or estimated where not all were kept.

        Of n hashes spread evenly from 0 to 1 the k-th smallest is at k / (n + 1) on average (Bar-Yossef et al.,
        "Counting distinct elements in a data stream", 2002).
        """
        if not self._overflowed:
            return len(self._kept)
        return round((self._most - 1) * _LARGEST / -self._largest[0])


def _differ(one: Record, other: Record) -> bool:
    return one.answer is not None and other.answer is not None and one.answer.text() != other.answer.text()


def _in_words(problem: Problem) -> str:
    """Say what is wrong with a query or an answer, without quoting it and without where it would stand."""
    field = problem.field.removeprefix(QUERY_FIELD).removeprefix(ANSWER_FIELD).removeprefix(": ")
    reason = without_quotations(f"{field}: {problem.reason}" if field else problem.reason)
    return _FIGURE.sub(r"\1 …", reason)  # so that there are few reasons, each with its number of queries
