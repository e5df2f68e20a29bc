"""Choosing labelled queries by what leads in them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.answer import Answer
from signalbox.balance import TOLERANCE, balance
from signalbox.labelling import Label

EVEN = {"a": 0.5, "b": 0.5}


def labelled(*leads: str) -> list[Label]:
    """Return labels that are led by these; "ab" is led by both."""
    return [
        Label(place, Answer(weights={s: float(s in lead) / len(lead) for s in "ab"}), 0.0)
        for place, lead in enumerate(leads)
    ]


def test_without_a_target_the_first_are_taken() -> None:
    chosen = balance(labelled("a", "a", "b"), 2, {})
    assert [label.place for label in chosen.chosen] == [0, 1]
    assert (chosen.shares, chosen.reasons) == ({"a": 1.0}, [])


def test_of_enough_labels_each_leads_in_its_share() -> None:
    chosen = balance(labelled("a", "a", "a", "b", "a", "b"), 4, EVEN)
    assert [label.place for label in chosen.chosen] == [0, 1, 3, 5]
    assert (chosen.shares, chosen.reasons) == ({"a": 0.5, "b": 0.5}, [])


def test_what_is_missing_is_filled_by_others_and_said() -> None:
    chosen = balance(labelled(*"aaaaaaab"), 4, EVEN)
    assert chosen.shares == {"a": 0.75, "b": 0.25}
    assert chosen.reasons == [
        "a leads in 75.0% instead of 50.0%: it fills the places of others",
        "b leads in 25.0% instead of 50.0%: the teacher gave it the lead in only 1 of 8 labelled queries; add "
        "templates or seeds that lead there, or raise surplus",
    ]


def test_a_tie_fills_before_what_there_is_too_much_of() -> None:
    chosen = balance(labelled("a", "a", "a", "ab", "b"), 4, EVEN)
    assert [label.place for label in chosen.chosen] == [0, 1, 3, 4]
    assert chosen.shares == {"a": 0.625, "b": 0.375}


def test_a_signal_that_the_target_leaves_out_comes_last() -> None:
    assert balance(labelled("b", "a"), 1, {"a": 1.0}).shares == {"a": 1.0}


@given(st.lists(st.sampled_from(["a", "b", "ab"]), max_size=60), st.integers(1, 60), st.integers(0, 10))
def test_the_number_is_kept_and_a_missed_target_has_its_reason(
    leads: list[str], count: int, tenths: int
) -> None:
    target = {"a": tenths / 10, "b": 1 - tenths / 10}
    chosen = balance(labelled(*leads), count, target)
    assert len(chosen.chosen) == min(count, len(leads))
    assert len({label.place for label in chosen.chosen}) == len(chosen.chosen)
    for name, wanted in target.items():
        missed = abs(chosen.shares.get(name, 0) - wanted) > TOLERANCE
        assert not missed or any(reason.startswith(name) for reason in chosen.reasons)
    single = Counter(lead for lead in leads if len(lead) == 1)
    if len(leads) >= count and all(single[n] >= round(w * count) + 1 for n, w in target.items()):
        assert all(abs(chosen.shares.get(n, 0) - w) <= 1 / count for n, w in target.items())


@pytest.mark.parametrize("target", [{}, EVEN])
def test_no_labels_make_no_dataset(target: dict[str, float]) -> None:
    assert balance([], 10, target).chosen == []
