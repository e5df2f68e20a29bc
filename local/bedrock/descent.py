"""Gradient descent, by which a fine-tuning job trains: unlike an exact solver, it has a learning rate.

The ridge regression of `student`, by AdaGrad (Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011). The rate
that a job asks for is the share of the usual one by which each step is longer or shorter: at a tenth of it the student
is far from done after two epochs, at ten times of it the losses of the first steps jump.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

    from local.bedrock.student import Solver, State

USUAL_RATE = 1e-5
"""Bedrock's default for Amazon Nova (docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html)."""
_STEP = 0.02
"""How far a coefficient moves at first at the usual rate."""
_UPDATES = 16
"""Updates in a pass over the data."""
_PENALTY = 1e-5
_SMALLEST = 1e-8


def descent(learning_rate: float, warmup_steps: int) -> "Solver":
    """Return the solver of a rate that is reached after so many passes; a step of a job is a pass."""
    return partial(_descend, step=_STEP * learning_rate / USUAL_RATE, warmup=warmup_steps)


def _descend(
    matrix: "sparse.csr_matrix", targets: np.ndarray, passes: int, *, step: float, warmup: int
) -> "Iterator[State]":
    chance, count = np.random.default_rng(0), matrix.shape[0]
    coefficients = np.zeros((matrix.shape[1], targets.shape[1]))
    intercept = targets.mean(axis=0)
    seen = np.full_like(coefficients, _SMALLEST)
    for number in range(1, passes + 1):
        length = step * min(1.0, number / max(1, warmup))
        for rows in np.array_split(chance.permutation(count), min(_UPDATES, count)):
            part = matrix[rows]
            errors = part @ coefficients + intercept - targets[rows]
            gradient = part.T @ errors / len(rows) + _PENALTY * coefficients
            seen += gradient**2
            coefficients -= length * gradient / np.sqrt(seen)
        yield coefficients, intercept, matrix @ coefficients + intercept
