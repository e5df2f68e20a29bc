"""Training of the embedded student: from labelled queries to the arrays of `student.Model`.

Every distinct query is one row, and its target is the share of each answer among its records; so repeated
records count and contradicting ones share. For weights, a multinomial logistic regression on the rows learns
how probable each known answer is, and a ridge regression the weights themselves; for labels, linear support
vector machines tell each from the others, and a small convolution has a voice beside them. Features count by
what they tell of the answer. A rehearsal with an eighth of the queries held out shows how sharp the
probabilities may be; then all of them are fitted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg
import scipy.special

from signalbox import convolution_training
from signalbox.answer import Answer
from signalbox.artefact import COST_UNITS, MASS_UNITS, Model
from signalbox.convolution import WIDTH
from signalbox.lesson import Lesson, held_out_of, lesson_of
from signalbox.lesson import TrainingError as TrainingError  # what training raises
from signalbox.student import PAIRED, Student
from signalbox.task import Labels, Weights
from signalbox.vocabulary import Vocabulary

# Strength of the penalty on evidence, beside a loss summed over the records. A teacher's weights are noisy;
# labels hardly are.
_WEIGHTS_PENALTY = 0.06
_LABELS_PENALTY = 0.3
_REHEARSAL_STEPS = 60
_STEPS = 30
# A feature tells at least this much of the answer, in nats; and is judged as if so many more queries had it that
# tell nothing.
_LEAST_INFORMATION = 0.005
_DOUBT = 2.0
# How much evidence a weight vector has of its own, and how much it shares (variance, reach) with its like.
_OWN = 0.3
_KINSHIP = ((1.0, 0.1), (2.0, 0.3))
_PULL = 0.75
_SHARPNESS = tuple(2 ** (step / 5) for step in range(-5, 21))
# What the margins of labels are multiplied with where too few queries can be held out to choose.
_MARGIN_SHARPNESS = 1.5
# What the convolution's scores count beside the margins of labels.
_VOICE = 0.33
_LEVELS = 256

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A student, and how the loss fell while it was trained.

    Attributes
    ----------
    student : Student
    curve : list[dict[str, float]]
        Rows of `step`, `training_loss` and `validation_loss`: the mean cross-entropy of the known answers in
        nats, or the mean squared hinge loss of the labels. The validation loss, of queries held out, is nan
        where there are too few to hold any out.
    """

    student: Student
    curve: list[dict[str, float]]


@dataclass(frozen=True)
class _Fit:
    """What one fit found: coefficients and bias of the regression and of the classification.

    Attributes
    ----------
    salience : np.ndarray
        (n): the weights of the features, before each query's are scaled to length 1.
    rows : scipy.sparse.csr_array
        (r, n): the queries, so weighed and scaled.
    convolution : convolution_training.Fitted | None
        The second opinion on labels; None for weights.
    """

    salience: np.ndarray
    rows: scipy.sparse.csr_array
    weights: np.ndarray
    weights_bias: np.ndarray
    answers: np.ndarray
    answers_bias: np.ndarray
    curve: list[dict[str, float]]
    parameters: np.ndarray
    convolution: convolution_training.Fitted | None

    def scores(self, lesson: Lesson, chosen: np.ndarray) -> np.ndarray:
        """Return the scores (r, k) of the answers to the queries chosen (bool), before they are sharpened."""
        scores = self.rows[chosen] @ self.answers + self.answers_bias
        if self.convolution:
            queries = [lesson.queries[row] for row in np.flatnonzero(chosen)]
            scores += _VOICE * self.convolution.scores(queries)
        return scores


