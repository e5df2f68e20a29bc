"""Numbers as a person reads them, and foreign texts that do nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from signalbox import wording


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.share(0.9333), "93.3%"),
        (wording.share(1.0), "100%"),
        (wording.share(0.9999), "100.0%"),
        (wording.share(None), wording.ABSENT),
        (wording.number(0.035416), "0.035"),
        (wording.number(-0.035416), "\u22120.035"),
        (wording.grade(4.3), "4.30"),
        (wording.milliseconds(0.4232), "0.42 ms"),
        (wording.milliseconds(25.803), "25.8 ms"),
        (wording.milliseconds(1240.4), "1,240 ms"),
        (wording.dollars(0), "$0.00"),
        (wording.dollars(0.00135), "$0.00135"),
        (wording.dollars(0.0000004), "$0.0000004"),
        (wording.dollars(0.12), "$0.12"),
        (wording.dollars(1.349), "$1.35"),
        (wording.dollars(-1240), "\u2212$1,240.00"),
        (wording.count(15000), "15,000"),
        (wording.count(0), "0"),
        (wording.size(437_670), "438 kB"),
        (wording.size(12), "12 bytes"),
        (wording.duration(12.4), "12 s"),
        (wording.duration(303), "5 min 3 s"),
        (wording.duration(8040), "2 h 14 min"),
        (wording.shortened("abc", 2), "a…"),
    ],
)
def test_numbers_are_rounded_to_what_they_tell(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("worse_by", "low", "high", "verdict", "expected"),
    [
        (0.02, 0.012, 0.029, "worse", "worse by 0.020 (0.012 to 0.029)"),
        (-0.02, -0.029, -0.012, "better", "better by 0.020 (0.012 to 0.029)"),
        (0.001, -0.004, 0.006, "no difference shown", "no difference shown (0.004 better to 0.006 worse)"),
        (0.0, 0.0, 0.0, "no difference shown", "no difference shown (0 to 0)"),
        (0.02, None, None, "no difference shown", "no difference shown"),
        (0.02, None, None, "worse", "worse by 0.020"),
        (None, None, None, "no difference shown", "not compared"),
    ],
)
def test_a_difference_is_said_in_words(
    worse_by: float | None, low: float | None, high: float | None, verdict: str, expected: str
) -> None:
    found = {"worse_by": worse_by, "low": low, "high": high, "verdict": verdict}
    assert wording.difference(found) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " \n@x", "\uff1d1", "\ufeff=1", "\r=1"])
def test_what_a_spreadsheet_takes_for_a_formula_becomes_a_text(text: str) -> None:
    assert wording.harmless(text).startswith("'")


@pytest.mark.parametrize("text", ["a=1", "1-1", "", "“=1”", "'=1", "日本"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert wording.harmless(text) == text


def test_characters_that_reorder_or_hide_text_are_written_out() -> None:
    assert wording.harmless("a\u202eb\u0000\u2069") == "a[U+202E]b[U+0000][U+2069]"


def test_markup_and_numbers_are_left_alone() -> None:
    assert wording.harmless(Markup("=<b>")) == "=<b>"
    assert wording.harmless(-1) == -1


@given(st.text())
def test_no_text_begins_as_a_formula_or_reorders_what_follows(text: str) -> None:
    shown = wording.harmless(text)
    assert not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("better by -0.012 (-0.020 to 0.001)", "better by −0.012 (−0.020 to 0.001)"),  # noqa: RUF001
        ("clip-search-0123 on 2026-11-21, p-95", "clip-search-0123 on 2026-11-21, p-95"),
    ],
)
def test_a_number_below_zero_within_a_text_has_a_minus(text: str, shown: str) -> None:
    assert wording.typographic(text) == shown
