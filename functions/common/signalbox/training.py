"""Training of the embedded student: from labelled queries to the arrays of `student.Model`.

Every distinct query is one row, and its target is the share of each answer among its records; so repeated
records count and contradicting ones share. A multinomial logistic regression on the rows learns how probable
each known answer is; for weights, a ridge regression learns the weights themselves. A part of the queries is
held out first, to see how sharp the probabilities may be and how far to trust either; then all are fitted.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg
import scipy.special

from signalbox.answer import Answer
from signalbox.features import extract
from signalbox.query import normalise
from signalbox.student import Model, Student
from signalbox.task import Labels, Weights

# Strength of the penalties on the evidence, beside losses that are summed over the records.
_PENALTY = 0.03
_RIDGE = 0.1
_STEPS = 60
# The artefact has one byte for each feature and column.
_MOST_EVIDENCE = 4_000_000
_MOST_FEATURES = 30_000
# A feature of a single query cannot carry over to another.
_FEWEST_QUERIES = 2
_MOST_PATTERNS = 400
# Weight vectors are a grid if at least this share of the records held out shows one that was seen.
_GRID_SHARE = 0.5
_HELD_OUT = 8
_FEWEST_HELD_OUT = 10
_SHARPNESS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
_PULLS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_LEVELS = 256


class TrainingError(ValueError):
    """The examples cannot be learned from."""


@dataclass(frozen=True)
class Trained:
    """A student, and how the loss fell while it was trained.

    Attributes
    ----------
    student : Student
    curve : list[dict[str, float]]
        Rows of `step`, `training_loss` and `validation_loss`: mean cross-entropy of the answers in nats, or
        mean squared error where weights have no grid; the validation loss is nan if no query was held out.
    """

    student: Student
    curve: list[dict[str, float]]


@dataclass(frozen=True)
class _Lesson:
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
        (r, k): the share of each known answer among its records.
    patterns : np.ndarray
        (k, s): the weight vectors known.
    """

    queries: list[str]
    counts: np.ndarray
    weights: np.ndarray
    shares: np.ndarray
    patterns: np.ndarray

    def part(self, rows: np.ndarray) -> "_Lesson":
        queries = [self.queries[row] for row in rows]
        return _Lesson(queries, self.counts[rows], self.weights[rows], self.shares[rows], self.patterns)


def train(
    examples: Sequence[tuple[str, Answer]],
    output: Weights | Labels,
    *,
    task: str,
    run_id: str,
    progress: Callable[[str], None] = lambda message: None,
) -> Trained:
    """Train the embedded student of a run.

    Parameters
    ----------
    examples : Sequence[tuple[str, Answer]]
        Queries, as they came, with the teacher's answers, in any order.
    output : Weights | Labels
        What the task asks for.
    task, run_id : str
        Are written into the artefact.
    progress : Callable[[str], None]
        Is told what training is at.

    Raises
    ------
    TrainingError
        There is no example, or one has no answer of the task's kind.
    """
    lesson = _lesson(examples, output)
    progress(f"{len(examples)} records, {len(lesson.queries)} distinct queries")
    rehearsal, held_out = _split(lesson)
    choice, curve = _Choice(), []
    if len(held_out.queries):
        progress(f"rehearsing, {len(held_out.queries)} queries held out")
        fit, curve = _fit(rehearsal, held_out, progress)
        choice = _choose(fit, rehearsal, held_out)
        progress(f"chosen: {choice}")
    fit, last_curve = _fit(lesson, None, progress)
    kind, names = ("weights", output.signals) if isinstance(output, Weights) else ("labels", output.labels)
    model = _model(fit, choice, lesson)
    progress(f"{len(model.hashes)} features, {len(lesson.shares.T)} known answers")
    return Trained(
        Student(task=task, run_id=run_id, kind=kind, names=names, model=model), curve or last_curve
    )


