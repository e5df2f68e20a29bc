"""Retention, clean and redrive: what is not needed goes, all versions of it, and nothing live goes by itself."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import boto3
import pytest

from local import client as module
from local.client import App
from local.commands import main
from signalbox.failure import Failure
from signalbox.run import Part, State
from tests.builders import labelled, spec
from tests.integration.cloud import BUS, TABLE, Cloud
from tests.integration.ended_runs import held, promoted
from tests.unit.template.stack import DATA_BUCKET

NONE = {"deployments": 0, "models": 0, "runs": 0}
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"


class AppInMemory(App):
    """The app as a command sees it, with moto's and the scripted Bedrock's clients."""

    functions = frozenset({"signalbox-validate", "signalbox-notify"})

    def client(self, service: str) -> Any:
        return boto3.client(service)

    patient = client

    @property
    def run_items(self) -> Any:
        return boto3.resource("dynamodb").Table(self.table)


@pytest.fixture
def app(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppInMemory]:
    """Hand it to the commands."""
    queue = boto3.client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]
    found = AppInMemory("", "", DATA_BUCKET, TABLE, BUS, queue)
    with mock.patch.object(module, "connect", lambda *_: found):
        monkeypatch.setattr("local.commands.options.connect", lambda *_: found)
        yield found


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command; return its exit code and what it printed."""
    capsys.readouterr()
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def versions(cloud: Cloud, prefix: str = "") -> list[str]:
    return [version.key for version in cloud.store.versions(prefix)]


def let_all_be_due(cloud: Cloud, *run_ids: str) -> None:
    """Let three days pass for some runs, and for the datasets that began them."""
    for run_id in run_ids:
        cloud.age(run_id, timedelta(days=3))
    cloud.watch()
    for run_id in run_ids:
        run = cloud.run(run_id)
        if run.released_at is not None:
            cloud.runs.note_surplus(run, run.surplus, run.released_at - timedelta(hours=48))
    cloud.store.delete(cloud.store.versions("datasets/"))
    for _ in range(4):
        cloud.watch()


def test_retention_deletes_all_of_a_run_but_never_what_is_live_or_was_before(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, retention=NONE))
    oldest, before, live = promoted(cloud), promoted(cloud), promoted(cloud)
    let_all_be_due(cloud, oldest.id, before.id, live.id)
    assert cloud.runs.load(oldest.id) is None
    assert versions(cloud, f"runs/{oldest.id}/") == []
    assert set(cloud.bedrock.deployments) == {before.id, live.id}
    assert cloud.bedrock.custom_models == {before.model_arn, live.model_arn}
    assert cloud.live().run_ids == {before.id, live.id}
    assert versions(cloud, f"runs/{before.id}/")


def test_a_spec_that_cannot_be_read_keeps_everything(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, retention=NONE))
    runs = [promoted(cloud) for _ in range(3)]
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="tasks/clip-search/task.yaml", Body=b"name: [")
    let_all_be_due(cloud, *(run.id for run in runs))
    assert set(cloud.bedrock.deployments) == {run.id for run in runs}


def test_what_a_failed_run_made_unnoted_is_deleted_though_its_task_is(cloud: Cloud) -> None:
    # Given a run that failed while its model was made, of a task of which nothing else is left
    cloud.upload_task(spec(judge=None))
    run_id = cloud.drop(labelled())
    cloud.settle()
    assert cloud.run(run_id).state is State.TRAINING
    failure = Failure(step="distill", reason="given up", remedy="none is needed")
    cloud.pipeline().fail(run_id, failure, {State.TRAINING})
    cloud.settle()
    for folder in ("tasks/", "datasets/"):
        cloud.store.delete(cloud.store.versions(folder))
    # When its time has come, its job is stopped, and makes the model all the same
    let_all_be_due(cloud, run_id)
    assert cloud.run(run_id).gone is Part.DEPLOYMENT
    job = cloud.bedrock.jobs[run_id]
    assert job["status"] == "Stopping"
    job["status"] = "InProgress"
    cloud.bedrock.work(cloud.s3, lambda event: None)
    assert cloud.bedrock.custom_models
    # Then that is deleted
    cloud.watch()
    assert cloud.bedrock.custom_models == set()
    assert list(cloud.runs.at_bedrock()) == []


