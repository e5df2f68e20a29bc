"""`data from-logs` and `data from-query-log` with S3 behind them, and what the router keeps made a dataset."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.data import from_query_log, log_files
from local.data.command import main
from signalbox.records import Record, read_records
from tests.builders import QUERIES, embedded_spec, labelled, spec, task, task_yaml, truth
from tests.integration.cloud import Cloud
from tests.invocation_logs import converse, converse_answer, lines, packed
from tests.query_log import kept_queries
from tests.unit.template.stack import QUERY_LOG_BUCKET

HOUR = "logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/20/09"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip-search").mkdir()
    (tmp_path / "clip-search" / "task.yaml").write_bytes(task_yaml(spec()))
    return tmp_path


def run(folder: Path, action: str, *arguments: str) -> int:
    out = ["--task", str(folder / "clip-search"), "--out", str(folder / "out.jsonl"), "--json"]
    return main(["data", action, *arguments, *out])


def records(folder: Path) -> list[Record]:
    found = list(read_records([(folder / "out.jsonl").read_bytes()], task()))
    assert all(isinstance(record, Record) for record in found)
    return found  # type: ignore[return-value]


def test_logs_in_s3_are_read_with_the_bodies_that_lie_beside_them(
    cloud: Cloud, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a bucket as Bedrock fills it, with a large body, one that is gone, and one in a bucket of somebody else
    objects = cloud.s3
    monkeypatch.setattr(boto3, "Session", lambda **_: type("Session", (), {"client": lambda *_: objects})())
    for bucket in ("my-logs", "other-logs"):
        cloud.s3.create_bucket(Bucket=bucket)
    messages = [{"role": "user", "content": [{"text": QUERIES[1]}]}]
    places = [("my-logs", "1_input"), ("my-logs", "1_output"), ("my-logs", "gone"), ("other-logs", "1_input")]
    large = [f"s3://{bucket}/{HOUR}/data/{name}.json.gz" for bucket, name in places]
    contents: dict[str, Any] = {
        large[0]: {"messages": messages},
        large[1]: converse_answer(truth(QUERIES[1])),
    }
    contents[large[3]] = contents[large[0]]
    for address, content in contents.items():
        bucket, _, key = address.removeprefix("s3://").partition("/")
        cloud.s3.put_object(Bucket=bucket, Key=key, Body=packed(json.dumps(content).encode()))
    entries = [
        converse(QUERIES[0], truth(QUERIES[0])),
        converse("", input={"inputBodyS3Path": large[0]}, output={"outputBodyS3Path": large[1]}),
        converse("", input={"inputBodyS3Path": large[2]}),
        converse("", input={"inputBodyS3Path": large[3]}),
    ]
    cloud.s3.put_object(
        Bucket="my-logs", Key=f"{HOUR}/20261120T093000_7.json.gz", Body=packed(lines(*entries))
    )
    cloud.s3.put_object(Bucket="my-logs", Key="logs/amazon-bedrock-logs-permission-check", Body=b"x")
    # When a dataset is made of it
    assert run(folder, "from-logs", "s3://my-logs/logs/") == 7
    # Then what can be read is in it, and what cannot is named
    assert {record.query: record.answer_text for record in records(folder)} == {
        query: truth(query) for query in QUERIES[:2]
    }
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [fault["reason"] for fault in faults] == [
        "its body in data/ cannot be read: NoSuchKey",
        "its body lies in another bucket",
    ]


def test_a_bucket_that_may_not_be_read_is_said(
    cloud: Cloud, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = cloud.s3
    monkeypatch.setattr(boto3, "Session", lambda **_: type("Session", (), {"client": lambda *_: objects})())
    assert run(folder, "from-logs", "s3://no-such-bucket/logs/") == 2
    assert "s3://no-such-bucket/logs/ cannot be listed: NoSuchBucket" in capsys.readouterr().err


def test_what_the_router_keeps_becomes_a_dataset_of_prompts(
    cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a live task, and a router that keeps every query
    cloud.upload_task(embedded_spec())
    cloud.finish(cloud.drop(labelled()))
    asked = [*QUERIES[:8], QUERIES[0], f"{QUERIES[1]} jane@example.com"]
    with kept_queries(cloud):
        for query in asked:
            assert cloud.request("POST", "/route", {"query": query, "task": "clip-search"})[0] == 200
    # When a dataset is made of what it kept
    monkeypatch.setattr(from_query_log, "query_log_of", lambda *_: (QUERY_LOG_BUCKET, cloud.s3))
    assert run(folder, "from-query-log") == 0
    # Then each query stands in it once, masked, without an answer
    assert {record.query for record in records(folder)} == {*QUERIES[:8], f"{QUERIES[1]} [e-mail address]"}
    assert all(record.answer is None for record in records(folder))


@pytest.mark.parametrize("small", [0, 1 << 20])
def test_many_objects_are_read_once_each_and_those_of_hours_before_not_at_all(
    cloud: Cloud,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    small: int,
) -> None:
    objects = cloud.s3
    monkeypatch.setattr(boto3, "Session", lambda **_: type("Session", (), {"client": lambda *_: objects})())
    monkeypatch.setattr(log_files, "_SMALL_BYTES", small)
    cloud.s3.create_bucket(Bucket="my-logs")
    for hour in ("08", "12"):
        for number in range(20):
            key = f"AWSLogs/1/BedrockModelInvocationLogs/us-east-1/2026/11/20/{hour}/{number:02}.json.gz"
            cloud.s3.put_object(
                Bucket="my-logs", Key=key, Body=packed(lines(converse(f"{hour}: {QUERIES[number]}")))
            )
    assert run(folder, "from-logs", "s3://my-logs/", "--since", "2026-11-20T09:00") == 0
    figures = json.loads(capsys.readouterr().out)
    # The calls were made at 9:30, whatever hour their file has
    assert (figures["files"], figures["calls"]) == (40, 40)
    (folder / "out.jsonl").unlink()
    assert run(folder, "from-logs", "s3://my-logs/", "--since", "2026-11-20T11:00") == 4
    assert json.loads(capsys.readouterr().out)["files"] == 20
