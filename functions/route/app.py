"""route: the API. POST /route answers a query, POST /route/batch many; GET /tasks, /tasks/{task} say what is live."""
# ruff: noqa: E402 (two settings go before the imports that they are for)

import base64
import gc
import json
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

# Init makes what stays: looking for garbage in it costs a tenth of the start. It goes on below, before the first event.
gc.disable()
# At 1,769 MB there is one core; the threads that NumPy would start for others cost start-up time, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.event_handler.openapi.params import Query as InQueryString
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session as new_session

from signalbox.api import (
    BatchAnswered,
    GatewayRefusal,
    LabelAnswered,
    ListedTask,
    LiveTask,
    PagePlace,
    Question,
    Questions,
    Refusal,
    TaskName,
    TasksListed,
    WeightsAnswered,
    place_of,
    token_of,
)
from signalbox.bedrock import Bedrock
from signalbox.live import ACTIVE_INDEX, Live, LivePointers
from signalbox.observability import logged, logger
from signalbox.route import Routed, Router, UnknownTask
from signalbox.route_metrics import count_answers, count_fault
from signalbox.settings import setting
from signalbox.store import RunStore
from signalbox.task_list import TaskList

if TYPE_CHECKING:
    from signalbox.query_log import QueryLog

MAX_BODY = 1_000_000
"""Characters of a body as it arrives, base64 or not. The largest batch that is allowed has 820,000, all escaped."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "content-type": content_types.APPLICATION_JSON,
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
}
"""Of every answer (OWASP REST Security Cheat Sheet, "Security Headers"); none says anything of the request."""

app = APIGatewayHttpResolver(enable_validation=True)


def _responses(answer: Any, *without: int) -> dict[int, Any]:
    """Return what the OpenAPI document says of an operation's answers, without those that it never gives."""
    meanings: dict[int, tuple[str, Any]] = {
        200: ("The answer", answer),
        400: ("A field of the request is at fault, or the body is no JSON", Refusal),
        401: ("There is no valid token, where the API asks for one", GatewayRefusal),
        403: ("There is no valid signature, or it does not allow this", GatewayRefusal),
        404: ("Nothing is live for a task of this name", Refusal),
        413: (f"The body has more than {MAX_BODY:,} characters", Refusal | GatewayRefusal),
        429: ("Throttled", GatewayRefusal),
        500: ("A fault of the service's own", GatewayRefusal),
        503: (
            "What is live cannot be read at the moment, or the service is overloaded",
            Refusal | GatewayRefusal,
        ),
    }
    return {
        status: {"description": meaning, "content": {"application/json": {"model": model}}}
        for status, (meaning, model) in meanings.items()
        if status not in without
    }


@app.post("/route", responses=_responses(WeightsAnswered | LabelAnswered))
def route(question: Question) -> WeightsAnswered | LabelAnswered:
    """Answer a query with the weights, or the label, of the task's live model."""
    started = time.perf_counter()
    routed = router().route(question.task, question.query)
    milliseconds = _milliseconds_since(started)
    count_answers(question.task, [routed], "RouteLatency", milliseconds)
    if log := router().query_log:
        log.note(question.task, question.query, routed)
    if routed.stopgap:
        logger.warning("fell back", extra={"source": routed.source, "passed_over": routed.passed_over})
    return _answered(routed, milliseconds)


@app.post("/route/batch", responses=_responses(BatchAnswered))
def route_batch(questions: Questions) -> BatchAnswered:
    """Answer up to 100 queries with the embedded student of the task's live run."""
    started = time.perf_counter()
    batch = router().route_batch(questions.task, questions.queries)
    milliseconds = _milliseconds_since(started)
    count_answers(questions.task, batch, "RouteBatchLatency", milliseconds)
    return BatchAnswered(answers=[_answered(routed, milliseconds) for routed in batch])


@app.get("/tasks", responses=_responses(TasksListed, 404, 413))
def tasks(next: Annotated[PagePlace | None, InQueryString()] = None) -> TasksListed:
    """List the tasks that have something live, a page at a time."""
    page = task_list().page(place_of(next) if next else None)
    return TasksListed(
        tasks=[_listed(live) for live in page.live],
        not_live=page.not_live,
        next=token_of(page.next) if page.next else None,
    )


def _listed(live: Live) -> ListedTask:
    return ListedTask(
        task=live.task_name,
        output=live.task["output"],
        run_id=live.run_id,
        model=live.model,
        since=live.since,
        how=live.how,
        metrics=live.metrics,
    )


@app.get("/tasks/<task>", responses=_responses(LiveTask, 413))
def task(task: Annotated[TaskName, Path()]) -> LiveTask:
    """Say what is live for a task."""
    live = router().live(task)
    return LiveTask(
        task=task,
        run_id=live.run_id,
        model=live.model,
        since=live.since,
        how=live.how,
        by=live.by,
        reason=live.reason,
        output=live.task["output"],
        metrics=live.metrics,
        previous=live.previous.named() if live.previous else None,
        last_rollback=live.last_rollback,
    )


@app.get("/openapi.json", include_in_schema=False)
def openapi_document() -> dict[str, Any]:
    """Say what the API takes and answers."""
    return openapi()


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _answered(routed: Routed, milliseconds: float) -> WeightsAnswered | LabelAnswered:
    body = routed.body() | {"latency_ms": milliseconds, "request_id": _request_id()}
    return WeightsAnswered(**body) if "weights" in body else LabelAnswered(**body)


@app.exception_handler(UnknownTask)
def unknown_task(error: UnknownTask) -> Response:
    """Answer 404: nothing is live under the name."""
    return _refused(404, [{"field": "task", "reason": f"nothing is live for a task named {error}"}])