def train(
    examples: Sequence[tuple[str, Answer]],
    output: Weights | Labels,
    *,
    task: str,
    run_id: str,
    progress: Progress = lambda message: None,
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
    lesson = lesson_of(examples, output)
    kind, names = ("weights", output.signals) if isinstance(output, Weights) else ("labels", output.labels)
    columns = lesson.shares.shape[1] + lesson.weights.shape[1]
    vocabulary = Vocabulary(lesson.queries, columns, PAIRED[kind])
    progress(
        f"{len(examples)} records, {len(lesson.queries)} distinct queries, "
        f"{lesson.shares.shape[1]} known answers, {len(vocabulary.hashes)} features"
    )
    held_out = held_out_of(lesson.queries)
    sharpness, start, curve = 1.0 if kind == "weights" else _MARGIN_SHARPNESS, None, []
    if held_out.any():
        progress(f"rehearsal, {held_out.sum()} queries held out")
        rehearsal = _fit(vocabulary, lesson, held_out, None, progress)
        sharpness = _sharpness(rehearsal, lesson, held_out)
        start, curve = rehearsal.parameters, rehearsal.curve
        progress(f"all queries, probabilities sharpened by {sharpness:.2g}")
    fit = _fit(vocabulary, lesson, np.zeros_like(held_out), start, progress)
    student = Student(task, run_id, kind, names, _model(fit, sharpness, vocabulary, lesson))
    return Trained(student, curve or fit.curve)


def _fit(
    vocabulary: Vocabulary,
    lesson: Lesson,
    held_out: np.ndarray,
    start: np.ndarray | None,
    progress: Progress,
) -> _Fit:
    """Fit the queries that are not held out."""
    if lesson.shares.shape[1]:
        salience = _information(vocabulary.counts[~held_out], lesson.shares[~held_out])
    else:
        salience = vocabulary.rarity[:-1]
    rows = _of_length_1(vocabulary.counts, salience)
    counts = np.where(held_out, 0.0, lesson.counts)
    mean = np.average(lesson.weights, axis=0, weights=counts)
    regression = _ridge(rows[~held_out], (lesson.weights - mean)[~held_out], counts[~held_out])
    classified = _classification(rows, lesson, held_out, start, progress)
    second = None if lesson.weights.shape[1] else _second_opinion(lesson, held_out)
    return _Fit(salience, rows, regression, mean, *classified, second)


def _second_opinion(lesson: Lesson, held_out: np.ndarray) -> convolution_training.Fitted:
    queries = [lesson.queries[row] for row in np.flatnonzero(~held_out)]
    return convolution_training.fit(queries, lesson.shares[~held_out], lesson.counts[~held_out])


def _information(counts: scipy.sparse.csr_array, shares: np.ndarray) -> np.ndarray:
    """Return (n) the root of what each feature tells of the answer: the Kullback-Leibler divergence, in nats,
    of the answers to the queries that have it (r, n) from those to all (r, k)."""
    has = counts.sign()
    every = shares.mean(axis=0)
    among = (has.T @ shares + _DOUBT * every) / (has.sum(axis=0)[:, None] + _DOUBT)
    return np.sqrt(np.maximum(scipy.special.rel_entr(among, every).sum(axis=1), _LEAST_INFORMATION))


def _of_length_1(counts: scipy.sparse.csr_array, salience: np.ndarray) -> scipy.sparse.csr_array:
    """Weigh the features of each query (r, n) by their salience (n), relative to the root of the sum of squares.

    That of a feature which occurs twice counts twice, as it does for the student.
    """
    length = np.sqrt(counts @ salience**2)
    scaled = counts.multiply(salience).multiply(1 / np.maximum(length, 1e-12)[:, None])
    return scipy.sparse.csr_array(scaled, dtype=np.float32)


def _ridge(rows: scipy.sparse.csr_array, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the (n, s) coefficients of a ridge regression whose rows weigh as much as their records."""
    root = np.sqrt(counts)[:, None]
    weighted = rows.multiply(root).tocsr()
    coefficients = np.zeros((rows.shape[1], targets.shape[1]))
    for signal, target in enumerate((targets * root).T):
        found = scipy.sparse.linalg.lsqr(
            weighted, target, damp=math.sqrt(_WEIGHTS_PENALTY), atol=1e-4, btol=1e-4, iter_lim=100
        )
        coefficients[:, signal] = found[0]
    return coefficients


def _classification(
    rows: scipy.sparse.csr_array,
    lesson: Lesson,
    held_out: np.ndarray,
    start: np.ndarray | None,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, float]], np.ndarray]:
    """Return evidence (n, k) and bias (k) for each known answer, the curve and the parameters.

    Weight vectors are told apart by a multinomial logistic regression. Labels each have a linear support vector
    machine (squared hinge loss): what a teacher labels with care is better told apart by its borders.
    """
    features, answers = rows.shape[1], lesson.shares.shape[1]
    if lesson.patterns.shape[1]:
        penalty, loss_of = _WEIGHTS_PENALTY, _cross_entropy
    else:
        penalty, loss_of = _LABELS_PENALTY, _squared_hinge
    sharing = _sharing(lesson.patterns).astype(np.float32)
    learned = _Part(rows[~held_out], lesson.shares[~held_out], lesson.counts[~held_out])
    unseen = _Part(rows[held_out], lesson.shares[held_out], lesson.counts[held_out])
    columns = learned.rows.T.tocsr()
    curve: list[dict[str, float]] = []
    losses: list[float] = []

    def unpacked(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        single = parameters.astype(np.float32)
        return single[answers:].reshape(features, answers) @ sharing.T, single[:answers]

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        loss, error = loss_of(learned, learned.scores(*unpacked(parameters)))
        losses.append(loss / learned.counts.sum())
        gradient = columns @ (error @ sharing)
        slope = np.concatenate([error.sum(axis=0), gradient.ravel()]) + penalty * parameters
        return loss + penalty / 2 * float(parameters @ parameters), slope

    def note(parameters: np.ndarray) -> None:
        validation = math.nan
        if held_out.any():
            validation = loss_of(unseen, unseen.scores(*unpacked(parameters)))[0] / unseen.counts.sum()
        curve.append({"step": len(curve) + 1, "training_loss": losses[-1], "validation_loss": validation})
        if len(curve) % 10 == 0:
            tested = f", validation loss {validation:.3f}" if held_out.any() else ""
            progress(f"step {len(curve)}: training loss {losses[-1]:.3f}{tested}")

    if not answers:
        return np.zeros((features, 0)), np.zeros(0), curve, np.zeros(0)
    begin = np.zeros((features + 1) * answers) if start is None else start
    options = {"maxiter": _REHEARSAL_STEPS if start is None else _STEPS, "maxcor": 6}
    found = scipy.optimize.minimize(
        objective, begin, jac=True, method="L-BFGS-B", callback=note, options=options
    )
    return *unpacked(found.x), curve, found.x


@dataclass(frozen=True)
class _Part:
    """Some of a lesson's queries: feature vectors (r, n), shares of the answers (r, k), records (r)."""

    rows: scipy.sparse.csr_array
    shares: np.ndarray
    counts: np.ndarray

    def scores(self, evidence: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return self.rows @ evidence + bias


def _cross_entropy(part: _Part, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the cross-entropy, summed over the records, and its gradient by the scores (r, k)."""
    logs = scipy.special.log_softmax(scores, axis=1)
    weighed = part.shares * part.counts[:, None].astype(np.float32)
    error = np.exp(logs) * weighed.sum(axis=1, keepdims=True) - weighed
    return -float(np.sum(weighed * logs, dtype=np.float64)), error


def _squared_hinge(part: _Part, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the squared hinge loss of each answer against the others, summed, and its gradient (r, k)."""
    counts = part.counts[:, None].astype(np.float32)
    short, over = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
    right, wrong = part.shares * counts, (1 - part.shares) * counts
    loss = np.sum(right * short**2 + wrong * over**2, dtype=np.float64)
    return float(loss), 2 * (wrong * over - right * short)


def _sharing(patterns: np.ndarray) -> np.ndarray:
    """Return the matrix (k, k) through which weight vectors near each other share their evidence.

    It is a root of the covariance that their evidence has before anything is learned: each has something of
    its own, something with those a step of the grid away, something with its region. Labels share nothing.
    """
    if not patterns.shape[1]:
        return np.eye(len(patterns))
    distance = np.square(patterns[:, None, :] - patterns[None, :, :]).sum(axis=2)
    covariance = sum(variance * np.exp(-distance / (2 * reach**2)) for variance, reach in _KINSHIP)
    return np.linalg.cholesky(covariance + _OWN * np.eye(len(patterns)))


def _sharpness(fit: _Fit, lesson: Lesson, held_out: np.ndarray) -> float:
    """Choose what to multiply evidence with so that the queries held out surprise least."""
    if not lesson.shares.shape[1]:
        return 1.0
    part = _Part(fit.rows[held_out], lesson.shares[held_out], lesson.counts[held_out])
    scores = fit.scores(lesson, held_out)
    return min(_SHARPNESS, key=lambda factor: _cross_entropy(part, scores * factor)[0])


def _cost(patterns: np.ndarray) -> np.ndarray:
    """Return (k, k): what it costs to answer the row's weights where the column's are right.

    That is the mean absolute error, and a third for each of the first two steps by which the weight-accuracy
    rubric lowers its grade (some weight off by more than 0.05, by more than 0.1) and for its further ones
    (then also the wrong dominant signal, or a mean error of 0.15).
    """
    errors = np.abs(patterns[:, None, :] - patterns[None, :, :])
    worst, mean = errors.max(axis=2), errors.mean(axis=2)
    dominant = patterns.argmax(axis=1)
    agrees = patterns.T[dominant] >= patterns.max(axis=1) - 1e-6
    near, close = worst < 0.05 + 1e-6, worst < 0.1 + 1e-6
    passable = close | (agrees & (mean < 0.15))
    return mean + (3.0 - near - close - passable) / 3


def _model(fit: _Fit, sharpness: float, vocabulary: Vocabulary, lesson: Lesson) -> Model:
    columns = np.hstack([fit.weights, fit.answers * sharpness]) * fit.salience[:, None]
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-9) / 127
    labels = lesson.weights if lesson.weights.shape[1] else lesson.shares
    costs = _cost(lesson.patterns) if lesson.patterns.size else np.zeros((0, 0))
    bias = np.hstack([fit.weights_bias, fit.answers_bias * sharpness]).astype(np.float64)
    if fit.convolution:
        bias += fit.convolution.bias * (_VOICE * sharpness)
    return Model(
        hashes=vocabulary.hashes,
        mass=np.rint(vocabulary.rarity**2 * MASS_UNITS).astype(np.int32),
        salience=np.maximum(np.rint(fit.salience**2 * MASS_UNITS), 1).astype(np.int32),
        evidence=np.rint(columns / scale).astype(np.int8),
        scale=scale * math.sqrt(MASS_UNITS),
        bias=bias,
        patterns=lesson.patterns.round(9),
        cost=np.rint(costs * COST_UNITS).astype(np.int16),
        pull=np.array([_PULL], dtype=np.float32),
        prior=np.average(labels, axis=0, weights=lesson.counts).astype(np.float32),
        shares=np.quantile(vocabulary.familiar, np.linspace(0, 1, _LEVELS)).astype(np.float32),
        **_filters(fit.convolution, _VOICE * sharpness),
    )


def _filters(fitted: convolution_training.Fitted | None, factor: float) -> dict[str, np.ndarray]:
    """Return the arrays of the convolution, whose votes count as much as `factor`; empty ones without it."""
    if fitted is None:
        return {
            "words": np.zeros(0, dtype=np.uint32),
            "taps": np.zeros((2, WIDTH, 0), dtype=np.int8),
            "offset": np.zeros(0, dtype=np.int16),
            "votes": np.zeros((0, 0), dtype=np.int16),
            "vote_scale": np.zeros(0),
        }
    taps, offset, votes, unit = fitted.whole_numbers()
    return {
        "words": fitted.words,
        "taps": taps,
        "offset": offset,
        "votes": votes,
        "vote_scale": unit * factor,
    }
