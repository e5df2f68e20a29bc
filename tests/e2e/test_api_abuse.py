"""The same attempts as in tests/integration/test_api_abuse.py, a few of them, over HTTP as it comes over the wire."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

ASK = json.dumps({"query": "ships", "task": "nowhere"}).encode()
PATIENCE_SECONDS = 30


def sent(app, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
    """Send a request as it is, and return status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", app.api_port, timeout=PATIENCE_SECONDS)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in ({"content-length": str(len(body or b""))} | headers).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_body_of_six_megabytes_is_refused_and_the_app_answers_on(app):
    body = json.dumps({"query": "ships", "task": "nowhere", "padding": "x" * (6 << 20)}).encode()

    status, _, said = sent(app, "POST", "/route", body)

    assert status == 413
    assert json.loads(said)["errors"][0]["field"] == "body"
    assert sent(app, "POST", "/route", ASK)[0] == 404


def test_a_body_of_a_hundred_thousand_levels_is_refused(app):
    assert sent(app, "POST", "/route", b"[" * 100_000 + b"]" * 100_000)[0] == 400


def test_bytes_that_are_no_utf_8_are_refused(app):
    assert sent(app, "POST", "/route", b"\xff\xfe{}")[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/..%2fnowhere",
        "/tasks/%2e%2e/nowhere",
        "//tasks/nowhere",
        "/tasks/nowhere%0d%0aSet-Cookie:a=b",
        "/.env",
    ],
)
def test_no_trick_of_a_path_leads_anywhere(app, path):
    status, headers, _ = sent(app, "GET", path)

    assert status in (400, 404)
    assert "set-cookie" not in headers


def test_every_answer_bears_the_headers_that_keep_it_from_being_misread(app):
    _, headers, _ = sent(app, "GET", "/tasks/nowhere", origin="https://evil.example")

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_no_other_method_does_anything(app, method):
    assert sent(app, method, "/route", ASK)[0] in (403, 404, 405)


def test_a_request_that_never_ends_does_not_keep_others_waiting(app):
    hung = [socket.create_connection(("127.0.0.1", app.api_port), PATIENCE_SECONDS) for _ in range(20)]
    try:
        for one in hung:
            one.sendall(b"POST /route HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{")
        with ThreadPoolExecutor(4) as callers:
            statuses = callers.map(lambda _: sent(app, "POST", "/route", ASK)[0], range(8))
        assert set(statuses) == {404}
    finally:
        for one in hung:
            one.close()
