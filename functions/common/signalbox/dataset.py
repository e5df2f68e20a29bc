"""A dataset as a whole: is it fit to train on, and which part of it is kept back as the golden set."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from signalbox.answer import Answer, serialisable_weights, without_quotations
from signalbox.dataset_quality import assess, warnings
from signalbox.file_form import with_form
from signalbox.golden_set import MIN_GOLDEN, by_query, majority, mean_weights, one_a_query, split_off
from signalbox.personal_screen import Screen
from signalbox.records import Problem, Record, read_records
from signalbox.task import Labels, Task

MIN_RECORDS = 100
MAX_RECORDS = 15_000
"""Bedrock's quotas for the prompts of a distillation job (general reference, Amazon Bedrock quotas)."""
MAX_BYTES = 1_000_000_000
"""AWS's own dataset validation for distillation refuses files of 1 GB and more."""
MAX_HELD_BYTES = 96 * 1024 * 1024
"""Memory for the texts of usable records: 6 KB for each of 15,000, so that a function of 256 MB can hold them."""
LISTED_PROBLEMS = 1_000
LISTED_KINDS = 20
_SAME_WEIGHT = 0.01


@dataclass
class Dataset:
    """What validation found in a file, and what it made of it.

    Attributes
    ----------
    train, golden : list[Record]
        No normalised query stands in both. The golden set has one labelled record a query.
    golden_source : str
        Where the golden set comes from, in words.
    problems : list[Problem]
        The first 1,000 lines that cannot be used; `counts["invalid"]` counts all.
    reasons : list[str]
        Why the dataset is rejected, each with what to do; empty if it is accepted.
    counts : dict[str, int]
        lines, invalid, records, labelled, prompt_only, queries (distinct), duplicates (records beyond the
        first of their query), contradictions (queries with differing answers), leaked (records removed from
        training because their query is in the golden set), golden, train.
    balance : dict[str, float]
        Share of the labelled records by dominant signal (a tie counts for each in part) or by label.
    prior : dict
        The answer to give when nothing is known of a query: mean weights, or the most frequent label and its share;
        over the labelled training records, or over the golden set when there are none.
    quality : dict
        Findings that reject nothing by themselves, by name; see docs/dataset-format.md.
    warnings : list[str]
        What of them a person should look at, in sentences that quote no query.
    """

    train: list[Record] = field(default_factory=list)
    golden: list[Record] = field(default_factory=list)
    golden_source: str = ""
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    balance: dict[str, float] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def findings(self) -> dict[str, Any]:
        """Return what goes into validation.json."""
        return {
            "accepted": not self.reasons,
            "reasons": self.reasons,
            "counts": self.counts,
            "balance": self.balance,
            "prior": self.prior,
            "golden_source": self.golden_source,
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": self.warnings,
            **self.quality,
        }


