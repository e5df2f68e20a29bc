"""route: the API. POST /route answers a query; GET /tasks/{task} says what is live."""

import time
from functools import cache
from typing import Annotated, Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from botocore.config import Config
from pydantic import BaseModel, Field

from signalbox.bedrock import Bedrock
from signalbox.observability import metrics, observed
from signalbox.route import Router, UnknownTask
from signalbox.run import RunTable
from signalbox.settings import setting
from signalbox.store import RunStore
from signalbox.task import NAME_LENGTH, NAME_PATTERN

app = APIGatewayHttpResolver(enable_validation=True)

TaskName = Annotated[str, Field(max_length=NAME_LENGTH, pattern=f"^{NAME_PATTERN}$")]


class Question(BaseModel):
    """A query, and the task whose live model is to answer it."""

    query: Annotated[str, Field(min_length=1, max_length=512)]
    task: TaskName


class Answered(BaseModel):
    """Where an answer comes from, and why the tiers before it were passed over."""

    reasoning: str
    source: str
    cached: bool
    passed_over: dict[str, str]
    run_id: str
    model: str
    latency_ms: float
    request_id: str


class WeightsAnswered(Answered):
    """Weights by signal: in [0, 1], and they sum to exactly 1."""

    weights: dict[str, float]


class LabelAnswered(Answered):
    """One of the task's labels; a language model gives no confidence."""

    label: str
    confidence: float | None


class LiveTask(BaseModel):
    """What is live for a task, since when, what it replaced, and what was measured of it."""

    task: str
    run_id: str
    model: str
    since: str
    output: dict[str, Any]
    metrics: dict[str, float]
    previous: dict[str, Any] | None


@app.post("/route")
def route(question: Question) -> WeightsAnswered | LabelAnswered:
    """Answer a query with the weights, or the label, of the task's live model."""
    started = time.perf_counter()
    routed = router().route(question.task, question.query)
    metrics.add_metric(name=f"RoutedBy{routed.source.title()}", unit="Count", value=1)
    elapsed = round((time.perf_counter() - started) * 1000, 3)
    request_id = app.current_event.request_context.request_id
    body = routed.body() | {"latency_ms": elapsed, "request_id": request_id}
    return WeightsAnswered(**body) if "weights" in body else LabelAnswered(**body)


@app.get("/tasks/<task>")
def task(task: Annotated[TaskName, Path()]) -> LiveTask:
    """Say what is live for a task."""
    live = router().live(task)
    previous = {key: live.previous[key] for key in ("run_id", "model", "since")} if live.previous else None
    return LiveTask(
        task=task,
        run_id=live.run_id,
        model=live.model,
        since=live.since.isoformat(),
        output=live.task["output"],
        metrics=live.metrics,
        previous=previous,
    )


@app.exception_handler(UnknownTask)
def unknown_task(error: UnknownTask) -> Response:
    """Answer 404: nothing is live under the name."""
    return _refused(404, [{"field": "task", "reason": f"nothing is live for a task named {error}"}])


@app.exception_handler(RequestValidationError)
def invalid(error: RequestValidationError) -> Response:
    """Answer 400, naming each field at fault."""
    return _refused(
        400,
        [
            {
                "field": ".".join(part for part in fault["loc"][1:] if isinstance(part, str)) or "body",
                "reason": fault["msg"],
            }
            for fault in error.errors()
        ],
    )


def _refused(status: int, errors: list[dict[str, str]]) -> Response:
    body = {"errors": errors, "request_id": app.current_event.request_context.request_id}
    return Response(status_code=status, content_type=content_types.APPLICATION_JSON, body=body)


@cache
def router() -> Router:
    """Connect the router to AWS, once a sandbox."""
    at_once = Config(retries={"total_max_attempts": 2}, connect_timeout=1, read_timeout=2)
    # A retry would overrun the budget; the next tier is the better second try.
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=10)
    return Router(
        runs=RunTable(boto3.resource("dynamodb", config=at_once).Table(setting("RUN_TABLE"))),
        store=RunStore(boto3.client("s3", config=at_once), setting("DATA_BUCKET")),
        bedrock=Bedrock(None, boto3.client("bedrock-runtime", config=once)),
    )


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Act on an HTTP API event, payload format 2.0."""
    # The API speaks JSON and nothing else, whatever a client calls it: `curl -d` says that it sends a form.
    event = event | {"headers": event.get("headers", {}) | {"content-type": "application/json"}}
    return app.resolve(event, context)
