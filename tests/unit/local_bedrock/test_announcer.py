"""Events are delivered in order, at least once, also after a failure and after a restart."""

import threading
from pathlib import Path
from typing import Any

import pytest

from local.bedrock import announcer as announcer_module
from local.bedrock.announcer import Announcer
from local.bedrock.store import Store

PATIENCE = 10


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


def test_events_are_delivered_in_order_until_the_bus_takes_them(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(announcer_module, "_RETRY_SECONDS", 0.01)
    delivered: list[Any] = []
    refusals = iter([True, True, False])
    done = threading.Event()

    def emit(entry: dict) -> None:
        if next(refusals, False):
            raise ConnectionError
        delivered.append(entry["DetailType"])
        if len(delivered) == 2:
            done.set()

    store.announce({"DetailType": "left by an earlier process"})
    announcer = Announcer(store, emit)
    announcer.start()
    store.announce({"DetailType": "new"})
    announcer.wake()
    assert done.wait(PATIENCE)
    announcer.stop()
    assert delivered == ["left by an earlier process", "new"]
    assert store.unannounced() == []


def test_stopping_keeps_what_was_not_delivered(store: Store) -> None:
    tried = threading.Event()

    def emit(entry: dict) -> None:
        tried.set()
        raise ConnectionError

    store.announce({"DetailType": "x"})
    announcer = Announcer(store, emit)
    announcer.start()
    assert tried.wait(PATIENCE)
    announcer.stop()
    assert len(store.unannounced()) == 1
