"""A policy that learns from rewards alone: it tries answers around its own, and moves towards those that earned more.

The moves are reward-weighted regression (Peters and Schaal, "Reinforcement learning by reward-weighted regression",
2007) on the advantages that Bedrock's own method, GRPO, computes: how much better an answer is than the others to the
same prompt. Nothing here sees a reference answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from local.bedrock.answers import Form, WeightsForm
from local.bedrock.features import QueryFeatures
from local.bedrock.student import Student

_TRIED = "One of several answers that were tried."
_WIDEST, _NARROWEST = 0.2, 0.05
"""How far weights are tried from the policy's own, at the beginning and at the end: a standard deviation."""
_BOLDEST, _COOLEST = 2.0, 1.0
"""The temperature at which labels are drawn, at the beginning and at the end."""
_GREED = 2.0
"""By which an advantage is multiplied before the exponential: at 0 all tried answers would count the same."""
_LOGITS_PER_MOVE = 3.0
_RIDGE = 1.0
_SMALLEST_PROBABILITY = 1e-3


@dataclass(frozen=True)
class Trial:
    """Answers tried for some prompts (p) by a policy: several for each (a), with numbers for each output (o).

    Attributes
    ----------
    rows : np.ndarray
        (p): which prompts.
    centre : np.ndarray
        (p, o): the policy's own weights, or probabilities of the labels.
    actions : np.ndarray
        (p, a, o): the weights of the answers tried, or 1 for their label and 0 for the others.
    texts : list[list[str]]
        The same as the policy says them.
    """

    rows: np.ndarray
    centre: np.ndarray
    actions: np.ndarray
    texts: list[list[str]]


class Policy:
    """What answers, with chance, and learns.

    Parameters
    ----------
    form
        The textual form of its answers.
    start
        What it answers to every query before it has learned: weights, or the probability of each label.
    queries
        What it will be asked.
    seed
        Of its chance.
    """

    def __init__(self, form: Form, start: np.ndarray, queries: Sequence[str], seed: int = 0) -> None:
        self.form = form
        self._of_weights = isinstance(form, WeightsForm)
        self._features = QueryFeatures()
        self._matrix = self._features.fit(queries)
        self._coefficients = np.zeros((self._matrix.shape[1], len(start)))
        self._intercept = (
            start.copy() if self._of_weights else np.log(np.maximum(start, _SMALLEST_PROBABILITY))
        )
        self._chance = np.random.default_rng(seed)

    def student(self) -> Student:
        """Return what it has become, as the model that a deployment answers with: without chance."""
        return Student(self.form, self._features, self._coefficients.copy(), self._intercept.copy())

    def attempt(self, rows: np.ndarray, count: int, progress: float) -> Trial:
        """Try `count` answers for each of some prompts; as `progress` goes from 0 to 1, more and more like its own."""
        scores = self._matrix[rows] @ self._coefficients + self._intercept
        if self._of_weights:
            centre, actions = self._weights(scores, count, _between(_WIDEST, _NARROWEST, progress))
        else:
            centre, actions = self._labels(scores, count, _between(_BOLDEST, _COOLEST, progress))
        texts = [[self.form.write(action, _TRIED) for action in tried] for tried in actions]
        return Trial(rows, centre, actions, texts)

    def learn(self, trial: Trial, rewards: np.ndarray, rate: float = 1.0) -> float:
        """Move towards the answers that earned more than the others to their prompt.

        Parameters
        ----------
        rewards
            (p, a): of the answers of the trial.
        rate
            How far: 1 is the usual step.

        Returns
        -------
        The mean over the prompts of the squared distance to the answers tried, weighted by what they earned.
        """
        preference = _preferences(rewards)
        away = trial.actions - trial.centre[:, None]
        move = (
            (preference[:, :, None] * away).sum(axis=1)
            * rate
            * (1.0 if self._of_weights else _LOGITS_PER_MOVE)
        )
        # The least change of the coefficients that moves the scores of these prompts so: they share words, and what
        # several would do to one word is done once.
        matrix = self._matrix[trial.rows]
        kernel = (matrix @ matrix.T).toarray() + 1.0 + _RIDGE * np.eye(len(trial.rows))
        shares = np.linalg.solve(kernel, move)
        self._coefficients += matrix.T @ shares
        self._intercept = self._intercept + shares.sum(axis=0)
        return float((preference[:, :, None] * away**2).sum(axis=(1, 2)).mean())

    def _weights(self, scores: np.ndarray, count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
        centre = np.clip(scores, 0.0, None)
        total = centre.sum(axis=1, keepdims=True)
        if self.form.total is not None:
            centre = np.where(
                total > 0, centre * self.form.total / np.maximum(total, 1e-9), 1 / centre.shape[1]
            )
        noise = self._chance.normal(0.0, spread, (len(scores), count, scores.shape[1]))
        noise -= noise.mean(axis=2, keepdims=True)
        tried = centre[:, None] + noise
        return centre, np.array([[self.form.settle(one) for one in several] for several in tried])

    def _labels(self, scores: np.ndarray, count: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
        shares /= shares.sum(axis=1, keepdims=True)
        bounds = shares.cumsum(axis=1)
        drawn = (self._chance.random((len(scores), count, 1)) > bounds[:, None, :-1]).sum(axis=2)
        return shares, np.eye(scores.shape[1])[drawn]


def _between(first: float, last: float, progress: float) -> float:
    return first * (last / first) ** progress


def _preferences(rewards: np.ndarray) -> np.ndarray:
    """Return how much each answer counts (p, a); they sum to 1, or to 0 for a prompt whose answers earned the same."""
    deviation = rewards.std(axis=1, keepdims=True)
    differ = deviation > 1e-9
    advantages = (rewards - rewards.mean(axis=1, keepdims=True)) / np.where(differ, deviation, 1.0)
    counted = np.exp(_GREED * advantages)
    return np.where(differ, counted / counted.sum(axis=1, keepdims=True), 0.0)
