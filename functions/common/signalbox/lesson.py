"""What the embedded student is taught: the distinct queries of its training data, with their answers."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from signalbox.answer import Answer
from signalbox.query import normalise
from signalbox.task import Labels, Weights

_MOST_PATTERNS = 400
# Weight vectors are a grid if at least this share of the queries shows one that another query shows too.
_GRID_SHARE = 0.5
_HELD_OUT = 8
_FEWEST_HELD_OUT = 10


class TrainingError(ValueError):
    """The examples cannot be learned from."""


@dataclass(frozen=True)
class Lesson:
    """Distinct queries (r) with their targets.

    Attributes
    ----------
    queries : list[str]
        Normalised and sorted.
    counts : np.ndarray
        (r): how many records each stands for.
    weights : np.ndarray
        (r, s): the mean weights of its records; s is 0 for labels.
    shares : np.ndarray
        (r, k): the share of each known answer among its records; k is 0 where weights have no grid.
    patterns : np.ndarray
        (k, s): the weight vectors known.
    """

    queries: list[str]
    counts: np.ndarray
    weights: np.ndarray
    shares: np.ndarray
    patterns: np.ndarray


def lesson_of(examples: Sequence[tuple[str, Answer]], output: Weights | Labels) -> Lesson:
    """Merge the records of each query; the order of the records leaves no trace."""
    if not examples:
        raise TrainingError("there is nothing to learn from: no record has an answer")
    records: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for query, answer in examples:
        records[normalise(query)].append(_target(query, answer, output))
    queries = sorted(records)
    if isinstance(output, Labels):
        known = [(float(place),) for place in range(len(output.labels))]
        patterns = np.zeros((len(known), 0))
        weights = np.zeros((len(queries), 0))
    else:
        known = _grid(records.values())
        patterns = np.array(known).reshape(len(known), len(output.signals))
        patterns /= patterns.sum(axis=1, keepdims=True)
        weights = np.array([np.mean(sorted(records[query]), axis=0) for query in queries])
    column = {target: place for place, target in enumerate(known)}
    shares = np.zeros((len(queries), len(known)), dtype=np.float32)
    for row, query in enumerate(queries):
        for target in records[query]:
            if target in column:
                shares[row, column[target]] += 1 / len(records[query])
    counts = np.array([len(records[query]) for query in queries], dtype=np.float64)
    return Lesson(queries, counts, weights, shares, patterns)


def _target(query: str, answer: Answer, output: Weights | Labels) -> tuple[float, ...]:
    """Return the answer as something to count: weights to three decimals, or the place of the label."""
    if isinstance(output, Labels):
        if answer.label not in output.labels:
            raise TrainingError(f"{answer.label!r}, the answer to {query!r}, is not a label of the task")
        return (float(output.labels.index(answer.label)),)
    if answer.weights is None or set(answer.weights) != set(output.signals):
        raise TrainingError(f"the answer to {query!r} does not give each signal of the task its weight")
    total = math.fsum(answer.weights.values())
    return tuple(round(answer.weights[signal] / total, 3) for signal in output.signals)


def _grid(records: Collection[list[tuple[float, ...]]]) -> list[tuple[float, ...]]:
    """Return the weight vectors to choose from, the most frequent first; none if they hardly repeat."""
    spread = Counter(target for targets in records for target in set(targets))
    repeated = sum(any(spread[target] > 1 for target in targets) for targets in records)
    if repeated < _GRID_SHARE * len(records):
        return []
    return sorted(sorted(spread), key=lambda target: -spread[target])[:_MOST_PATTERNS]


def held_out_of(queries: Sequence[str]) -> np.ndarray:
    """Choose by hash one query in eight to hold out (r, bool); none if too few to learn anything from."""
    digests = (hashlib.sha256(query.encode("utf-8", "surrogatepass")).digest() for query in queries)
    chosen = np.array([digest[0] % _HELD_OUT == 0 for digest in digests])
    return chosen if chosen.sum() >= _FEWEST_HELD_OUT else np.zeros_like(chosen)
