"""What a student knows of queries: the sums over their features, with what it has met before remembered.

Features inside a word are the same whatever stands around it, so their sums are remembered for each word; only
features across words are looked up anew for each query.
"""

import itertools
import threading
from typing import NamedTuple

import numpy as np

from signalbox.artefact import Model
from signalbox.convolution import WIDTH, Convolution, Response
from signalbox.features import LONGEST, MOST_QUERIES, REACH, Features, Spelling, join, spell

MOST_REMEMBERED = 4096
"""How many words are remembered; when there are more, all are forgotten. Up to a few kilobytes each."""
_BEGIN, _END = MOST_REMEMBERED, MOST_REMEMBERED + 1
"""The rows of the memory for the beginning and the end of a query."""
_PLACES = np.arange(MOST_QUERIES)
_ONES = np.ones(LONGEST * (REACH + 1) // 2)
_SINGLE_ONES = _ONES.astype(np.float32)


class _Memory:
    """What is remembered of words; the features inside one are the same whatever stands around it.

    Attributes
    ----------
    rows : dict[str, int]
        The row of each word in the tables below, of which only those of words that are here are to be read.
    tallies : np.ndarray
        (MOST_REMEMBERED, s + k + 3) float64, whole numbers: the evidence of its features, their salience and
        their mass, and how many are unknown.
    joints : np.ndarray
        (5, MOST_REMEMBERED) uint64: see `features.Spelling`.
    taps : np.ndarray
        (3, MOST_REMEMBERED + 2, f) int16: see `convolution.Convolution.taps`; the last two rows are those of the
        beginning and the end of a query. f is 0 without a convolution.
    """

    def __init__(self, columns: int, convolution: Convolution | None) -> None:
        self.rows: dict[str, int] = {}
        # The operating system gives memory to what is written to only.
        self.tallies = np.empty((MOST_REMEMBERED, columns))
        self.joints = np.empty((5, MOST_REMEMBERED), dtype=np.uint64)
        ends = convolution.ends if convolution else np.zeros((WIDTH, 2, 0), dtype=np.int16)
        self.taps = np.empty((WIDTH, MOST_REMEMBERED + 2, ends.shape[2]), dtype=np.int16)
        self.taps[:, _BEGIN:] = ends


class Heard(NamedTuple):
    """What some queries (m) say, as far as it is known.

    Attributes
    ----------
    totals : np.ndarray
        (m, s + k + 3): the sums of what `_Memory.tallies` holds over all the features of each query.
    tallies : np.ndarray
        (n, s + k + 3): those of each word.
    evidence : np.ndarray
        (r, s + k) float32: of each feature across words, in the order of the queries; 0 if it is unknown.
    first, last : np.ndarray
        (r): the words that each of these lies in, counted from 0 through all the queries.
    word_spans, feature_spans : list[slice]
        Which of the words, and of the features across words, belong to each query.
    response : Response | None
        What the convolution made of the queries; None where there is none.
    """

    totals: np.ndarray
    tallies: np.ndarray
    evidence: np.ndarray
    first: np.ndarray
    last: np.ndarray
    word_spans: list[slice]
    feature_spans: list[slice]
    response: Response | None


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
        # The last row of each is for whatever is unknown.
        self._evidence = np.concatenate([model.evidence, np.zeros_like(model.evidence[:1])])
        self._ledger = np.zeros((len(model.hashes) + 1, 3))
        self._ledger[:-1, 0], self._ledger[:-1, 1], self._ledger[-1, 2] = model.salience, model.mass[:-1], 1
        self._memory = _Memory(self._evidence.shape[1] + 3, self.convolution)
        self._learning = threading.Lock()

    def hear(self, words: list[list[str]]) -> Heard:
        """Look up and sum what the features of queries say.

        Each query has a word, and together they have at most MOST_REMEMBERED.
        """
        every = words[0] if len(words) == 1 else list(itertools.chain.from_iterable(words))
        memory = self._memory
        rows = list(map(memory.rows.get, every))
        if None not in rows:
            return self._heard(words, rows, memory, {})
        # What other threads read meanwhile stays as it is: rows are listed when they are written, and a memory
        # that is full is not cleared but replaced.
        with self._learning:
            memory, strange = self._room_for(every)
            rows = [strange[word] if word in strange else memory.rows[word] for word in every]
            heard = self._heard(words, rows, memory, strange)
            memory.rows.update(strange)
        return heard

    def _room_for(self, words: list[str]) -> tuple[_Memory, dict[str, int]]:
        """Return a memory with room for some words, and the rows meant for those of them that are not there."""
        memory, distinct = self._memory, dict.fromkeys(words)
        strange = [word for word in distinct if word not in memory.rows]
        if len(memory.rows) + len(strange) > MOST_REMEMBERED:
            memory = self._memory = _Memory(self._evidence.shape[1] + 3, self.convolution)
            strange = list(distinct)
        return memory, dict(zip(strange, itertools.count(len(memory.rows)), strict=False))

    def _heard(
        self, words: list[list[str]], rows: list[int], memory: _Memory, strange: dict[str, int]
    ) -> Heard:
        """Look up the features across words and, all at once, those inside words that are strange."""
        spelling = None
        if strange:
            spelling = spell(list(strange))
            begin = len(memory.rows)
            memory.joints[:, begin : begin + len(strange)] = spelling.joints
        alone = len(words) == 1
        counts = list(map(len, words))
        query_of = None if alone else _PLACES[: len(words)].repeat(counts)
        row_of = np.array(rows)
        across = join(memory.joints.take(row_of, axis=1), query_of, pairs=self._pairs)
        if query_of is not None:
            by_query = across.query.argsort(kind="stable")
            across = Features(*(part.take(by_query) for part in across))
        hashes = across.hashes if spelling is None else np.concatenate([across.hashes, spelling.hashes])
        places = self._places(hashes)
        evidence = self._evidence.take(places, axis=0).astype(np.float32)
        ledger = self._ledger.take(places, axis=0)
        if spelling is not None:
            features = len(across.hashes)
            self._remember(memory, spelling, evidence[features:], ledger[features:])
            evidence, ledger = evidence[:features], ledger[:features]
        tallies = memory.tallies.take(row_of, axis=0)
        features_of = [len(evidence)] if alone else np.bincount(across.query, minlength=len(words)).tolist()
        word_spans, feature_spans = _spans(counts), _spans(features_of)
        totals = np.empty((len(words), tallies.shape[1]))
        for total, inside, between in zip(totals, word_spans, feature_spans, strict=True):
            np.matmul(_ONES[: inside.stop - inside.start], tallies[inside], out=total)
            length = between.stop - between.start
            total[:-3] += _SINGLE_ONES[:length] @ evidence[between]
            total[-3:] += _ONES[:length] @ ledger[between]
        response = None
        if self.convolution:
            response = self._respond(self.convolution, memory, rows, word_spans)
        first, last = across.first, across.last
        return Heard(totals, tallies, evidence, first, last, word_spans, feature_spans, response)

    def _places(self, hashes: np.ndarray) -> np.ndarray:
        """Return where features are in the tables; whatever is unknown is last."""
        known = self._model.hashes
        places = known.searchsorted(hashes)
        np.copyto(places, len(known), where=known.take(places, mode="clip") != hashes)
        return places

    def _remember(
        self, memory: _Memory, spelling: Spelling, evidence: np.ndarray, ledger: np.ndarray
    ) -> None:
        """Sum what the features (f) inside words say, into the rows after those that are taken."""
        begin = len(memory.rows)
        new = slice(begin, begin + len(spelling.ends))
        starts = [0, *spelling.ends[:-1].tolist()]
        memory.tallies[new, :-3] = np.add.reduceat(evidence, starts, axis=0)
        memory.tallies[new, -3:] = np.add.reduceat(ledger, starts, axis=0)
        if self.convolution:
            memory.taps[:, new] = self.convolution.taps(spelling.hashes.take(spelling.ends - 1))

    def _respond(
        self, convolution: Convolution, memory: _Memory, rows: list[int], spans: list[slice]
    ) -> Response:
        framed = [row for span in spans for row in (_BEGIN, *rows[span], _END)]
        windows = [slice(span.start + 2 * place, span.stop + 2 * place) for place, span in enumerate(spans)]
        return convolution.respond(memory.taps, np.array(framed), windows)


def _spans(counts: list[int]) -> list[slice]:
    """Return where each of some neighbours is, by how many elements it has."""
    spans, begin = [], 0
    for count in counts:
        spans.append(slice(begin, begin + count))
        begin += count
    return spans
