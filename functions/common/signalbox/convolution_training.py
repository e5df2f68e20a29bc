"""Training of the convolution (see `convolution`): from labelled queries to its filters.

Each word has a vector. Before it is trained, it says in whose company the word occurs, so that words that are
used alike, of which most are rare, are alike from the start. Then vectors, filters and votes are trained
together by stochastic gradient descent (Adam, Kingma & Ba 2015). Rare words are often left unknown while it
learns, as most words of a new query that matter little are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.special

from signalbox.convolution import WIDTH
from signalbox.features import word_hashes, words_of

_DIMENSIONS = 64
_FILTERS = 128
_MEMBERS = 2
_FEWEST_QUERIES = 2
_MOST_WORDS = 2000
# Word vectors: how far their company reaches, how much less frequent company counts, the power of the singular
# values, the standard deviation of what comes out.
_COMPANY = 2
_FREQUENCY_POWER = 0.75
_STRENGTH_POWER = 0.5
_SPREAD = 0.3
_ROUNDS = 6
# Gradient descent.
_BATCH = 64
_EPOCHS = 30
_STEPS = (300, 2500)
_RATE = 0.003
_WARM_UP = 50
_MOMENTS = (0.9, 0.999)
_DROPOUT = 0.3


@dataclass(frozen=True)
class Fitted:
    """Filters (f) that were learned, for k labels.

    Attributes
    ----------
    words : np.ndarray
        (v) uint32, ascending: the hashes of the words known.
    taps : np.ndarray
        (1 + v + 2, 3, f): what the unknown word, each known one, the beginning and the end of a query add.
    offset, votes, bias : np.ndarray
        (f), (f, k) and (k).
    """

    words: np.ndarray
    taps: np.ndarray
    offset: np.ndarray
    votes: np.ndarray
    bias: np.ndarray

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """Return (r, k) the scores of normalised queries; a query without words has none but the bias."""
        peaks = np.zeros((len(queries), len(self.offset)))
        for row, query in enumerate(queries):
            places = _places(self.words, word_hashes(words_of(query)))
            if len(places) > WIDTH - 1:
                response = sum(
                    self.taps[places[at : len(places) - WIDTH + 1 + at], at] for at in range(WIDTH)
                )
                peaks[row] = np.maximum(response.max(axis=0) + self.offset, 0)
        return peaks @ self.votes + self.bias

    def whole_numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return taps, offset and votes as `convolution.Convolution` has them, and the unit (k) of the votes.

        What a word adds is counted from what an unknown one does, so that the latter adds nothing.
        """
        taps = self.taps[1:] - self.taps[0]
        unit = np.maximum(np.abs(taps).max(axis=(0, 1)), 1e-9) / 127
        offset = np.clip(np.rint((self.offset + self.taps[0].sum(axis=0)) / unit), -(2**14), 2**14)
        votes = self.votes * unit[:, None]
        scale = np.maximum(np.abs(votes).max(axis=0), 1e-9) / (2**15 - 1)
        return (
            np.rint(taps / unit).astype(np.int8),
            offset.astype(np.int16),
            np.rint(votes / scale).astype(np.int16),
            scale.astype(np.float64),
        )


def fit(queries: Sequence[str], shares: np.ndarray, counts: np.ndarray) -> Fitted:
    """Train on distinct normalised queries (r), with the share (r, k) of each label and the records of each (r).

    The scores are the mean of what several networks say that begin and go on by other random numbers.
    """
    hashes = [word_hashes(words_of(query)) for query in queries]
    words, spread = _vocabulary(hashes)
    sequences = [_places(words, some) for some in hashes]
    records = np.repeat(np.arange(len(queries)), counts.astype(int))
    records = records[[len(sequences[row]) >= WIDTH for row in records]]
    # An unknown word, the known ones, and both ends of a query.
    forgotten = np.concatenate([[0.0], 1 / (1 + spread), [0.0, 0.0]])
    members = []
    for seed in range(_MEMBERS):
        random = np.random.default_rng(seed)
        vectors = _word_vectors(sequences, shares, len(forgotten), random)
        network = _Network(vectors, shares.shape[1], random)
        _teach(network, sequences, shares, records, forgotten, random)
        members.append(network)
    taps = [
        np.stack([network.vectors @ filters for filters in network.filters], axis=1) for network in members
    ]
    return Fitted(
        words,
        np.concatenate(taps, axis=2),
        np.concatenate([network.offset for network in members]),
        np.concatenate([network.votes for network in members]) / _MEMBERS,
        np.mean([network.bias for network in members], axis=0),
    )


