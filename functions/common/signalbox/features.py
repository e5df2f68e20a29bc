"""What the embedded student sees of a query: hashed substrings, the same in training and in the router.

Every feature is a substring of the padded query: each run of 2 to 5 characters inside a word (with the spaces
at its ends), each word and each pair of words. With one polynomial prefix hash, the hash of any substring
costs a subtraction and a multiplication, so that NumPy makes all features of a query in a few vector
operations instead of a Python loop over substrings. Several queries are one long text to it. The student of
labels also sees pairs of words that are not neighbours, made of the hashes of both.
"""

from typing import NamedTuple

import numpy as np

CHARACTERS = range(2, 6)
WORDS = range(1, 3)
REACH = 12
"""How far apart the words of such a pair may be."""
# NFKC can lengthen a query of 512 characters; what comes later says nothing more about where to search.
LONGEST = 1024
MOST_QUERIES = 32
"""How many queries one pass takes; the tables below are as long as all of them together can be."""

_SPACE = ord(" ")
_BASE = 0x9E3779B97F4A7C15  # odd, hence invertible modulo 2**64
_FINALISER = np.uint64(0xD6E8FEB86659FD93)
_WORD_SALT = np.uint64(0x5851F42D4C957F2D)
_FIRST_SALT = np.uint64(0x2545F4914F6CDD1D)
_HALF = np.uint64(32)


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base % 2**64, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


_MOST_CHARACTERS = MOST_QUERIES * (LONGEST + 1) + 1
_POWERS = _powers(_BASE, _MOST_CHARACTERS + CHARACTERS[-1])
_INVERSES = _powers(pow(_BASE, -1, 2**64), len(_POWERS) + 1)

# Where the runs of characters begin, and where they end but for their last two characters.
_BEGINS = np.repeat(np.arange(_MOST_CHARACTERS), len(CHARACTERS))
_INNER_ENDS = _BEGINS + np.tile(CHARACTERS, _MOST_CHARACTERS) - 2
# The words of each pair.
_PAIR_FIRSTS = np.repeat(np.arange(_MOST_CHARACTERS // 2), REACH)
_PAIR_LASTS = _PAIR_FIRSTS + np.tile(np.arange(1, REACH + 1), _MOST_CHARACTERS // 2)


class Features(NamedTuple):
    """The features of some queries.

    Attributes
    ----------
    hashes : np.ndarray
        uint32, one for each occurrence; equal substrings have equal hashes, whatever stands around them.
    query : np.ndarray
        The place of the query that each occurrence is in, counted from 0.
    first, last : np.ndarray
        The first and the last word that each occurrence lies in, counted from 0 through all the queries.
    """

    hashes: np.ndarray
    query: np.ndarray
    first: np.ndarray
    last: np.ndarray


def words_of(query: str) -> list[str]:
    """Return the words of a normalised query that its features are made of."""
    return query[:LONGEST].split()


def extract(*queries: str, pairs: bool = False) -> Features:
    """Return the features of up to MOST_QUERIES normalised queries (words separated by single spaces).

    With `pairs`, any two words, in their order, at most REACH apart, are a feature, too.
    An empty query has none. Those of a query are in the same order, whatever other queries there are.
    """
    words = [words_of(query) for query in queries]
    # Neighbours share the space between them; a pair of words across it is dropped below.
    text = " ".join([" ".join(some) for some in words if some])
    if not text:
        nothing = np.zeros(0, dtype=np.intp)
        return Features(nothing.astype(np.uint32), nothing, nothing, nothing)
    # The further spaces at the end are where runs end that would reach beyond the text.
    padded = f" {text} " + " " * CHARACTERS[-1]
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint32(1)) * _POWERS[: len(codes)], out=prefix[1:])
    is_space = codes == _SPACE
    spaces = np.flatnonzero(is_space)[: -CHARACTERS[-1]]
    query_of = np.repeat(np.arange(len(queries)), [len(some) for some in words])

    # Number of the word that each character lies in; the space before a word belongs to it.
    word_of = np.cumsum(is_space) - 1
    runs = (len(text) + 1) * len(CHARACTERS)
    # A run may begin or end with a space, and so reach from one space to the next, but hold none inside.
    inside = np.flatnonzero(word_of[_BEGINS[:runs]] == word_of[_INNER_ENDS[:runs]])
    begins, ends = _BEGINS[inside], _INNER_ENDS[inside] + 2
    hashes = [(prefix[ends] - prefix[begins]) * _INVERSES[begins]]
    first = [word_of[begins]]
    last = [first[0]]
    for size in WORDS:
        starts = len(query_of) - size + 1
        if starts < 1:
            break
        begins, ends = spaces[:starts], spaces[size:] + 1
        phrases = (prefix[ends] - prefix[begins]) * _INVERSES[begins] + _WORD_SALT
        words_from = np.arange(starts)
        if len(queries) > 1:
            within = query_of[:starts] == query_of[size - 1 :]
            phrases, words_from = phrases[within], words_from[within]
        hashes.append(phrases)
        first.append(words_from)
        last.append(words_from + (size - 1))
    if pairs:
        inside = np.flatnonzero(_PAIR_LASTS[: len(query_of) * REACH] < len(query_of))
        words_from, words_to = _PAIR_FIRSTS[inside], _PAIR_LASTS[inside]
        if len(queries) > 1:
            within = query_of[words_from] == query_of[words_to]
            words_from, words_to = words_from[within], words_to[within]
        hashes.append(hashes[1][words_from] * _FIRST_SALT + hashes[1][words_to])
        first.append(words_from)
        last.append(words_to)
    word = np.concatenate(first)
    return Features(_mixed(np.concatenate(hashes)), query_of[word], word, np.concatenate(last))


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread 64 bits, of which a polynomial hash mixes the low ones badly, over 32."""
    hashes ^= hashes >> _HALF
    hashes *= _FINALISER
    return (hashes >> _HALF).astype(np.uint32)
