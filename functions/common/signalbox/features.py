"""What the embedded student sees of a query: hashed substrings, the same in training and in the router.

A feature is a substring of the padded query: each run of 2 to 5 characters inside a word (with the spaces at
its ends), each word and each pair of neighbours. The student of labels also sees pairs of words that are no
neighbours. With one polynomial prefix hash, the hash of any substring costs a subtraction and a
multiplication, so that NumPy makes all features of some words in a few vector operations instead of a Python
loop over substrings.

What lies inside a word does not depend on its neighbours (`spell`), and what lies across words is made of
three numbers that each word has (`join`): so whoever remembers a word need not spell it again.
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

CHARACTERS = range(2, 6)
REACH = 12
"""How far apart the words of such a pair may be."""
# NFKC can lengthen a query of 512 characters; what comes later says nothing more about where to search.
LONGEST = 1024
MOST_QUERIES = 32
"""How many queries one pass takes; the powers below are as many as all of them together can need."""
_USUAL_WORDS = 64
"""Up to how many words the places of features across them are remembered."""

_SPACE = ord(" ")
_BASE = 0x9E3779B97F4A7C15  # odd, hence invertible modulo 2**64
# Arrays without dimensions, which NumPy takes quicker than numbers.
_FINALISER = np.array(0xD6E8FEB86659FD93, dtype=np.uint64)
_WORD_SALT = np.array(0x5851F42D4C957F2D, dtype=np.uint64)
_FIRST_SALT = np.array(0x2545F4914F6CDD1D, dtype=np.uint64)
_HALF = np.array(32, dtype=np.uint64)
_ONE = np.array(1, dtype=np.uint32)
_NOWHERE = np.zeros((2, 0), dtype=np.intp)


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base % 2**64, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


_MOST_CHARACTERS = MOST_QUERIES * (LONGEST + 1) + 1
_POWERS = _powers(_BASE, _MOST_CHARACTERS + CHARACTERS[-1])
_INVERSES = _powers(pow(_BASE, -1, 2**64), len(_POWERS) + 1)

# How many features are inside a word, by its length with the space before it.
_INSIDE = [
    1 + runs for runs in itertools.accumulate(min(left, len(CHARACTERS)) for left in range(LONGEST + 2))
]


class Spelling(NamedTuple):
    """The features inside some words (n).

    Attributes
    ----------
    hashes : np.ndarray
        (f) uint32, one for each occurrence; equal substrings have equal hashes, whatever stands around them.
        Those of the first word come first; the last of each is the word itself.
    ends : np.ndarray
        (n): where those of each word end.
    joints : np.ndarray
        (5, n) uint64: what `join` needs of each word: the hash of a space and it, salted; the factor by which these
        move the hash of what follows; the hash of it between two spaces; what it adds to the hash of a pair
        as the first word, and as the last.
    """

    hashes: np.ndarray
    ends: np.ndarray
    joints: np.ndarray


class Features(NamedTuple):
    """The features of some queries.

    Attributes
    ----------
    hashes : np.ndarray
        (f) uint32, one for each occurrence; equal substrings have equal hashes, whatever stands around them.
    query : np.ndarray
        (f): the place of the query that each occurrence is in, counted from 0.
    first, last : np.ndarray
        (f): the first and the last word that each occurrence lies in, counted from 0 through all the queries.
    """

    hashes: np.ndarray
    query: np.ndarray
    first: np.ndarray
    last: np.ndarray


def words_of(query: str) -> list[str]:
    """Return the words of a normalised query that its features are made of."""
    return query[:LONGEST].split()


def word_hashes(words: Sequence[str]) -> np.ndarray:
    """Return (n) uint32 the hash of each word of one query."""
    spelling = spell(words)
    return spelling.hashes[spelling.ends - 1]


def extract(*queries: str, pairs: bool = False) -> Features:
    """Return all features of up to MOST_QUERIES normalised queries.

    With `pairs`, any two words, in their order, at most REACH apart, are a feature, too.
    An empty query has none. Those of a query are in the same order, whatever other queries there are.
    """
    words = [words_of(query) for query in queries]
    query_of = np.repeat(np.arange(len(queries)), [len(some) for some in words])
    inside = spell([word for some in words for word in some])
    word = np.repeat(np.arange(len(query_of)), np.diff(inside.ends, prepend=0))
    across = join(inside.joints, query_of, pairs=pairs)
    return Features(
        np.concatenate([inside.hashes, across.hashes]),
        np.concatenate([query_of[word], across.query]),
        np.concatenate([word, across.first]),
        np.concatenate([word, across.last]),
    )


def spell(words: Sequence[str]) -> Spelling:
    """Return the features inside words, which are together no longer than MOST_QUERIES queries can be."""
    text = f" {' '.join(words)} "
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    prefix = np.empty(len(codes) + 1, dtype=np.uint64)
    prefix[0] = 0
    np.add.accumulate((codes + _ONE) * _POWERS[: len(codes)], out=prefix[1:])

    # A word begins with the space before it, which is the end of the one before.
    lengths = [len(word) + 1 for word in words]
    borders = np.array([0, *itertools.accumulate(lengths)])
    begins_of_words, ends_of_words = borders[:-1], borders[1:]
    sizes = np.array(list(map(_INSIDE.__getitem__, lengths)), dtype=np.intp)
    places = np.concatenate([_NOWHERE, *map(_runs, lengths)], axis=1)
    places += begins_of_words.repeat(sizes)
    begins, ends = places
    hashes = prefix.take(ends)
    hashes -= prefix.take(begins)
    hashes *= _INVERSES.take(begins)
    ends_of_hashes = sizes.cumsum()
    words_among_hashes = ends_of_hashes - 1

    joints = np.empty((5, len(words)), dtype=np.uint64)
    heads, factors, wholes, as_first, as_last = joints
    np.subtract(prefix.take(ends_of_words), prefix.take(begins_of_words), out=heads)
    heads *= _INVERSES.take(begins_of_words)
    heads += _WORD_SALT
    _POWERS.take(lengths, out=factors, mode="clip")
    hashes.take(words_among_hashes, out=wholes, mode="clip")
    np.add(wholes, _WORD_SALT, out=as_last)
    np.multiply(as_last, _FIRST_SALT, out=as_first)
    hashes.put(words_among_hashes, as_last)
    return Spelling(_mixed(hashes), ends_of_hashes, joints)


@lru_cache(maxsize=LONGEST + 1)
def _runs(length: int) -> np.ndarray:
    """Return (2, r + 1) where the runs of characters in a word begin and end, and the word with both its spaces.

    The length is that of the word and the space before it. A run may begin or end with a space, and so reach from
    one space to the next.
    """
    begins, sizes = np.indices((length, len(CHARACTERS))).reshape(2, -1)
    places = np.array([begins, begins + CHARACTERS[0] + sizes])
    return np.append(places[:, places[1] <= length + 1], [[0], [length + 1]], axis=1)


def join(joints: np.ndarray, query_of: np.ndarray | None, *, pairs: bool) -> Features:
    """Return the features across words: those of neighbours and, with `pairs`, of words at most REACH apart.

    Parameters
    ----------
    joints : np.ndarray
        (5, n) uint64: see `Spelling`, of the words of all queries in their order.
    query_of : np.ndarray | None
        (n): the query that each word is in, counted from 0; None if all are in one.
    """
    words = joints.shape[1]
    heads, factors, wholes, as_first, as_last = joints
    first, last, query = (_across if words <= _USUAL_WORDS else _across.__wrapped__)(words, pairs)
    neighbours = max(words - 1, 0)
    hashes = np.empty(len(first), dtype=np.uint64)
    near, far = hashes[:neighbours], hashes[neighbours:]
    np.multiply(factors[:-1], wholes[1:], out=near)
    near += heads[:-1]
    if pairs:
        np.add(as_first.take(first[neighbours:]), as_last.take(last[neighbours:]), out=far)
    hashes = _mixed(hashes)
    if query_of is None:
        return Features(hashes, query, first, last)
    within = np.flatnonzero(query_of[first] == query_of[last])
    first = first[within]
    return Features(hashes[within], query_of[first], first, last[within])


@lru_cache(maxsize=2 * _USUAL_WORDS)
def _across(words: int, pairs: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first and the last word of each feature across the words of a query, and zeros for the query."""
    places = np.arange(words)
    first, last = places[:-1], places[1:]
    if pairs:
        # Ordered by the last word: the pairs of the first n words come before all others.
        earlier = np.minimum(places, REACH)
        pairs_before = np.cumsum(earlier) - earlier
        pair_lasts = places.repeat(earlier)
        pair_firsts = np.arange(len(pair_lasts)) + (places - earlier - pairs_before).repeat(earlier)
        first, last = np.concatenate([first, pair_firsts]), np.concatenate([last, pair_lasts])
    return first, last, np.zeros_like(first)


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread 64 bits, of which a polynomial hash mixes the low ones badly, over 32."""
    hashes ^= hashes >> _HALF
    hashes *= _FINALISER
    return (hashes >> _HALF).astype(np.uint32)
