"""The local student: what a customization job trains and a deployment answers with.

A ridge regression from query features to the numbers of an answer (weights, or one per label), solved by
conjugate gradients, or by the descent that a fine-tuning job asks for. A step is one pass over the training
data, so the losses of the steps are the model's own.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from local.bedrock.answers import Form, learn_form
from local.bedrock.errors import DatasetError
from local.bedrock.features import QueryFeatures

STEPS_PER_EPOCH = 20
_PENALTY = 0.2
_SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Step:
    """Losses after a pass over the data: cross-entropy of the answers in nats, and its exponential."""

    number: int
    epoch: int
    training_loss: float
    validation_loss: float | None


class Student:
    """A trained model. `form` is the textual form of its answers."""

    def __init__(
        self, form: Form, features: QueryFeatures, coefficients: np.ndarray, intercept: np.ndarray
    ) -> None:
        self.form = form
        self._features = features
        self._coefficients = coefficients
        self._intercept = intercept
        self._words = features.words

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """Return one row a query, one column a signal or label, as the regression gives them."""
        return self._features.transform(queries) @ self._coefficients + self._intercept

    def answer(self, query: str) -> str:
        """Return the answer to one query in the textual form of the training answers."""
        row = self._features.transform([query])
        scores = row.data @ self._coefficients[row.indices] + self._intercept
        return self.form.write(scores, self._reasoning(row, self.form.strongest(scores)))

    def _reasoning(self, row: sparse.csr_matrix, strongest: int) -> str:
        """Say which words of the query spoke most for the strongest output: its share of the sum above."""
        name = self.form.classes[strongest]
        known = row.indices[row.indices < len(self._words)]
        if not len(known):
            return f"Mostly {name}: no word of the query was seen in training."
        values = row.data[row.indices < len(self._words)]
        rows = self._coefficients[known]
        pull = values * (rows[:, strongest] - rows.mean(axis=1))
        best = [str(self._words[known[index]]) for index in np.argsort(-pull) if pull[index] > 0]
        best = [word for word in best if len(word) > 2][:2]
        if not best:
            return f"Mostly {name}, by the letters of the query; its words speak for others."
        return f"Mostly {name}, because of {' and '.join(repr(word) for word in best)}."

    def save(self, path: Path) -> None:
        """Write the model; the file appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            pickle.dump(self, file, protocol=pickle.HIGHEST_PROTOCOL)
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "Student":
        """Read a model that `save` wrote. The file must be one's own: pickle runs what it reads."""
        with path.open("rb") as file:
            return pickle.load(file)


@dataclass(frozen=True)
class Examples:
    """Queries and their answers."""

    queries: list[str]
    answers: list[str]

    def __len__(self) -> int:
        return len(self.queries)


State = tuple[np.ndarray, np.ndarray, np.ndarray]
"""After a pass over the data: the coefficients, the intercept and the fit."""
Solver = Callable[[sparse.csr_matrix, np.ndarray, int], Iterator[State]]
"""Regresses targets on a matrix in so many passes."""


def train(
    examples: Examples, validation: Examples, epochs: int, prompt: str, solver: Solver | None = None
) -> tuple[Student, list[Step]]:
    """Train a student.

    Parameters
    ----------
    examples
        What it learns from; answers that are not of the usual form are left out.
    validation
        What its validation loss is measured on; may be empty.
    epochs
        Number of epochs, of 20 passes each.
    prompt
        The system prompt of the examples.
    solver
        None for conjugate gradients.

    Returns
    -------
    The student and the losses of every step.

    Raises
    ------
    DatasetError
        The answers have no form that can be learnt.
    """
    form = learn_form(examples.answers, prompt)
    queries, targets = _usable(form, examples)
    if not queries:
        raise DatasetError("No training answer is of the form of the others.")
    features = QueryFeatures()
    matrix = features.fit(queries)
    validation_queries, validation_targets = _usable(form, validation)
    validation_matrix = features.transform(validation_queries) if validation_queries else None
    steps = []
    coefficients, intercept = np.zeros((matrix.shape[1], len(form.classes))), targets.mean(axis=0)
    passes = (solver or _conjugate_gradients)(matrix, targets, epochs * STEPS_PER_EPOCH)
    for number, (coefficients, intercept, fitted) in enumerate(passes, 1):
        validation_loss = None
        if validation_matrix is not None and number % STEPS_PER_EPOCH == 0:
            validation_loss = cross_entropy(validation_matrix @ coefficients + intercept, validation_targets)
        epoch = (number - 1) // STEPS_PER_EPOCH + 1
        steps.append(Step(number, epoch, cross_entropy(fitted, targets), validation_loss))
    return Student(form, features, coefficients, intercept), steps


def _usable(form: Form, examples: Examples) -> tuple[list[str], np.ndarray]:
    pairs = [
        (query, vector)
        for query, vector in zip(examples.queries, map(form.vector, examples.answers), strict=True)
        if vector is not None
    ]
    return [query for query, _ in pairs], np.array([vector for _, vector in pairs])


def _conjugate_gradients(matrix: sparse.csr_matrix, targets: np.ndarray, passes: int) -> Iterator[State]:
    """Solve the ridge regression of `targets` on `matrix`; yield the state after every pass.

    The columns are centred on the fly, so that the
    matrix stays sparse and the intercept is not penalised.
    """
    means, offset = np.asarray(matrix.mean(axis=0)).ravel(), targets.mean(axis=0)
    transposed = matrix.T.tocsr()

    def apply(direction: np.ndarray) -> np.ndarray:
        return matrix @ direction - means @ direction

    def apply_transposed(errors: np.ndarray) -> np.ndarray:
        return transposed @ errors - np.outer(means, errors.sum(axis=0))

    coefficients = np.zeros((matrix.shape[1], targets.shape[1]))
    fitted = np.zeros_like(targets)
    residual = apply_transposed(targets - offset)
    direction = residual.copy()
    size = (residual**2).sum(axis=0)
    for _ in range(passes):
        image = apply(direction)
        curvature = apply_transposed(image) + _PENALTY * direction
        length = size / np.maximum((direction * curvature).sum(axis=0), 1e-30)
        coefficients += length * direction
        fitted += length * image
        residual -= length * curvature
        new_size = (residual**2).sum(axis=0)
        direction = residual + (new_size / np.maximum(size, 1e-30)) * direction
        size = new_size
        yield coefficients, offset - means @ coefficients, fitted + offset


def cross_entropy(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean cross-entropy of the targets under the scores, both as shares of their sum, in nats."""
    shares = np.clip(scores, _SMALLEST_SHARE, None)
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1e-12)
    return float(-(wanted * np.log(shares)).sum(axis=1).mean())
