"""A dataset as a whole: is it fit to train on, and which part of it is kept back as the golden set."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from signalbox.answer import Answer, serialisable_weights, without_quotations
from signalbox.customization import Tuning
from signalbox.dataset_profile import profile
from signalbox.dataset_quality import assess, warnings
from signalbox.dataset_reading import LISTED_PROBLEMS, Reading
from signalbox.file_form import with_form
from signalbox.golden_set import (
    by_query,
    majority,
    mean_weights,
    one_a_query,
    spared,
    split_off,
)
from signalbox.personal_screen import Screen
from signalbox.records import Problem, Record, read_records, refused_word
from signalbox.rejection import faults, flaws, shortcomings
from signalbox.task import Labels, Task

MAX_BYTES = 1_000_000_000
"""AWS's own dataset validation for distillation refuses files of 1 GB and more."""
MAX_SET_BYTES = 16 * 1024 * 1024
"""Of a task's own golden or validation set, which is held whole: the longest line for each of 1,000 golden queries."""
_SAME_WEIGHT = 0.01


@dataclass
class Dataset:
    """What validation found in a file, and what it made of it.

    Attributes
    ----------
    train, golden : list[Record]
        No normalised query stands in both. The golden set has one labelled record a query.
    validation : list[Record]
        What a fine-tuning job measures its validation loss on: one labelled record a query, none of which stands in
        one of the two others; empty for every other task.
    golden_source, validation_source : str
        Where the golden and the validation set come from, in words.
    problems : list[Problem]
        The first 1,000 lines that cannot be used; `counts["invalid"]` counts all.
    reasons : list[str]
        Why the dataset is rejected, each with what to do; empty if it is accepted.
    counts : dict[str, int]
        lines, invalid, records, labelled, prompt_only, queries (distinct), duplicates (records beyond the
        first of their query), contradictions (queries with differing answers), leaked (records removed from
        training because their query is in the golden set), golden, train; for fine-tuning also validation.
    balance : dict[str, float]
        Share of the labelled records by dominant signal (a tie counts for each in part) or by label.
    prior : dict
        The answer to give when nothing is known of a query: mean weights, or the most frequent label and its share;
        over the labelled training records, or over the golden set when there are none.
    quality : dict
        Findings that reject nothing by themselves, by name; see docs/dataset-format.md.
    warnings : list[str]
        What of them a person should look at, in sentences that quote no query.
    to_label : list[Record]
        A record of each query that the teacher is to answer before the dataset is used, as the task wants it; with
        these answers there may be no `reasons`. Empty where there would be some whatever it answers.
    """

    train: list[Record] = field(default_factory=list)
    golden: list[Record] = field(default_factory=list)
    validation: list[Record] = field(default_factory=list)
    golden_source: str = ""
    validation_source: str = ""
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    balance: dict[str, float] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    to_label: list[Record] = field(default_factory=list)

    def findings(self) -> dict[str, Any]:
        """Return what goes into validation.json."""
        return {
            "accepted": not self.reasons,
            "reasons": self.reasons,
            "counts": self.counts,
            "balance": self.balance,
            "prior": self.prior,
            "golden_source": self.golden_source,
            **({"validation_source": self.validation_source} if self.validation_source else {}),
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": self.warnings,
            **self.quality,
        }


class GoldenError(ValueError):
    """A task's own golden or validation set cannot be used; `problems` lists its bad lines."""

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
    return _read_whole(chunks, task, source, "golden")


def read_validation_set(chunks: Iterable[bytes], task: Task, source: str) -> list[Record]:
    """Read a validation set, of which every line must be one that the customization job takes.

    Raises
    ------
    GoldenError
        With each line that cannot be used; or the task's job takes no validation set.
    """
    if isinstance(task.job, Tuning) and (said_by := task.limits.no_validation_set):
        reason = f"a fine-tuning job of Nova 2 Lite takes no validation set ({said_by}); remove the file"
        raise GoldenError(source, [Problem(1, "", reason)])
    records = _read_whole(chunks, task, source, "validation")
    if problems := [found for record in records if (found := refused_word(record, task.limits))]:
        raise GoldenError(source, problems)
    return records


def _read_whole(chunks: Iterable[bytes], task: Task, source: str, kind: str) -> list[Record]:
    form, content = with_form(_up_to(MAX_SET_BYTES, chunks, source))
    if form:
        raise GoldenError(source, [Problem(1, "", form)])
    screen, entries, unusable = Screen(task), [], 0
    for entry in read_records(content, task):
        entries.append(screen.passed(entry))
        unusable += isinstance(entry, Problem)
        if unusable == LISTED_PROBLEMS:
            break
    problems = [entry for entry in entries if isinstance(entry, Problem)]
    problems += screen.problems()
    problems += [
        Problem(entry.line, "messages", f"a {kind} record needs the assistant's answer")
        for entry in entries
        if isinstance(entry, Record) and entry.answer is None
    ]
    if problems or not entries:
        raise GoldenError(source, problems or [Problem(1, "", "the file is empty")])
    return one_a_query(by_query(entry for entry in entries if isinstance(entry, Record)).values())


