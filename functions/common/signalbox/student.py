"""The embedded student: answers a query inside the router's process, with NumPy alone.

The student knows the answers that its training data gave: weight vectors (such as 0.2, 0.1, 0.5, 0.2) or
labels. Each feature of a query holds one signed byte of evidence for each of them. The sum of the evidence
makes a probability for every known answer, and the student gives the answer that costs least in expectation.
Where weight vectors hardly ever repeat, it gives the weights of a regression on the same features instead.

Evidence is summed in integers, so that every machine comes to the same sum.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np

from signalbox.answer import Answer
from signalbox.features import extract
from signalbox.query import normalise

FORMAT = 1
_MAGIC = b"signalbox student\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_MOST_REASONS = 3
# A word that moved the answer less than this share of what the first one did is not worth naming.
_LEAST_REASON = 0.25


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
    rarity : np.ndarray
        (n + 1) float32: inverse document frequency; the last is that of whatever is unknown.
    evidence : np.ndarray
        (n, s + k) int8, in units of `scale`, (s + k) float32; `bias`, (s + k) float32, is added to the sum.
    patterns : np.ndarray
        (k, s) float64: the weight vectors known.
    cost : np.ndarray
        (k, k) float32: what it costs to answer the row where the column is right; (0, 0) for labels.
    pull : np.ndarray
        (1) float32: the cost of a pattern for each unit of its distance from the regression.
    prior : np.ndarray
        (s or k) float32: mean of the training labels.
    shares : np.ndarray
        (q) float32, ascending: quantiles of the known share of queries that are like the training data.
    """

    hashes: np.ndarray
    rarity: np.ndarray
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

    @property
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
        """Answer many queries."""
        return [self.answer(query) for query in queries]

    def familiarity(self, query: str) -> float:
        """Return the share of queries like the training data that would look at least as strange as this one.

        A threshold of 0.02 thus passes over 2 % of ordinary queries, and nearly all that are strange.
        """
        return self.opinion(query).familiarity

    def opinion(self, query: str) -> Opinion:
        """Return the answer together with the familiarity, which is made of the same sums."""
        model = self.model
        text = normalise(query)
        found = extract(text)
        places = np.searchsorted(model.hashes, found.hashes)
        np.minimum(places, len(model.hashes) - 1, out=places)
        known = model.hashes[places] == found.hashes
        rows = places[known]
        if not len(rows):
            return Opinion(self.prior, 0.0)
        rarity = model.rarity[rows]
        mass = float(rarity @ rarity)
        total = mass + (len(places) - len(rows)) * float(model.rarity[-1]) ** 2
        familiarity = int(model.shares.searchsorted(mass / total, side="right")) / len(model.shares)

        evidence = model.evidence.take(rows, axis=0)
        unit = model.scale / np.float32(math.sqrt(mass))
        scores = evidence.sum(axis=0, dtype=np.int32).astype(np.float32) * unit + model.bias
        answer, direction = self._weights(scores) if self.kind == "weights" else self._label(scores)
        support = evidence @ (direction * unit)
        reasons = _reasons(text.split(), support, found.first[known], found.last[known])
        return Opinion(replace(answer, reasoning=_sentence(answer, reasons)), familiarity)

    def _weights(self, scores: np.ndarray) -> tuple[Answer, np.ndarray]:
        """Return the answer, and which scores speak for the weight of its dominant signal (s + k)."""
        model, signals = self.model, len(self.names)
        regression = scores[:signals]
        direction = np.zeros_like(scores)
        if not len(model.patterns):
            weights = _on_simplex(regression)
            direction[weights.argmax()] = 1
            return Answer(weights=self._named(weights)), direction
        costs = model.cost @ _softmax(scores[signals:])
        costs += np.abs(model.patterns - regression) @ np.full(signals, model.pull[0])
        best = int(costs.argmin())
        weights = model.patterns[best]
        dominant = model.patterns[:, weights.argmax()]
        direction[signals:] = _contrast(scores[signals:], best, np.maximum(dominant[best] - dominant, 0))
        return Answer(weights=self._named(weights)), direction

    def _label(self, scores: np.ndarray) -> tuple[Answer, np.ndarray]:
        """Return the answer, and which scores speak for its label (k)."""
        probability = _softmax(scores)
        best = int(probability.argmax())
        others = np.ones_like(scores)
        others[best] = 0
        answer = Answer(label=self.names[best], confidence=float(probability[best]))
        return answer, _contrast(scores, best, others)

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


def _softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max())
    return odds / odds.sum()


def _contrast(scores: np.ndarray, best: int, gaps: np.ndarray) -> np.ndarray:
    """Return the direction (k) from an answer's rivals, the likeliest above all, to the answer itself.

    The softmax among rivals alone tells them apart even where the answer is as good as certain. Each counts
    as much as what it would change (`gaps`, 0 for what is no rival).
    """
    rivals = np.where(gaps > 0, scores, -np.inf)
    strongest = rivals.max()
    if strongest == -np.inf:
        return np.zeros_like(scores)
    odds = np.exp(rivals - strongest)
    direction = odds * (gaps / -odds.sum())
    direction[best] = -direction.sum()
    return direction


def _on_simplex(weights: np.ndarray) -> np.ndarray:
    """Return what is nearest to a regression's weights among those in [0, 1] that sum to 1."""
    weights = weights.astype(np.float64)
    descending = np.sort(weights)[::-1]
    excess = (np.cumsum(descending) - 1) / np.arange(1, len(weights) + 1)
    return np.maximum(weights - excess[np.flatnonzero(descending > excess)[-1]], 0)


def _reasons(words: list[str], support: np.ndarray, first: np.ndarray, last: np.ndarray) -> list[str]:
    """Return the words, neighbours as one phrase, that did most for the answer, the strongest first.

    Parameters
    ----------
    words : list[str]
        The words of the query.
    support, first, last : np.ndarray
        What each known feature did for the answer, and the first and last word that it lies in; a pair of
        words counts half for each of them.
    """
    by_word = np.bincount(first, support, len(words)) + np.bincount(last, support, len(words))
    strongest = float(by_word.max())
    if strongest <= 0:
        return []
    ranked = np.argsort(-by_word, kind="stable")[:_MOST_REASONS].tolist()
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
