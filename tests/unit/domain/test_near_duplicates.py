"""Near-duplicates: what is found, what is not, and that 15,000 queries take no time."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.near_duplicates import SIMILARITY, groups, near_duplicates
from signalbox.query import normalise

WORDS = (
    "ships",
    "bells",
    "speech",
    "harbour",
    "valley",
    "station",
    "market",
    "forest",
    "island",
    "bridge",
    "mill",
)


def similarity(one: str, other: str) -> float:
    """Compute Jaccard's index of the runs of four characters, exactly."""
    runs = [{f" {query} "[at : at + 4] for at in range(len(query) - 1)} for query in (one, other)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def queries(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return list(dict.fromkeys(" ".join(draw.choices(WORDS, k=6)) + f" {place}" for place in range(count)))


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        (
            "find the bit where the head coach goes home",
            "can you find the bit where the head coach goes home",
            True,
        ),
        (
            "flights from boston to denver on a monday morning",
            "flights from boston to denver on monday morning",
            True,
        ),
        ("a dog barking at a postman", "a cat sleeping in a basket", False),
        ("bells", "bell", False),
        ("a", "b", False),
    ],
)
def test_queries_that_are_nearly_the_same_are_found(one: str, other: str, near: bool) -> None:
    pairs = near_duplicates([one, "something else altogether", other])
    assert [(pair.one, pair.other) for pair in pairs] == ([(0, 2)] if near else [])


def test_what_is_found_is_what_an_exhaustive_search_finds_but_for_the_margin_of_the_estimate() -> None:
    # Given 300 queries, of which some were changed a little
    draw = random.Random(7)
    base = queries(200)
    changed = [query + draw.choice([" again", " x", "s"]) for query in base[:60]]
    every = list(dict.fromkeys([*base, *changed]))
    # When pairs are sought among them
    found = {(min(pair.one, pair.other), max(pair.one, pair.other)) for pair in near_duplicates(every)}
    # Then each pair that is clearly alike is there, and none that is clearly not
    exact = {
        (one, other): similarity(every[one], every[other])
        for one in range(len(every))
        for other in range(one + 1, len(every))
    }
    assert sum(value > 0.9 for value in exact.values()) > 20
    assert {pair for pair, value in exact.items() if value > SIMILARITY + 0.12} <= found
    assert all(exact[pair] > SIMILARITY - 0.15 for pair in found)


@given(st.lists(st.text(max_size=30).map(normalise).filter(bool), unique=True, max_size=12))
def test_any_queries_can_be_compared(keys: list[str]) -> None:
    for pair in near_duplicates(keys):
        assert pair.one != pair.other
        assert SIMILARITY <= pair.similarity <= 1


def test_groups_join_pairs_that_share_a_query() -> None:
    base = "the ostrava robotics fair in the old town hall of the year"
    pairs = near_duplicates([*(f"{base} {year}" for year in range(2001, 2005)), "bells", "ships and bells"])
    assert groups(pairs) == [[0, 1, 2, 3]]
    assert groups([]) == []


@pytest.mark.parametrize("alike", [False, True])
def test_fifteen_thousand_queries_take_seconds_and_not_minutes(alike: bool) -> None:
    every = (
        [f"ships in the harbour at night {place}" for place in range(15_000)] if alike else queries(15_000)
    )
    start = time.process_time()
    groups(near_duplicates(every))
    assert time.process_time() - start < 60