class GoldenError(ValueError):
    """A task's own golden set cannot be used; `problems` lists its bad lines."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(
            f"{len(problems)} lines of {source} cannot be used; line {first.line}, "
            + without_quotations(f"{first.field or 'all of it'}: {first.reason}")
        )
        self.problems = problems


def read_golden(chunks: Iterable[bytes], task: Task, source: str) -> list[Record]:
    """Read a golden set, of which every line must be labelled and usable.

    Raises
    ------
    GoldenError
        With each line that cannot be used.
    """
    form, content = with_form(chunks)
    if form:
        raise GoldenError(source, [Problem(1, "", form)])
    screen = Screen(task)
    entries = [screen.passed(entry) for entry in read_records(content, task)]
    problems = [entry for entry in entries if isinstance(entry, Problem)]
    problems += screen.problems()
    problems += [
        Problem(entry.line, "messages", "a golden record needs the assistant's answer")
        for entry in entries
        if isinstance(entry, Record) and entry.answer is None
    ]
    if problems or not entries:
        raise GoldenError(source, problems or [Problem(1, "", "the file is empty")])
    return one_a_query(by_query(entry for entry in entries if isinstance(entry, Record)).values())


def too_large(size: int) -> str:
    """Return why a file of so many bytes is not looked at, or ""."""
    return f"the file has {size:,} bytes; it must have less than {MAX_BYTES:,}" if size >= MAX_BYTES else ""


def examine(
    chunks: Iterable[bytes], task: Task, golden: Sequence[Record] | None = None, golden_source: str = ""
) -> Dataset:
    """Validate a dataset and set its golden set aside.

    Parameters
    ----------
    chunks : Iterable[bytes]
        The file, in pieces of any size.
    task : Task
        The task that the dataset was dropped for.
    golden : Sequence[Record] | None
        A golden set given from outside; None to split one off.
    golden_source : str
        Where that golden set comes from, in words.

    Returns
    -------
    Dataset
        With `reasons` unless it is accepted. Reading stops after the 15,001st usable record, and where so many
        lines are invalid that no number of usable ones to come could outweigh them.
    """
    dataset = Dataset(golden_source=golden_source)
    reading = _Reading(chunks, task)
    records, groups = reading.records, by_query(reading.records)
    labelled = [record for record in records if record.answer is not None]
    dataset.problems = reading.problems
    dataset.counts = {
        "lines": reading.lines,
        "invalid": reading.invalid,
        "records": len(records),
        "labelled": len(labelled),
        "prompt_only": len(records) - len(labelled),
        "queries": len(groups),
        "duplicates": len(records) - len(groups),
        "contradictions": sum(_contradictory(group) for group in groups.values()),
    }
    dataset.balance = _balance([record.answer for record in labelled if record.answer], task)
    _divide(dataset, records, groups, task, golden)
    known = [record.answer for record in dataset.train if record.answer] or [
        record.answer for record in dataset.golden if record.answer
    ]
    dataset.prior = _prior(known)
    dataset.quality = reading.findings() | assess(records, dataset.golden, task, split_off=golden is None)
    dataset.warnings = [*reading.warnings(), *warnings(dataset.quality)]
    dataset.reasons = [*reading.reasons()] or list(_reasons(dataset, task))
    return dataset


class _Reading:
    """What is read of a file: up to the 15,001st usable record, or to where the rest can change nothing."""

    def __init__(self, chunks: Iterable[bytes], task: Task) -> None:
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.lines = self.invalid = self._held = self._other_prompts = 0
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._screen = Screen(task)
        self._form, content = with_form(chunks)
        if self._form:
            self.problems.append(Problem(1, "", self._form))
            return
        most_invalid = _most_invalid(task)
        for entry in map(self._screen.passed, read_records(content, task)):
            self.lines += 1
            if isinstance(entry, Problem):
                self._note(entry)
            else:
                self.records.append(entry)
                self._held += _size(entry)
            if self.invalid > most_invalid or len(self.records) > MAX_RECORDS or self._held > MAX_HELD_BYTES:
                break

    def _note(self, problem: Problem) -> None:
        self.invalid += 1
        self._other_prompts += problem.field == "system[0].text"
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
                "lines": self._other_prompts,
                "examples": [p.line for p in self.problems if p.field == "system[0].text"][:LISTED_KINDS],
            },
            "personal_data": self._screen.findings(),
        }

    def warnings(self) -> Iterable[str]:
        if self._other_prompts:
            yield (
                f"lines with another system text than the task's prompt: {self._other_prompts:,}; were they made for "
                "another version of the task?"
            )
        if found := self._screen.summary():
            yield found

    def reasons(self) -> Iterable[str]:
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


def _most_invalid(task: Task) -> float:
    """Return how many invalid lines the largest dataset may have: of x lines, x - 15,000 and their share of x."""
    share = task.dataset.max_invalid_share
    return share / (1 - share) * MAX_RECORDS


def _divide(
    dataset: Dataset,
    records: list[Record],
    groups: dict[str, list[Record]],
    task: Task,
    golden: Sequence[Record] | None,
) -> None:
    """Fill `train` and `golden` so that no query stands on both sides."""
    if golden is None:
        dataset.golden_source = "split off this dataset"
        dataset.golden = split_off(groups, task)
    else:
        dataset.golden = list(golden)
    held_out = {record.key for record in dataset.golden}
    dataset.train = [record for record in records if record.key not in held_out]
    removed = len(records) - len(dataset.train)
    dataset.counts |= {
        "leaked": removed if golden is not None else 0,
        "golden": len(dataset.golden),
        "train": len(dataset.train),
    }


def _contradictory(group: Sequence[Record]) -> bool:
    answers = [record.answer for record in group if record.answer is not None]
    return any(_differ(answers[0], answer) for answer in answers[1:])


def _differ(one: Answer, other: Answer) -> bool:
    if one.weights is None or other.weights is None:
        return one.label != other.label
    return any(abs(weight - other.weights[signal]) > _SAME_WEIGHT for signal, weight in one.weights.items())


def _balance(answers: Sequence[Answer], task: Task) -> dict[str, float]:
    names = task.output.labels if isinstance(task.output, Labels) else task.output.signals
    shares = dict.fromkeys(names, 0.0)
    for answer in answers:
        dominant = answer.dominant()
        for name in dominant:
            shares[name] += 1 / len(dominant) / len(answers)
    return {name: round(share, 4) for name, share in shares.items()}


def _prior(answers: Sequence[Answer]) -> dict[str, Any]:
    if not answers:
        return {}
    if answers[0].weights is None:
        label, count = majority(answers)
        return {"label": label, "confidence": round(count / len(answers), 4)}
    mean = mean_weights(answers)
    return {"weights": serialisable_weights(mean)}


def _reasons(dataset: Dataset, task: Task) -> Iterable[str]:
    counts = dataset.counts
    if counts["records"] > MAX_RECORDS:
        yield f"the dataset has more than {MAX_RECORDS:,} usable records, the most that Bedrock takes; drop fewer"
        return
    if counts["lines"] == 0:
        yield "the dataset is empty"
        return
    if counts["invalid"] > _most_invalid(task):
        yield (
            f"{counts['invalid']:,} of the first {counts['lines']:,} lines cannot be used, more than "
            f"dataset.max_invalid_share of the task ({task.dataset.max_invalid_share:.1%}) allows in any dataset of "
            f"{MAX_RECORDS:,} records; mend the lines listed"
        )
        return
    if counts["invalid"] > task.dataset.max_invalid_share * counts["lines"]:
        yield (
            f"{counts['invalid']:,} of {counts['lines']:,} lines cannot be used, more than the "
            f"{task.dataset.max_invalid_share:.1%} that dataset.max_invalid_share of the task allows; mend the lines "
            "listed"
        )
    if counts["records"] < MIN_RECORDS:
        yield f"{counts['records']:,} usable records; at least {MIN_RECORDS} are needed"
        return
    if counts["golden"] < MIN_GOLDEN:
        yield (
            f"the golden set would have {counts['golden']} queries, at least {MIN_GOLDEN} are needed; add labelled "
            f"records, or put a golden set at tasks/{task.name}/golden.jsonl"
        )
        return
    constant = dataset.quality["constant_answers"]["share"]
    if counts["labelled"] >= MIN_GOLDEN and constant > task.dataset.max_constant_share:
        yield (
            f"{constant:.1%} of the {counts['labelled']:,} labelled records have one and the same answer, more than "
            f"the {task.dataset.max_constant_share:.1%} that dataset.max_constant_share of the task allows; see "
            "whether the teacher looked at the queries and label them again, or raise it if they are right"
        )
    trainable = counts["train"] if "bedrock" in task.candidates else sum(1 for r in dataset.train if r.answer)
    if trainable < MIN_RECORDS:
        yield (
            f"{trainable} records are left for training once the golden set of {counts['golden']} queries is set "
            f"aside; at least {MIN_RECORDS} are needed"
        )