@app.exception_handler(RequestValidationError)
def invalid(error: RequestValidationError) -> Response:
    """Answer 400, naming each field at fault."""
    return _refused(400, [_fault(fault) for fault in error.errors()])


def _fault(fault: dict[str, Any]) -> dict[str, str]:
    """Say of one of pydantic's errors where it is (queries.3, without the leading body or path) and what."""
    if fault["type"] == "json_invalid":
        return {"field": "body", "reason": "not JSON that can be read"}
    field = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
    return {"field": field, "reason": fault["msg"].removeprefix("Value error, ")}


@app.not_found
def not_found(error: NotFoundError) -> Response:
    """Answer 404: the API has no such route."""
    routes = "POST /route, POST /route/batch, GET /tasks, GET /tasks/{task}, GET /openapi.json"
    return _refused(404, [{"field": "path", "reason": f"the API has {routes}"}])


@app.exception_handler([ClientError, BotoCoreError])
def nothing_known(error: Exception) -> Response:
    """Answer 503: this instance has never read what is live, and cannot."""
    logger.exception("live pointer cannot be read")
    return _refused(503, [{"field": "", "reason": "what is live cannot be read at the moment; try again"}])


def _refused(status: int, errors: list[dict[str, str]]) -> Response:
    body = {"errors": errors, "request_id": _request_id()}
    return Response(status_code=status, content_type=content_types.APPLICATION_JSON, body=body)


def _request_id() -> str:
    return app.current_event.request_context.request_id


@cache
def openapi() -> dict[str, Any]:
    """Return the API's OpenAPI document, without the 422 that Powertools adds and this API never answers."""
    document = json.loads(app.get_openapi_json_schema(title="Signalbox", version="1"))
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        document["components"]["schemas"].pop(unused, None)
    # Which of the two it is, the stack's parameters say.
    document["components"]["securitySchemes"] = {
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "x-amazon-apigateway-authtype": "awsSigv4",
        },
        "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    }
    document["security"] = [{"iam": []}, {"jwt": []}]
    return document


@cache
def router() -> Router:
    """Connect the router to AWS, once a sandbox, with as little of the SDK as it needs."""
    session = new_session()
    # A retry would overrun the budget; the next tier, or the pointer read before, is the better second try.
    once = Config(
        retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=2, max_pool_connections=32
    )
    patient = once.merge(Config(read_timeout=6))
    dynamodb = session.create_client("dynamodb", config=once)
    s3 = session.create_client("s3", config=once)
    bedrock_runtime = session.create_client("bedrock-runtime", config=patient)
    made = Router(
        pointers=LivePointers(dynamodb, setting("RUN_TABLE"), ACTIVE_INDEX),
        store=RunStore(s3, setting("DATA_BUCKET")),
        bedrock=Bedrock(None, bedrock_runtime),
        query_log=_query_log(s3),
    )
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        _outlive_snapshots(made, [dynamodb, s3, bedrock_runtime])
    return made


@cache
def task_list() -> TaskList:
    """Return the list of tasks, over the router's adapters."""
    return TaskList(router().pointers, router().store)


def _query_log(s3: Any) -> "QueryLog | None":
    """Return what keeps a sample of the queries, if the stack wants one; without it nothing of it is loaded."""
    share = float(setting("QUERY_LOG_SHARE"))
    if not share:
        return None
    from signalbox.query_log import QueryLog

    return QueryLog(s3, setting("QUERY_LOG_BUCKET"), share)


def _outlive_snapshots(router: Router, clients: list[Any]) -> None:
    """Let no connection into a snapshot, and read what is live as soon as one is restored, be it weeks later."""
    from snapshot_restore_py import (  # only Lambda has it, and only then is it needed
        register_after_restore,
        register_before_snapshot,
    )

    for client in clients:
        register_before_snapshot(client.close)
    register_after_restore(router.wake_up)


@logged
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Act on an HTTP API event, payload format 2.0."""
    status = 500
    try:
        too_large = len(event.get("body") or "") > MAX_BODY
        answer = _too_large(event) if too_large else app.resolve(_as_json(event), context)
        status = answer["statusCode"]
        return answer | {"headers": HEADERS}
    finally:
        count_fault(status, _failed_task(event) if status >= 500 else "")


def _failed_task(event: dict[str, Any]) -> str:
    """Return what a request that failed was for, if something is live for it; "" otherwise."""
    try:
        body = json.loads(_as_json(event)["body"])
    except ValueError:
        return ""
    named = body.get("task") if isinstance(body, dict) else None
    is_known = isinstance(named, str) and router.cache_info().currsize and router().knows(named)
    return named if is_known else ""


def _too_large(event: dict[str, Any]) -> dict[str, Any]:
    """Answer 413 without a look at the body."""
    faults = [{"field": "body", "reason": f"has more than {MAX_BODY:,} characters"}]
    body = {"errors": faults, "request_id": event["requestContext"]["requestId"]}
    return {"statusCode": 413, "body": json.dumps(body), "isBase64Encoded": False, "cookies": []}


def _as_json(event: dict[str, Any]) -> dict[str, Any]:
    """Make sure that the body is JSON that can be taken apart, whatever it is and a client calls it.

    What Python cannot take apart and put together again (too deep, too many digits, not UTF-8) becomes a body that is
    no JSON, which is refused like any other. `curl -d` says that it sends a form.
    """
    body = event.get("body") or ""
    try:
        text = base64.b64decode(body).decode() if event.get("isBase64Encoded") else body
        json.dumps(json.loads(text))
    except (ValueError, RecursionError):
        text = "not JSON"
    headers = {**(event.get("headers") or {}), "content-type": "application/json"}
    return event | {"body": text, "isBase64Encoded": False, "headers": headers}


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
    router().warm_up()
    gc.freeze()
gc.enable()
