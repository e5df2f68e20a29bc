"""A small convolution over the words of a query, for labels: it knows words by their company, and their order.

Each of its filters looks at three words that follow each other, wherever they stand, and keeps its strongest
response; these peaks vote for the labels. What a word adds to a filter's response was computed when the
artefact was made, so that a convolution is no more than a look-up and two sums of small whole numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WIDTH = 3
"""How many words a filter looks at."""
_TAPS = np.arange(WIDTH)[:, None]


class Response(NamedTuple):
    """What the filters (f) made of a query.

    Attributes
    ----------
    peaks : np.ndarray
        (f) float64, whole numbers, not negative: the strongest response of each.
    begins : np.ndarray
        (f): the place of the first of the words that it was found at; one further than in the query, as
        the beginning of a query counts as a word.
    frame : np.ndarray
        (words + 2, 3 * f) int16: what was looked at.
    """

    peaks: np.ndarray
    begins: np.ndarray
    frame: np.ndarray


class Convolution:
    """The filters (f) of a student.

    Parameters
    ----------
    words : np.ndarray
        (v) uint32, ascending: the hashes of the words that it knows.
    taps : np.ndarray
        (v + 2, 3, f) int8: what each word, and then the beginning and the end of a query, adds to the
        response of each filter as the first, second or third that it looks at. Whatever is unknown adds 0.
    offset : np.ndarray
        (f) int16: is added to each response; what is then negative is no response.
    votes : np.ndarray
        (f, k) int16: what a response of 1 adds to the score of each label, in units of the student's.
    """

    def __init__(self, words: np.ndarray, taps: np.ndarray, offset: np.ndarray, votes: np.ndarray) -> None:
        self._words = words
        self._taps = taps.reshape(len(taps), -1)
        self._begin, self._end = self._taps[-2:].astype(np.int16)
        self._offset = offset.astype(np.float64)
        self._votes = votes.astype(np.float64)
        filters = len(offset)
        # Where the taps of three words that follow each other are, from where those of the first one begin.
        self._cells = _TAPS * (WIDTH + 1) * filters + np.arange(filters)

    def taps(self, hashes: np.ndarray) -> np.ndarray:
        """Return (n, 3 * f) int16 what words of these hashes (n) uint32 add."""
        places = np.searchsorted(self._words, hashes)
        known = self._words.take(places, mode="clip") == hashes
        return self._taps.take(places, axis=0).astype(np.int16) * known[:, None]

    def respond(self, taps: Sequence[np.ndarray]) -> Response:
        """Return what the filters make of a query whose words add `taps`, (3 * f) each."""
        frame = np.concatenate([self._begin, *taps, self._end]).reshape(len(taps) + 2, -1)
        filters = len(self._offset)
        responses = frame[:-2, :filters] + frame[1:-1, filters : 2 * filters]
        responses += frame[2:, 2 * filters :]
        peaks = responses.max(axis=0) + self._offset
        np.maximum(peaks, 0, out=peaks)
        return Response(peaks, responses.argmax(axis=0), frame)

    def votes(self, response: Response) -> np.ndarray:
        """Return (k) float64 the votes for each label, whole numbers."""
        return response.peaks @ self._votes

    def credit(self, response: Response, direction: np.ndarray) -> np.ndarray:
        """Return (words) what each did for a direction (k) of whole numbers: the sum of what it added to the
        responses that were kept, times their votes."""
        gains = self._votes @ direction
        gains *= np.sign(response.peaks)
        words, width = response.frame.shape
        added = response.frame.ravel().take(response.begins * width + self._cells) * gains
        return np.bincount((response.begins + _TAPS).ravel(), added.ravel(), words)[1:-1]
