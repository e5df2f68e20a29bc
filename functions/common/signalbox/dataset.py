"""A dataset as a whole: is it fit to train on, and which part of it is kept back as the golden set."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from signalbox.answer import Answer, serialisable_weights
from signalbox.records import Problem, Record, read_records
from signalbox.task import Labels, Task

MIN_RECORDS = 100
MAX_RECORDS = 15_000
"""Bedrock's quotas for the prompts of a distillation job (general reference, Amazon Bedrock quotas)."""
MAX_BYTES = 1_000_000_000
"""AWS's own dataset validation for distillation refuses files of 1 GB and more."""
MIN_GOLDEN = 20
LISTED_PROBLEMS = 1_000
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
    """

    train: list[Record] = field(default_factory=list)
    golden: list[Record] = field(default_factory=list)
    golden_source: str = ""
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    balance: dict[str, float] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)

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
        }


class GoldenError(ValueError):
    """A task's own golden set cannot be used; `problems` lists its bad lines."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(
            f"{len(problems)} lines of {source} cannot be used; line {first.line}, {first.field or 'all of it'}: "
            f"{first.reason}"
        )
        self.problems = problems


def read_golden(chunks: Iterable[bytes], task: Task, source: str) -> list[Record]:
    """Read a golden set, of which every line must be labelled and usable.

    Raises
    ------
    GoldenError
        With each line that cannot be used.
    """
    entries = list(read_records(chunks, task))
    problems = [entry for entry in entries if isinstance(entry, Problem)]
    problems += [
        Problem(entry.line, "messages", "a golden record needs the assistant's answer")
        for entry in entries
        if isinstance(entry, Record) and entry.answer is None
    ]
    if problems or not entries:
        raise GoldenError(source, problems or [Problem(1, "", "the file is empty")])
    return _one_a_query(_by_query(entry for entry in entries if isinstance(entry, Record)).values())


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
    records: list[Record] = []
    lines = invalid = 0
    for entry in read_records(chunks, task):
        lines += 1
        if isinstance(entry, Problem):
            invalid += 1
            if len(dataset.problems) < LISTED_PROBLEMS:
                dataset.problems.append(entry)
            if invalid > _most_invalid(task):
                break
            continue
        records.append(entry)
        if len(records) > MAX_RECORDS:
            break
    groups = _by_query(records)
    labelled = [record for record in records if record.answer is not None]
    dataset.counts = {
        "lines": lines,
        "invalid": invalid,
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
    dataset.reasons = list(_reasons(dataset, task))
    return dataset


def _most_invalid(task: Task) -> float:
    """Return how many invalid lines the largest dataset may have: of x lines, x - 15,000 and their share of x."""
    share = task.dataset.max_invalid_share
    return share / (1 - share) * MAX_RECORDS


def _by_query(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.key, []).append(record)
    return groups


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
        dataset.golden = _split_off(groups, task)
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


def _split_off(groups: dict[str, list[Record]], task: Task) -> list[Record]:
    """Choose the golden queries: stratified by dominant signal or label, the same whatever the order of lines.

    Within a stratum the queries are ranked by a hash, so that a dataset that grows keeps most of its golden
    set and two runs stay comparable.
    """
    references = _one_a_query(groups.values())
    wanted = min(task.dataset.max_golden, max(MIN_GOLDEN, round(task.dataset.golden_share * len(references))))
    seats = _apportioned(Counter(_stratum(reference) for reference in references), wanted)
    golden = []
    for reference in sorted(references, key=lambda record: hashlib.sha256(record.key.encode()).digest()):
        if seats[_stratum(reference)] > 0:
            seats[_stratum(reference)] -= 1
            golden.append(reference)
    return golden


def _stratum(record: Record) -> tuple[str, ...]:
    return record.answer.dominant() if record.answer else ()


def _apportioned(sizes: Counter[tuple[str, ...]], wanted: int) -> dict[tuple[str, ...], int]:
    """Give each stratum its proportion of the wanted number to within one record (largest remainder)."""
    total = sizes.total()
    shares = {stratum: divmod(min(wanted, total) * size, total) for stratum, size in sizes.items()}
    seats = {stratum: whole for stratum, (whole, _) in shares.items()}
    missing = min(wanted, total) - sum(seats.values())
    for stratum in sorted(shares, key=lambda stratum: (-shares[stratum][1], stratum))[:missing]:
        seats[stratum] += 1
    return seats


def _one_a_query(groups: Iterable[Sequence[Record]]) -> list[Record]:
    """Return one labelled record a query, the one nearest to the mean of the query's answers (or the majority).

    The order of the records makes no difference.
    """
    return [
        _representative(labelled)
        for group in groups
        if (labelled := [r for r in group if r.answer is not None])
    ]


def _representative(group: Sequence[Record]) -> Record:
    answers = [record.answer for record in group if record.answer is not None]
    if answers[0].weights is None:
        common, _ = _majority(answers)
        agreeing = [record for record in group if record.answer and record.answer.label == common]
        return min(agreeing, key=lambda record: (record.answer_text or "", record.query))
    mean = _mean_weights(answers)

    def distance(record: Record) -> float:
        assert record.answer is not None and record.answer.weights is not None
        return math.fsum(abs(record.answer.weights[signal] - mean[signal]) for signal in mean)

    return min(group, key=lambda record: (round(distance(record), 9), record.answer_text or "", record.query))


def _majority(answers: Sequence[Answer]) -> tuple[str, int]:
    """Return the most frequent label, of several the last by name, and how often it stands there."""
    return max(
        Counter(answer.label or "" for answer in answers).items(), key=lambda entry: (entry[1], entry[0])
    )


def _mean_weights(answers: Sequence[Answer]) -> dict[str, float]:
    rows = [answer.weights for answer in answers if answer.weights is not None]
    # fsum, since a sum of floats that depended on the order of the lines would break ties by it.
    return {signal: math.fsum(row[signal] for row in rows) / len(rows) for signal in rows[0]}


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
        label, count = _majority(answers)
        return {"label": label, "confidence": round(count / len(answers), 4)}
    mean = _mean_weights(answers)
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
    trainable = counts["train"] if "bedrock" in task.candidates else sum(1 for r in dataset.train if r.answer)
    if trainable < MIN_RECORDS:
        yield (
            f"{trainable} records are left for training once the golden set of {counts['golden']} queries is set "
            f"aside; at least {MIN_RECORDS} are needed"
        )