def _lesson(examples: Sequence[tuple[str, Answer]], output: Weights | Labels) -> _Lesson:
    """Merge the records of each query; the order of the records leaves no trace."""
    if not examples:
        raise TrainingError("there is nothing to learn from: no record has an answer")
    records: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for query, answer in examples:
        records[normalise(query)].append(_target(query, answer, output))
    queries = sorted(records)
    counts = np.array([len(records[query]) for query in queries], dtype=np.float64)
    seen = Counter(target for targets in records.values() for target in targets)
    if isinstance(output, Labels):
        known = [(float(place),) for place in range(len(output.labels))]
        patterns = np.zeros((len(known), 0))
        weights = np.zeros((len(queries), 0))
    else:
        known = sorted(sorted(seen), key=lambda target: -seen[target])[:_MOST_PATTERNS]
        patterns = np.array(known) / np.sum(known, axis=1, keepdims=True)
        weights = np.array([np.mean(records[query], axis=0) for query in queries])
    column = {target: place for place, target in enumerate(known)}
    shares = np.zeros((len(queries), len(known)))
    for row, query in enumerate(queries):
        for target in records[query]:
            if target in column:
                shares[row, column[target]] += 1 / len(records[query])
    return _Lesson(queries, counts, weights, shares, patterns)


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


def _split(lesson: _Lesson) -> tuple[_Lesson, _Lesson]:
    """Hold out one query in eight, chosen by its hash; none if that is too few to learn from."""
    drawn = np.array(
        [hashlib.sha256(query.encode("utf-8", "surrogatepass")).digest()[0] for query in lesson.queries]
    )
    held_out = drawn % _HELD_OUT == 0
    if held_out.sum() < _FEWEST_HELD_OUT:
        held_out[:] = False
    return lesson.part(np.flatnonzero(~held_out)), lesson.part(np.flatnonzero(held_out))


@dataclass(frozen=True)
class _Vocabulary:
    """The features known, ascending, and the rarity of each; the last rarity is that of the unknown."""

    hashes: np.ndarray
    rarity: np.ndarray

    @classmethod
    def of(cls, queries: Sequence[str], most: int) -> "_Vocabulary":
        found = [np.unique(extract(query).hashes) for query in queries]
        hashes, spread = np.unique(np.concatenate(found), return_counts=True)
        fewest = _FEWEST_QUERIES if len(queries) >= 2 * _FEWEST_QUERIES else 1
        if len(hashes) > most:
            fewest = max(fewest, int(np.sort(spread)[-most]))
        kept = spread >= fewest
        if not kept.any():
            # The student looks features up in a list that is never empty; what it finds there has no evidence.
            hashes, spread, kept = np.zeros(1, dtype=np.uint32), np.ones(1), np.ones(1, dtype=bool)
        rarity = np.log((1 + len(queries)) / (1 + np.append(spread[kept], 1))) + 1
        return cls(hashes[kept], rarity)

    def rows(self, queries: Sequence[str]) -> tuple[scipy.sparse.csr_array, np.ndarray]:
        """Return the feature vectors (r, n) as the student makes them, and the known share of each (r)."""
        columns, values, ends, shares = [], [], [0], []
        for query in queries:
            hashes = extract(query).hashes
            places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
            known = places[self.hashes[places] == hashes]
            rarity = self.rarity[known]
            mass = float(rarity @ rarity)
            total = mass + (len(hashes) - len(known)) * self.rarity[-1] ** 2
            columns.append(known)
            values.append(rarity / math.sqrt(total or 1))
            ends.append(ends[-1] + len(known))
            shares.append(mass / (total or 1))
        parts = (np.concatenate(values), np.concatenate(columns), np.array(ends))
        matrix = scipy.sparse.csr_array(parts, shape=(len(queries), len(self.hashes)), dtype=np.float32)
        matrix.sum_duplicates()
        return matrix, np.array(shares)


@dataclass(frozen=True)
class _Fit:
    """Evidence in floats: for each feature and for the bias, the weights' (n, s) and the answers' (n, k)."""

    vocabulary: _Vocabulary
    weights: np.ndarray
    weights_bias: np.ndarray
    answers: np.ndarray
    answers_bias: np.ndarray


@dataclass(frozen=True)
class _Choice:
    """What the queries held out decide: see `Model.scale` and `Model.pull`; without a grid only regression."""

    sharpness: float = 1.0
    pull: float = 1.0
    grid: bool = True


