"""Holds, releases, ends, nudges and watch in any order, cut off anywhere: nothing is bought that nobody released."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signalbox.bedrock import Bedrock
from signalbox.decision import decide
from signalbox.events import Asked, EventBus, OperatorRequest
from signalbox.pipeline import Pipeline, step
from signalbox.release import Expense
from signalbox.run import Run, State
from signalbox.run_table import RunTable, Superseded
from signalbox.store import RunStore
from signalbox.watch import watch
from tests.builders import BUCKET, dataset_object
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock

CRASH = st.sampled_from([None, None, None, 0, 1, 2])
"""Before which write to the table the function ends; None for not at all."""
NAMES = st.sampled_from(["first", "second", "third"])


class Crash(BaseException):
    """The function ends here: no handler of the code's own sees it."""


class Release(RuleBasedStateMachine):
    """One run whose job costs money."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.events = FakeTable(), FakeEvents()
        self.writes_left: int | None = None
        for name in ("update_item", "put_item"):
            write = getattr(self.table, name)
            setattr(self.table, name, lambda _write=write, **request: (self._count(), _write(**request))[1])
        bedrock = Bedrock(ScriptedBedrock(), ScriptedBedrock())
        bus = EventBus(self.events, "bus")
        self.pipeline = Pipeline(RunTable(self.table), RunStore(FakeS3(), BUCKET), bus, bedrock)
        run = self.pipeline.runs.receive(dataset_object())
        self.run_id = self.pipeline.runs.move(run, State.ACCEPTED, event="DatasetAccepted").id
        self.bought = False

        @step("distill", State.ACCEPTED)
        def distill(run: Run, pipeline: Pipeline) -> None:
            if Expense.JOB not in run.released:
                pipeline.await_release(run, Expense.JOB, "it costs money", {})
                return
            self.bought = True
            pipeline.advance(run, State.TRAINING, event="TrainingStarted", job_arn="arn:job")

        self.distill = distill

    def _count(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Crash
            self.writes_left -= 1

    def _attempt(self, crash_after: int | None, act: Any, *arguments: Any) -> None:
        self.writes_left = crash_after
        try:
            act(*arguments)
        except (Crash, Superseded):
            pass
        finally:
            self.writes_left = None

    @property
    def run(self) -> Run:
        """The run as it stands in the table."""
        run = self.pipeline.runs.load(self.run_id)
        assert run is not None
        return run

    @rule(crash_after=CRASH)
    def is_nudged(self, crash_after: int | None) -> None:
        """An event, or watch, brings the step to it."""
        self._attempt(crash_after, self.distill, self.run_id, self.pipeline)

    @rule(name=NAMES, asked=st.sampled_from([Asked.RELEASE, Asked.END]), crash_after=CRASH)
    def somebody_asks(self, name: str, asked: Asked, crash_after: int | None) -> None:
        """A person's request arrives; under one id it is always the same."""
        request = OperatorRequest(
            id=f"{asked}-{name}", at=datetime.now(UTC), asked=asked, run_id=self.run_id, reason="why", by=name
        )
        self._attempt(crash_after, decide, request, self.pipeline)

    @rule(hours=st.sampled_from([0, 1, 30, 200]), crash_after=CRASH)
    def the_clock_calls_watch(self, hours: int, crash_after: int | None) -> None:
        """Time passes, and watch looks."""
        item = self.table.items[self.run_id]
        awaits = [(item["awaits"], "since")] if "awaits" in item else []
        for holder, key in [(item, "updated_at"), *awaits, *((moment, "at") for moment in item["history"])]:
            moved = datetime.fromisoformat(holder[key]) - timedelta(hours=hours)
            holder[key] = moved.isoformat().replace("+00:00", "Z")
        if (
            self.run.state is not State.TRAINING
        ):  # of what Bedrock is at work on, other tests say when it ends
            self._attempt(crash_after, watch, self.pipeline, timedelta(minutes=5), timedelta(days=1))

    @invariant()
    def nothing_is_bought_before_a_release(self) -> None:
        """Which is noted once, with who."""
        releases = [moment for moment in self.run.history if "released by" in moment.note]
        assert len(releases) == len(self.run.released) <= 1
        assert all(moment.by for moment in releases)
        assert releases or not (self.bought or self.run.state is State.TRAINING)

    @invariant()
    def what_awaits_a_release_stays_where_it_is(self) -> None:
        """It is not called stalled by the clock, and ended by it when its time has come and not before."""
        if self.run.awaits is not None:
            assert (self.run.state, self.run.stalled) == (State.ACCEPTED, False)
            assert self.run.waiting == "for a person's release: it costs money"

    @invariant()
    def whoever_ended_it_said_so(self) -> None:
        """A run fails here by a person's word, as nobody has released it, or because nothing nudged it for hours."""
        if self.run.state is State.FAILED and self.run.failure.step == "release":
            assert self.run.history[-1].by or "nobody released the customization job" in self.run.reason
            assert not self.run.released

    @invariant()
    def people_are_reminded_once(self) -> None:
        """However long it waits."""
        assert sum(moment.event == "ReleaseAwaited" for moment in self.run.history) <= 2


TestRelease = Release.TestCase
TestRelease.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
