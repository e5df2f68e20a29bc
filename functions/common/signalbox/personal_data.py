"""Personal data in texts: what can be told by its form, and most of it proved by a checksum or by parsing.

Patterns of our own: the detectors that are well kept weigh 100 MB and more with their language models, and the one
that is light takes any nine digits for an identity number and any year for a date of birth. What no form gives away
(names, addresses, birthdays) is not found; docs/dataset-format.md says so.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_DIGITS = b"0123456789"
_FEWEST_DIGITS = 7
"""Of a phone number; everything else that has no @ and is no IP address has more."""

_CUT_ADDRESS = re.compile(r"[^\s\[\]\"'@]+@\S*")
_CUT_NUMBER = re.compile(r"\+?\d[\d ().-]{5,}…")


class Span(NamedTuple):
    """A piece of personal data in a text: its kind, and from where to where."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Where personal data stands: line (from 1), field of the record, and kind. Never the data themselves."""

    line: int
    field: str
    kind: str


def find(text: str) -> list[Span]:
    """Find e-mail and IP addresses, bank accounts, payment cards, social security and phone numbers.

    Returns
    -------
    list[Span]
        From left to right, none overlapping. Kinds stand in the order of `KINDS`, the surer one first: what is a
        card is not looked at as a phone number.
    """
    if not _suspicious(text):
        return []
    found: list[Span] = []
    taken = bytearray(len(text))
    for span in (span for kind in KINDS for span in _of_kind(kind, text)):
        if taken.find(1, span.start, span.end) < 0:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            found.append(span)
    return sorted(found, key=lambda span: span.start)


def mask(text: str) -> str:
    """Put the kind in brackets in the place of each piece of personal data: `[e-mail address]`."""
    pieces, end = [], 0
    for span in find(text):
        pieces += [text[end : span.start], f"[{span.kind}]"]
        end = span.end
    return "".join([*pieces, text[end:]])


def mask_excerpt(text: str) -> str:
    """Mask a text that quotes the beginning of another: what was cut off in the middle is masked as well."""
    return _CUT_NUMBER.sub("[number]…", _CUT_ADDRESS.sub("[e-mail address]", mask(text)))


def _suspicious(text: str) -> bool:
    """Tell in a fraction of a microsecond that a text holds none, as nearly every text does not."""
    if "@" in text or "::" in text:
        return True
    encoded = text.encode(errors="replace")
    digits = len(encoded) - len(encoded.translate(None, _DIGITS))
    return digits >= _FEWEST_DIGITS or (digits >= 4 and text.count(".") >= 3) or text.count(":") >= 7


def _of_kind(kind: str, text: str) -> Iterator[Span]:
    pattern, proves = _FORMS[kind]
    for match in pattern.finditer(text):
        if proves(match[0]):
            yield Span(kind, match.start(), match.end())


def _is_card(text: str) -> bool:
    """Check Luhn's digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in reversed(text) if digit.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Check the two check digits (ISO 13616-1): the rest and then the head, as one number, leave 1 divided by 97."""
    account = text.replace(" ", "").upper()
    moved = account[4:] + account[:4]
    return 15 <= len(account) <= 34 and int("".join(str(int(digit, 36)) for digit in moved)) % 97 == 1


def _is_ip_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # 127.0.0.1 is nobody's, and 10::30 more likely a time.
    return not address.is_loopback and (address.version == 4 or sum(map(bool, text.split(":"))) >= 3)


def _is_phone_number(text: str) -> bool:
    """Check the length: at most 15 digits (ITU-T E.164), and no fewer than 8 with area or country."""
    return 8 <= sum(character.isdigit() for character in text) <= 15


def _always(text: str) -> bool:
    return True


_PHONE_NUMBER = r"""
    (?<![\w+.,/:-])
    (?: (?:\+|00)[1-9]\d{0,2} (?:[ .-]?(?:\(\d{1,4}\)|\d{1,4})){2,6}             # with the country: +44 20 7946 0958
      | \(0?\d{2,4}\)[ ]?\d{3,4}[ .-]?\d{3,4}                                  # with the area: (555) 010-4477
      | [2-9]\d{2}(?P<mark>[.-])\d{3}(?P=mark)\d{4}                            # 555-010-4477
      | 0[1-9]\d{1,3}[ /-]\d{3,4}[ -]?\d{3,5}                                  # with the trunk: 030 1234567
      | 0[1-9](?:[ .-]\d{2}){4}                                                # 06 12 34 56 78
    )
    (?![\w]|[.,/:-]\d)
"""

_FORMS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "e-mail address": (
        re.compile(r"[\w!#$%&'*+/=?^`{|}~-][\w.!#$%&'*+/=?^`{|}~-]{0,63}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}"),
        _always,
    ),
    "bank account": (
        re.compile(
            r"(?<!\w)[A-Za-z]{2}\d{2}(?:[A-Za-z0-9]{11,30}|(?: [A-Za-z0-9]{4}){2,7}(?: [A-Za-z0-9]{1,3})?)(?!\w)"
        ),
        _is_iban,
    ),
    "payment card": (
        re.compile(
            r"(?<![\w.,-])[2-6]\d{3}"
            r"(?:\d{9,15}|[ -]\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{1,3})?|[ -]\d{6}[ -]\d{5})(?![\w]|[.,-]\d)"
        ),
        _is_card,
    ),
    "social security number": (
        re.compile(r"(?<![\w.,-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
        _always,
    ),
    "IP address": (
        re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)"),
        _is_ip_address,
    ),
    "phone number": (re.compile(_PHONE_NUMBER, re.VERBOSE), _is_phone_number),
}  # fmt: skip
KINDS = tuple(_FORMS)
