"""How numbers and foreign text are written for a person: rounded to what they can tell, and harmless."""

import re
from typing import Any

from markupsafe import Markup

ABSENT = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_LISTED = 25

Written = tuple[str, list[str], str]
"""What a message says: the headline, what was found out in paragraphs, and what to do."""

# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), full-width forms included; it
# skips white space before it.
_FORMULA = re.compile(r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# Characters that have the text around them shown in another order (Unicode Standard Annex 9), with which one text
# can be made to look like another, and control characters, which show nothing.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(value: Any) -> Any:
    """Return a text that does nothing where it is shown or pasted; anything but a text comes back as it is.

    Characters that reorder or hide text are written out, as [U+202E]. A text that a spreadsheet would take for a
    formula gets an apostrophe before it, which makes it a text there. Markup is left alone: its parts have been here.
    HTML has yet to be escaped.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    shown = _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def shortened(text: str, length: int = 300) -> str:
    """Return a text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def listed(title: str, entries: list[str]) -> str:
    """List what a message says under a title, a line each; of many the first, and how many more there are."""
    more = [f"and {len(entries) - _LISTED} more"] if len(entries) > _LISTED else []
    return "\n".join([title, *(f"  - {shortened(entry)}" for entry in entries[:_LISTED] + more)])


def typographic(text: str) -> str:
    """Write the numbers of a text as all others are written: below zero with a minus, not a hyphen."""
    return re.sub(r"(?<![\w.-])-(?=\d)", _MINUS, text)


def share(value: float | None) -> str:
    """Write a share of 1 in per cent: 93.3 %."""
    if value is None:
        return ABSENT
    return f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"


def number(value: float | None, decimals: int = 3) -> str:
    """Write a number to some decimals: 0.035."""
    return ABSENT if value is None else _signed(f"{value:,.{decimals}f}")


def grade(value: float | None) -> str:
    """Write a grade from 1 to 5: 4.30."""
    return number(value, 2)


def milliseconds(value: float | None) -> str:
    """Write a latency to about three digits: 0.42 ms, 25.8 ms, 1,240 ms."""
    if value is None:
        return ABSENT
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f} ms"


def dollars(value: float | None) -> str:
    """Write an amount of US dollars to cents, less than a dollar to three digits: $1,240.00, $0.02, $0.00135."""
    if value is None:
        return ABSENT
    decimals = 2
    while 0 < abs(value) * 10**decimals < 100 and decimals < 9:
        decimals += 1
    whole, _, cents = f"{abs(value):,.{decimals}f}".partition(".")
    return _signed(f"{'-' if value < 0 else ''}${whole}.{cents[:2]}{cents[2:].rstrip('0')}")


def count(value: float | None) -> str:
    """Write how many: 15,000."""
    return ABSENT if value is None else f"{value:,.0f}"


def size(value: int | None) -> str:
    """Write a size: 438 kB."""
    if value is None:
        return ABSENT
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:,} bytes"


def duration(seconds: float) -> str:
    """Write how long something took: 12 s, 5 min 3 s, 2 h 14 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def difference(found: dict[str, Any]) -> str:
    """Say in words how a candidate compares: better by 0.012 (0.004 to 0.020), or that no difference is shown.

    Parameters
    ----------
    found : dict
        `worse_by` (negative: the candidate is better), `low` and `high` (its 95 % interval), `verdict`; all but the
        verdict may be None.
    """
    worse_by, low, high = (found.get(name) for name in ("worse_by", "low", "high"))
    verdict = found.get("verdict")
    if worse_by is None:
        return "not compared"
    if verdict not in ("better", "worse"):
        if low is None or high is None:
            return "no difference shown"
        return f"no difference shown ({_side(low)} to {_side(high)})"
    sign = 1 if verdict == "worse" else -1
    within = ""
    if low is not None and high is not None:
        ends = sorted((sign * low, sign * high))
        within = f" ({number(ends[0])} to {number(ends[1])})"
    return f"{verdict} by {number(sign * worse_by)}{within}"


def _side(worse_by: float) -> str:
    if round(worse_by, 3) == 0:
        return "0"
    return f"{abs(worse_by):.3f} {'worse' if worse_by > 0 else 'better'}"


def _signed(text: str) -> str:
    # The sign is typography, and no formula to a spreadsheet.
    return text.replace("-", _MINUS)
