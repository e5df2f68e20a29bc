"""The API: always an answer while something is live, from the first tier that has a usable one."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ReadTimeoutError

from signalbox.live import LivePointers
from signalbox.observability import UnforeseenError
from signalbox.route import Router
from signalbox.store import STUDENT
from tests.builders import (
    QUERIES,
    client_error,
    http_request,
    labelled,
    labels_spec,
    spec,
    true_label,
    truth,
    weights_text,
)
from tests.integration.cloud import Cloud
from tests.quick_moto import quick_aws
from tests.scripted_bedrock import right_answer

SHIPS, BELLS = QUERIES[0], QUERIES[50]
ASK = {"query": SHIPS, "task": "clip-search"}


@pytest.fixture(scope="module")
def account(student: bytes) -> Iterator[Cloud]:
    """The app with a live model, which may take 300 ms to answer, for all of these tests."""
    with quick_aws(), Cloud(student).connected() as cloud:
        cloud.upload_task(spec(serve={"budget_ms": 300}))
        cloud.finish(cloud.drop(labelled()))
        yield cloud
        assert cloud.crashes == []


@pytest.fixture
def live(account: Cloud, student: bytes) -> Cloud:
    """The app with a live model, and a router that has answered nothing yet."""
    account.store.put(account.live().run_id, STUDENT, student)
    account.bedrock.says = right_answer
    account.forget()
    return account


def says(
    student: Callable[[str], str], baseline: Callable[[str], str] = truth
) -> Callable[[str, str, str], str]:
    return lambda model, prompt, query: (student if "deployment/" in model else baseline)(query)


def raises(error: Exception) -> Callable[[str], str]:
    def answer(query: str) -> str:
        raise error

    return answer


def slowly(query: str) -> str:
    """Answer after the route's budget."""
    time.sleep(0.4)
    return truth(query)


def routed(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """Ask the API and see that the answer keeps the contract, wherever it comes from."""
    status, body = cloud.request("POST", "/route", ASK | changes)
    assert status == 200, body
    assert sum(Decimal(str(weight)) for weight in body["weights"].values()) == 1
    assert all(0 <= weight <= 1 for weight in body["weights"].values())
    assert set(body) == {
        "weights", "reasoning", "familiarity", "source", "cached", "passed_over", "run_id", "model", "latency_ms",
        "request_id",
    }  # fmt: skip
    assert body["request_id"] == "request-1"
    return body


def test_the_student_answers_first_with_its_run_and_its_model(live: Cloud) -> None:
    body = routed(live)
    assert body["weights"] == {"picture": 0.8, "sound": 0.1, "words": 0.1}
    assert (body["source"], body["model"], body["passed_over"]) == (
        "bedrock",
        "amazon.nova-micro-v1:0:128k (distilled)",
        {},
    )
    assert body["run_id"] == live.live().run_id


def test_weights_that_a_model_rounds_badly_sum_to_exactly_one(live: Cloud) -> None:
    live.bedrock.says = says(lambda query: weights_text(0.333, 0.333, 0.333))
    assert sorted(routed(live)["weights"].values()) == [0.3333, 0.3333, 0.3334]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (raises(client_error("ThrottlingException", status=429)), "ThrottlingException"),
        (raises(client_error("InternalServerException", status=500)), "InternalServerException"),
        (raises(ReadTimeoutError(endpoint_url="https://bedrock")), "ReadTimeoutError"),
        (lambda query: "I think it is mostly pictures.", "unusable answer"),
        (lambda query: '{"picture": 0.9, "sound": 0.9, "words": 0.9}', "unusable answer"),
        (lambda query: "", "unusable answer"),
        (slowly, "timeout"),
    ],
    ids=["throttled", "5xx", "cut off", "prose", "wrong sum", "nothing", "too slow"],
)  # fmt: skip
def test_a_student_that_fails_is_passed_over_and_the_reason_given(
    live: Cloud, said: Callable[[str], str], reason: str
) -> None:
    live.bedrock.says = says(said)
    body = routed(live)
    assert body["source"] == "embedded"
    assert body["passed_over"] == {"bedrock": reason}
    assert max(body["weights"], key=body["weights"].get) == "picture"


