"""Who is at work for a generation: at most one at a time, whatever breaks off, and never for longer than may be."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signalbox.generation import FOLLOWING, LEASE, Generation, GenerationState, GenerationTable
from signalbox.run_table import RunTable, Superseded
from tests.builders import dataset_object
from tests.fakes import FakeTable
from tests.unit.template.stack import Stack

WORKERS = st.sampled_from(["one", "two", "three"])
STEPS = [timedelta(seconds=1), LEASE / 2, LEASE, 2 * LEASE]


def happens(act: Callable[[], object]) -> bool:
    """Do something that may come too late, and tell whether it did not."""
    try:
        act()
    except Superseded:
        return False
    return True


class Workers(RuleBasedStateMachine):
    """Invocations that take, note, move and leave one generation in any order, while time passes as it will.

    `held` is what each has read as its own; `holder` is who took it last and was not overtaken.
    """

    @initialize()
    def receive(self) -> None:
        self.at = datetime(2026, 11, 21, tzinfo=UTC)
        self.clock = mock.patch("signalbox.generation.now", lambda: self.at)
        self.clock.start()
        self.table = GenerationTable(RunTable(FakeTable()))
        self.id = self.table.receive(dataset_object(key="requests/clip-search/first.yaml")).id
        self.held: dict[str, Generation] = {}
        self.holder, self.until = "", self.at

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            self.clock.stop()

    @property
    def stored(self) -> Generation:
        """The generation as it is."""
        stored = self.table.load(self.id)
        assert stored is not None
        return stored

    @rule(step=st.sampled_from(STEPS))
    def time_passes(self, step: timedelta) -> None:
        self.at += step

    @precondition(lambda self: not self.stored.state.ended)
    @rule(worker=WORKERS)
    def take(self, worker: str) -> None:
        free = not self.holder or self.at >= self.until
        before = self.stored

        def taking() -> None:
            self.held[worker] = self.table.take(before)

        assert happens(taking) == free
        if free:
            self.holder, self.until = worker, self.at + LEASE
            # And who has read the same meanwhile does not get it as well
            self.at += timedelta(microseconds=1)
            assert not happens(lambda: self.table.take(before))

    @precondition(lambda self: self.held)
    @rule(worker=WORKERS)
    def note(self, worker: str) -> None:
        if worker in self.held:
            noted = happens(lambda: self.table.note(self.held[worker], waiting=worker))
            assert noted == (self.holder == worker)
            assert not noted or self.stored.waiting == worker

    @precondition(lambda self: self.held)
    @rule(worker=WORKERS, choice=st.randoms(use_true_random=False))
    def move(self, worker: str, choice: random.Random) -> None:
        if worker not in self.held or not (following := FOLLOWING.get(self.held[worker].state)):
            return
        to = choice.choice(sorted(following))
        moved = happens(lambda: self.table.move(self.held[worker], to))
        assert moved == (self.holder == worker)
        if moved:
            self.held[worker] = self.stored
            if to.ended:
                self.holder = ""
                del self.held[worker]

    @precondition(lambda self: self.held)
    @rule(worker=WORKERS)
    def leave(self, worker: str) -> None:
        if worker in self.held:
            assert happens(lambda: self.table.leave(self.held.pop(worker))) == (self.holder == worker)
            self.holder = "" if self.holder == worker else self.holder

    @invariant()
    def it_is_held_by_whom_it_should(self) -> None:
        if hasattr(self, "table"):
            assert self.stored.held_until == (self.until if self.holder else None)


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_no_invocation_outlives_its_hold_and_none_is_waited_for_long_after() -> None:
    timeout = Stack()["GenerateFunction"]["Timeout"]
    assert timedelta(seconds=timeout) < LEASE <= timedelta(seconds=timeout + 60)


def test_work_that_breaks_off_holds_nothing_any_more_and_its_error_is_the_one_that_counts() -> None:
    fake = FakeTable()
    table = GenerationTable(RunTable(fake))
    generation = table.receive(dataset_object(key="requests/clip-search/first.yaml"))
    with pytest.raises(ZeroDivisionError), table.held(generation):
        raise ZeroDivisionError
    stored = table.load(generation.id)
    assert stored is not None and stored.held_until is None
    # And if that cannot be written, it is held until its time is over
    with pytest.raises(ZeroDivisionError), table.held(stored):
        fake.fail_next = ConnectionError()
        raise ZeroDivisionError
    held = table.load(generation.id)
    assert held is not None and held.held_until is not None
    assert held.is_held(held.held_until - timedelta(seconds=1))
    assert not held.is_held(held.held_until)
    # And who has moved it to its end has nothing to give back
    table.leave(held)
    with table.held(stored) as last:
        table.move(last, GenerationState.FAILED)
    ended = table.load(generation.id)
    assert ended is not None and ended.held_until is None
