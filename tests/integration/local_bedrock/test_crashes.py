"""Kill -9, shutdown, restart: nothing runs on, nothing is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.bedrock import BedrockStandIn, Configuration
from local.bedrock.wire import Request

PROJECT = Path(__file__).resolve().parents[3]
PATIENCE = 20


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """An S3 that takes connections and never answers, so that a training process waits for its data."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def host(tmp_path: Path, silent_endpoint: str, job) -> Iterator[tuple[subprocess.Popen, dict]]:
    """A process with a stand-in in it whose one job has its training process running."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).parent / "host.py"),
            str(tmp_path),
            silent_endpoint,
            json.dumps(job("crash")),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    with process:
        yield process, json.loads(process.stdout.readline())
        process.kill()


def ends(is_running: Callable[[int], bool], process: int) -> bool:
    """Wait for a process to end."""
    until = time.monotonic() + PATIENCE
    while is_running(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_running(process)


def test_a_killed_parent_takes_its_training_along_and_the_next_one_finishes_the_job(
    host, tmp_path, s3_endpoint, is_running, events_of
) -> None:
    process, started = host
    assert is_running(started["process"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ends(is_running, started["process"])

    stand_in, events = events_of(tmp_path, s3_endpoint)
    stand_in.startup()
    detail = events.wait_for(jobArn=started["job"])["Detail"]
    assert detail["jobStatus"] == "Completed"
    stand_in.shutdown()
    assert stand_in._customization._processes._running == {}


def test_shutting_down_ends_the_training_and_keeps_the_job(host, tmp_path, is_running) -> None:
    process, started = host
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    assert ends(is_running, started["process"])
    again = BedrockStandIn(tmp_path, "http://127.0.0.1:1", print)
    response = again.handle(Request("GET", "/model-customization-jobs/crash"))
    again.shutdown()
    assert json.loads(response.body)["status"] == "InProgress"


def test_a_running_job_can_be_stopped(tmp_path, silent_endpoint, job, is_running, events_of) -> None:
    stand_in, events = events_of(tmp_path, silent_endpoint)
    stand_in.startup()
    response = stand_in.handle(
        Request("POST", "/model-customization-jobs", body=json.dumps(job("stop")).encode())
    )
    arn = json.loads(response.body)["jobArn"]
    until = time.monotonic() + PATIENCE
    while (
        '"validationDetails": {"status": "InProgress"' not in _job(stand_in, arn) and time.monotonic() < until
    ):
        time.sleep(0.02)
    (process,) = (running.pid for running in stand_in._customization._processes._running.values())
    assert stand_in.handle(Request("POST", f"/model-customization-jobs/{arn}/stop")).status == 200
    assert events.wait_for(jobArn=arn)["Detail"]["jobStatus"] == "Stopped"
    assert ends(is_running, process)
    stand_in.shutdown()


def _job(stand_in: BedrockStandIn, arn: str) -> str:
    return stand_in.handle(Request("GET", f"/model-customization-jobs/{arn}")).body.decode()


def test_an_event_that_was_not_delivered_comes_after_the_restart(
    tmp_path, s3_endpoint, job, events_of
) -> None:
    def refuse(entry: dict) -> None:
        raise ConnectionError

    first = BedrockStandIn(tmp_path, s3_endpoint, refuse, Configuration())
    first.startup()
    response = first.handle(
        Request("POST", "/model-customization-jobs", body=json.dumps(job("late")).encode())
    )
    arn = json.loads(response.body)["jobArn"]
    until = time.monotonic() + PATIENCE
    while first._context.store.unannounced() == [] and time.monotonic() < until:
        time.sleep(0.05)
    first.shutdown()
    second, events = events_of(tmp_path, s3_endpoint)
    second.startup()
    assert events.wait_for(jobArn=arn)["Detail"]["jobStatus"] == "Completed"
    second.shutdown()
