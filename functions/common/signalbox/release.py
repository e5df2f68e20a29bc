"""Release: what a run does not begin before a person says so, because it costs money."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class Expense(StrEnum):
    """What may have to be released; the value stands in the run table and in events."""

    LABELLING = "labelling"
    JOB = "customization job"
    THROUGHPUT = "provisioned throughput"


class Awaited(BaseModel):
    """A release that a run awaits.

    Attributes
    ----------
    of : Expense
        What the run does not begin without it.
    reason : str
        Why a person is asked, and what it would cost, in one sentence without its full stop.
    usd : dict[str, float]
        The figures of it, each named with its unit; none where no price is known.
    since : datetime
        When it was first asked for (UTC).
    reminded : bool
        Whether people have been reminded.
    """

    of: Expense
    reason: str
    usd: dict[str, float] = {}
    since: datetime
    reminded: bool = False
