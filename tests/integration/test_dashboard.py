"""Every metric that the dashboard shows or an alarm reads is one that a handler writes, and the other way round."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ReadTimeoutError

from signalbox.observability import UnforeseenError
from signalbox.route import Router
from signalbox.run import State
from signalbox.store import STUDENT
from tests.builders import QUERIES, client_error, embedded_spec, labelled, prompts, spec, truth
from tests.integration.cloud import Cloud, stack
from tests.scripted_bedrock import right_answer

Metric = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name, and dimensions with their values."""
Named = tuple[str, str, frozenset[str]]
"""Namespace, name, and the names of the dimensions."""

NAMESPACE = "Signalbox/signalbox"
NOT_SHOWN = {
    ("Routed", "service", "task"): "promote reads it before it rolls a task back",
    ("RouteFallbacks", "service", "task"): "promote reads it before it rolls a task back",
    ("RouteServerFaults", "service", "task"): "promote reads it before it rolls a task back",
    ("UngradableSamples", "service"): "the reward's alarm reads it",
    ("Routed", "service", "version"): "the alarm that ends a deployment reads it",
    ("RouteFallbacks", "service", "version"): "the alarm that ends a deployment reads it",
    ("RunCostUnknown", "service", "task"): "to look up whose cost is unknown, once the sum shows that one is",
}
"""What is written and not on the dashboard, and what it is for."""
AWS_OWN = {
    ("AWS/Lambda", "Errors", frozenset({"FunctionName"})),
    ("AWS/Lambda", "Errors", frozenset({"FunctionName", "Resource", "ExecutedVersion"})),
    ("AWS/Lambda", "Invocations", frozenset({"FunctionName"})),
    ("AWS/Lambda", "Throttles", frozenset({"FunctionName"})),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({"QueueName"})),
    ("AWS/ApiGateway", "5xx", frozenset({"ApiId"})),
    ("AWS/ApiGateway", "Latency", frozenset({"ApiId"})),
    ("AWS/Bedrock", "InputTokenCount", frozenset({"ModelId"})),
    ("AWS/Bedrock", "OutputTokenCount", frozenset({"ModelId"})),
}
"""What AWS writes, by its documentation of each service's metrics."""


def written(text: str) -> Iterator[Metric]:
    """Yield each metric of the lines that handlers wrote, under each of its dimension sets."""
    for line in text.splitlines():
        if '"_aws"' not in line:
            continue
        content = json.loads(line)
        for group in content["_aws"]["CloudWatchMetrics"]:
            for names in group["Dimensions"]:
                dimensions = frozenset((name, content[name]) for name in names)
                yield from ((group["Namespace"], metric["Name"], dimensions) for metric in group["Metrics"])


def named(metrics: Iterable[Metric]) -> set[Named]:
    return {(space, name, frozenset(key for key, _ in dimensions)) for space, name, dimensions in metrics}


def widgets() -> list[dict[str, Any]]:
    return [one["properties"] for one in json.loads(stack()["Dashboard"]["DashboardBody"])["widgets"]]


def graphed() -> Iterator[Metric]:
    """Yield the metrics that the dashboard names, its short forms written out."""
    for widget in widgets():
        before: list[str] = []
        for entry in widget.get("metrics", []):
            parts = [part for part in entry if isinstance(part, str)]
            if not parts:
                continue
            if parts[0] == "...":  # all as before, but for what follows
                parts = before[: len(before) - len(parts) + 1] + parts[1:]
            parts = [before[i] if part == "." else part for i, part in enumerate(parts)]
            before = parts
            yield parts[0], parts[1], frozenset(zip(parts[2::2], parts[3::2], strict=True))


def searched() -> Iterator[Named]:
    """Yield the metrics for which the dashboard searches."""
    for widget in widgets():
        for entry in widget.get("metrics", []):
            for expression in (
                part["expression"] for part in entry if isinstance(part, dict) and "expression" in part
            ):
                found = re.fullmatch(r"SEARCH\('\{(.+?)\} MetricName=(.+)', '\w+', \d+\)", expression)
                assert found, expression
                space, *dimensions = found[1].split(",")
                for name in re.findall(r'"(\w+)"', found[2]):
                    yield space.strip('"'), name, frozenset(dimensions)


def alarmed() -> Iterator[Named]:
    """Yield the metrics that alarms read."""
    for alarm in stack().of_type("CloudWatch::Alarm"):
        properties = alarm.properties
        read = [one["MetricStat"]["Metric"] for one in properties.get("Metrics", []) if "MetricStat" in one]
        for metric in read or [properties]:
            dimensions = frozenset(one["Name"] for one in metric["Dimensions"])
            yield metric["Namespace"], metric["MetricName"], dimensions


