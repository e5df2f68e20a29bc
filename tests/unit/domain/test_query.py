"""Queries are the same if they differ in case, punctuation, width or spacing, and in nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.query import normalise

words = st.text(st.characters(categories=("Ll", "Nd")), min_size=1)
ascii_words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1)
separators = st.text(" \t\n.,;:!?-_/()[]{}'\"#$%&*+<=>@^`|~", min_size=1)


@given(st.text())
def test_normalising_twice_is_normalising_once(query: str) -> None:
    assert normalise(normalise(query)) == normalise(query)


@given(st.lists(ascii_words, min_size=1), separators)
def test_case_and_punctuation_make_no_difference(parts: list[str], separator: str) -> None:
    shouted = separator + separator.join(part.upper() for part in parts) + separator
    assert normalise(shouted) == " ".join(parts)


@given(st.text())
def test_white_space_is_collapsed(query: str) -> None:
    normalised = normalise(query)
    assert normalised == " ".join(normalised.split())


@given(st.lists(words, min_size=1))
def test_the_quick_way_for_ascii_agrees_with_the_general_way(parts: list[str]) -> None:
    # Given an ASCII query and the same query followed by a word that is not ASCII
    plain = "/".join(parts)
    # When both are normalised, then they differ by that word only
    assert normalise(plain + " é") == (normalise(plain) + " é").strip()


@pytest.mark.parametrize(
    ("query", "normalised"),
    [
        ("\uff26\uff35\uff2c\uff2c\u3000\uff37\uff29\uff24\uff34\uff28", "full width"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("हिन्दी गाना", "हिन्दी गाना"),
        ("« Où ? »", "où"),
        ("", ""),
        (" \t", ""),
    ],
)
def test_compatibility_forms_and_other_scripts(query: str, normalised: str) -> None:
    assert normalise(query) == normalised


def test_queries_of_nothing_but_symbols_stay_different() -> None:
    assert normalise("🎉") != normalise("🎸")
    assert normalise("?!") != ""
