"""The router's figures: one line a request in the embedded metric format, and nothing of the query in it."""

import json
from typing import Any

import pytest

from signalbox.answer import Answer
from signalbox.route import ABSENT, LEFT_ALONE, NO_TIME, NOT_LOADED, TIMEOUT, UNSURE, UNUSABLE, Routed
from signalbox.route_metrics import count_answers, count_fault


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of version 7 of the function."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Signalbox/test")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "route")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")


def routed(**changes: Any) -> Routed:
    answer = Answer(weights={"picture": 1.0}, reasoning="because of a secret query")
    return Routed(answer, **{"source": "embedded", "model": "m", "run_id": "r"} | changes)


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one line that was written."""
    (only,) = capsys.readouterr().out.splitlines()
    return json.loads(only)


def dimension_sets(line: dict[str, Any], metric: str) -> list[list[str]]:
    """Return the dimension sets under which a metric of a line is kept."""
    groups = line["_aws"]["CloudWatchMetrics"]
    return [
        dimensions
        for group in groups
        if metric in {one["Name"] for one in group["Metrics"]}
        for dimensions in group["Dimensions"]
    ]


def test_an_answer_is_counted_by_task_and_what_alarms_read_by_version_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    count_answers("clip-search", [routed(familiarity=0.5, unfamiliar=False)], "RouteLatency", 0.7)
    written = line(capsys)
    assert {name: value for name, value in written.items() if name != "_aws"} == {
        "service": "route",
        "task": "clip-search",
        "version": "7",
        "Routed": [1],
        "RoutedByEmbedded": [1],
        "RouteFallbacks": [0],
        "RouteCacheHits": [0],
        "RouteUnfamiliar": [0],
        "RouteLatency": [0.7],
    }
    assert {group["Namespace"] for group in written["_aws"]["CloudWatchMetrics"]} == {"Signalbox/test"}
    by_all = [["service", "task"], ["service"], ["service", "version"]]
    assert dimension_sets(written, "Routed") == dimension_sets(written, "RouteFallbacks") == by_all
    for name in ("RoutedByEmbedded", "RouteCacheHits", "RouteUnfamiliar", "RouteLatency"):
        assert dimension_sets(written, name) == [["service", "task"]]


def test_a_line_is_what_cloudwatch_takes_for_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    count_answers("clip-search", [routed()] * 100, "RouteBatchLatency", 12.0)
    written = line(capsys)
    assert isinstance(written["_aws"]["Timestamp"], int)
    units = {}
    for group in written["_aws"]["CloudWatchMetrics"]:
        assert set(group) == {"Namespace", "Dimensions", "Metrics"}
        for metric in group["Metrics"]:
            assert 1 <= len(written[metric["Name"]]) <= 100
            units[metric["Name"]] = metric["Unit"]
        assert all(isinstance(written[name], str) for names in group["Dimensions"] for name in names)
    assert units.pop("RouteBatchLatency") == "Milliseconds"
    assert set(units.values()) == {"Count"}
    assert written["Routed"] == written["RoutedByEmbedded"] == [100]


@pytest.mark.parametrize(
    ("reason", "counted_as"),
    [
        (TIMEOUT, "Timeout"),
        ("ReadTimeoutError", "Timeout"),
        ("ModelTimeoutException", "Timeout"),
        ("ThrottlingException", "Throttled"),
        ("ServiceQuotaExceededException", "Throttled"),
        (UNUSABLE, "UnusableAnswer"),
        (LEFT_ALONE, "LeftAlone"),
        (NO_TIME, "NoTimeLeft"),
        (NOT_LOADED, "NotLoaded"),
        (UNSURE, "Unsure"),
        ("InternalServerException", "Error"),
        ("AnythingElse", "Error"),
        *[(reason, None) for reason in sorted(ABSENT)],
    ],
)
def test_a_fallback_is_counted_by_its_reason(
    capsys: pytest.CaptureFixture[str], reason: str, counted_as: str | None
) -> None:
    count_answers("clip-search", [routed(passed_over={"bedrock": reason}, stopgap=True)], "RouteLatency", 1)
    written = line(capsys)
    reasons = {name: value for name, value in written.items() if name.startswith("PassedOver")}
    assert reasons == ({f"PassedOver{counted_as}": [1]} if counted_as else {})
    assert written["RouteFallbacks"] == [1]


def test_what_is_remembered_is_a_hit_and_its_reasons_are_not_counted_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = routed(source="bedrock", passed_over={"embedded": UNSURE}, cached=True, unfamiliar=True)
    count_answers("clip-search", [again], "RouteLatency", 1)
    written = line(capsys)
    assert (written["RouteCacheHits"], written["RouteUnfamiliar"]) == ([1], [1])
    assert "PassedOverUnsure" not in written


def test_where_no_student_looks_no_query_counts_as_familiar(capsys: pytest.CaptureFixture[str]) -> None:
    count_answers("clip-search", [routed(source="prior")], "RouteLatency", 1)
    assert "RouteUnfamiliar" not in line(capsys)


def test_nothing_that_was_asked_or_answered_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    count_answers("clip-search", [routed()], "RouteLatency", 1)
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "metric"),
    [
        (400, "RouteClientFaults"),
        (404, "RouteClientFaults"),
        (500, "RouteServerFaults"),
        (503, "RouteServerFaults"),
    ],
)
def test_a_refusal_is_counted_without_a_task(
    capsys: pytest.CaptureFixture[str], status: int, metric: str
) -> None:
    count_fault(status)
    written = line(capsys)
    assert written[metric] == [1]
    assert dimension_sets(written, metric) == [["service"]]
    assert "task" not in written


def test_what_is_well_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    count_fault(200)
    assert capsys.readouterr().out == ""


def test_a_failure_is_counted_by_its_task_too_where_one_is_live(capsys: pytest.CaptureFixture[str]) -> None:
    count_fault(500, "clip-search")
    written = line(capsys)
    assert dimension_sets(written, "RouteServerFaults") == [["service"], ["service", "task"]]
    assert written["task"] == "clip-search"
