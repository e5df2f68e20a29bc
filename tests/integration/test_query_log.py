"""The router's sample of queries on the whole app: off unless asked for, masked, and never in an answer's way."""

import json
from typing import Any
from unittest import mock

import pytest

from tests.builders import QUERIES, client_error, embedded_spec, labelled
from tests.integration.cloud import Cloud
from tests.integration.cloud import _app as app
from tests.query_log import kept_queries
from tests.unit.template.stack import QUERY_LOG_BUCKET


@pytest.fixture
def live(cloud: Cloud) -> Cloud:
    cloud.upload_task(embedded_spec())
    cloud.finish(cloud.drop(labelled()))
    return cloud


def ask(cloud: Cloud, query: str) -> dict[str, Any]:
    status, body = cloud.request("POST", "/route", {"query": query, "task": "clip-search"})
    assert status == 200
    return body


def kept(cloud: Cloud) -> list[dict[str, Any]]:
    found = cloud.s3.list_objects_v2(Bucket=QUERY_LOG_BUCKET).get("Contents", [])
    objects = [
        cloud.s3.get_object(Bucket=QUERY_LOG_BUCKET, Key=entry["Key"])["Body"].read() for entry in found
    ]
    return [json.loads(line) for content in objects for line in content.splitlines()]


def test_a_stack_keeps_no_query_unless_it_is_told_to(live: Cloud) -> None:
    ask(live, QUERIES[0])
    assert app("route").router().query_log is None


def test_queries_are_kept_as_they_were_asked_but_for_personal_data(live: Cloud) -> None:
    with kept_queries(live):
        body = ask(live, f"{QUERIES[0]} +44 20 7946 0958")
        assert body == ask(live, f"{QUERIES[0]} +44 20 7946 0958") | {
            "cached": False, "latency_ms": body["latency_ms"]
        }  # fmt: skip
        (one, other) = kept(live)
    assert one["query"] == other["query"] == f"{QUERIES[0]} [phone number]"
    assert (one["source"], one["run_id"]) == ("embedded", body["run_id"])
    assert one["familiarity"] == body["familiarity"]


def test_a_batch_is_no_query_of_a_person(live: Cloud) -> None:
    with kept_queries(live):
        live.request("POST", "/route/batch", {"queries": QUERIES[:9], "task": "clip-search"})
        assert kept(live) == []


def test_a_bucket_that_is_gone_costs_no_answer(live: Cloud) -> None:
    with kept_queries(live):
        with mock.patch.object(live.s3, "put_object", side_effect=client_error("NoSuchBucket")):
            assert [ask(live, query)["source"] for query in QUERIES[:5]] == ["embedded"] * 5
        for query in QUERIES[5:9]:
            ask(live, query)
        assert {*QUERIES[5:8]} <= {line["query"] for line in kept(live)}


def test_no_log_line_and_no_metric_has_a_query_whatever_becomes_of_it(
    live: Cloud, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with kept_queries(live):
        ask(live, "secret plans")
        with mock.patch.object(live.s3, "put_object", side_effect=ValueError("secret plans")):
            for _ in range(4):
                ask(live, "secret plans")
        with mock.patch("signalbox.query_log.mask", side_effect=ValueError("secret plans")):
            ask(live, "secret plans")
        assert kept(live)[0]["query"] == "secret plans"
    said = capsys.readouterr()
    told = [record.getMessage() + str(record.exc_info and record.exc_info[1]) for record in caplog.records]
    assert any("sampled queries lost" in line for line in told) and any("query log" in line for line in told)
    assert not [line for line in [said.out, said.err, *told] if "secret" in line]
