"""The route function under AWS's own runtime client, with the bench's stand-ins for the Runtime API and AWS."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest

from bench.aws_stub import AwsStub
from bench.figures import Figure
from bench.sandbox import ROOT, Sandbox, SandboxError
from tests.builders import QUERIES, embedded_spec, http_request, task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric has wheels for Linux alone")
ROUTE = ROOT / "functions" / "route"


@contextmanager
def routing(student: bytes, **variables: str) -> Iterator[tuple[AwsStub, Sandbox, BinaryIO]]:
    """Start the route function with a live student; yield what it asks, itself, and what it logs."""
    stub = AwsStub(task(embedded_spec()), student)
    known = {
        "AWS_ENDPOINT_URL": stub.url,
        "RUN_TABLE": "runs",
        "DATA_BUCKET": "data",
        "QUERY_LOG_SHARE": "0",
    }
    with stub.serving(), tempfile.TemporaryFile() as log, Sandbox(ROUTE, known | variables, log) as sandbox:
        yield stub, sandbox, log


def answer_to(query: str, sandbox: Sandbox) -> dict[str, Any]:
    """Ask for the weights of a query, and return the gateway's answer."""
    body = json.dumps({"query": query, "task": "clip-search"})
    return sandbox.invoke(http_request("POST", "/route", body)).answer


def test_the_student_is_loaded_at_init_and_answers_the_first_query(student: bytes) -> None:
    with routing(student) as (stub, sandbox, log):
        stub.found.clear()  # from here on the table answers nothing
        stub.student = b""
        answer = answer_to(QUERIES[0], sandbox)
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"])["source"] == "embedded"
        assert sandbox.init_cpu_ms > 0
        log.seek(0)
        written = [json.loads(line) for line in log.read().splitlines()]
    assert written[-1]["RoutedByEmbedded"] == [1]


def test_a_function_from_an_old_snapshot_answers_with_what_is_live_when_it_is_restored(
    student: bytes,
) -> None:
    # Given a snapshot
    with routing(student, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") as (stub, sandbox, _):
        # When another run has gone live before it is restored
        old, new = b"clip-search-000000000000", b"clip-search-111111111111"
        stub.found = {operation: found.replace(old, new) for operation, found in stub.found.items()}
        sandbox.restore()
        stub.found.clear()  # from here on the table answers nothing
        # Then that run answers the first query
        answer = json.loads(answer_to(QUERIES[0], sandbox)["body"])
    assert (answer["source"], answer["run_id"]) == ("embedded", new.decode())


def test_a_function_that_cannot_be_loaded_is_an_error_of_the_bench() -> None:
    with tempfile.TemporaryFile() as log, pytest.raises(SandboxError):
        Sandbox(ROOT / "tasks", {}, log).__enter__()


@pytest.mark.parametrize(
    ("value", "target", "at_least", "met"),
    [(1.0, 1.0, False, True), (1.1, 1.0, False, False), (4.4, 4.33, True, True), (4.3, 4.33, True, False)],
)
def test_a_target_is_met_or_not(value: float, target: float, at_least: bool, met: bool) -> None:
    assert Figure("part", "figure", value, "", "", target, at_least).met is met


def test_a_figure_without_a_target_is_neither() -> None:
    assert Figure("part", "figure", 1.0).met is None


def test_queries_are_kept_behind_the_answers_back(student: bytes) -> None:
    with routing(student, QUERY_LOG_SHARE="1", QUERY_LOG_BUCKET="queries") as (stub, sandbox, _):
        # As many as it takes: 50 are kept, and written while others are answered.
        for number in range(10_000):
            assert answer_to(f"{QUERIES[0]} {number}", sandbox)["statusCode"] == 200
            if stub.written:
                break
    path, content = next(iter(stub.written.items()))  # the next ones may be on their way already
    assert path.startswith("/queries/clip-search/") or path.startswith("/clip-search/")
    lines = [json.loads(line) for line in content.splitlines()]
    assert [line["query"] for line in lines] == [f"{QUERIES[0]} {place}" for place in range(50)]