def test_without_an_embedded_student_the_baseline_answers(live: Cloud) -> None:
    live.s3.delete_object(Bucket=live.store._bucket, Key=f"runs/{live.live().run_id}/{STUDENT}")
    live.bedrock.says = says(raises(client_error("ThrottlingException")))
    body = routed(live)
    assert (body["source"], body["model"]) == ("baseline", spec()["compare"]["baseline"])
    assert body["passed_over"]["embedded"] == "not loaded"


def test_when_all_models_fail_the_prior_answers(live: Cloud) -> None:
    live.store.put(live.live().run_id, STUDENT, b"spoilt")
    live.bedrock.says = says(
        raises(client_error("ThrottlingException")), raises(client_error("ModelErrorException"))
    )
    body = routed(live)
    assert body["source"] == "prior"
    assert body["passed_over"]["baseline"] == "ModelErrorException"
    assert body["weights"] == live.live().prior["weights"]


def test_a_slow_student_leaves_no_time_for_a_slow_baseline(live: Cloud) -> None:
    live.store.put(live.live().run_id, STUDENT, b"spoilt")
    live.bedrock.says = says(slowly)
    body = routed(live)
    assert (body["source"], body["passed_over"]["baseline"]) == ("prior", "no time left")


def test_a_pointer_that_cannot_be_read_again_is_used_stale(live: Cloud) -> None:
    # Given an answer, more than half a minute ago
    first = routed(live)
    live.later(seconds=31)
    # When the table fails
    with live.failing("dynamodb", "GetItem", times=9):
        second = routed(live)
    # Then the same run answers
    assert (second["run_id"], second["source"]) == (first["run_id"], "bedrock")


def test_a_promotion_shows_after_half_a_minute_and_not_before(live: Cloud) -> None:
    first = routed(live)
    live.finish(live.drop(labelled()))
    assert routed(live)["run_id"] == first["run_id"]
    live.later(seconds=31)
    assert routed(live)["run_id"] == live.live().run_id != first["run_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"task": "clip-search"}, "query"),
        ({"query": SHIPS}, "task"),
        ({"query": "", "task": "clip-search"}, "query"),
        ({"query": "q" * 513, "task": "clip-search"}, "query"),
        ({"query": 7, "task": "clip-search"}, "query"),
        ({"query": SHIPS, "task": "Clip Search"}, "task"),
        ({"query": SHIPS, "task": "clip-search\n"}, "task"),
        ('{"query": "\\ud800", "task": "clip-search"}', "query"),
        ([SHIPS], "body"),
        ("not json", "body"),
        (None, "body"),
    ],
    ids=str,
)
def test_a_question_that_is_none_is_refused_and_the_field_named(
    live: Cloud, body: object, field: str
) -> None:
    status, answer = live.request("POST", "/route", body)
    assert status == 400
    assert [error["field"] for error in answer["errors"]] == [field]
    assert all(error["reason"] for error in answer["errors"])
    assert answer["request_id"] == "request-1"


@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/route", ASK | {"task": "clip"}), ("GET", "/tasks/clip", None)]
)
def test_a_task_of_which_nothing_is_live_is_not_found(
    live: Cloud, method: str, path: str, body: object
) -> None:
    status, answer = live.request(method, path, body)
    assert status == 404
    assert answer["errors"] == [{"field": "task", "reason": "nothing is live for a task named clip"}]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/route"), ("POST", "/tasks/clip-search"), ("GET", "/")]
)
def test_there_is_no_other_route(live: Cloud, method: str, path: str) -> None:
    assert live.request(method, path)[0] == 404


def test_the_live_model_is_described(live: Cloud) -> None:
    status, body = live.request("GET", "/tasks/clip-search")
    pointer = live.live()
    assert status == 200
    assert (body["task"], body["run_id"], body["model"]) == ("clip-search", pointer.run_id, pointer.model)
    assert datetime.fromisoformat(body["since"]) == pointer.since
    assert body["output"] == spec()["output"]
    assert body["metrics"]["judge"] == 4.5


def test_the_model_before_the_live_one_is_named(live: Cloud) -> None:
    first = live.live().run_id
    live.finish(live.drop(labelled()))
    _, body = live.request("GET", "/tasks/clip-search")
    assert set(body["previous"]) == {"run_id", "model", "since"}
    assert body["previous"]["run_id"] == first


