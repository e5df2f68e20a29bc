"""The embedded student: answers a query inside the router's process, with NumPy alone.

The student knows the answers that its training data gave: weight vectors (such as 0.2, 0.1, 0.5, 0.2) or
labels. Each feature of a query holds one signed byte of evidence for each of them. The sum of the evidence
makes a probability for every known answer, and the student gives the answer that costs least in expectation.
Where weight vectors hardly ever repeat, it gives the weights of a regression on the same features instead.

Whatever is summed is a whole number, so that every machine, and every size of a batch, comes to the same sum;
what is left is done one element at a time, by operations that IEEE 754 defines to the last bit.
A small convolution has a voice in which label it is.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from signalbox import artefact
from signalbox.answer import Answer
from signalbox.artefact import COST_UNITS, Model
from signalbox.artefact import StudentError as StudentError  # what reading one raises
from signalbox.features import MOST_QUERIES, words_of
from signalbox.lookup import MOST_REMEMBERED, Heard, Lookup
from signalbox.query import normalise

PAIRED = {"weights": False, "labels": True}
"""Whether pairs of words far apart are features: a label often hangs on a few words of a long query."""
_MOST_REASONS = 3
# A word that moved the answer less than this share of what the first one did is not worth naming.
_LEAST_REASON = 0.25
# Odds for each step of 1/256 in a score below the best one, as whole numbers, none of them 0: exponentials
# differ in their last bit from machine to machine.
_STEPS_PER_NAT = 256
_ODDS = np.rint(np.exp(np.arange(0, -16 * _STEPS_PER_NAT, -1) / _STEPS_PER_NAT) * 2**24)
_BEST_ODDS = float(_ODDS[0])
_SUPPORT_UNITS = 2**15
_PLACES = np.arange(MOST_QUERIES)


class _Decision(NamedTuple):
    """An answer whose reasons are not yet known."""

    weights: dict[str, float] | None = None
    label: str | None = None
    confidence: float | None = None


class Opinion(NamedTuple):
    """An answer, and how much the query is like the training data: from 0, unlike it, to 1."""

    answer: Answer
    familiarity: float


@dataclass(frozen=True)
class Student:
    """Answers the queries of one task.

    Attributes
    ----------
    task, run_id : str
        What it was trained for, and in which run.
    kind : str
        "weights" or "labels".
    names : tuple[str, ...]
        The task's signals or labels.
    """

    task: str
    run_id: str
    kind: str
    names: tuple[str, ...]
    model: Model = field(repr=False)

    @cached_property
    def prior(self) -> Answer:
        """The mean of the training labels: what to answer when nothing is known of a query."""
        if self.kind == "weights":
            weights = self.model.prior / self.model.prior.sum(dtype=np.float64)
            return Answer(weights=self._named(weights), reasoning="the mean of the training data")
        best = int(self.model.prior.argmax())
        share = float(self.model.prior[best])
        return Answer(
            label=self.names[best], confidence=share, reasoning="the most frequent in the training data"
        )

    def answer(self, query: str) -> Answer:
        """Answer one query; any text, even an empty one, has an answer."""
        return self.opinion(query).answer

    def answers(self, queries: Sequence[str]) -> list[Answer]:
        """Answer many queries in one pass, each as if it were alone."""
        return [opinion.answer for opinion in self.opinions(queries)]

    def familiarity(self, query: str) -> float:
        """Return the share of queries like the training data that would look at least as strange as this one.

        A threshold of 0.02 thus passes over 2 % of ordinary queries, and nearly all that are strange.
        """
        return self.opinion(query).familiarity

    def opinion(self, query: str) -> Opinion:
        """Return the answer together with the familiarity, which is made of the same sums."""
        return self._pass([query])[0]

    def opinions(self, queries: Sequence[str]) -> list[Opinion]:
        """Return answer and familiarity of many queries, each as if it were alone."""
        starts = range(0, len(queries), MOST_QUERIES)
        return [opinion for start in starts for opinion in self._pass(queries[start : start + MOST_QUERIES])]

    def _pass(self, queries: Sequence[str]) -> list[Opinion]:
        """Answer up to MOST_QUERIES queries."""
        model = self.model
        opinions = [Opinion(self.prior, 0.0)] * len(queries)
        asked = [
            (place, words) for place, query in enumerate(queries) if (words := words_of(normalise(query)))
        ]
        if not asked:
            return opinions
        if sum(len(words) for _, words in asked) > MOST_REMEMBERED:
            half = len(queries) // 2
            return self._pass(queries[:half]) + self._pass(queries[half:])
        heard = self._lookup.hear([words for _, words in asked])
        columns = len(model.scale)
        lengths = np.sqrt(np.maximum(heard.totals[:, columns, None], 1))
        scores = heard.totals[:, :columns] * (model.scale / lengths) + model.bias
        if heard.response:
            scores += self._lookup.convolution.votes(heard.response) * model.vote_scale
        decisions, directions = self._weights(scores) if self.kind == "weights" else self._labels(scores)
        merits = self._merits(heard, directions, lengths)
        known = heard.totals[:, columns:].tolist()
        for (place, words), decision, (salience, mass, unknown), merit in zip(
            asked, decisions, known, merits, strict=True
        ):
            if salience:
                answer = Answer(*decision, _sentence(decision, _reasons(words, merit)))
                share = mass / (mass + unknown * self._unknown_mass)
                familiarity = bisect.bisect_right(self._shares, share) / len(self._shares)
                opinions[place] = Opinion(answer, familiarity)
        return opinions

    def _merits(self, heard: Heard, directions: np.ndarray, lengths: np.ndarray) -> list[list[float]]:
        """Return what each word of each query did for the answer, (m, s + k) directions among the scores."""
        rounded = np.rint(directions * self._support_units)
        columns = rounded.shape[1]
        # A feature across words counts half for each of two, hence one inside a word twice.
        merits = np.empty(len(heard.tallies))
        moved = np.empty(len(heard.evidence), dtype=np.float32)
        singles = rounded.astype(np.float32)
        for row, single, words, features in zip(
            rounded, singles, heard.word_spans, heard.feature_spans, strict=True
        ):
            np.matmul(heard.tallies[words, :columns], row, out=merits[words])
            np.matmul(heard.evidence[features], single, out=moved[features])
        merits *= 2
        merits += np.bincount(heard.first, moved, len(merits))
        merits += np.bincount(heard.last, moved, len(merits))
        if heard.response:
            credit = self._lookup.convolution.credit(heard.response, np.rint(directions * self._vote_units))
            worths = (lengths * self._vote_worth).ravel().tolist()
            for words, did, worth in zip(heard.word_spans, credit, worths, strict=True):
                merits[words] += did * worth
        listed = merits.tolist()
        return [listed[span] for span in heard.word_spans]

    def _weights(self, scores: np.ndarray) -> tuple[list[_Decision], np.ndarray]:
        """Return decisions (m), and which scores (m, s + k) speak for the weight of their dominant signal."""
        model, signals = self.model, len(self.names)
        regression, likelihood = scores[:, :signals], scores[:, signals:]
        directions = np.zeros(scores.shape)
        if not len(model.patterns):
            weights = np.array([_on_simplex(row) for row in regression])
            directions[_PLACES[: len(scores)], weights.argmax(axis=1)] = 1
            return [_Decision(self._named(row)) for row in weights], directions
        odds = _odds(likelihood, np.maximum.reduce(likelihood, axis=1))
        costs, gaps, patterns = self._decision
        expected = odds @ costs
        expected /= np.add.reduce(odds, axis=1, keepdims=True) * COST_UNITS
        distances = patterns - regression.T[:, :, None]
        expected += np.add.reduce(np.abs(distances, out=distances), axis=0) * float(model.pull[0])
        best = expected.argmin(axis=1)
        odds *= gaps.take(best, axis=0)
        directions[:, signals:] = _contrasts(odds, np.add.reduce(odds, axis=1), _flat(best, odds))
        return [_Decision(dict(self._weights_known[place])) for place in best.tolist()], directions

    def _labels(self, scores: np.ndarray) -> tuple[list[_Decision], np.ndarray]:
        """Return decisions (m), and which scores (m, k) speak for their label."""
        best = scores.argmax(axis=1)
        at = _flat(best, scores)
        odds = _odds(scores, scores.take(at))
        total = np.add.reduce(odds, axis=1)
        odds.put(at, 0)
        decisions = [
            _Decision(None, self.names[label], share)
            for label, share in zip(best.tolist(), (_BEST_ODDS / total).tolist(), strict=True)
        ]
        return decisions, _contrasts(odds, total - _BEST_ODDS, at)

    @cached_property
    def _decision(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a decision between patterns needs, laid out for it: costs (k, k), gaps (k, k), patterns (s, 1, k).

        Costs have a column for each answer. A gap says by how much the column's pattern has less of the row's
        dominant signal. Both are whole numbers so small that float64 holds their products with odds, and the
        sums of these, exactly.
        """
        patterns = np.ascontiguousarray(self.model.patterns.T)
        dominant = patterns[self.model.patterns.argmax(axis=1)]
        gaps = np.rint(np.maximum(dominant.diagonal()[:, None] - dominant, 0) * COST_UNITS)
        return np.ascontiguousarray(self.model.cost.T, dtype=np.float64), gaps, patterns[:, None, :]

    @cached_property
    def _weights_known(self) -> list[dict[str, float]]:
        return [self._named(pattern) for pattern in self.model.patterns]

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self.model, pairs=PAIRED[self.kind])

    @cached_property
    def _vote_units(self) -> np.ndarray:
        """The scale (k) of the votes in units in which a direction can be rounded."""
        return self.model.vote_scale * (_SUPPORT_UNITS / self.model.vote_scale.max())

    @cached_property
    def _vote_worth(self) -> float:
        """What a credit of the convolution is worth in the units of merits, for each unit of the length."""
        return float(2 * self.model.vote_scale.max() / self.model.scale.max())

    @cached_property
    def _support_units(self) -> np.ndarray:
        """The scale (s + k) in units in which a direction can be rounded.

        A direction's elements have a sum of 2, signs aside, so that the sums with bytes stay below 2**24, the
        whole numbers that float32 holds.
        """
        return self.model.scale * (_SUPPORT_UNITS / self.model.scale.max())

    @cached_property
    def _unknown_mass(self) -> int:
        return int(self.model.mass[-1])

    @cached_property
    def _shares(self) -> list[float]:
        return self.model.shares.tolist()

    def _named(self, weights: np.ndarray) -> dict[str, float]:
        return dict(zip(self.names, weights.tolist(), strict=True))

    def to_bytes(self) -> bytes:
        """Write the artefact."""
        identity = {"task": self.task, "run_id": self.run_id, "output": {self.kind: list(self.names)}}
        return artefact.write(identity, self.model)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Student":
        """Read an artefact.

        Raises
        ------
        StudentError
            The bytes are not a student's, are damaged, or of a format that this version does not read.
        """
        header, model = artefact.read(data)
        ((kind, names),) = header["output"].items()
        return cls(task=header["task"], run_id=header["run_id"], kind=kind, names=tuple(names), model=model)


