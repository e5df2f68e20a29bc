"""Nothing is lost and nothing is left behind: kills, stops, failing handlers, and starts that cannot be."""

import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from signalbox.dataset_object import DatasetObject
from signalbox.run import run_id_for
from tests.e2e.harness import PROJECT, free_port, push_small_tasks, until


def test_a_run_that_a_kill_interrupts_is_completed_by_the_next_start(own_app):
    own_app.start()
    dropped = own_app.command("drop", "examples/video-search.jsonl", "--json")
    run_id = json.loads(dropped.stdout)["run_id"]
    until(lambda: own_app.runs().get(run_id, {}).get("state") == "TRAINING")

    own_app.kill()
    assert until(lambda: not processes_of(own_app.state), patience=5)
    own_app.start()

    assert own_app.ended(run_id) == {run_id: "PROMOTED"}
    assert json.loads(own_app.command("route", "a quiet lake", "--json").stdout)["run_id"] == run_id
    own_app.stop()


def test_a_dataset_whose_event_a_kill_swallows_is_found_again(own_app, small_dataset, tmp_path):
    own_app.start()
    push_small_tasks(own_app, tmp_path / "tasks")
    bucket, key = own_app.ready["bucket"], "datasets/embedded-only/swallowed.jsonl"
    put = own_app.client("s3").put_object(Bucket=bucket, Key=key, Body=small_dataset("swallows"))

    own_app.kill()
    own_app.start()

    run_id = run_id_for(DatasetObject(bucket=bucket, key=key, version_id=put["VersionId"]))
    assert own_app.ended(run_id) == {run_id: "PROMOTED"}
    own_app.stop()


def test_a_stop_leaves_no_process_and_nothing_outside_the_state_folder(own_app, small_dataset, tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    own_app.environment = {"HOME": str(home), "TMPDIR": str(temporary)}
    own_app.start()
    own_app.client("s3").put_object(
        Bucket=own_app.ready["bucket"], Key="datasets/video-search/x.jsonl", Body=small_dataset("x")
    )
    until(lambda: len(processes_of(own_app.state)) > 1)

    code = own_app.stop()

    assert code == 0
    assert processes_of(own_app.state) == []
    assert list(home.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert not (own_app.state / "temporary").exists()


def test_an_event_that_a_function_keeps_failing_on_is_a_dead_letter(app):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("app.py", "def handler(event, context):\n    raise ValueError('never')\n")
    functions, events = app.client("lambda"), app.client("events")
    function = functions.create_function(
        FunctionName="failing",
        Runtime="python3.13",
        Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/none",
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    queue_url = app.client("sqs").create_queue(QueueName="failed")["QueueUrl"]
    queue = "arn:aws:sqs:us-east-1:000000000000:failed"
    pattern = json.dumps({"source": ["test"]})
    rule = events.put_rule(Name="to-failing", EventPattern=pattern)["RuleArn"]
    target = {
        "Id": "1",
        "Arn": function,
        "RetryPolicy": {"MaximumRetryAttempts": 1},
        "DeadLetterConfig": {"Arn": queue},
    }
    events.put_targets(Rule="to-failing", Targets=[target])

    events.put_events(Entries=[{"Source": "test", "DetailType": "t", "Detail": '{"number": 1}'}])

    letters = until(
        lambda: (
            app.client("sqs")
            .receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"], WaitTimeSeconds=1)
            .get("Messages")
        )
    )
    attributes = {name: value["StringValue"] for name, value in letters[0]["MessageAttributes"].items()}
    assert json.loads(letters[0]["Body"])["detail"] == {"number": 1}
    assert attributes["ERROR_MESSAGE"] == "never"
    assert attributes["RETRY_ATTEMPTS"] == "1"
    assert attributes["RULE_ARN"] == rule


def test_a_second_app_on_the_same_state_folder_is_refused(app):
    refused = start_another("--state", str(app.state))

    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = start_another("--state", str(tmp_path / "state"), "--port", port)

    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["status"], ["route", "x"], ["drop", "examples/broken.jsonl"]])
def test_a_command_without_an_app_says_how_to_start_one(command):
    ports = ["--port", str(free_port()), "--api-port", str(free_port())]

    failed = subprocess.run(
        [sys.executable, "-m", "local", *command, *ports], cwd=PROJECT, capture_output=True, text=True
    )

    assert failed.returncode == 1
    assert "python -m local up" in failed.stderr


def test_a_task_that_is_wrong_is_refused_line_by_line(app, tmp_path):
    (tmp_path / "task.yaml").write_text("name: Not A Name\noutput: {weights: [a, b]}\nprompt: x\n")

    refused = app.command("task", "push", str(tmp_path))

    assert refused.returncode == 2
    assert "line 1: name" in refused.stderr


def start_another(*arguments: str) -> subprocess.CompletedProcess:
    usual = ["--port", str(free_port()), "--api-port", str(free_port())]
    return subprocess.run(
        [sys.executable, "-m", "local", "up", *usual, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )


def processes_of(state: Path) -> list[str]:
    """Command lines of the processes that name the state folder, in their arguments or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(state).encode() in told and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
