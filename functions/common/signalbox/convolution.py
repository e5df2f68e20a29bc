"""A small convolution over the words of a query, for labels: it knows words by their company, and their order.

Each of its filters looks at three words that follow each other, wherever they stand, and keeps its strongest
response; these peaks vote for the labels. What a word adds to a filter's response was computed when the
artefact was made, so that a convolution is no more than a look-up and two sums of small whole numbers.
"""

from typing import NamedTuple

import numpy as np

WIDTH = 3
"""How many words a filter looks at."""
_TAPS = np.arange(WIDTH)[:, None]
# A response and where it was found make one number, the response times 2**bits and, so that the first of equals is
# the largest, how far from the end: what a query of ordinary length responds then fits in two bytes (three taps
# of at most 128 are less than 2**9), which are quick to compare.
_SHORT_BITS, _LONG_BITS = 6, 16
_SHORT = np.arange(2**_SHORT_BITS - 1, -1, -1, dtype=np.int16)[:, None]


class Response(NamedTuple):
    """What the filters (f) made of some queries (m).

    Attributes
    ----------
    peaks : np.ndarray
        (m, f) float64, whole numbers, not negative: the strongest response of each.
    begins : np.ndarray
        (m, f): the row of the frame with the first of the words that it was found at.
    frame : np.ndarray
        (r, 3 * f) int16: what was looked at.
    windows : list[slice]
        Where in the frame the windows of each query begin.
    """

    peaks: np.ndarray
    begins: np.ndarray
    frame: np.ndarray
    windows: list[slice]


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

    Attributes
    ----------
    ends : np.ndarray
        (2, 3 * f) int8: the taps of the beginning and the end of a query.
    """

    def __init__(self, words: np.ndarray, taps: np.ndarray, offset: np.ndarray, votes: np.ndarray) -> None:
        self._words = words
        self._taps = taps.reshape(len(taps), -1)
        self.ends = self._taps[-2:]
        self._offset = offset.astype(np.float64)
        self._votes = votes.astype(np.float64)
        self._short = np.repeat(_SHORT, len(offset), axis=1)
        self._directions = np.ascontiguousarray(self._votes.T)
        filters = len(offset)
        # Where the taps of three words that follow each other are, from where those of the first one begin.
        self._cells = _TAPS * (WIDTH + 1) * filters + np.arange(filters)

    def taps(self, hashes: np.ndarray) -> np.ndarray:
        """Return (n, 3 * f) int8 what words of these hashes (n) uint32 add."""
        places = self._words.searchsorted(hashes)
        known = self._words.take(places, mode="clip") == hashes
        return self._taps.take(places, axis=0) * known[:, None]

    def respond(self, frame: np.ndarray, windows: list[slice]) -> Response:
        """Return what the filters make of queries.

        Parameters
        ----------
        frame : np.ndarray
            (r, 3 * f) int16: the taps of the words of all queries, of each between those of its two ends.
        windows : list[slice]
            Where in the frame the windows of each query begin, at least one.
        """
        filters = len(self._offset)
        responses = frame[:-2, :filters] + frame[1:-1, filters : 2 * filters]
        responses += frame[2:, 2 * filters :]
        bits, rows = _SHORT_BITS, len(responses)
        if rows <= len(_SHORT):
            responses <<= bits
            responses += self._short[:rows]
        else:
            bits = _LONG_BITS
            responses = responses.astype(np.int32)
            responses <<= bits
            responses += np.arange(2**bits - 1, 2**bits - 1 - rows, -1, dtype=np.int32)[:, None]
        strongest = np.empty((len(windows), filters), dtype=responses.dtype)
        for window, strongest_of_query in zip(windows, strongest, strict=True):
            np.maximum.reduce(responses[window], axis=0, out=strongest_of_query)
        last = 2**bits - 1
        peaks = (strongest >> bits) + self._offset
        np.maximum(peaks, 0, out=peaks)
        return Response(peaks, (last - (strongest & last)).astype(np.intp), frame, windows)

    def votes(self, response: Response) -> np.ndarray:
        """Return (m, k) float64 the votes for each label, whole numbers."""
        return response.peaks @ self._votes

    def credit(self, response: Response, directions: np.ndarray) -> list[np.ndarray]:
        """Return what each word of each query did for the direction (m, k) of whole numbers of that query.

        It is the sum of what the word added to the responses that were kept, times their votes.
        """
        peaks, begins, frame, windows = response
        gains = directions @ self._directions
        np.copyto(gains, 0, where=peaks == 0)
        rows, width = frame.shape
        first = begins[:, None]
        added = frame.ravel().take(first * width + self._cells).astype(np.float64)
        added *= gains[:, None]
        credit = np.bincount((first + _TAPS).ravel(), added.ravel(), rows)
        return [credit[window.start + 1 : window.stop + 1] for window in windows]
