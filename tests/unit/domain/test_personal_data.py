"""Personal data: what is found by its form, what is not mistaken for it, and that it takes no time."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.personal_data import KINDS, find, mask


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("e-mail address", "anna.example+films@mail.example.org"),
        ("e-mail address", "grüße@bücher.example"),
        ("phone number", "+44 20 7946 0958"),
        ("phone number", "+1 (555) 010-4477"),
        ("phone number", "0049 30 12345678"),
        ("phone number", "(555) 010-4477"),
        ("phone number", "555-010-4477"),
        ("phone number", "030 1234567"),
        ("phone number", "01 23 45 67 89"),
        ("payment card", "4111 1111 1111 1111"),
        ("payment card", "5500-0000-0000-0004"),
        ("payment card", "378282246310005"),
        ("payment card", "3782 822463 10005"),
        ("bank account", "GB29 NWBK 6016 1331 9268 19"),
        ("bank account", "de89370400440532013000"),
        ("bank account", "NO9386011117947"),
        ("social security number", "219-09-9999"),
        ("IP address", "192.0.2.44"),
        ("IP address", "2001:db8::8a2e:370:7334"),
        ("IP address", "2001:db8:0:0:0:8a2e:370:7334"),
    ],
)
def test_personal_data_is_found_and_masked_wherever_it_stands(kind: str, written: str) -> None:
    for before, after in [("", ""), ("clip of ", " speaking"), ("(", ")"), ("see ", ".")]:
        text = f"{before}{written}{after}"
        (span,) = find(text)
        assert (span.kind, text[span.start : span.end]) == (kind, written)
        assert mask(text) == f"{before}[{kind}]{after}"


@pytest.mark.parametrize(
    "text",
    [
        "flights on 2024-11-21 from 08:15:30 to 12:45:00",
        "the 1998 final, 4-3-3, minute 90",
        "episode 12 of season 3, 1080p, 24 fps, 16:9",
        "@channel at 10::30",
        "std::vector explained",
        "IMG_20240101_123456.jpg",
        "ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112",
        "GB29 NWBK 6016 1331 9268 18",
        "0000 0000 0000 0000",
        "from 127.0.0.1 or ::1",
        "version 300.1.2.3 and 1.2.3.4.5",
        "population 12345678",
        "1,000,000,000 views",
        "3.14159265358979",
        "",
    ],
)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert find(text) == []
    assert mask(text) == text


def test_several_pieces_of_one_text_are_all_found() -> None:
    text = "call +44 20 7946 0958 or write to a@b.example, card 4111111111111111"
    assert [span.kind for span in find(text)] == ["phone number", "e-mail address", "payment card"]
    assert mask(text) == "call [phone number] or write to [e-mail address], card [payment card]"


@given(st.text(st.sampled_from("0123456789 .-:+@()abGB"), max_size=60))
def test_every_piece_that_is_found_is_gone_when_masked_and_nothing_else(text: str) -> None:
    spans = find(text)
    assert all(span.kind in KINDS for span in spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
    found = sum(text[span.start : span.end].count(digit) for span in spans for digit in "0123456789")
    digits = sum(character in "0123456789" for character in text)
    assert sum(character in "0123456789" for character in mask(text)) == digits - found


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "a@", "+1 ", "0:", "1.", "GB29 ", "(0", "4111-", "@a.", "::", "a@a@b.c", "1.1.1.1 "]
)
def test_the_longest_text_takes_no_time_to_speak_of_whatever_it_holds(piece: str) -> None:
    text = piece * (16_384 // len(piece))
    start = time.process_time()
    mask(text)
    assert time.process_time() - start < 1