def a_day_of_runs(cloud: Cloud) -> None:
    """Let runs come to every end, fail, stall, be judged and not be judged."""
    cloud.upload_task(spec(serve={"budget_ms": 300}))
    assert cloud.finish(cloud.drop(labelled())).state is State.PROMOTED
    hands_on = {"order": ["embedded", "bedrock", "prior"], "unsure": {"familiarity": 0.02}}
    cloud.upload_task(spec(name="handing-on", serve=hands_on, judge=None, gates={}))
    assert cloud.finish(cloud.drop(labelled(), "datasets/handing-on/drop.jsonl")).state is State.PROMOTED
    cloud.upload_task(spec(name="unjudged", judge={"model": "us.amazon.nova-pro-v1:0", "required": False}))
    cloud.bedrock.refuse("CreateEvaluationJob", "ValidationException", "no such judge")
    cloud.finish(cloud.drop(labelled(), "datasets/unjudged/drop.jsonl"))
    cloud.upload_task(spec(name="badly-judged", compare={"base": "somebody.elses-model"}))
    cloud.bedrock.evaluation_ends = ("Failed", "the judge could not be asked")
    assert cloud.finish(cloud.drop(labelled(), "datasets/badly-judged/drop.jsonl")).state is State.HELD
    assert cloud.finish(cloud.drop(b"no json\n")).state is State.REJECTED
    assert cloud.invoke("reward", [{"id": "of another shape"}])[0]["aggregate_reward_score"] == 0
    cloud.bedrock.job_ends = ("InProgress", "")
    cloud.upload_task(embedded_spec(name="labelled", dataset={"label": True}))
    assert cloud.finish(cloud.drop(prompts(), "datasets/labelled/drop.jsonl")).state is State.PROMOTED
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.age(run_id, timedelta(hours=25))
    cloud.minute()
    cloud.bedrock.job_ends = ("Failed", "Too many prompts were rejected.")
    assert cloud.finish(run_id).state is State.FAILED


def a_day_of_queries(cloud: Cloud) -> None:
    """Let queries be answered by every tier, and passed over for every reason."""
    queries = iter(QUERIES)

    def ask(says: Any = right_answer, *, forget: bool = True) -> dict[str, Any]:
        if forget:
            cloud.forget()
        cloud.bedrock.says = says
        status, body = cloud.request("POST", "/route", {"query": next(queries), "task": "clip-search"})
        assert status == 200, body
        return body

    def raising(error: Exception) -> Any:
        def says(model: str, prompt: str, query: str) -> str:
            raise error

        return says

    assert ask()["source"] == "bedrock"
    again = {"query": QUERIES[0], "task": "clip-search"}
    assert cloud.request("POST", "/route", again)[1]["cached"]
    cloud.request("POST", "/route/batch", {"queries": QUERIES[:3], "task": "clip-search"})
    for says in (
        raising(client_error("ThrottlingException")),
        raising(client_error("InternalServerException", status=500)),
        raising(ReadTimeoutError(endpoint_url="https://bedrock")),
        lambda model, prompt, query: "Mostly pictures.",
    ):
        assert ask(says)["source"] == "embedded"
    failing = raising(client_error("ThrottlingException"))
    said = [ask(failing, forget=False)["passed_over"]["bedrock"] for _ in range(9)]
    assert "failed repeatedly, left alone for a while" in said
    cloud.store.put(cloud.live().run_id, STUDENT, b"spoilt")
    slow = ask(lambda model, prompt, query: time.sleep(0.4) or truth(query))
    assert (slow["source"], slow["passed_over"]["baseline"]) == ("prior", "no time left")
    throttled_student = lambda model, prompt, query: (  # noqa: E731
        failing(model, prompt, query) if "deployment/" in model else truth(query)
    )
    assert ask(throttled_student)["source"] == "baseline"
    cloud.bedrock.says = lambda model, prompt, query: truth(QUERIES[0])
    strange = {"query": "zxqv wlkj 4711 pfffrt", "task": "handing-on"}
    assert cloud.request("POST", "/route", strange)[1]["passed_over"] == {"embedded": "unsure"}
    assert cloud.request("POST", "/route", {})[0] == 400
    broken = mock.patch.object(Router, "route", side_effect=ZeroDivisionError())
    with broken, pytest.raises(UnforeseenError):
        cloud.request("POST", "/route", again)
    with cloud.failing("dynamodb", "GetItem", times=9), cloud.failing("dynamodb", "Query", times=9):
        cloud.forget()
        assert cloud.request("POST", "/route", again)[0] == 503


@pytest.fixture
def everything(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> set[Metric]:
    """What handlers write on a day on which everything happens."""
    a_day_of_runs(cloud)
    a_day_of_queries(cloud)
    return set(written(capsys.readouterr().out))


def test_what_is_shown_and_alarmed_is_written_and_what_is_written_is_shown(everything: set[Metric]) -> None:
    # Of the dashboard's metrics and the alarms', those of the app are written, with these very dimensions
    shown, sought, read = set(graphed()), set(searched()), set(alarmed())
    assert {metric for metric in shown if metric[0] == NAMESPACE} <= everything
    ours = {metric for metric in sought | read if metric[0] == NAMESPACE}
    assert ours <= named(everything)
    assert ours
    # And the others are AWS's own
    assert {metric for metric in named(shown) | sought | read if metric[0] != NAMESPACE} <= AWS_OWN
    # And whatever else is written has a reason
    unseen = named(everything) - named(shown) - sought
    assert unseen == {(NAMESPACE, name, frozenset(dimensions)) for name, *dimensions in NOT_SHOWN}, (
        "show it, or say what it is for"
    )
    assert {space for space, _, _ in everything} == {NAMESPACE}