def test_a_label_is_answered_with_a_confidence_where_there_is_one(live: Cloud) -> None:
    live.upload_task(labels_spec(serve={"order": ["embedded", "bedrock", "prior"]}, compare={}))
    live.finish(live.drop(labelled(answer=true_label), "datasets/clip-kind/drop.jsonl", trains=True))
    status, body = live.request("POST", "/route", {"query": BELLS, "task": "clip-kind"})
    assert (status, body["label"], body["source"]) == (200, "listen", "embedded")
    assert 0 < body["confidence"] <= 1
    assert "weights" not in body


@pytest.mark.parametrize("query", ["?!", "🎉", "x" * 512, "SHIPS\u0000", "<script>", "आवाज़"])
def test_any_query_is_answered(live: Cloud, query: str) -> None:
    live.bedrock.says = says(raises(client_error("ThrottlingException")))
    routed(live)  # what is live is read within the first query's time, which a busy machine may exceed
    assert routed(live, query=query)["source"] == "embedded"


@pytest.mark.parametrize("query", ["", " ", "\u0000\t", "x" * 513, "\ud83d", None, 1, ["ships"]])
def test_what_is_no_query_is_refused_by_name(live: Cloud, query: Any) -> None:
    status, body = live.request("POST", "/route", ASK | {"query": query})
    assert (status, [error["field"] for error in body["errors"]]) == (400, ["query"])


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"query": ' + "[" * 5_000 + "]" * 5_000 + "}", "1" * 5_000, "", "no", "\x00"]
)
def test_a_body_that_cannot_be_read_is_refused(live: Cloud, body: str) -> None:
    event = http_request("POST", "/route", None) | {"body": body, "headers": None}
    answer = live.invoke("route", event)
    assert answer["statusCode"] == 400
    assert [error["field"] for error in json.loads(answer["body"])["errors"]] == ["body"]


def test_a_body_that_is_no_utf_8_is_refused(live: Cloud) -> None:
    event = http_request("POST", "/route", None) | {"body": "//79", "isBase64Encoded": True}
    assert live.invoke("route", event)["statusCode"] == 400


def test_a_batch_is_answered_in_order_by_the_embedded_student(live: Cloud) -> None:
    status, body = live.request("POST", "/route/batch", {"queries": [SHIPS, BELLS], "task": "clip-search"})
    assert status == 200
    first, second = body["answers"]
    assert max(first["weights"], key=first["weights"].get) == "picture"
    assert max(second["weights"], key=second["weights"].get) == "sound"
    assert first["source"] == second["source"] == "embedded"


@pytest.mark.parametrize(
    ("queries", "field"),
    [
        ([], "queries"),
        (["a"] * 101, "queries"),
        (["a", ""], "queries.1"),
        (["a", "b", " \t"], "queries.2"),
        (["a", "\ud83d", "b"], "queries.1"),
    ],
)
def test_a_batch_that_is_none_is_refused_by_name(live: Cloud, queries: list, field: str) -> None:
    status, body = live.request("POST", "/route/batch", {"queries": queries, "task": "clip-search"})
    assert (status, [error["field"] for error in body["errors"]]) == (400, [field])


def written_by(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of metrics that the function wrote."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" in line]


