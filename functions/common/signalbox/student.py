"""The embedded student: answers a query inside the router's process, with NumPy alone.

The student knows the answers that its training data gave: weight vectors (such as 0.2, 0.1, 0.5, 0.2) or
labels. Each feature of a query holds one signed byte of evidence for each of them. The sum of the evidence
makes a probability for every known answer, and the student gives the answer that costs least in expectation.
Where weight vectors hardly ever repeat, it gives the weights of a regression on the same features instead.

Whatever is summed is a whole number, so that every machine, and every size of a batch, comes to the same sum;
what is left is done one element at a time, by operations that IEEE 754 defines to the last bit.
"""

import bisect
import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from signalbox.answer import Answer
from signalbox.features import CHARACTERS, LONGEST, MOST_QUERIES, REACH, WORDS, extract, words_of
from signalbox.query import normalise

FORMAT = 2
MASS_UNITS = 2**16
COST_UNITS = 2**12
PAIRED = {"weights": False, "labels": True}
"""Whether pairs of words far apart are features: a label often hangs on a few words of a long query."""
_MAGIC = b"signalbox student\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_MOST_REASONS = 3
# A word that moved the answer less than this share of what the first one did is not worth naming.
_LEAST_REASON = 0.25
# Odds for each step of 1/256 in a score below the best one, as whole numbers, none of them 0: exponentials
# differ in their last bit from machine to machine.
_STEPS_PER_NAT = 256
_ODDS = np.rint(np.exp(np.arange(0, -16 * _STEPS_PER_NAT, -1) / _STEPS_PER_NAT) * 2**24)
_SUPPORT_UNITS = 2**15
_PLACES = np.arange(MOST_QUERIES)
_ONES = np.ones(LONGEST * (len(CHARACTERS) + len(WORDS) + REACH), dtype=np.float32)


class StudentError(ValueError):
    """An artefact is damaged, or is no student that this version can use."""


