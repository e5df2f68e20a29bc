"""A dataset's file, read line by line: the records that can be used, and what is wrong with the other lines."""

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from signalbox.file_form import with_form
from signalbox.personal_screen import Screen
from signalbox.records import OtherPrompt, Problem, Record, read_records, refused_word
from signalbox.task import Task

MAX_HELD_BYTES = 96 * 1024 * 1024
"""Memory for the texts of usable records: 5 KB for each of 20,000, so that a function of 256 MB can hold them."""
LISTED_PROBLEMS = 1_000
LISTED_KINDS = 20


class Reading:
    """What is read of a file: up to the first record that is too many, or to where the rest can change nothing.

    Attributes
    ----------
    records : list[Record]
        Usable ones, in order.
    problems : list[Problem]
        The first 1,000 lines that cannot be used.
    lines, invalid : int
        All lines that were read, and those that cannot be used.
    """

    def __init__(self, chunks: Iterable[bytes], task: Task) -> None:
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.lines = self.invalid = self._held = 0
        self._other_prompts: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._screen, self._limits = Screen(task), task.limits
        self._form, content = with_form(chunks)
        if self._form:
            self.problems.append(Problem(1, "", self._form))
            return
        bearable = most_invalid(task)
        for entry in map(self._passed, read_records(content, task)):
            self.lines += 1
            if isinstance(entry, Problem):
                self._note(entry)
            else:
                self.records.append(entry)
                self._held += _size(entry)
            too_many = len(self.records) > self._limits.most
            if self.invalid > bearable or too_many or self._held > MAX_HELD_BYTES:
                break

    def _passed(self, entry: Record | Problem) -> Record | Problem:
        entry = self._screen.passed(entry)
        if self._limits.reserved_words and isinstance(entry, Record):
            return refused_word(entry, self._limits) or entry
        return entry

    def _note(self, problem: Problem) -> None:
        self.invalid += 1
        if isinstance(problem, OtherPrompt):
            self._other_prompts[
                problem.prompt if len(self._other_prompts) < LISTED_PROBLEMS else "others"
            ] += 1
        if len(self._kinds) < LISTED_PROBLEMS or (problem.field, problem.reason) in self._kinds:
            self._kinds[problem.field, problem.reason] += 1
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(problem)

    def findings(self) -> dict[str, Any]:
        """Return what was found line by line beside the problems themselves."""
        kinds = [
            {"field": field, "reason": reason, "lines": lines}
            for (field, reason), lines in self._kinds.most_common(LISTED_KINDS)
        ]
        return {
            "problem_kinds": kinds,
            "prompt_drift": {
                "lines": self._other_prompts.total(),
                "prompts": dict(self._other_prompts.most_common(LISTED_KINDS)),
                "examples": [p.line for p in self.problems if isinstance(p, OtherPrompt)][:LISTED_KINDS],
            },
            "personal_data": self._screen.findings(),
        }

    def warnings(self) -> Iterable[str]:
        """Say what a person should look at; nothing that is said quotes a query."""
        if self._other_prompts:
            yield (
                f"lines with another system text than the task's prompt: {self._other_prompts.total():,}, with "
                f"{len(self._other_prompts):,} different ones; were they made for another version of the task?"
            )
        if found := self._screen.summary():
            yield found

    def reasons(self) -> Iterable[str]:
        """Say why the file cannot be used, whatever else is in it."""
        if self._form:
            yield self._form
        if self._held > MAX_HELD_BYTES:
            yield (
                f"the first {len(self.records):,} usable records take {MAX_HELD_BYTES // 2**20} MB, the most that are "
                "held; shorten the answers"
            )
        if found := self._screen.refusal():
            yield found


def _size(record: Record) -> int:
    """Return the memory that a record's texts take; a text of 16 KB may take 64 KB for the sake of one character."""
    texts = (record.query, record.key, record.answer_text, record.answer.reasoning if record.answer else None)
    return sum(map(sys.getsizeof, texts))


def most_invalid(task: Task) -> float:
    """Return how many invalid lines the largest dataset may have: of x lines, x - 15,000, say, and their share of x."""
    share = task.dataset.max_invalid_share
    return share / (1 - share) * task.limits.most