def test_a_request_is_one_line_of_metrics_by_task_and_names_no_query(
    live: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    live.bedrock.says = says(raises(client_error("ThrottlingException")))
    routed(live, query="a query that nobody else should read")
    text = capsys.readouterr().out
    assert "nobody else" not in text
    (line,) = [json.loads(one) for one in text.splitlines() if "_aws" in one]
    assert (line["service"], line["task"]) == ("route", "clip-search")
    assert line["RouteFallbacks"] == line["PassedOverThrottled"] == line["RoutedByEmbedded"] == [1]
    live.request("POST", "/route/batch", {"queries": [SHIPS, BELLS], "task": "clip-search"})
    (line,) = written_by(capsys)
    assert (line["Routed"], line["RouteCacheHits"]) == ([2], [0, 0])


def test_a_refusal_is_counted_and_what_it_names_is_not_a_dimension(
    live: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    live.request("POST", "/route", ASK | {"task": "anything-at-all"})
    live.request("POST", "/route", ASK | {"query": ""})
    live.request("GET", "/nowhere")
    lines = written_by(capsys)
    assert [line["RouteClientFaults"] for line in lines] == [[1], [1], [1]]
    assert not any("anything-at-all" in json.dumps(line) for line in lines)


def test_a_fault_of_our_own_is_counted_and_raised_for_lambda_to_count_it_too(
    live: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    live.request("POST", "/route", ASK)
    written_by(capsys)
    monkeypatch.setattr(Router, "route", mock.Mock(side_effect=ZeroDivisionError()))
    for asked in (ASK, ASK | {"task": "made-up"}):
        with pytest.raises(UnforeseenError, match=r"^ZeroDivisionError; "):
            live.request("POST", "/route", asked)
    lines = written_by(capsys)
    assert [(line["RouteServerFaults"], line.get("task")) for line in lines] == [
        ([1], ASK["task"]),
        ([1], None),
    ]


def test_an_instance_that_never_read_what_is_live_says_try_again(live: Cloud, monkeypatch: Any) -> None:
    monkeypatch.setattr(LivePointers, "get", mock.Mock(side_effect=client_error("InternalServerError")))
    assert live.request("POST", "/route", ASK)[0] == 503


def test_tasks_are_listed_with_what_is_live_and_what_is_not(live: Cloud) -> None:
    live.upload_task(labels_spec(name="clip-mood"))
    status, body = live.request("GET", "/tasks")
    assert status == 200
    (listed,) = [each for each in body["tasks"] if each["task"] == "clip-search"]
    _, described = live.request("GET", "/tasks/clip-search")
    assert listed == {name: described[name] for name in listed}
    assert set(listed) == {"task", "output", "run_id", "model", "since", "how", "metrics"}
    assert "clip-mood" in body["not_live"]
    assert "clip-search" not in body["not_live"]
    assert body["next"] is None


def test_the_list_has_pages_and_loses_no_task(live: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.task_list.PAGE", 2)
    pointer = live.live()
    for number in range(5):
        copied = pointer.model_copy(update={"task_name": f"copy-{number}", "since": pointer.since})
        live.runs._table.put_item(Item=copied.item())
    try:
        status, body = live.request("GET", "/tasks")
        seen, pages = body["tasks"], 1
        while body["next"]:
            assert body["not_live"] is None
            status, body = live.request("GET", "/tasks", query={"next": body["next"]})
            assert status == 200, body
            seen, pages = seen + body["tasks"], pages + 1
    finally:
        for number in range(5):
            live.runs._table.delete_item(Key={"id": f"LIVE#copy-{number}"})
    names = [each["task"] for each in seen]
    assert len(names) == len(set(names))
    assert {f"copy-{number}" for number in range(5)} | {"clip-search"} <= set(names)
    assert pages >= 3


@pytest.mark.parametrize(
    "place",
    [
        "",
        "x",
        "~a",
        "2026-11-21~a",
        "2026-11-21T09:14:03.250000Z~a",
        "17637164432500000~a",
        "1~No Task",
        "0" * 400,
    ],
)
def test_a_place_that_no_page_named_is_refused(live: Cloud, place: str) -> None:
    status, body = live.request("GET", "/tasks", query={"next": place})
    assert (status, [error["field"] for error in body["errors"]]) == (400, ["next"])


def test_one_pointer_that_cannot_be_read_is_its_tasks_trouble_alone(live: Cloud) -> None:
    poisoned = live.live().item() | {"id": "LIVE#poisoned", "pointer": "{}"}
    live.runs._table.put_item(Item=poisoned)
    try:
        live.upload_task(spec(name="poisoned"))
        _, body = live.request("GET", "/tasks")
        assert "clip-search" in [each["task"] for each in body["tasks"]]
        assert "poisoned" not in [*(each["task"] for each in body["tasks"]), *body["not_live"]]
        assert live.request("POST", "/route", ASK)[0] == 200
    finally:
        live.runs._table.delete_item(Key={"id": "LIVE#poisoned"})