def _odds(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return how likely each score (m, k) is against the best of its row (m), as whole numbers."""
    below = best[:, None] - scores
    below *= _STEPS_PER_NAT
    return _ODDS.take(below.astype(np.intp), mode="clip")


def _contrasts(rivals: np.ndarray, total: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return directions (m, k) from each answer's rivals, the likeliest above all, to the answer itself.

    Each rival counts as much as its odds and what it would change: whole numbers with a sum of `total`, 0 for
    what is no rival. Odds are never 0, so that there are rivals even where the answer is as good as certain.
    The answers are `at` (m) places, counted through all rows.
    """
    directions = rivals / -np.maximum(total, 1)[:, None]
    directions.put(at, np.minimum(total, 1))
    return directions


def _flat(columns: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return where in a contiguous table (m, k) one column (m) of each row is, counted through all rows."""
    return columns + _PLACES[: len(columns)] * table.shape[1]


def _on_simplex(weights: np.ndarray) -> np.ndarray:
    """Return what is nearest to a regression's weights among those in [0, 1] that sum to 1."""
    weights = weights.astype(np.float64)
    descending = np.sort(weights)[::-1]
    excess = (np.cumsum(descending) - 1) / np.arange(1, len(weights) + 1)
    return np.maximum(weights - excess[np.flatnonzero(descending > excess)[-1]], 0)


def _reasons(words: list[str], by_word: list[float]) -> list[str]:
    """Return the words, neighbours as one phrase, that did most for the answer, the strongest first.

    Parameters
    ----------
    words, by_word : list[str], list[float]
        The words of the query, and what the features of each did for the answer.
    """
    strongest = max(by_word)
    if strongest <= 0:
        return []
    ranked = sorted(range(len(words)), key=by_word.__getitem__, reverse=True)[:_MOST_REASONS]
    chosen = sorted(word for word in ranked if by_word[word] >= _LEAST_REASON * strongest)
    phrases: list[list[int]] = []
    for word in chosen:
        if phrases and phrases[-1][-1] == word - 1:
            phrases[-1].append(word)
        else:
            phrases.append([word])
    phrases.sort(key=lambda phrase: -max(by_word[word] for word in phrase))
    return [" ".join(words[word] for word in phrase) for phrase in phrases]


def _sentence(decision: _Decision, reasons: list[str]) -> str:
    subject = (
        decision.label
        if decision.weights is None
        else max(decision.weights, key=decision.weights.__getitem__)
    )
    if not reasons:
        return f"{subject}, although no word of the query speaks for it"
    return f"{subject} because of " + ", ".join(f"'{reason}'" for reason in reasons)