def _fit(
    lesson: _Lesson, held_out: _Lesson | None, progress: Callable[[str], None]
) -> tuple[_Fit, list[dict[str, float]]]:
    answers, signals = lesson.shares.shape[1], lesson.weights.shape[1]
    vocabulary = _Vocabulary.of(lesson.queries, min(_MOST_FEATURES, _MOST_EVIDENCE // (answers + signals)))
    rows, _ = vocabulary.rows(lesson.queries)
    mean = np.average(lesson.weights, axis=0, weights=lesson.counts)
    regression = _ridge(rows, lesson.weights - mean, lesson.counts)
    validation = None if held_out is None else (vocabulary.rows(held_out.queries)[0], held_out)
    evidence, bias, curve = _logistic(rows, lesson, validation, progress)
    return _Fit(vocabulary, regression, mean, evidence, bias), curve


def _ridge(rows: scipy.sparse.csr_array, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the (n, s) coefficients of a ridge regression whose rows weigh as much as their records."""
    root = np.sqrt(counts)[:, None]
    weighted = rows.multiply(root).tocsr()
    solutions = [
        scipy.sparse.linalg.lsqr(
            weighted, target, damp=math.sqrt(_RIDGE), atol=1e-5, btol=1e-5, iter_lim=200
        )[0]
        for target in (targets * root).T
    ]
    return np.array(solutions).reshape(-1, rows.shape[1]).T


def _logistic(
    rows: scipy.sparse.csr_array,
    lesson: _Lesson,
    validation: tuple[scipy.sparse.csr_array, _Lesson] | None,
    progress: Callable[[str], None],
) -> tuple[np.ndarray, np.ndarray, list[dict[str, float]]]:
    """Return evidence (n, k) and bias (k) of a multinomial logistic regression, and its curve."""
    features, answers = rows.shape[1], lesson.shares.shape[1]
    targets, counts = lesson.shares.astype(np.float32), lesson.counts[:, None]
    columns = rows.T.tocsr()
    curve: list[dict[str, float]] = []

    def unpacked(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return parameters[answers:].reshape(features, answers), parameters[:answers]

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        evidence, bias = unpacked(parameters)
        probability, surprise = _surprise(rows, evidence, bias, targets)
        error = counts * (probability * targets.sum(axis=1, keepdims=True) - targets)
        gradient = columns @ error.astype(np.float32) + _PENALTY * evidence
        loss = float(lesson.counts @ surprise)
        slope = np.concatenate([error.sum(axis=0) + _PENALTY * bias, gradient.ravel()])
        return loss + _PENALTY / 2 * float(parameters @ parameters), slope

    def note(parameters: np.ndarray) -> None:
        losses = []
        for part in ((rows, lesson), validation):
            if part is None:
                losses.append(math.nan)
                continue
            surprise = _surprise(part[0], *unpacked(parameters), part[1].shares)[1]
            losses.append(float(part[1].counts @ surprise / part[1].counts.sum()))
        curve.append({"step": len(curve) + 1, "training_loss": losses[0], "validation_loss": losses[1]})
        if len(curve) % 20 == 0:
            progress(f"step {len(curve)}: training loss {losses[0]:.3f}, validation loss {losses[1]:.3f}")

    start = np.zeros((features + 1) * answers)
    options = {"maxiter": _STEPS, "maxcor": 6}
    found = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", callback=note, options=options
    )
    return *unpacked(found.x), curve


def _surprise(
    rows: scipy.sparse.csr_array, evidence: np.ndarray, bias: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities (r, k), and the cross-entropy of each row with its targets (r)."""
    scores = rows @ evidence.astype(np.float32) + bias.astype(np.float32)
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    sums = odds.sum(axis=1, keepdims=True)
    surprise = -np.einsum("rk,rk->r", targets, scores - np.log(sums))
    return odds / sums, surprise


def _choose(fit: _Fit, rehearsal: _Lesson, held_out: _Lesson) -> _Choice:
    """Choose what answers the queries held out at the least cost."""
    rows, _ = fit.vocabulary.rows(held_out.queries)
    scores = rows @ fit.answers + fit.answers_bias

    def surprise(sharpness: float) -> float:
        logs = scipy.special.log_softmax(scores * sharpness, axis=1)
        return -float(held_out.counts @ (held_out.shares * logs).sum(axis=1))

    sharpness = min(_SHARPNESS, key=surprise)
    patterns = held_out.patterns
    if not patterns.shape[1]:
        return _Choice(sharpness)
    seen = rehearsal.shares.any(axis=0)
    grid = bool(np.average(held_out.shares[:, seen].sum(axis=1), weights=held_out.counts) >= _GRID_SHARE)
    probability = scipy.special.softmax(scores * sharpness, axis=1)
    expected = probability @ _cost(patterns).T
    regression = rows @ fit.weights + fit.weights_bias
    distance = np.abs(regression[:, None, :] - patterns).sum(axis=2)
    truth = held_out.shares @ _cost(patterns).T

    def cost(pull: float) -> float:
        answers = (expected + pull * distance).argmin(axis=1)
        return float(held_out.counts @ truth[np.arange(len(answers)), answers])

    return _Choice(sharpness, min(_PULLS, key=cost), grid)


def _cost(patterns: np.ndarray) -> np.ndarray:
    """Return (k, k): what it costs to answer the row's weights where the column's are right, from 0 to 1.

    Half is the mean absolute error, in units of an error that no search survives (0.3); half counts the steps
    by which the weight-accuracy rubric lowers its grade: any weight off by more than 0.05, by more than 0.1,
    the wrong dominant signal or a mean error of 0.15.
    """
    errors = np.abs(patterns[:, None, :] - patterns[None, :, :])
    worst, mean = (
        errors.max(axis=2, initial=0.0),
        errors.mean(axis=2) if patterns.shape[1] else errors.sum(axis=2),
    )
    dominant = patterns.argmax(axis=1)
    right = patterns[:, dominant].T >= patterns.max(axis=1) - 1e-6
    steps = (
        (worst > 0.05 + 1e-6).astype(float)
        + (worst > 0.1 + 1e-6)
        + ((worst > 0.1 + 1e-6) & ~(right & (mean < 0.15)))
    )
    return steps / 3 + mean


def _model(fit: _Fit, choice: _Choice, lesson: _Lesson) -> Model:
    signals = lesson.weights.shape[1]
    gridded = choice.grid or not signals
    patterns = lesson.patterns if gridded else lesson.patterns[:0]
    answers = fit.answers * choice.sharpness if gridded else fit.answers[:, :0]
    answers_bias = fit.answers_bias * choice.sharpness if gridded else fit.answers_bias[:0]
    weighed = np.hstack([fit.weights, answers]) * fit.vocabulary.rarity[:-1, None]
    scale = np.maximum(np.abs(weighed).max(axis=0), 1e-9) / 127
    means = lesson.weights if signals else lesson.shares
    return Model(
        hashes=fit.vocabulary.hashes,
        rarity=fit.vocabulary.rarity.astype(np.float32),
        evidence=np.rint(weighed / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        bias=np.hstack([fit.weights_bias, answers_bias]).astype(np.float32),
        patterns=patterns,
        cost=(_cost(patterns) if signals else np.zeros((0, 0))).astype(np.float32),
        pull=np.array([choice.pull], dtype=np.float32),
        prior=np.average(means, axis=0, weights=lesson.counts).astype(np.float32),
        shares=_shares(fit.vocabulary, lesson.queries),
    )


def _shares(vocabulary: _Vocabulary, queries: Sequence[str]) -> np.ndarray:
    """Return quantiles of the share that would be known of each query, had it not been in the training data."""
    hashes = [extract(query).hashes for query in queries]
    found, spread = np.unique(np.concatenate([np.unique(some) for some in hashes]), return_counts=True)
    shares = []
    for some in hashes:
        places = np.searchsorted(vocabulary.hashes, some)
        np.minimum(places, len(vocabulary.hashes) - 1, out=places)
        others = spread[np.searchsorted(found, some)] - 1
        known = (vocabulary.hashes[places] == some) & (others >= _FEWEST_QUERIES)
        masses = np.where(known, vocabulary.rarity[places], vocabulary.rarity[-1]) ** 2
        shares.append(masses[known].sum() / masses.sum() if len(masses) else 0.0)
    return np.quantile(shares, np.linspace(0, 1, _LEVELS)).astype(np.float32)