def _up_to(most: int, chunks: Iterable[bytes], source: str) -> Iterator[bytes]:
    """Yield pieces of a file, and refuse it where it turns out to be too large.

    Raises
    ------
    GoldenError
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise GoldenError(
                source, [Problem(1, "", f"the file has more than {most:,} bytes, the most that is looked at")]
            )
        yield chunk


def too_large(size: int) -> str:
    """Return why a file of so many bytes is not looked at, or ""."""
    return f"the file has {size:,} bytes; it must have less than {MAX_BYTES:,}" if size >= MAX_BYTES else ""


def examine(
    chunks: Iterable[bytes],
    task: Task,
    golden: Sequence[Record] | None = None,
    golden_source: str = "",
    validation: Sequence[Record] | None = None,
    validation_source: str = "",
) -> Dataset:
    """Validate a dataset and set its golden set aside, and for fine-tuning its validation set.

    Parameters
    ----------
    chunks : Iterable[bytes]
        The file, in pieces of any size.
    task : Task
        The task that the dataset was dropped for.
    golden : Sequence[Record] | None
        A golden set given from outside; None to split one off.
    validation : Sequence[Record] | None
        A validation set given from outside; None to split one off. Only fine-tuning has one.
    golden_source, validation_source : str
        Where those two come from, in words.

    Returns
    -------
    Dataset
        With `reasons` unless it is accepted. Reading stops after the first usable record that is one too many, and
        where so many lines are invalid that no number of usable ones to come could outweigh them.
    """
    dataset = Dataset(golden_source=golden_source)
    reading = Reading(chunks, task)
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
    if isinstance(task.job, Tuning):
        _set_validation_aside(dataset, task, task.job.share_kept_back, validation, validation_source)
    known = [record.answer for record in dataset.train if record.answer] or [
        record.answer for record in dataset.golden if record.answer
    ]
    dataset.prior = _prior(known)
    found = assess(records, dataset.golden, task, split_off=golden is None)
    dataset.quality = reading.findings() | found | profile(records)
    dataset.warnings = [
        *reading.warnings(),
        *warnings(dataset.quality),
        *_missing_validation_set(dataset, task, validation),
    ]
    reasons = [*reading.reasons()] or list(faults(dataset, task))
    if not reasons and _wants_labels(dataset, task):
        reasons = list(flaws(dataset, task, to_come=dataset.counts["prompt_only"]))
        asked = without_answer(records, [*dataset.golden, *dataset.validation])
        dataset.to_label = [] if reasons else asked
    dataset.reasons = reasons or list(shortcomings(dataset, task))
    return dataset


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
    left = [record for record in records if record.key not in held_out]
    dataset.train = [record for record in left if record.answer is not None or not task.limits.labelled]
    dataset.counts |= {
        "leaked": len(records) - len(left) if golden is not None else 0,
        "golden": len(dataset.golden),
        "train": len(dataset.train),
    }


def _set_validation_aside(
    dataset: Dataset, task: Task, share: float, given: Sequence[Record] | None, source: str
) -> None:
    """Fill `validation`, and take its queries out of `train`; what is left is never fewer than the job takes.

    A query that stands in the golden set, too, is left out: the golden set decides, and nothing may be chosen by it.
    """
    if given is None:
        dataset.validation = spared(dataset.train, share, task.limits.least)
        dataset.validation_source = "split off this dataset"
    else:
        golden = {record.key for record in dataset.golden}
        dataset.validation = [record for record in given if record.key not in golden]
        dataset.validation_source = source
    held_out = {record.key for record in dataset.validation}
    dataset.train = [record for record in dataset.train if record.key not in held_out]
    dataset.counts |= {"validation": len(dataset.validation), "train": len(dataset.train)}


def _missing_validation_set(dataset: Dataset, task: Task, given: Sequence[Record] | None) -> Iterator[str]:
    """Say why there is no validation set though there was to be one."""
    if not isinstance(task.job, Tuning) or dataset.validation:
        return
    share, queries = task.job.share_kept_back, len(by_query(dataset.train))
    if given is not None:
        yield f"no validation set: each query of {dataset.validation_source} is golden, too"
    elif share and queries:
        yield (
            f"no validation set: {share:.0%} of {queries:,} queries cannot be kept back with {task.limits.least} "
            f"records left to train on ({task.limits.source}); add records, or upload a set with the task"
        )


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


def _wants_labels(dataset: Dataset, task: Task) -> bool:
    """Whether the teacher is to answer what has no answer: as the task says, or if its students learn from answers."""
    if task.dataset.label == "auto":
        answered = sum(record.answer is not None for record in dataset.train)
        return bool(task.limits.labelled) or ("embedded" in task.candidates and answered < task.limits.least)
    return task.dataset.label


def without_answer(records: Iterable[Record], held_out: Iterable[Record]) -> list[Record]:
    """Return the first record of each query that no record answers; those held out, not trained on, are left out.

    A query that has an answer in one record and none in another keeps the one that it was given.
    """
    asked: dict[str, Record] = {}
    answered = {record.key for record in held_out}
    for record in records:
        if record.answer is None:
            asked.setdefault(record.key, record)
        else:
            answered.add(record.key)
    return [record for key, record in asked.items() if key not in answered]
