"""Hashed features are what a plain loop over substrings would find."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features import CHARACTERS, LONGEST, REACH, extract, join, spell, word_hashes
from signalbox.query import normalise


def substrings(query: str, pairs: bool) -> Counter[tuple[str, ...]]:
    """Count the features of a query the slow and obvious way."""
    words = query.split(" ") if query else []
    counted: Counter[tuple[str, ...]] = Counter()
    for word in words:
        padded = f" {word} "
        counted.update(
            (padded[start : start + size],) for size in CHARACTERS for start in range(len(padded) - size + 1)
        )
    counted.update(
        ("words", *words[start : start + size]) for size in (1, 2) for start in range(len(words) - size + 1)
    )
    if pairs:
        counted.update(
            ("pair", word, other) for i, word in enumerate(words) for other in words[i + 1 : i + 1 + REACH]
        )
    return counted


@given(query=st.text(max_size=60).map(normalise), pairs=st.booleans())
def test_features_are_the_substrings_within_words_the_runs_of_words_and_the_pairs(query, pairs) -> None:
    hashed = Counter(extract(query, pairs=pairs).hashes.tolist())
    assert sorted(hashed.values()) == sorted(substrings(query, pairs).values())


def test_equal_substrings_have_equal_hashes_wherever_they_stand() -> None:
    alone = set(extract("interview").hashes.tolist())
    assert alone < set(extract("a long interview with nobody").hashes.tolist())


def test_each_feature_knows_the_words_it_lies_in() -> None:
    found = extract("one two three")
    lies_in = Counter(zip(found.first.tolist(), found.last.tolist(), strict=True))
    assert (lies_in[0, 1], lies_in[1, 2], lies_in[0, 2]) == (1, 1, 0)
    assert lies_in[2, 2] > lies_in[0, 0] == lies_in[1, 1]


@given(queries=st.lists(st.text(max_size=30).map(normalise), max_size=5), pairs=st.booleans())
def test_features_are_the_same_in_company(queries, pairs) -> None:
    found = extract(*queries, pairs=pairs)
    assert sorted(set(found.query)) == [place for place, query in enumerate(queries) if query]
    start = 0
    for place, query in enumerate(queries):
        alone, together = extract(query, pairs=pairs), found.query == place
        assert found.hashes[together].tolist() == alone.hashes.tolist()
        assert (found.first[together] - start).tolist() == alone.first.tolist()
        assert (found.last[together] - start).tolist() == alone.last.tolist()
        start += len(query.split())


@given(queries=st.lists(st.text(max_size=30).map(normalise), min_size=1, max_size=4), pairs=st.booleans())
def test_words_may_be_spelled_each_on_its_own(queries, pairs) -> None:
    """What is remembered of a word, in whichever company it was met, gives the features of any query."""
    words = [word for query in queries for word in query.split()]
    alone = {word: spell([word]) for word in words}
    together = spell(words)
    for word, hashes in zip(words, np.split(together.hashes, together.ends[:-1]), strict=False):
        assert hashes.tolist() == alone[word].hashes.tolist()
        assert hashes[-1] == word_hashes([word])[0]
    for query in queries:
        joints = [alone[word].joints for word in query.split()]
        across = join(np.concatenate([spell([]).joints, *joints], axis=1), None, pairs=pairs)
        expected = extract(query, pairs=pairs).hashes.tolist()
        inside = [number for word in query.split() for number in alone[word].hashes.tolist()]
        assert sorted(inside + across.hashes.tolist()) == sorted(expected)


def test_nothing_has_no_features() -> None:
    assert len(extract("").hashes) == 0


def test_hashes_are_the_same_on_every_machine() -> None:
    # Artefacts outlive processes and move between architectures: these values may never change.
    assert sorted(extract("é ☂").hashes.tolist())[:3] == [131471972, 393850020, 747644905]


def test_what_is_too_long_is_cut() -> None:
    assert len(extract("x" * (LONGEST + 500)).hashes) == len(extract("x" * LONGEST).hashes)
