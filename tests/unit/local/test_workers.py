"""Workers run handlers as Lambda does: warm, bounded, with complete logs, through errors and timeouts."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.workers import Function, WorkerPool

HANDLER = """
import os, sys, time, threading
from layered import greet

def handler(event, context):
    if event.get("print"):
        print(event["print"])
    if event.get("raise"):
        raise ValueError(event["raise"])
    if event.get("exit"):
        os._exit(3)
    if event.get("object"):
        return object()
    time.sleep(event.get("sleep", 0))
    return {
        "greeting": greet(), "process": os.getpid(), "setting": os.environ.get("SETTING"),
        "request": context.aws_request_id, "name": context.function_name,
        "left": context.get_remaining_time_in_millis(), "echo": event.get("echo"),
    }
"""


@pytest.fixture
def function(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "layer").mkdir()
    (tmp_path / "code" / "app.py").write_text(HANDLER)
    (tmp_path / "layer" / "layered.py").write_text("def greet():\n    return 'hello'\n")
    return make(tmp_path)


def make(tmp_path, handler="app.handler", timeout=10.0):
    return Function(
        name="greeter",
        arn="arn:aws:lambda:us-east-1:000000000000:function:greeter",
        version="$LATEST",
        handler=handler,
        timeout_seconds=timeout,
        memory_megabytes=128,
        log_group="/aws/lambda/greeter",
        path=(str(tmp_path / "code"), str(tmp_path / "layer")),
        environment=(("SETTING", "set"), ("PATH", os.environ["PATH"])),
    )


@pytest.fixture
def pool():
    pool = WorkerPool(limit=2)
    yield pool
    pool.close()


def test_a_handler_gets_its_event_layer_environment_and_context(pool, function):
    outcome = pool.invoke(function, {"echo": "é\n"}, "request-1")

    assert outcome.error is None
    assert outcome.result["greeting"] == "hello"
    assert outcome.result["setting"] == "set"
    assert outcome.result["request"] == "request-1"
    assert outcome.result["name"] == "greeter"
    assert outcome.result["echo"] == "é\n"
    assert 0 < outcome.result["left"] <= 10_000


def test_a_worker_stays_warm_even_after_an_error(pool, function):
    first = pool.invoke(function, {}, "1").result["process"]
    failed = pool.invoke(function, {"raise": "too bad"}, "2")
    again = pool.invoke(function, {}, "3").result["process"]

    assert failed.error["errorType"] == "ValueError"
    assert failed.error["errorMessage"] == "too bad"
    assert "too bad" in failed.log
    assert again == first


def test_the_log_of_an_invocation_is_complete_and_its_own(pool, function):
    outcomes = [pool.invoke(function, {"print": f"line {number}"}, str(number)) for number in range(20)]

    assert [outcome.log for outcome in outcomes] == [f"line {number}\n" for number in range(20)]


def test_large_events_results_and_logs_pass(pool, function):
    large = "x" * 3_000_000

    outcome = pool.invoke(function, {"echo": large, "print": large}, "1")

    assert outcome.result["echo"] == large
    assert outcome.log == large + "\n"


def test_a_timeout_ends_the_worker_and_the_next_invocation_gets_a_fresh_one(pool, function, tmp_path):
    slow = make(tmp_path, timeout=0.3)
    before = pool.invoke(slow, {}, "1").result["process"]

    outcome = pool.invoke(slow, {"sleep": 30}, "2")

    assert outcome.error["errorMessage"] == "Task timed out after 0.30 seconds"
    assert pool.invoke(slow, {}, "3").result["process"] != before


def test_a_worker_that_dies_is_an_error_of_its_invocation_only(pool, function):
    outcome = pool.invoke(function, {"exit": True, "print": "last words"}, "1")

    assert outcome.error["errorType"] == "Runtime.ExitError"
    assert pool.invoke(function, {}, "2").error is None


def test_a_handler_that_cannot_be_loaded_says_why(pool, function, tmp_path):
    outcome = pool.invoke(make(tmp_path, handler="missing.handler"), {}, "1")

    assert "missing" in outcome.error["errorMessage"]


def test_a_result_that_is_not_json_is_a_marshalling_error(pool, function):
    assert pool.invoke(function, {"object": True}, "1").error["errorType"] == "Runtime.MarshalError"


def test_many_events_at_once_share_two_workers(pool, function):
    with ThreadPoolExecutor(20) as many:
        outcomes = list(many.map(lambda n: pool.invoke(function, {"echo": n}, str(n)), range(60)))

    assert [outcome.result["echo"] for outcome in outcomes] == list(range(60))
    assert len({outcome.result["process"] for outcome in outcomes}) <= 2


def test_closing_the_pool_ends_what_runs_and_leaves_no_process(pool, function):
    process = pool.invoke(function, {}, "1").result["process"]
    outcomes = []
    running = threading.Thread(target=lambda: outcomes.append(pool.invoke(function, {"sleep": 30}, "2")))
    running.start()
    time.sleep(0.1)

    pool.close()
    running.join(5)

    assert outcomes[0].error
    assert pool.invoke(function, {}, "3").error["errorMessage"] == "The app is shutting down."
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_changed_function_gets_new_workers(pool, function, tmp_path):
    before = pool.invoke(function, {}, "1").result["process"]

    after = pool.invoke(make(tmp_path, timeout=9.0), {}, "2").result["process"]

    assert after != before
