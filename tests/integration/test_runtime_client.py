"""The route function under AWS's own runtime client, with the bench's stand-ins for the Runtime API and AWS."""

import json
import sys
import tempfile

import pytest

from bench.aws_stub import AwsStub
from bench.figures import Figure
from bench.sandbox import ROOT, Sandbox, SandboxError
from tests.builders import QUERIES, embedded_spec, http_request, task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric has wheels for Linux alone")
ROUTE = ROOT / "functions" / "route"


def test_the_student_is_loaded_at_init_and_answers_the_first_query(student: bytes) -> None:
    stub = AwsStub(task(embedded_spec()), student)
    variables = {
        "AWS_ENDPOINT_URL": stub.url,
        "RUN_TABLE": "runs",
        "DATA_BUCKET": "data",
        "QUERY_LOG_SHARE": "0",
    }
    with (
        stub.serving(),
        tempfile.TemporaryFile() as log,
        Sandbox(ROUTE, variables, log) as sandbox,
    ):
        stub.found.clear()  # from here on the table answers nothing
        stub.student = b""
        body = json.dumps({"query": QUERIES[0], "task": "clip-search"})
        answer = sandbox.invoke(http_request("POST", "/route", body)).answer
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
    stub = AwsStub(task(embedded_spec()), student)
    variables = {
        "AWS_ENDPOINT_URL": stub.url,
        "RUN_TABLE": "runs",
        "QUERY_LOG_SHARE": "0",
        "DATA_BUCKET": "data",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
    }
    with (
        stub.serving(),
        tempfile.TemporaryFile() as log,
        Sandbox(ROUTE, variables, log) as sandbox,
    ):
        # When another run has gone live before it is restored
        old, new = b"clip-search-000000000000", b"clip-search-111111111111"
        stub.found = {operation: found.replace(old, new) for operation, found in stub.found.items()}
        sandbox.restore()
        stub.found.clear()  # from here on the table answers nothing
        # Then that run answers the first query
        body = json.dumps({"query": QUERIES[0], "task": "clip-search"})
        answer = json.loads(sandbox.invoke(http_request("POST", "/route", body)).answer["body"])
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
    stub = AwsStub(task(embedded_spec()), student)
    variables = {
        "AWS_ENDPOINT_URL": stub.url,
        "RUN_TABLE": "runs",
        "QUERY_LOG_SHARE": "1",
        "QUERY_LOG_BUCKET": "queries",
        "DATA_BUCKET": "data",
    }
    with (
        stub.serving(),
        tempfile.TemporaryFile() as log,
        Sandbox(ROUTE, variables, log) as sandbox,
    ):
        for number in range(
            10_000
        ):  # as many as it takes: 50 are kept, and written while others are answered
            body = json.dumps({"query": f"{QUERIES[0]} {number}", "task": "clip-search"})
            assert sandbox.invoke(http_request("POST", "/route", body)).answer["statusCode"] == 200
            if stub.written:
                break
    ((path, content),) = stub.written.items()
    assert path.startswith("/queries/clip-search/") or path.startswith("/clip-search/")
    lines = [json.loads(line) for line in content.splitlines()]
    assert [line["query"] for line in lines] == [f"{QUERIES[0]} {place}" for place in range(50)]
