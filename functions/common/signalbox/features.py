"""What the embedded student sees of a query: hashed substrings, the same in training and in the router.

Every feature is a substring of the padded query: each run of 2 to 5 characters inside a word (with the spaces
at its ends), each word and each pair of words. With one polynomial prefix hash, the hash of any substring
costs a subtraction and a multiplication, so that NumPy makes all features of a query in a few vector
operations instead of a Python loop over substrings.
"""

from typing import NamedTuple

import numpy as np

CHARACTERS = range(2, 6)
WORDS = range(1, 3)
# NFKC can lengthen a query of 512 characters; what comes later says nothing more about where to search.
LONGEST = 1024

_SPACE = ord(" ")
_BASE = 0x9E3779B97F4A7C15  # odd, hence invertible modulo 2**64
_FINALISER = np.uint64(0xD6E8FEB86659FD93)
_WORD_SALT = np.uint64(0x5851F42D4C957F2D)
_HALF = np.uint64(32)


def _powers(base: int, count: int) -> np.ndarray:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % 2**64)
    return np.array(powers, dtype=np.uint64)


_POWERS = _powers(_BASE, LONGEST + 2)
_INVERSES = _powers(pow(_BASE, -1, 2**64), LONGEST + 3)


class Features(NamedTuple):
    """The features of one query.

    Attributes
    ----------
    hashes : np.ndarray
        uint32, one for each occurrence; equal substrings have equal hashes.
    first, last : np.ndarray
        The first and the last word that each occurrence lies in, counted from 0.
    """

    hashes: np.ndarray
    first: np.ndarray
    last: np.ndarray


def extract(query: str) -> Features:
    """Return the features of a normalised query (words separated by single spaces); none if it is empty."""
    codes = np.frombuffer(f" {query[:LONGEST]} ".encode("utf-32-le", "surrogatepass"), dtype="<u4")
    length = len(codes)
    prefix = np.zeros(length + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint32(1)) * _POWERS[:length], out=prefix[1:])
    spaces = np.flatnonzero(codes == _SPACE)
    words = len(spaces) - 1
    if length <= 2:
        nothing = np.zeros(0, dtype=np.intp)
        return Features(nothing.astype(np.uint32), nothing, nothing)

    # Number of the word that each character lies in; the space before a word belongs to it.
    word_of = np.cumsum(codes == _SPACE) - 1
    hashes, first, inside = [], [], []
    for size in CHARACTERS:
        starts = length - size + 1
        if starts < 1:
            break
        hashes.append((prefix[size:] - prefix[:starts]) * _INVERSES[:starts])
        first.append(word_of[:starts])
        # A run may begin or end with a space, and so reach from one space to the next, but hold none inside.
        inside.append(word_of[:starts] == word_of[size - 2 : length - 1])
    kept = np.concatenate(inside)
    hashes, first = [np.concatenate(hashes)[kept]], [np.concatenate(first)[kept]]
    last = [first[0]]
    for size in WORDS:
        if size > words:
            break
        begins, ends = spaces[: words - size + 1], spaces[size:] + 1
        hashes.append((prefix[ends] - prefix[begins]) * _INVERSES[begins] + _WORD_SALT)
        first.append(np.arange(words - size + 1))
        last.append(first[-1] + (size - 1))
    return Features(_mixed(np.concatenate(hashes)), np.concatenate(first), np.concatenate(last))


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread 64 bits, of which a polynomial hash mixes the low ones badly, over 32."""
    hashes ^= hashes >> _HALF
    hashes *= _FINALISER
    return (hashes >> _HALF).astype(np.uint32)
