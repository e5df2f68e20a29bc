"""Attempts at abusing the API, by somebody who may call it: none gets more than a plain refusal."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import QUERIES, http_request, labelled, labels_spec, spec
from tests.integration.cloud import Cloud
from tests.quick_moto import quick_aws

TASK = "clip-search"
ASK = {"query": QUERIES[0], "task": TASK}
SECURE = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "content-type": "application/json",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
}


@pytest.fixture(scope="module")
def live(student: bytes) -> Iterator[Cloud]:
    """The app with a live model of one task, and another task of which nothing is live yet."""
    with quick_aws(), Cloud(student).connected() as cloud:
        cloud.upload_task(spec())
        cloud.upload_task(labels_spec())
        cloud.finish(cloud.drop(labelled()))
        yield cloud
        assert cloud.crashes == []


def answer_to(cloud: Cloud, method: str, path: str, body: Any = None, **changes: Any) -> dict[str, Any]:
    """Send a request, and see that whatever comes is JSON and says nothing in its headers but what it always does."""
    answer = cloud.invoke("route", http_request(method, path, body) | changes)
    assert isinstance(json.loads(answer["body"]), dict)
    assert answer["headers"] == SECURE
    assert not answer.get("cookies")
    assert answer["statusCode"] < 500
    return answer


def refused(answer: dict[str, Any], status: int, field: str) -> None:
    """See that a request was refused, and for which field."""
    assert answer["statusCode"] == status
    assert [error["field"] for error in json.loads(answer["body"])["errors"]] == [field]
    assert len(answer["body"]) < 1_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/route", ASK),
        ("POST", "/route/batch", {"queries": QUERIES[:2], "task": TASK}),
        ("POST", "/route", {}),
        ("GET", "/tasks", None),
        ("GET", f"/tasks/{TASK}", None),
        ("GET", "/tasks/nothing", None),
        ("GET", "/openapi.json", None),
        ("GET", "/", None),
    ],
)
def test_every_answer_bears_the_headers_that_keep_it_from_being_misread(
    live: Cloud, method: str, path: str, body: Any
) -> None:
    answer_to(live, method, path, body)


# Bodies.


@pytest.mark.parametrize("megabytes", [2, 6, 10])
@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
def test_a_body_of_megabytes_is_refused_unread(live: Cloud, megabytes: int, encoded: bool) -> None:
    body = json.dumps(ASK | {"padding": "x" * (megabytes << 20)})
    sent = base64.b64encode(body.encode()).decode() if encoded else body
    refused(answer_to(live, "POST", "/route", sent, isBase64Encoded=encoded), 413, "body")


def test_the_largest_batch_that_is_allowed_is_not_too_large(live: Cloud) -> None:
    # 512 characters outside the basic plane, each written as two escapes of six bytes
    body = {"queries": ["\U0001f600" * 512] * 100, "task": TASK}
    assert answer_to(live, "POST", "/route/batch", body)["statusCode"] == 200


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"task": "clip-search", "query": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=["open", "lists", "objects", "in a field"],
)
def test_a_body_of_a_hundred_thousand_levels_is_refused(live: Cloud, body: str) -> None:
    refused(answer_to(live, "POST", "/route", body), 400, "body")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"query": 1e999, "task": "clip-search"}', "query"),
        ('{"query": NaN, "task": "clip-search"}', "query"),
        ('{"query": -Infinity, "task": "clip-search"}', "query"),
        ('{"query": ' + "9" * 5_000 + ', "task": "clip-search"}', "body"),
        ('{"query": ' + "9" * 4_000 + ', "task": "clip-search"}', "query"),
        ('{"query": "ships", "task": 1e400}', "task"),
        ('{"query": "ships", "task": "clip-search"', "body"),
        ('{"query": "ships", "task": "clip-search"}}', "body"),
        ('{"query": "ships", "task": "clip-search"}\n{"query": "ships", "task": "clip-search"}', "body"),
        ('\ufeff{"query": "ships", "task": "clip-search"}', "body"),
        ('{"query": "ships\n", "task": "clip-search"}', "body"),
        ('{"query": "\\u0000", "task": "clip-search"}', "query"),
        ('"ships"', "body"),
        ("null", "body"),
        ("\x00", "body"),
        ('{"__proto__": {"query": "ships", "task": "clip-search"}}', None),
    ],
)  # fmt: skip
def test_numbers_and_texts_that_break_parsers_are_refused(live: Cloud, body: str, field: str | None) -> None:
    answer = answer_to(live, "POST", "/route", body)
    if field is None:
        assert answer["statusCode"] == 400
    else:
        refused(answer, 400, field)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{}", b"\xc0\xaf", b"\x1f\x8b\x08\x00", b"{\x80}", b"\x00\x00{}"]
)
def test_bytes_that_are_no_utf_8_are_refused(live: Cloud, content: bytes) -> None:
    encoded = {"body": base64.b64encode(content).decode(), "isBase64Encoded": True}
    refused(answer_to(live, "POST", "/route", **encoded), 400, "body")


@pytest.mark.parametrize("body", ["%%%", "e30", "e30=e30=", "\u00e9", "="])
def test_what_only_claims_to_be_base64_is_refused(live: Cloud, body: str) -> None:
    answer = answer_to(live, "POST", "/route", body, isBase64Encoded=True)
    assert answer["statusCode"] == 400


def test_a_body_in_base64_is_read_like_any_other(live: Cloud) -> None:
    encoded = {"body": base64.b64encode(json.dumps(ASK).encode()).decode(), "isBase64Encoded": True}
    assert answer_to(live, "POST", "/route", **encoded)["statusCode"] == 200


def test_of_a_key_that_stands_twice_the_one_that_is_checked_is_the_one_that_is_used(live: Cloud) -> None:
    good, bad = '"task": "clip-search"', '"task": "../clip-search"'
    query = '"query": "ships turning in the harbour slowly"'
    assert answer_to(live, "POST", "/route", f"{{{query}, {bad}, {good}}}")["statusCode"] == 200
    refused(answer_to(live, "POST", "/route", f"{{{query}, {good}, {bad}}}"), 400, "task")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "a\r\nb",
    ],
)
def test_a_content_type_changes_nothing(live: Cloud, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert answer_to(live, "POST", "/route", ASK, headers=headers)["statusCode"] == 200
    for body in ("query=ships&task=clip-search", "<query>ships</query>", "--x\r\n\r\nships\r\n--x--"):
        refused(answer_to(live, "POST", "/route", body, headers=headers), 400, "body")


def test_a_batch_of_a_hundred_and_one_is_refused(live: Cloud) -> None:
    refused(answer_to(live, "POST", "/route/batch", {"queries": ["a"] * 101, "task": TASK}), 400, "queries")


# Names and paths.

CRLF = "\r\nSet-Cookie: a=b\r\n\r\n<script>"
WALKS = ["../clip-search", "..", ".", "clip-search/../clip-search", "/clip-search", "clip-search/", "LIVE#clip-search",
         "clip-search#", "clip-search\x00", "clip-search\n", "clip-search\r\nX: y", "CLIP-SEARCH", "clip_search",
         "clip--search", "-clip", "clip-", "", " ", "*", "%", "%2e%2e", "\uff43lip-search", "clip-search\u200b",
         "a" * 64, "a" * 100_000, "..\\clip-search", "$ne", "{}", "arn:aws:s3:::bucket"]  # fmt: skip


@pytest.mark.parametrize("task", WALKS, ids=lambda task: repr(task[:20]))
def test_a_task_name_that_walks_out_of_its_prefix_is_none(live: Cloud, task: str) -> None:
    refused(answer_to(live, "POST", "/route", ASK | {"task": task}), 400, "task")
    refused(answer_to(live, "POST", "/route/batch", {"queries": ["a"], "task": task}), 400, "task")


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/..%2fclip-search",
        "/tasks/..%2Fclip-search",
        "/tasks/%2e%2e/clip-search",
        "/tasks/../tasks/clip-search",
        "/tasks/./clip-search",
        "/tasks//clip-search",
        "//tasks/clip-search",
        "/tasks/clip-search/",
        "/tasks/clip-search//",
        "/tasks/clip-search/..",
        "/tasks/clip-search%00",
        "/tasks/clip-search%0d%0aSet-Cookie:a=b",
        "/tasks/clip-search\r\nSet-Cookie: a=b",
        "/tasks/clip-search;a=b",
        "/tasks/LIVE%23clip-search",
        "/%74asks/clip-search%20",
        "/tasks/",
        "/TASKS",
        "/tasks/" + "a/" * 5_000,
        "/tasks/" + "a" * 100_000,
        "/route/",
        "//route",
        "/ROUTE",
        "/route/../route",
        "/route%00",
        "/.env",
        "/_aws/lambda",
        "/$default/route",
        "",
    ],
    ids=lambda path: path[:30],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_trick_of_a_path_leads_anywhere(live: Cloud, method: str, path: str) -> None:
    assert answer_to(live, method, path, ASK if method == "POST" else None)["statusCode"] in (400, 404)


@pytest.mark.parametrize("field", ["query", "task"])
def test_what_a_caller_sends_never_reaches_a_header(live: Cloud, field: str) -> None:
    answer = answer_to(
        live, "POST", "/route", ASK | {field: ASK[field] + CRLF}, headers={"x-request-id": CRLF}
    )
    assert "Set-Cookie" not in json.dumps(answer["headers"])


def test_a_task_without_a_live_model_cannot_be_told_from_one_that_is_not_there(live: Cloud) -> None:
    for method, path, body in (
        ("GET", "/tasks/{}", None),
        ("POST", "/route", ASK),
        ("POST", "/route/batch", None),
    ):
        said = []
        for task in ("clip-kind", "nowhere"):
            asked = (
                {"queries": ["a"], "task": task} if path.endswith("batch") else body and body | {"task": task}
            )
            answer = answer_to(live, method, path.format(task), asked)
            said.append((answer["statusCode"], answer["headers"], answer["body"].replace(task, "")))
        assert said[0] == said[1]
        assert said[0][0] == 404


@pytest.mark.parametrize(
    "method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "route", "", "GET\r\nX: y"]
)
@pytest.mark.parametrize("path", ["/route", "/route/batch", "/tasks", f"/tasks/{TASK}", "/openapi.json"])
def test_no_other_method_does_anything(live: Cloud, method: str, path: str) -> None:
    for headers in ({}, {"x-http-method-override": "POST"}, {"origin": "https://evil.example"}):
        assert answer_to(live, method, path, ASK, headers=headers)["statusCode"] == 404
