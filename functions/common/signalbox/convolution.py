"""A small convolution over the words of a query, for labels: it knows words by their company, and their order.

Each of its filters looks at three words that follow each other, wherever they stand, and keeps its strongest
response; these peaks vote for the labels. What a word adds to a filter's response was computed when the
artefact was made, so that a convolution is no more than a look-up and two sums of small whole numbers.
"""

from typing import NamedTuple

import numpy as np

WIDTH = 3
"""How many words a filter looks at."""
_TAPS = np.arange(WIDTH)[:, None, None]
# A response and where it was found make one number: the response times 2**bits and, so that the first of equals is
# the largest, how far from the end. What a query of ordinary length responds then fits in two bytes (three taps of
# at most 128 are less than 2**9), which are quick to compare. Arrays without dimensions are, too.
_BITS = np.array(6, dtype=np.int16)
_LAST = np.array(2**6 - 1, dtype=np.int16)
_LONG_BITS = 16
_NOTHING = np.array(0, dtype=np.int16)


class Response(NamedTuple):
    """What the filters (f) made of some queries (m).

    Attributes
    ----------
    peaks : np.ndarray
        (m, f) int16, not negative: the strongest response of each.
    begins : np.ndarray
        (m, f): the window that it was found in.
    added : np.ndarray
        (3, w, f) int16: what the three words of each window added, times 2**6.
    windows : list[slice]
        The windows of each query.
    """

    peaks: np.ndarray
    begins: np.ndarray
    added: np.ndarray
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
        (f) int16, at most 2**14 in size: is added to each response; what is then negative is no response.
    votes : np.ndarray
        (f, k) int16: what a response of 1 adds to the score of each label, in units of the student's.

    Attributes
    ----------
    ends : np.ndarray
        (3, 2, f) int16: what the beginning and the end of a query add, times 2**6.
    """

    def __init__(self, words: np.ndarray, taps: np.ndarray, offset: np.ndarray, votes: np.ndarray) -> None:
        self._words = words
        self._hashes = np.append(words, np.uint32(0))  # the last place is that of whatever is unknown
        taps = np.insert(taps, len(words), 0, axis=0).transpose(1, 0, 2)
        self._taps = taps.astype(np.int16, order="C") << _BITS
        self.ends = self._taps[:, -2:]
        self._offset = offset
        self._votes = votes.astype(np.float64)
        # Taps are times 2**6.
        self._directions = np.ascontiguousarray(self._votes.T) / 2**6
        self._filters = np.arange(len(offset))
        self._places = np.repeat(np.arange(_LAST, -1, -1, dtype=np.int16)[:, None], len(offset), axis=1)

    def taps(self, hashes: np.ndarray) -> np.ndarray:
        """Return (3, n, f) int16 what words of these hashes (n) uint32 add, times 2**6."""
        places = self._words.searchsorted(hashes)
        np.copyto(places, len(self._words), where=self._hashes.take(places) != hashes)
        return self._taps.take(places, axis=1)

    def respond(self, taps: np.ndarray, rows: np.ndarray, windows: list[slice]) -> Response:
        """Return what the filters make of queries.

        Parameters
        ----------
        taps : np.ndarray
            (3, t, f) int16: what any of t words adds, times 2**6.
        rows : np.ndarray
            (r): which of these the words of all queries are, those of each between its beginning and its end.
        windows : list[slice]
            Where in `rows` the windows of each query begin, at least one.
        """
        count = len(rows) - WIDTH + 1
        added = np.empty((WIDTH, count, len(self._offset)), dtype=np.int16)
        for place in range(WIDTH):
            taps[place].take(rows[place : place + count], axis=0, out=added[place], mode="clip")
        responses = added[0] + added[1]
        responses += added[2]
        if count <= len(self._places):
            bits, last = _BITS, _LAST
            responses += self._places[:count]
        else:
            bits, last = _LONG_BITS, 2**_LONG_BITS - 1
            responses = responses.astype(np.int32)
            responses <<= _LONG_BITS - int(_BITS)
            responses += np.arange(last, last - count, -1, dtype=np.int32)[:, None]
        strongest = np.empty((len(windows), len(self._offset)), dtype=responses.dtype)
        for window, strongest_of_query in zip(windows, strongest, strict=True):
            np.maximum.reduce(responses[window], axis=0, out=strongest_of_query)
        peaks = (strongest >> bits).astype(np.int16, copy=False)
        peaks += self._offset
        np.maximum(peaks, _NOTHING, out=peaks)
        return Response(peaks, (last - (strongest & last)).astype(np.intp), added, windows)

    def votes(self, response: Response) -> np.ndarray:
        """Return (m, k) float64 the votes for each label, whole numbers."""
        return response.peaks.astype(np.float64) @ self._votes

    def credit(self, response: Response, directions: np.ndarray) -> list[np.ndarray]:
        """Return what each word of each query did for the direction (m, k) of whole numbers of that query.

        It is the sum of what the word added to the responses that were kept, times their votes.
        """
        peaks, begins, added, windows = response
        gains = directions @ self._directions
        np.copyto(gains, 0, where=peaks == _NOTHING)
        cells = begins * len(self._filters)
        cells += self._filters
        did = added.reshape(WIDTH, -1).take(cells, axis=1).astype(np.float64)
        did *= gains
        credit = np.bincount((begins + _TAPS).ravel(), did.ravel(), added.shape[1] + WIDTH - 1)
        return [credit[window.start + 1 : window.stop + 1] for window in windows]
