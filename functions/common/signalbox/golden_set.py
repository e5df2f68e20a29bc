"""Which queries of a dataset are kept back, as its golden or its validation set, and which record speaks for each."""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from signalbox.answer import Answer
from signalbox.records import Record
from signalbox.task import Task

MIN_GOLDEN = 20


def by_query(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Group records by their normalised query, in the order in which each query first stands."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.key, []).append(record)
    return groups


def split_off(groups: dict[str, list[Record]], task: Task) -> list[Record]:
    """Choose the golden queries of a dataset; see `stratified`."""
    references = one_a_query(groups.values())
    return stratified(references, golden_size(len(references), task))


def golden_size(labelled: int, task: Task) -> int:
    """Return how many golden queries are wanted of so many labelled ones, if they are split off."""
    return min(task.dataset.max_golden, max(MIN_GOLDEN, round(task.dataset.golden_share * labelled)))


def least_to_split(task: Task) -> int:
    """Return of how many labelled queries enough are left to train on, once the golden ones are split off."""
    least = task.limits.least
    return next(number for number in itertools.count(least) if number - golden_size(number, task) >= least)


def spared(records: Sequence[Record], share: float, least: int) -> list[Record]:
    """Choose the queries of a validation set from labelled training records, of which at least `least` are left.

    As many are chosen as `share` asks for, but for those whose records cannot be spared; see `stratified`.
    """
    groups = by_query(records)
    references = one_a_query(groups.values())
    spare = max(0, len(records) - least)
    chosen = []
    for reference in stratified(references, min(round(share * len(references)), spare)):
        if len(groups[reference.key]) <= spare:
            spare -= len(groups[reference.key])
            chosen.append(reference)
    return chosen


def stratified(references: Sequence[Record], wanted: int) -> list[Record]:
    """Choose some of the records, each of another query: the same whatever their order.

    They are stratified by dominant signal or label. Within a stratum the queries are ranked by a hash, so that a
    dataset that grows keeps most of its golden set and two runs stay comparable.
    """
    seats = _apportioned(Counter(_stratum(reference) for reference in references), wanted)
    chosen = []
    for reference in sorted(references, key=lambda record: hashlib.sha256(record.key.encode()).digest()):
        if seats[_stratum(reference)] > 0:
            seats[_stratum(reference)] -= 1
            chosen.append(reference)
    return chosen


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


def one_a_query(groups: Iterable[Sequence[Record]]) -> list[Record]:
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
        common, _ = majority(answers)
        agreeing = [record for record in group if record.answer and record.answer.label == common]
        return min(agreeing, key=lambda record: (record.answer_text or "", record.query))
    mean = mean_weights(answers)

    def distance(record: Record) -> float:
        assert record.answer is not None and record.answer.weights is not None
        return math.fsum(abs(record.answer.weights[signal] - mean[signal]) for signal in mean)

    return min(group, key=lambda record: (round(distance(record), 9), record.answer_text or "", record.query))


def majority(answers: Sequence[Answer]) -> tuple[str, int]:
    """Return the most frequent label, of several the last by name, and how often it stands there."""
    return max(
        Counter(answer.label or "" for answer in answers).items(), key=lambda entry: (entry[1], entry[0])
    )


def mean_weights(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the mean weight of each signal."""
    rows = [answer.weights for answer in answers if answer.weights is not None]
    # fsum, since a sum of floats that depended on the order of the lines would break ties by it.
    return {signal: math.fsum(row[signal] for row in rows) / len(rows) for signal in rows[0]}
