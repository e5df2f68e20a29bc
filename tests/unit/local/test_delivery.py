"""Events reach functions: bounded, retried with a pause, buried in the dead-letter queue at last."""

import threading
import time
from collections import Counter

import pytest

from local import delivery
from local.delivery import Courier, Delivery, pause_before, retries_of

FAILED = {"errorType": "ValueError", "errorMessage": "no"}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def courier():
    courier = Courier(limit=2)
    yield courier
    courier.close()


def test_an_event_that_succeeds_is_delivered_once(courier):
    done, calls = threading.Event(), Counter()

    def run():
        calls["run"] += 1
        done.set()

    courier.deliver(Delivery("validate", {}, run, retries=5))

    assert done.wait(5)
    courier.close()
    assert calls["run"] == 1


def test_an_event_that_fails_is_tried_again_until_it_succeeds(courier):
    done, calls = threading.Event(), Counter()

    def run():
        calls["run"] += 1
        if calls["run"] < 3:
            return FAILED
        done.set()
        return None

    buried = []
    courier.deliver(Delivery("validate", {}, run, retries=5, bury=lambda *what: buried.append(what)))

    assert done.wait(5)
    assert calls["run"] == 3
    assert buried == []


def test_an_event_whose_retries_are_used_up_becomes_a_dead_letter(courier):
    buried, done, calls = [], threading.Event(), Counter()

    def run():
        calls["run"] += 1
        return FAILED

    def bury(error, retries):
        buried.append((error, retries))
        done.set()

    courier.deliver(Delivery("validate", {}, run, retries=2, bury=bury))

    assert done.wait(5)
    assert calls["run"] == 3
    assert buried == [(FAILED, 2)]


def test_an_event_that_would_grow_too_old_is_buried_before_its_retries_are_used_up(courier):
    done, calls = threading.Event(), Counter()

    def run():
        calls["run"] += 1
        return FAILED

    courier.deliver(
        Delivery("validate", {}, run, retries=99, longest_age_seconds=0.0, bury=lambda *_: done.set())
    )

    assert done.wait(5)
    assert calls["run"] == 1


def test_no_more_than_the_limit_run_at_a_time_and_all_run(courier):
    running, most, ended = Counter(), Counter(), threading.Semaphore(0)
    lock = threading.Lock()

    def run():
        with lock:
            running["now"] += 1
            most["ever"] = max(most["ever"], running["now"])
        time.sleep(0.002)
        with lock:
            running["now"] -= 1
        ended.release()

    for _ in range(50):
        courier.deliver(Delivery("validate", {}, run))

    assert all(ended.acquire(timeout=5) for _ in range(50))
    assert most["ever"] == 2


def test_an_event_that_waits_for_its_retry_keeps_nobody_else_waiting(monkeypatch, courier):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 60)
    done = threading.Event()

    for _ in range(3):
        courier.deliver(Delivery("validate", {}, lambda: FAILED, retries=1))
    courier.deliver(Delivery("validate", {}, done.set))

    assert done.wait(5)


def test_the_function_s_own_configuration_decides_on_retries_then_the_rule_then_lambda():
    rule = {"RetryPolicy": {"MaximumRetryAttempts": 10}}

    assert retries_of(rule, {"MaximumRetryAttempts": 0}) == 0
    assert retries_of(rule, {}) == 10
    assert retries_of(rule, None) == 10
    assert retries_of({}, None) == 2


def test_pauses_double_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 1.0)

    assert [pause_before(retry) for retry in (1, 2, 3, 9)] == [1, 2, 4, 30]
