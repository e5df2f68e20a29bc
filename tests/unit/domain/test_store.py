"""The data bucket: keys, content types, what is missing and what fails."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from signalbox.store import CONSOLE, RunStore, predictions_of
from tests.builders import BUCKET, client_error, dataset_object
from tests.fakes import FakeS3


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def store(s3: FakeS3) -> RunStore:
    return RunStore(s3, BUCKET)


def test_all_of_a_run_lies_under_its_prefix(s3: FakeS3, store: RunStore) -> None:
    store.put("clip-1", predictions_of("embedded"), "{}\n")
    store.put("clip-1", "report.html", "<p>")
    assert set(s3.objects) == {"runs/clip-1/predictions/embedded.jsonl", "runs/clip-1/report.html"}
    assert s3.content_types["runs/clip-1/report.html"] == "text/html; charset=utf-8"
    assert store.uri("clip-1", "judge/") == f"s3://{BUCKET}/runs/clip-1/judge/"


def test_what_was_put_is_got_and_what_was_not_is_none(store: RunStore) -> None:
    store.put("clip-1", "metrics.json", "ü")
    assert store.get("clip-1", "metrics.json") == "ü".encode()
    assert store.get("clip-2", "metrics.json") is None
    assert store.has("clip-1", "metrics.json")
    assert not store.has("clip-2", "metrics.json")
    assert store.task_spec("clip") is store.task_golden("clip", 100) is None
    assert store.dataset(dataset_object()) is None


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown", "InternalError"])
def test_an_error_that_is_not_absence_is_raised(s3: FakeS3, store: RunStore, code: str) -> None:
    for read in (
        lambda: store.get("clip-1", "x"),
        lambda: store.has("clip-1", "x"),
        lambda: store.dataset(dataset_object()),
    ):
        s3.fail_next = client_error(code)
        with pytest.raises(ClientError, match=code):
            read()


def test_a_dataset_comes_in_pieces(s3: FakeS3, store: RunStore) -> None:
    content = b"x" * (2 * 2**20 + 5)
    s3.objects[dataset_object().key] = content
    pieces = list(store.dataset(dataset_object()))
    assert [len(piece) for piece in pieces] == [2**20, 2**20, 5]


def test_lines_come_one_by_one_and_none_of_what_is_missing(s3: FakeS3, store: RunStore) -> None:
    store.put("clip-1", "train.jsonl", "a\nb\n")
    assert list(store.lines("clip-1", "train.jsonl")) == [b"a", b"b"]
    assert list(store.lines("clip-1", "golden.jsonl")) == []
    s3.fail_next = client_error("SlowDown")
    with pytest.raises(ClientError, match="SlowDown"):
        list(store.lines("clip-1", "train.jsonl"))


def test_objects_are_found_by_their_ending_below_a_prefix(store: RunStore) -> None:
    for name in ("customization/job/b_metrics.csv", "customization/a_metrics.csv", "customization/a.json"):
        store.put("clip-1", name, name)
    assert store.found("clip-1", "customization/", "_metrics.csv") == [
        b"customization/a_metrics.csv",
        b"customization/job/b_metrics.csv",
    ]


def test_the_judges_results_are_found_by_their_ending_wherever_they_lie(store: RunStore) -> None:
    for name in (
        "a/models/m/1_output.jsonl",
        "b_output.jsonl",
        "dataset.jsonl",
        "amazon-bedrock-evaluations-permission-check",
    ):
        store.put("clip-1", f"judge/base/{name}", name)
    store.put("clip-12", "judge/base/c_output.jsonl", "another run's")
    store.put("clip-1", "judge/baseline/c_output.jsonl", "another candidate's")
    assert store.judge_outputs("clip-1", "base") == [b"a/models/m/1_output.jsonl", b"b_output.jsonl"]


def test_uploads_of_a_span_of_time_are_found_by_version(s3: FakeS3, store: RunStore) -> None:
    for key in (
        "datasets/a/1.jsonl",
        "datasets/a/2.jsonl",
        "datasets/a/",
        "tasks/a/task.yaml",
        "datasets/a/3.jsonl",
    ):
        s3.put_object(BUCKET, key, b"", "")
    at = s3.versions[0][1]
    s3.versions[1] = (s3.versions[1][0], at - timedelta(hours=2))
    found = list(store.dropped_between(at - timedelta(hours=1), at + timedelta(hours=1)))
    assert [(dataset.key, dataset.version_id, dataset.etag) for dataset in found] == [
        ("datasets/a/1.jsonl", "v0", "e"),
        ("datasets/a/3.jsonl", "v4", "e"),
    ]


def test_uploads_to_a_bucket_without_versions_are_left_to_their_events(s3: FakeS3, store: RunStore) -> None:
    s3.put_object(BUCKET, "datasets/a/1.jsonl", b"", "")
    s3.version_ids = lambda place: "null"
    at = s3.versions[0][1]
    assert list(store.dropped_between(at - timedelta(hours=1), at + timedelta(hours=1))) == []


def test_the_tasks_are_those_that_were_uploaded_or_dropped_for(s3: FakeS3, store: RunStore) -> None:
    keys = (
        "tasks/b/task.yaml",
        "tasks/b/golden.jsonl",
        "tasks/a/task.yaml",
        "datasets/c/d/e.jsonl",
        "datasets/f.jsonl",
    )
    for key in (*keys, "datasets/No Task/d.jsonl", "runs/d-1/task.json"):
        s3.objects[key] = b""
    assert store.tasks() == ["a", "b", "c"]


def test_the_console_is_written_when_it_changes(s3: FakeS3, store: RunStore) -> None:
    for page in ("one", "one", "two"):
        store.put_console(page, store.console_written())
    assert [key for key, _ in s3.versions] == ["runs/index.html", "runs/index.html"]
    assert s3.objects["runs/index.html"] == b"two"
    assert s3.content_types["runs/index.html"] == "text/html; charset=utf-8"


def test_a_console_that_was_read_for_before_another_was_written_is_not_written_over_it(s3: FakeS3) -> None:
    # Given two sandboxes of watch that begin to read for a page, one after the other
    slow, quick = RunStore(s3, BUCKET), RunStore(s3, BUCKET)
    for number, standing in enumerate(("", "older")):
        if standing:
            quick.put_console(standing, quick.console_written())
        written = slow.console_written()
        # When the later one is done first
        quick.put_console(f"newer {number}", quick.console_written())
        slow.put_console("stale", written)
        # Then its page stays
        assert s3.objects[CONSOLE] == f"newer {number}".encode()
    # And in the next minute either may write
    slow.put_console("newest", slow.console_written())
    assert s3.objects[CONSOLE] == b"newest"
    # And the other, whose own page no longer stands there, writes it again if it is right
    quick.put_console("newer 1", quick.console_written())
    assert s3.objects[CONSOLE] == b"newer 1"


def test_of_a_large_golden_set_no_more_is_read_than_shows_that_it_is(s3: FakeS3, store: RunStore) -> None:
    s3.objects["tasks/clip-search/golden.jsonl"] = b"x" * 100
    assert store.task_golden("clip-search", 100) == b"x" * 100
    assert store.task_golden("clip-search", 10) == b"x" * 11
    assert store.task_golden("other", 10) is None
