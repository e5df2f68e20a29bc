"""What the API takes and answers: the models of its requests and answers, from which its OpenAPI document is made."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from signalbox.live import Named, Place, Rollback
from signalbox.query import MAX_QUERY_CHARACTERS, printable
from signalbox.task import NAME_LENGTH, NAME_PATTERN, Tier

BATCH = 100
"""Queries of one request, at most."""

TaskName = Annotated[str, Field(max_length=NAME_LENGTH, pattern=f"^{NAME_PATTERN}$")]
# The pattern is for readers of the OpenAPI document; `printable` is what refuses, in plainer words.
_SAYS_SOMETHING = {"pattern": r"[^\s\u0000-\u001f\u007f-\u009f]"}
Query = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, json_schema_extra=_SAYS_SOMETHING),
    AfterValidator(printable),
]


# Microseconds since 1970 and the name after which a page of the list begins: each such text, made by hand or not, is a
# place, as each number of so many digits is a date.
PagePlace = Annotated[str, Field(pattern=rf"^[0-9]{{1,16}}~{NAME_PATTERN}$", max_length=16 + 1 + NAME_LENGTH)]
_START, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def token_of(place: Place) -> str:
    """Write where a page begins for a query string."""
    return f"{(datetime.fromisoformat(place.updated_at) - _START) // _MICROSECOND}~{place.task}"


def place_of(token: str) -> Place:
    """Read where a page begins, of a text that is a `PagePlace`."""
    microseconds, _, task = token.partition("~")
    return Place(task, (_START + int(microseconds) * _MICROSECOND).isoformat())


class Question(BaseModel):
    """A query, and the task whose live model is to answer it."""

    query: Query
    task: TaskName


class Questions(BaseModel):
    """Queries to be answered in one pass of the embedded student, and the task."""

    queries: Annotated[list[Query], Field(min_length=1, max_length=BATCH)]
    task: TaskName


# For readers of the document; an answer is not refused for what it is.
Share = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 1})]


class Answered(BaseModel):
    """Where an answer comes from, and why the tiers before it were passed over.

    `familiarity` is how much the query is like the training data, where there is an embedded student to tell.
    """

    reasoning: str
    familiarity: Share | None
    source: Tier
    cached: bool
    passed_over: dict[Tier, str]
    run_id: str
    model: str
    latency_ms: float
    request_id: str


class WeightsAnswered(Answered):
    """Weights by signal: in [0, 1], and they sum to exactly 1."""

    weights: dict[str, Share]


class LabelAnswered(Answered):
    """One of the task's labels; a language model gives no confidence."""

    label: str
    confidence: Share | None


class BatchAnswered(BaseModel):
    """The answers, in the order of the queries."""

    answers: list[WeightsAnswered | LabelAnswered]


class LiveTask(BaseModel):
    """What is live for a task, since when and how, what it replaced, what was measured of it; its last rollback."""

    task: str
    run_id: str
    model: str
    since: datetime
    how: str
    by: str
    reason: str
    output: dict[str, Any]
    metrics: dict[str, float]
    previous: Named | None
    last_rollback: Rollback | None


class ListedTask(BaseModel):
    """What is live for a task; GET /tasks/{task} says more."""

    task: str
    output: dict[str, Any]
    run_id: str
    model: str
    since: datetime
    how: str
    metrics: dict[str, float]


class TasksListed(BaseModel):
    """A page of the tasks that have something live, the latest change first.

    `not_live` names those that were uploaded and have nothing live; null if `tasks` is not all of the list, or if that
    is not known at the moment. A task whose live pointer cannot be read is in neither. `next` is where the next page
    begins, null after the last.
    """

    tasks: list[ListedTask]
    not_live: list[str] | None
    next: str | None


class Fault(BaseModel):
    """What is wrong, and in which field of the request ("" if in none)."""

    field: str
    reason: str


class Refusal(BaseModel):
    """Why there is no answer."""

    errors: list[Fault]
    request_id: str


class GatewayRefusal(BaseModel):
    """What the gateway before the function says of a request that it answers itself."""

    message: str
