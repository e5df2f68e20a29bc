"""What the last attempt at a step has found: something to wait for, or trouble. Either takes the other away."""

from datetime import datetime, timedelta
from typing import Any, Protocol


class Attempted(Protocol):
    """What is tried again, a run or a generation; a move to another state begins it anew.

    Attributes
    ----------
    waiting : str
        What it is waiting for; "" if nothing.
    trouble : str
        What the last attempt broke off with; "" if none has, or it waits since.
    waited_until : datetime | None
        When an attempt last found something else than what it had been waiting for.
    """

    waiting: str
    trouble: str
    waited_until: datetime | None


def found_waiting(attempted: Attempted, reason: str, at: datetime) -> dict[str, Any]:
    """Return what to change if it waits for this, "" if for nothing; none of it if that is known."""
    if attempted.waiting and not reason:
        return {"waiting": "", "trouble": "", "waited_until": at}
    return {"waiting": reason, "trouble": ""} if reason != attempted.waiting or attempted.trouble else {}


def found_trouble(attempted: Attempted, trouble: str, at: datetime) -> dict[str, Any]:
    """Return what to change if an attempt broke off with this; none of it if that is known."""
    if attempted.waiting:
        return {"trouble": trouble, "waiting": "", "waited_until": at}
    return {"trouble": trouble} if trouble != attempted.trouble else {}


def in_vain(attempted: Attempted, began: datetime, at: datetime) -> timedelta:
    """Return for how long it has been tried in vain: since its state began, or since it last waited in it."""
    return at - (began if attempted.waiting or attempted.waited_until is None else attempted.waited_until)