def _teach(
    network: "_Network",
    sequences: Sequence[np.ndarray],
    shares: np.ndarray,
    records: np.ndarray,
    forgotten: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Show a network all records again and again, each word left unknown as often as `forgotten` says."""
    steps = min(max(_EPOCHS * len(records) // _BATCH, _STEPS[0]), _STEPS[1]) if len(records) else 0
    order = np.zeros(0, dtype=int)
    for step in range(steps):
        if not len(order):
            order = random.permutation(records)
        batch, order = order[:_BATCH], order[_BATCH:]
        rate = _RATE * min(1, (step + 1) / _WARM_UP) * (1 - step / steps)
        places = np.concatenate([sequences[row] for row in batch])
        places[random.random(len(places)) < forgotten[places]] = 0
        lengths = np.array([len(sequences[row]) for row in batch])
        network.learn(places, lengths, shares[batch], rate)


def _vocabulary(hashes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes (v) of the words that more than one query has, ascending, and how many have them."""
    words, spread = np.unique(np.concatenate([np.unique(some) for some in hashes]), return_counts=True)
    fewest = _FEWEST_QUERIES
    if len(words) > _MOST_WORDS:
        fewest = max(fewest, int(np.sort(spread)[-_MOST_WORDS]))
    return words[spread >= fewest], spread[spread >= fewest]


def _places(words: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the rows of a query's words, given by their hashes, between those of its beginning and its end."""
    before, after = words.searchsorted(hashes), words.searchsorted(hashes, side="right")
    known = np.where(after > before, after, 0)
    return np.concatenate([[len(words) + 1], known, [len(words) + 2]])


def _word_vectors(
    sequences: Sequence[np.ndarray], shares: np.ndarray, rows: int, random: np.random.Generator
) -> np.ndarray:
    """Return (rows, d) float32 vectors that are alike for words in like company.

    They are the left singular vectors, found by subspace iteration, of the positive pointwise mutual
    information (Levy & Goldberg 2014) between a word and its neighbours at each distance, and between it and
    the labels of its queries.
    """
    met = scipy.sparse.hstack([_company(sequences, rows), _labelled(sequences, shares, rows)]).tocoo()
    often = met.sum(axis=0) ** _FREQUENCY_POWER
    expected = met.sum(axis=1)[met.coords[0]] * (often / max(often.sum(), 1))[met.coords[1]]
    told = scipy.sparse.csr_array((np.maximum(np.log(met.data / expected), 0), met.coords), shape=met.shape)
    basis = random.normal(size=(rows, min(rows, _DIMENSIONS)))
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(told @ (told.T @ basis))[0]
    left, strength, _ = np.linalg.svd((told.T @ basis).T, full_matrices=False)
    vectors = np.zeros((rows, _DIMENSIONS), dtype=np.float32)
    vectors[:, : len(strength)] = basis @ left * strength**_STRENGTH_POWER
    return vectors * (_SPREAD / max(vectors.std(), 1e-9))


def _company(sequences: Sequence[np.ndarray], rows: int) -> scipy.sparse.csr_array:
    """Count (rows, 2 * _COMPANY * rows) how often words stand at each distance before and after each other."""
    distances = [
        np.concatenate([np.stack([words[:-far], words[far:]]) for words in sequences], axis=1)
        for far in range(1, _COMPANY + 1)
    ]
    pairs = [pair for earlier, later in distances for pair in ((earlier, later), (later, earlier))]
    counts = [scipy.sparse.csr_array((np.ones(len(pair[0])), pair), shape=(rows, rows)) for pair in pairs]
    return scipy.sparse.hstack(counts)


def _labelled(sequences: Sequence[np.ndarray], shares: np.ndarray, rows: int) -> scipy.sparse.csr_array:
    """Count (rows, k) how often words stand in queries of each label."""
    owners = np.repeat(np.arange(len(sequences)), [len(words) for words in sequences])
    at = np.concatenate(sequences), owners
    has = scipy.sparse.csr_array((np.ones(len(owners)), at), shape=(rows, len(sequences)))
    return scipy.sparse.csr_array(has @ shares)


class _Network:
    """The convolution while it is trained.

    Parameters
    ----------
    vectors : np.ndarray
        (v, d) float32: the word vectors to begin with.
    labels : int
        k, how many labels there are.
    """

    def __init__(self, vectors: np.ndarray, labels: int, random: np.random.Generator) -> None:
        self._random = random
        self.vectors = vectors
        self.filters = self._uniform((WIDTH, vectors.shape[1], _FILTERS), WIDTH * vectors.shape[1])
        self.offset = np.zeros(_FILTERS, dtype=np.float32)
        self.votes = self._uniform((_FILTERS, labels), _FILTERS)
        self.bias = np.zeros(labels, dtype=np.float32)
        parameters = (self.vectors, self.filters, self.offset, self.votes, self.bias)
        self._moments = [(each, np.zeros_like(each), np.zeros_like(each)) for each in parameters]
        self._step = 0

    def _uniform(self, shape: tuple[int, ...], inputs: int) -> np.ndarray:
        bound = 1 / math.sqrt(inputs)
        return self._random.uniform(-bound, bound, shape).astype(np.float32)

    def learn(self, places: np.ndarray, lengths: np.ndarray, shares: np.ndarray, rate: float) -> None:
        """Take one step against the cross-entropy of some queries (b).

        Parameters
        ----------
        places, lengths : np.ndarray
            The rows of their words, one query after the other, and how many each has, its ends included.
        shares : np.ndarray
            (b, k): the share of each label.
        """
        rows, place = np.unique(places, return_inverse=True)
        vectors = self.vectors[rows]
        begins, query = _windows(lengths)
        response = sum((vectors @ self.filters[at]).take(place[begins + at], axis=0) for at in range(WIDTH))
        peaks = np.maximum.reduceat(response, np.flatnonzero(np.diff(query, prepend=-1)), axis=0)
        window, filter_ = np.nonzero(response == peaks[query])
        peaks += self.offset
        kept = (peaks > 0) * (self._random.random(peaks.shape, dtype=np.float32) >= _DROPOUT)
        kept = kept * np.float32(1 / (1 - _DROPOUT))
        heard = peaks * kept
        error = scipy.special.softmax(heard @ self.votes + self.bias, axis=1) - shares
        error /= np.float32(len(lengths))
        slope = (error @ self.votes.T) * kept
        slopes = self.vectors * 0, self.filters * 0, slope.sum(axis=0), heard.T @ error, error.sum(axis=0)
        found = slope[query[window], filter_]
        for at in range(WIDTH):
            cell = place[begins[window] + at] * _FILTERS + filter_
            by_tap = np.bincount(cell, found, len(rows) * _FILTERS).reshape(-1, _FILTERS).astype(np.float32)
            slopes[0][rows] += by_tap @ self.filters[at].T
            slopes[1][at] = vectors.T @ by_tap
        self._descend(slopes, rate)

    def _descend(self, slopes: Sequence[np.ndarray], rate: float) -> None:
        """Let Adam follow the slopes."""
        self._step += 1
        first, second = _MOMENTS
        rate *= math.sqrt(1 - second**self._step) / (1 - first**self._step)
        for slope, (parameters, mean, square) in zip(slopes, self._moments, strict=True):
            mean *= first
            mean += (1 - first) * slope
            square *= second
            square += (1 - second) * slope**2
            parameters -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


def _windows(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where windows of WIDTH words begin that lie inside a query, and the query of each."""
    query = np.repeat(np.arange(len(lengths)), lengths - WIDTH + 1)
    begins = np.arange(len(query)) + (WIDTH - 1) * query
    return begins, query
