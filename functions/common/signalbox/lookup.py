"""What a student knows of queries: the sums over their features, with what it has met before remembered.

Features inside a word are the same whatever stands around it, so their sums are remembered for each word; only
features across words are looked up anew for each query.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from signalbox.artefact import Model
from signalbox.convolution import Convolution, Response
from signalbox.features import LONGEST, MOST_QUERIES, REACH, Features, join, spell

MOST_REMEMBERED = 4096
"""How many words are remembered; when there are more, all are forgotten. Up to a few kilobytes each."""
_WORDS_AT_ONCE = 64
_PLACES = np.arange(max(MOST_QUERIES, _WORDS_AT_ONCE))
_ONES = np.ones(LONGEST * (REACH + 1) // 2)
_SINGLE_ONES = _ONES.astype(np.float32)
_NO_TAPS = np.zeros(0, dtype=np.int16)


class _Word(NamedTuple):
    """What is remembered of a word; the features inside it are the same whatever stands around it.

    Attributes
    ----------
    tally : np.ndarray
        (s + k + 3) float64, whole numbers: the evidence of its features, their salience and their mass, and
        how many are unknown.
    joints : np.ndarray
        (5) uint64: see `features.Spelling`.
    taps : np.ndarray
        (3 * f) int16: see `convolution.Convolution`; there are none without a convolution.
    """

    tally: np.ndarray
    joints: np.ndarray
    taps: np.ndarray


class Heard(NamedTuple):
    """What some queries (m) say, as far as it is known.

    Attributes
    ----------
    totals : np.ndarray
        (m, s + k + 3): the sums of what `_Word.tally` holds over all the features of each query.
    tallies : np.ndarray
        (n, s + k + 3): those of each word.
    evidence : np.ndarray
        (r, s + k) float32: of each feature across words, in the order of the queries; 0 if it is unknown.
    first, last : np.ndarray
        (r): the words that each of these lies in, counted from 0 through all the queries.
    word_spans, feature_spans : list[slice]
        Which of the words, and of the features across words, belong to each query.
    responses : list[Response | None]
        What the convolution made of each query; None where there is nothing to it.
    """

    totals: np.ndarray
    tallies: np.ndarray
    evidence: np.ndarray
    first: np.ndarray
    last: np.ndarray
    word_spans: list[slice]
    feature_spans: list[slice]
    responses: list[Response | None]


class Lookup:
    """Looks features up in a model.

    Parameters
    ----------
    pairs : bool
        Whether pairs of words that are no neighbours are features.
    """

    def __init__(self, model: Model, *, pairs: bool) -> None:
        self.convolution = None
        if len(model.offset):
            self.convolution = Convolution(model.words, model.taps, model.offset, model.votes)
        self._model = model
        self._pairs = pairs
        self._memory: dict[str, _Word] = {}
        # The last row of each is for whatever is unknown.
        self._evidence = np.concatenate([model.evidence, np.zeros_like(model.evidence[:1])])
        self._ledger = np.zeros((len(model.hashes) + 1, 3))
        self._ledger[:-1, 0], self._ledger[:-1, 1], self._ledger[-1, 2] = model.salience, model.mass[:-1], 1

    def hear(self, words: list[list[str]]) -> Heard:
        """Look up and sum what the features of queries say, of which one has a word."""
        alone = len(words) == 1
        known = self._remembered([word for some in words for word in some])
        tallies = np.concatenate([word.tally for word in known]).reshape(len(known), -1)
        joints = np.concatenate([word.joints for word in known]).reshape(len(known), -1)
        counts = [len(some) for some in words]
        query_of = None if alone else np.repeat(_PLACES[: len(words)], counts)
        across = join(joints, query_of, pairs=self._pairs)
        if not alone:
            by_query = across.query.argsort(kind="stable")
            across = Features(*(part[by_query] for part in across))
        rows = self._rows(across.hashes)
        evidence = self._evidence.take(rows, axis=0).astype(np.float32)
        ledger = self._ledger.take(rows, axis=0)
        features = [len(rows)] if alone else np.bincount(across.query, minlength=len(words)).tolist()
        word_spans, feature_spans = _spans(counts), _spans(features)
        totals = np.empty((len(words), tallies.shape[1]))
        for total, inside, between in zip(totals, word_spans, feature_spans, strict=True):
            np.matmul(_ONES[: inside.stop - inside.start], tallies[inside], out=total)
            length = between.stop - between.start
            total[:-3] += _SINGLE_ONES[:length] @ evidence[between]
            total[-3:] += _ONES[:length] @ ledger[between]
        responses = [self._respond(known[span]) for span in word_spans]
        first, last = across.first, across.last
        return Heard(totals, tallies, evidence, first, last, word_spans, feature_spans, responses)

    def _rows(self, hashes: np.ndarray) -> np.ndarray:
        """Return where features are in the tables; whatever is unknown is last."""
        known = self._model.hashes
        places = np.searchsorted(known, hashes)
        return np.where(known.take(places, mode="clip") == hashes, places, len(known))

    def _remembered(self, words: list[str]) -> list[_Word]:
        """Return what is known of each word; of what is met for the first time, it is looked up."""
        memory = self._memory
        found = [memory.get(word) for word in words]
        if None in found:
            strange = list(
                dict.fromkeys(word for word, known in zip(words, found, strict=True) if known is None)
            )
            learned: dict[str, _Word] = {}
            for start in range(0, len(strange), _WORDS_AT_ONCE):
                some = strange[start : start + _WORDS_AT_ONCE]
                learned.update(zip(some, self._looked_up(some), strict=True))
            found = [known or learned[word] for word, known in zip(words, found, strict=True)]
            if len(memory) + len(learned) > MOST_REMEMBERED:
                memory.clear()
            memory.update(itertools.islice(learned.items(), MOST_REMEMBERED))
        return found

    def _looked_up(self, words: list[str]) -> Iterator[_Word]:
        """Look up and sum what the features inside words say, at most _WORDS_AT_ONCE."""
        spelling = spell(words)
        rows = self._rows(spelling.hashes)
        owners = (spelling.word == _PLACES[: len(words), None]).astype(np.float32)
        tallies = np.empty((len(words), self._evidence.shape[1] + 3))
        tallies[:, :-3] = owners @ self._evidence.take(rows, axis=0).astype(np.float32)
        tallies[:, -3:] = owners.astype(np.float64) @ self._ledger.take(rows, axis=0)
        taps: Iterable[np.ndarray] = itertools.repeat(_NO_TAPS)
        if self.convolution:
            taps = self.convolution.taps(spelling.hashes[-len(words) :])
        return map(_Word, tallies, spelling.joints, taps)

    def _respond(self, words: list[_Word]) -> Response | None:
        if self.convolution is None or not words:
            return None
        return self.convolution.respond([word.taps for word in words])


def _spans(counts: list[int]) -> list[slice]:
    """Return where each of some neighbours is, by how many elements it has."""
    spans, begin = [], 0
    for count in counts:
        spans.append(slice(begin, begin + count))
        begin += count
    return spans
