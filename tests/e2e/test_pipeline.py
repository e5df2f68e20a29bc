"""A dataset dropped into S3 becomes a live router: the main job, through the front door."""

import json
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from signalbox.dataset_object import DatasetObject
from signalbox.run import run_id_for
from tests.e2e.harness import PROJECT


@pytest.fixture(scope="module")
def promoted(app) -> subprocess.CompletedProcess:
    """The example dataset, dropped and followed to its end."""
    dropped = app.command("drop", "examples/video-search.jsonl", "--task", "video-search", "--wait")
    assert dropped.returncode == 0, dropped.stdout + dropped.stderr
    return dropped


def test_the_example_dataset_is_promoted_and_its_course_is_told(promoted):
    told = promoted.stdout

    states = [
        "RECEIVED",
        "ACCEPTED",
        "TRAINING",
        "TRAINED",
        "DEPLOYING",
        "DEPLOYED",
        "EVALUATING",
        "EVALUATED",
    ]
    places = [told.index(state) for state in [*states, "PROMOTED"]]
    assert places == sorted(places)
    for model in ("embedded", "local.student", "local.base", "local.baseline"):
        assert model in told
    assert "report.html" in told


def test_the_router_answers_with_weights_that_sum_to_exactly_one(app, promoted):
    routed = app.command("route", "crowd cheering after a goal", "--json")

    answer = json.loads(routed.stdout, parse_float=Decimal)
    assert set(answer["weights"]) == {"visual", "audio", "transcription", "metadata"}
    assert sum(answer["weights"].values()) == 1
    assert answer["source"] in ("bedrock", "embedded")


def test_the_api_is_served_as_sam_local_start_api_does(app, promoted):
    answer = ask(app, "POST", "/route", {"query": "slow motion replay", "task": "video-search"})
    live = ask(app, "GET", "/tasks/video-search")

    assert sum(answer["weights"].values()) == 1
    assert live["run_id"] == answer["run_id"]


def test_the_api_names_the_field_that_is_wrong_and_the_task_that_is_unknown(app):
    with pytest.raises(urllib.error.HTTPError) as no_query:
        ask(app, "POST", "/route", {"task": "video-search"})
    with pytest.raises(urllib.error.HTTPError) as no_task:
        ask(app, "POST", "/route", {"query": "x", "task": "unheard-of"})

    assert no_query.value.code == 400
    assert "query" in no_query.value.read().decode()
    assert no_task.value.code == 404


def test_a_broken_dataset_is_rejected_with_line_field_and_reason(app):
    dropped = app.command("drop", "examples/broken.jsonl", "--task", "video-search", "--wait")

    assert dropped.returncode == 4, dropped.stdout + dropped.stderr
    findings = app.client("s3").get_object(
        Bucket=app.ready["bucket"], Key=f"runs/{run_of(dropped)}/validation.json"
    )
    problem = json.load(findings["Body"])["problems"][0]
    assert f"line {problem['line']}" in dropped.stdout
    assert problem["field"] in dropped.stdout
    assert problem["reason"] in dropped.stdout


def test_a_file_put_by_any_s3_client_starts_a_run(app, small_dataset):
    put = app.client("s3").put_object(
        Bucket=app.ready["bucket"], Key="datasets/embedded-only/by hand+é.jsonl", Body=small_dataset("lamps")
    )

    run_id = run_id_of(app, "datasets/embedded-only/by hand+é.jsonl", put["VersionId"])
    assert app.ended(run_id) == {run_id: "PROMOTED"}


def test_the_same_event_delivered_five_times_starts_one_job(app, small_dataset):
    bucket, key = app.ready["bucket"], "datasets/small/once.jsonl"
    put = app.client("s3").put_object(Bucket=bucket, Key=key, Body=small_dataset("stones"))
    event = object_created(bucket, key, put)
    for _ in range(5):
        app.client("lambda").invoke(
            FunctionName="signalbox-validate", InvocationType="Event", Payload=json.dumps(event)
        )

    run_id = run_id_of(app, key, put["VersionId"])
    assert app.ended(run_id) == {run_id: "PROMOTED"}
    jobs = app.client("bedrock").list_model_customization_jobs()["modelCustomizationJobSummaries"]
    assert [job["jobName"] for job in jobs if job["jobName"].startswith("small-")] == [run_id]
    history = [moment["state"] for moment in app.runs()[run_id]["history"]]
    assert len(history) == len(set(history))


def test_two_datasets_at_once_are_two_runs(app, small_dataset):
    run_ids = drop_at_once(app, ["rivers", "bridges"], small_dataset)

    assert app.ended(*run_ids) == dict.fromkeys(run_ids, "PROMOTED")


def test_twenty_datasets_at_once_all_end(app, small_dataset):
    run_ids = drop_at_once(app, [f"birds{number}" for number in range(20)], small_dataset)

    assert set(app.ended(*run_ids, patience=90).values()) <= {"PROMOTED", "HELD"}


def drop_at_once(app, words, small_dataset) -> list[str]:
    objects, bucket = app.client("s3"), app.ready["bucket"]

    def drop(word: str) -> str:
        key = f"datasets/embedded-only/{word}.jsonl"
        put = objects.put_object(Bucket=bucket, Key=key, Body=small_dataset(word))
        return run_id_of(app, key, put["VersionId"])

    with ThreadPoolExecutor(len(words)) as at_once:
        run_ids = list(at_once.map(drop, words))
    assert len(set(run_ids)) == len(words)
    return run_ids


def run_id_of(app, key: str, version: str) -> str:
    return run_id_for(DatasetObject(bucket=app.ready["bucket"], key=key, version_id=version))


def run_of(dropped: subprocess.CompletedProcess) -> str:
    return next(line.split()[1] for line in dropped.stdout.splitlines() if line.startswith("run "))


def object_created(bucket: str, key: str, put: dict) -> dict:
    """S3's event to EventBridge for a put."""
    event = json.loads((PROJECT / "events" / "validate" / "DatasetDropped.json").read_text())
    event["detail"]["bucket"]["name"] = bucket
    event["detail"]["object"].update(
        {"key": key, "etag": put["ETag"].strip('"'), "version-id": put["VersionId"]}
    )
    return event


def ask(app, method: str, path: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(
        app.ready["api"] + path,
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response, parse_float=Decimal)