def test_all_versions_and_markers_go_over_many_pages_and_nothing_beside_the_prefix(cloud: Cloud) -> None:
    # Given more than a thousand versions, some of them under delete markers, and a run whose id begins alike
    for number in range(600):
        for _ in range(2):
            cloud.s3.put_object(Bucket=DATA_BUCKET, Key=f"runs/a-1/{number}", Body=b"x")
        if number % 50 == 0:
            cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=f"runs/a-1/{number}")
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key="runs/a-12/kept", Body=b"x")
    assert len(versions(cloud, "runs/a-1/")) == 1212
    cloud.store.delete_run("a-1")
    assert versions(cloud) == ["runs/a-12/kept"]
    cloud.store.delete_run("a-1")


def test_what_s3_keeps_is_said(cloud: Cloud) -> None:
    cloud.store.put("a-1", "metrics.json", "{}")
    kept = {"Errors": [{"Key": "runs/a-1/metrics.json", "Code": "AccessDenied", "Message": "no"}]}
    with (
        mock.patch.object(cloud.s3, "delete_objects", return_value=kept),
        pytest.raises(RuntimeError, match="Denied"),
    ):
        cloud.store.delete_run("a-1")


def test_clean_lists_first_and_spares_what_is_live(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.upload_task(spec(judge=None))
    before, live, run = promoted(cloud), promoted(cloud), held(cloud)
    code, listed = said(capsys, "clean", "--everything")
    assert (code, listed["deleted"], listed["kept"]) == (0, False, sorted([before.id, live.id]))
    (shown,) = listed["runs"]
    assert (shown["run_id"], shown["deployment"], shown["model"]) == (run.id, True, True)
    assert shown["objects"] > 5 < shown["bytes"]
    assert cloud.runs.load(run.id) is not None
    # When it is told to, then it deletes the held run and nothing that the live one needs
    assert said(capsys, "clean", "--everything", "--yes")[0] == 0
    assert cloud.runs.load(run.id) is None
    assert versions(cloud, f"runs/{run.id}/") == []
    assert set(cloud.bedrock.deployments) == {before.id, live.id}
    assert versions(cloud, "tasks/clip-search/")
    # And a live run that is named alone stays
    code, listed = said(capsys, "clean", live.id, "--yes")
    assert (code, listed["kept"], cloud.live().run_id) == (0, [live.id], live.id)


def test_clean_everything_with_what_is_live_leaves_nothing_and_watch_begins_nothing_anew(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.upload_task(spec())
    promoted(cloud), promoted(cloud), held(cloud)
    under_way = cloud.drop(labelled())
    cloud.settle()
    cloud.ask("RollbackRequested", task="unknown", reason="why not", by="ada")
    cloud.settle()
    assert not cloud.run(under_way).state.ended
    cloud.store.put("clip-search-ffffffffffff", "train.jsonl", "an object whose run is gone")
    # Given a step that may be at work on the run that was under way, and make something still
    with mock.patch("local.clean.PATIENCE_SECONDS", 0), mock.patch("local.clean._POLL_SECONDS", 0):
        code, first = said(capsys, "clean", "--everything", "--with-live", "clip-search", "--yes")
        assert (code, len(first["left"])) == (7, 1)
        assert first["left"][0].startswith(f"{under_way}: a step may be at work")
        assert cloud.bedrock.jobs[under_way]["status"] == "Stopping"
        cloud.store.put(under_way, "student/student.bin", "made after the run was ended")
        # When it no longer can be, then Bedrock's job, which was stopped at once, takes its time
        cloud.age(under_way, timedelta(hours=1))
        code, second = said(capsys, "clean", "--everything", "--with-live", "clip-search", "--yes")
        assert (code, len(second["left"])) == (7, 1)
        assert "is being stopped" in second["left"][0]
        # When it has stopped
        cloud.bedrock.jobs[under_way]["status"] = "Stopped"
        code, last = said(capsys, "clean", "--everything", "--with-live", "clip-search", "--yes")
    assert (code, last["left"], [run["run_id"] for run in last["runs"]]) == (0, [], [under_way])
    cloud.watch()
    assert versions(cloud) == []
    assert cloud.table.scan()["Items"] == []
    assert cloud.bedrock.deployments == {} == cloud.bedrock.evaluations
    assert cloud.bedrock.custom_models == set()


def test_clean_can_wait_until_no_step_is_at_work_any_more(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given two runs under way
    cloud.upload_task(spec(judge=None))
    under_way = [cloud.drop(labelled()), cloud.drop(labelled())]
    cloud.settle()

    def time_passes(_: float) -> None:
        assert all(
            cloud.run(run_id).retired_at for run_id in under_way
        )  # all are ended before one is waited for
        for run_id in under_way:
            cloud.age(run_id, timedelta(minutes=5))
            cloud.bedrock.jobs[run_id]["status"] = "Stopped"

    # When they are deleted, then one command does it
    with mock.patch("local.clean.time.sleep", time_passes):
        code, done = said(capsys, "clean", "--task", "clip-search", "--yes", "--wait")
    assert (code, done["left"]) == (0, [])
    assert [cloud.runs.load(run_id) for run_id in under_way] == [None, None]


def test_what_became_live_meanwhile_keeps_its_dataset(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.upload_task(spec(judge=None))
    run = promoted(cloud)
    taken = "local.clean._withdraw"
    with mock.patch(taken, side_effect=ValueError(f"{run.id} has become live meanwhile")):
        code, shown = said(capsys, "clean", run.id, "--with-live", "clip-search", "--yes")
    assert (code, shown["left"]) == (7, [f"{run.id}: {run.id} has become live meanwhile"])
    assert run.dataset.version_id in [one.version_id for one in cloud.store.versions(run.dataset.key)]


def test_clean_goes_on_after_a_failure_and_can_be_called_again(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.upload_task(spec(judge=None))
    first, second = held(cloud), held(cloud)
    cloud.bedrock.refuse("DeleteCustomModel", "AccessDeniedException")
    code, said_first = said(capsys, "clean", "--task", "clip-search", "--yes")
    assert (code, len(said_first["left"])) == (7, 1)
    assert len([run for run in (first, second) if cloud.runs.load(run.id)]) == 1
    assert said(capsys, "clean", "--task", "clip-search", "--yes")[0] == 0
    assert cloud.bedrock.custom_models == set()


@pytest.mark.parametrize("noted", [True, False])
def test_the_judges_jobs_of_a_run_under_way_are_stopped_and_deleted(
    cloud: Cloud, app: App, capsys: pytest.CaptureFixture[str], noted: bool
) -> None:
    # Given a run whose judge's jobs are at work; or one that was cut off before it could note them
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    with cloud.failing("dynamodb", "UpdateItem", containing="judge_job_arns", times=0 if noted else 99):
        while not cloud.bedrock.evaluations:
            cloud.settle()
            cloud.bedrock.work(cloud.s3, cloud.announce)
            cloud.settle()
            cloud.age(run_id, timedelta(minutes=10))
            cloud.watch()
    cloud.crashes.clear()
    assert (cloud.run(run_id).state is State.EVALUATING) == noted
    assert cloud.bedrock.evaluations
    # When a person deletes the run, and a step can no longer be at work on it
    with mock.patch("local.clean.PATIENCE_SECONDS", 0), mock.patch("local.clean._POLL_SECONDS", 0):
        said(capsys, "clean", run_id, "--yes")
        assert {job["status"] for job in cloud.bedrock.evaluations.values()} == {"Stopping"}
        cloud.age(run_id, timedelta(hours=1))
        assert said(capsys, "clean", run_id, "--yes")[0] == 7
    # Then the jobs are stopped, which takes its time, and deleted
    for job in cloud.bedrock.evaluations.values():
        assert job["status"] == "Stopping"
        job["status"] = "Stopped"
    assert said(capsys, "clean", run_id, "--yes")[0] == 0
    assert cloud.bedrock.evaluations == {}
    assert cloud.runs.load(run_id) is None


def test_a_run_that_is_not_there_is_a_usage_error(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "clip-search-0", "--yes"]) == 2
    assert "there is no run" in capsys.readouterr().err


# Dead letters.


class Functions:
    """Lambda: which events it was sent, and which functions fail."""

    def __init__(self, failing: set[str]) -> None:
        self.failing, self.sent = failing, []

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.sent.append((request["FunctionName"], json.loads(request["Payload"])))
        failed = request["FunctionName"] in self.failing
        said = b'{"errorType": "KeyError", "errorMessage": "x"}' if failed else b"null"
        return {"Payload": mock.Mock(read=lambda: said)} | ({"FunctionError": "Unhandled"} if failed else {})


def bury(app: App, event: dict[str, Any], function: str, *, by_rule: bool) -> None:
    queue, url = boto3.client("sqs"), app.dead_letter_queue
    if by_rule:
        reasons = {
            "TARGET_ARN": ARN + function,
            "ERROR_CODE": "NO_PERMISSIONS",
            "ERROR_MESSAGE": "not allowed",
        }
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in reasons.items()}
        queue.send_message(QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=attributes)
    else:
        record = {
            "requestContext": {"functionArn": f"{ARN}{function}:$LATEST", "condition": "RetriesExhausted"},
            "requestPayload": event,
            "responsePayload": {"errorType": "ClientError", "errorMessage": "throttled"},
        }
        queue.send_message(QueueUrl=url, MessageBody=json.dumps(record))


def sample(name: str) -> dict[str, Any]:
    from tests.unit.template.stack import PROJECT

    return json.loads((PROJECT / f"events/{name}.json").read_text())


def test_redrive_shows_replays_by_run_and_removes_only_what_went_well(
    app: AppInMemory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    functions = Functions({"signalbox-notify"})
    monkeypatch.setattr(AppInMemory, "patient", lambda self, service: functions)
    dropped, told = sample("validate/DatasetDropped"), sample("notify/ModelHeld")
    bury(app, dropped, "signalbox-validate", by_rule=True)
    bury(app, told, "signalbox-notify", by_rule=False)
    bury(app, told, "somebody-elses", by_rule=False)
    boto3.client("sqs").send_message(QueueUrl=app.dead_letter_queue, MessageBody="not JSON")
    # When they are shown, then nothing is sent, and they stay
    code, shown = said(capsys, "redrive", "--list")
    assert (code, functions.sent, shown["left"]) == (0, [], 4)
    by_function = {letter["function"]: letter for letter in shown["dead_letters"]}
    assert by_function["signalbox-validate"]["error_code"] == "NO_PERMISSIONS"
    assert by_function["signalbox-notify"]["error_message"] == "ClientError: throttled"
    run_id = told["detail"]["run_id"]
    assert by_function["signalbox-notify"]["run_id"] == run_id
    # When they are replayed, then what went well is gone, and no function of another stack was called
    code, shown = said(capsys, "redrive")
    assert (code, shown["left"]) == (7, 3)
    assert functions.sent == [("signalbox-validate", dropped), ("signalbox-notify", told)]
    # When the cause is mended, then the letters of one run can be replayed alone
    functions.failing.clear()
    code, shown = said(capsys, "redrive", run_id)
    assert (code, shown["left"], len(shown["dead_letters"])) == (7, 1, 2)
    assert said(capsys, "redrive", "--list")[1]["left"] == 2


def test_an_empty_queue_is_said(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redrive"]) == 0
    assert "no dead letters" in capsys.readouterr().out


def test_a_stack_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with pytest.raises(module.NotReachable, match="no stack signalbox"):
        module.connect_stack("signalbox", None, "us-east-1")