@dataclass(frozen=True)
class Model:
    """The arrays that training found and the artefact stores.

    There are n features, k known answers and s signals (s is 0 for labels). Columns are the s weights of the
    regression, then the k answers.

    Attributes
    ----------
    hashes : np.ndarray
        (n) uint32, ascending: the features that are known.
    mass : np.ndarray
        (n + 1) int32: squared inverse document frequency in units of 1/MASS_UNITS; the last is that of
        whatever is unknown.
    salience : np.ndarray
        (n) int32, in the same units, not 0: the squared length that a feature adds to its query's.
    evidence : np.ndarray
        (n, s + k) int8, in units of `scale`, (s + k) float64, over the query's length; `bias`,
        (s + k) float64, is added to the sum.
    patterns : np.ndarray
        (k, s) float64: the weight vectors known.
    cost : np.ndarray
        (k, k) int16: what it costs to answer the row where the column is right, in units of 1/COST_UNITS;
        (0, 0) for labels.
    pull : np.ndarray
        (1) float32: the cost of a pattern for each unit of its distance from the regression.
    prior : np.ndarray
        (s or k) float32: mean of the training labels.
    shares : np.ndarray
        (q) float32, ascending: quantiles of the known share of queries that are like the training data.
    """

    hashes: np.ndarray
    mass: np.ndarray
    salience: np.ndarray
    evidence: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    patterns: np.ndarray
    cost: np.ndarray
    pull: np.ndarray
    prior: np.ndarray
    shares: np.ndarray


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
        texts = [normalise(query) for query in queries]
        found = extract(*texts, pairs=PAIRED[self.kind])
        places = np.searchsorted(model.hashes, found.hashes)
        known = np.flatnonzero(model.hashes.take(places, mode="clip") == found.hashes)
        if len(queries) > 1:
            known = known[found.query[known].argsort(kind="stable")]
        rows = places[known]
        occurrences = np.bincount(found.query, minlength=len(queries)).tolist()
        features = np.bincount(found.query[known], minlength=len(queries)).tolist()
        answered = [place for place, count in enumerate(features) if count]
        opinions = [Opinion(self.prior, 0.0)] * len(queries)
        if not answered:
            return opinions
        ends = list(itertools.accumulate(features))
        bounds = [(ends[place] - features[place], ends[place]) for place in answered]
        masses, saliences = model.mass[rows], model.salience[rows]
        mass = [int(masses[begin:end].sum(dtype=np.int64)) for begin, end in bounds]
        length = [math.sqrt(saliences[begin:end].sum(dtype=np.int64)) for begin, end in bounds]

        evidence = model.evidence.take(rows, axis=0).astype(np.float32)
        sums = np.array([_ONES[: end - begin] @ evidence[begin:end] for begin, end in bounds])
        scores = sums * (model.scale / np.array(length)[:, None]) + model.bias
        answers, directions = self._weights(scores) if self.kind == "weights" else self._labels(scores)

        directions = np.rint(directions * self._support_units).astype(np.float32)
        moved = np.concatenate(
            [evidence[begin:end] @ row for (begin, end), row in zip(bounds, directions, strict=True)]
        )
        words = [words_of(text) for text in texts]
        # A pair of words counts half for each of them.
        first_word = [0, *itertools.accumulate(map(len, words))]
        by_word = np.bincount(found.first[known], moved, first_word[-1])
        by_word = (by_word + np.bincount(found.last[known], moved, first_word[-1])).tolist()
        for place, answer, heard in zip(answered, answers, mass, strict=True):
            reasons = _reasons(words[place], by_word[first_word[place] : first_word[place + 1]])
            said = Answer(answer.weights, answer.label, answer.confidence, _sentence(answer, reasons))
            unheard = (occurrences[place] - features[place]) * self._unknown_mass
            familiarity = bisect.bisect_right(self._shares, heard / (heard + unheard)) / len(self._shares)
            opinions[place] = Opinion(said, familiarity)
        return opinions

    def _weights(self, scores: np.ndarray) -> tuple[list[Answer], np.ndarray]:
        """Return answers (m), and which scores (m, s + k) speak for the weight of their dominant signal."""
        model, signals = self.model, len(self.names)
        regression, likelihood = scores[:, :signals], scores[:, signals:]
        directions = np.zeros_like(scores)
        if not len(model.patterns):
            weights = np.array([_on_simplex(row) for row in regression])
            directions[_PLACES[: len(scores)], weights.argmax(axis=1)] = 1
            return [Answer(weights=self._named(row)) for row in weights], directions
        odds = _odds(likelihood)
        costs, gaps, patterns = self._decision
        expected = odds @ costs / (odds.sum(axis=1, keepdims=True) * COST_UNITS)
        distances = np.abs(patterns - regression.T[:, :, None]).sum(axis=0)
        best = (expected + distances * float(model.pull[0])).argmin(axis=1)
        directions[:, signals:] = _contrasts(odds, best, gaps[best])
        return [Answer(weights=self._named(row)) for row in model.patterns[best]], directions

    def _labels(self, scores: np.ndarray) -> tuple[list[Answer], np.ndarray]:
        """Return answers (m), and which scores (m, k) speak for their label."""
        best = scores.argmax(axis=1)
        odds = _odds(scores)
        confidence = odds.max(axis=1) / odds.sum(axis=1)
        odds[_PLACES[: len(best)], best] = 0
        answers = [
            Answer(label=self.names[label], confidence=share)
            for label, share in zip(best.tolist(), confidence.tolist(), strict=True)
        ]
        return answers, _contrasts(odds, best, np.float64(1))

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
        """Write the artefact: a magic line, a SHA-256 of all that follows, a header of JSON, the arrays."""
        arrays = {name.name: getattr(self.model, name.name) for name in fields(Model)}
        header = {
            "format": FORMAT,
            "task": self.task,
            "run_id": self.run_id,
            "output": {self.kind: list(self.names)},
            "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
        }
        parts = [json.dumps(header, ensure_ascii=False).encode(), b"\n"]
        parts += [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
        body = b"".join(parts)
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes) -> "Student":
        """Read an artefact.

        Raises
        ------
        StudentError
            The bytes are not a student's, are damaged, or of a format that this version does not read.
        """
        if not data.startswith(_MAGIC):
            raise StudentError("this is not a student's artefact: it does not begin as one")
        digest, body = data[len(_MAGIC) :][:_DIGEST_BYTES], data[len(_MAGIC) + _DIGEST_BYTES :]
        if hashlib.sha256(body).digest() != digest:
            raise StudentError(
                f"the student's artefact is damaged: its checksum is wrong ({len(data)} bytes)"
            )
        line, _, payload = body.partition(b"\n")
        header = json.loads(line)
        if header["format"] != FORMAT:
            raise StudentError(
                f"the student's artefact has format {header['format']}, this version reads {FORMAT}: "
                "train it again"
            )
        ((kind, names),) = header["output"].items()
        model = Model(**_arrays(header["arrays"], payload))
        return cls(task=header["task"], run_id=header["run_id"], kind=kind, names=tuple(names), model=model)


def _arrays(manifest: list[Any], payload: bytes) -> dict[str, np.ndarray]:
    arrays, offset = {}, 0
    for name, kind, shape in manifest:
        count = math.prod(shape)
        arrays[name] = np.frombuffer(payload, dtype=kind, count=count, offset=offset).reshape(shape)
        offset += arrays[name].nbytes
    return arrays


def _odds(scores: np.ndarray) -> np.ndarray:
    """Return how likely each score (m, k) is against the best of its row, as whole numbers."""
    below = (scores.max(axis=1, keepdims=True) - scores) * _STEPS_PER_NAT
    return _ODDS.take(below.astype(np.int32), mode="clip")


def _contrasts(odds: np.ndarray, best: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return directions (m, k) from each answer's rivals, the likeliest above all, to the answer itself.

    Each rival counts as much as what it would change (`gaps`, whole numbers, 0 for what is no rival). Odds are
    never 0, so that there are rivals even where the answer is as good as certain.
    """
    directions = odds * gaps
    total = directions.sum(axis=1)
    directions /= -np.maximum(total, 1)[:, None]
    directions[_PLACES[: len(best)], best] = np.minimum(total, 1)
    return directions


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


def _sentence(answer: Answer, reasons: list[str]) -> str:
    subject = answer.label if answer.weights is None else max(answer.weights, key=answer.weights.__getitem__)
    if not reasons:
        return f"{subject}, although no word of the query speaks for it"
    return f"{subject} because of " + ", ".join(f"'{reason}'" for reason in reasons)
