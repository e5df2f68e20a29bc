"""What becomes of records with personal data: the task has them reported, masked, or the dataset rejected."""

import json
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from signalbox.answer import REASONING, Answer
from signalbox.personal_data import PersonalData, find, mask
from signalbox.query import normalise
from signalbox.records import ANSWER_FIELD, QUERY_FIELD, Problem, Record, read_records
from signalbox.task import Task

LISTED = 1_000


class Screen:
    """Passes the lines of one file and remembers where personal data stood, never what they were."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._policy = task.dataset.personal_data
        self._found: list[PersonalData] = []
        self._kinds: Counter[str] = Counter()
        self._lines = 0

    def passed(self, entry: Record | Problem) -> Record | Problem:
        """Return an entry, masked if the task wants that; a problem if masking makes a record too long."""
        if isinstance(entry, Problem):
            return entry
        asked = find(entry.query)
        said = find(entry.answer.reasoning) if entry.answer and entry.answer.reasoning else ()
        if not asked and not said:
            return entry
        spans = [(QUERY_FIELD, span) for span in asked] + [
            (f"{ANSWER_FIELD}: {REASONING}", span) for span in said
        ]
        self._lines += 1
        self._kinds.update(span.kind for _, span in spans)
        self._found += [PersonalData(entry.line, field, span.kind) for field, span in spans][
            : LISTED - len(self._found)
        ]
        return self._masked(entry) if self._policy == "mask" else entry

    def _masked(self, record: Record) -> Record | Problem:
        query = mask(record.query)
        hidden = replace(record, query=query, key=normalise(query), answer_text=_masked_answer(record))
        (entry,) = read_records([hidden.to_json(self._task.prompt)], self._task)
        return replace(entry, line=record.line)

    def findings(self) -> dict[str, Any]:
        """Return what goes into validation.json: the policy, the number of lines, and where what kind stands."""
        return {
            "policy": self._policy,
            "lines": self._lines,
            "kinds": dict(self._kinds.most_common()),
            "found": [asdict(found) for found in self._found],
        }

    def problems(self) -> list[Problem]:
        """Return each place as a problem if the task rejects personal data."""
        if self._policy != "reject":
            return []
        return [
            Problem(found.line, found.field, f"holds personal data: {found.kind}") for found in self._found
        ]

    def summary(self) -> str:
        """Say how many lines hold what, if the task has that reported or masked; else ""."""
        if not self._lines or self._policy == "reject":
            return ""
        done = (
            "masked" if self._policy == "mask" else "used as it stands, see dataset.personal_data of the task"
        )
        return f"lines with personal data: {self._lines:,} ({self._listed()}), {done}"

    def refusal(self) -> str:
        """Say why the dataset is rejected, if the task rejects personal data; else ""."""
        if not self._lines or self._policy != "reject":
            return ""
        return (
            f"lines with personal data: {self._lines:,} ({self._listed()}), which dataset.personal_data of the task "
            "rejects; remove it from the lines listed under personal_data, or have the task mask it"
        )

    def _listed(self) -> str:
        return ", ".join(f"{kind}: {count:,}" for kind, count in self._kinds.most_common())


def _masked_answer(record: Record) -> str | None:
    """Mask an answer's reasoning; its weights are kept, as the only thing else that may stand in it."""
    answer: Answer | None = record.answer
    if answer is None or record.answer_text is None or mask(answer.reasoning) == answer.reasoning:
        return record.answer_text
    body = json.loads(record.answer_text) | {REASONING: mask(answer.reasoning)}
    return json.dumps(body, ensure_ascii=False)
