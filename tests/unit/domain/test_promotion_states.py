"""Promotions, rollbacks, requests and retirements in any order, with crashes between: the pointer stays consistent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from signalbox import publication
from signalbox.bedrock import Bedrock
from signalbox.decision import decide
from signalbox.events import Asked, EventBus, OperatorRequest
from signalbox.live import Live
from signalbox.pipeline import Pipeline
from signalbox.promote import pointer_of
from signalbox.retirement import look_through, retire
from signalbox.rollback import NotPossible, roll_back
from signalbox.run import Run, State, now
from signalbox.run_table import RunTable, Superseded
from signalbox.store import EVALUATION, METRICS, STUDENT, TASK, VALIDATION, RunStore
from tests.builders import BUCKET, client_error, dataset_object, spec, task, task_yaml
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock

NAME = "clip-search"
UNTIL_EVALUATED = (
    State.ACCEPTED, State.TRAINING, State.TRAINED, State.DEPLOYING, State.DEPLOYED, State.EVALUATING, State.EVALUATED
)  # fmt: skip
SUMMARY: dict[str, Any] = {"model": "m", "served_first": "bedrock", "golden": 20, "metrics": {}, "gates": []}
MEASURED = {
    "model": "m",
    "valid_share": 1.0,
    "mae": 0.01,
    "within_010": 1.0,
    "dominant_share": 1.0,
    "rubric": 5.0,
    "latency_ms": {"p95": 5.0},
    "cost": {"unknown": "scripted"},
    "intervals": {},
}
NO_GRACE = timedelta()
CRASH = st.sampled_from([None, None, None, 0, 1, 2, 3])
"""Before which write to the table the function ends; None for not at all."""


class Crash(Exception):
    """The function ends here."""


class Promotion(RuleBasedStateMachine):
    """A task's runs, and all that can be done with them."""

    runs = Bundle("runs")
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.table, self.s3, self.events = FakeTable(), FakeS3(), FakeEvents()
        kept = {"deployments": 0, "models": 0}
        self.s3.objects[f"tasks/{NAME}/task.yaml"] = task_yaml(spec(retention=kept))
        self.scripted = ScriptedBedrock()
        self.table_writes_left: int | None = None
        self._guard()
        self.pipeline = Pipeline(
            RunTable(self.table),
            RunStore(self.s3, BUCKET),
            EventBus(self.events, "bus"),
            Bedrock(self.scripted, self.scripted),
        )
        self.transactions = self.pipeline.transactions
        self.numbers = iter(range(10**6))
        # What the results look like is no matter here, only that they are written before anybody is told.
        self.results = mock.patch.object(publication, "publish", self._publish)
        self.results.start()

    def teardown(self) -> None:
        """Let results be published again as they are."""
        self.results.stop()

    @staticmethod
    def _publish(run: Run, pipeline: Pipeline) -> None:
        pipeline.store.put(run.id, METRICS, f'"{run.history[-1].at}"')

    @initialize(target=runs)
    def one_after_the_other(self) -> Any:
        """Given a live model, one before it, and a held run."""
        first, second, held = self._evaluated(False), self._evaluated(False), self._evaluated(True)
        for run_id in (first, second):
            self._pass_gates(run_id)
        return multiple(first, second, held)

    def _guard(self) -> None:
        """Let a crash be planned before any write to the table."""
        for name in ("update_item", "put_item"):
            write = getattr(self.table, name)
            setattr(self.table, name, lambda _write=write, **request: (self._count(), _write(**request))[1])

    def _count(self) -> None:
        if self.table_writes_left is not None:
            if self.table_writes_left == 0:
                raise Crash
            self.table_writes_left -= 1

    def _attempt(self, crash_after: int | None, act: Any, *arguments: Any, **options: Any) -> None:
        """Do something that may be cut off, or lose a race."""
        self.table_writes_left = crash_after
        try:
            act(*arguments, **options)
        except (Crash, Superseded, NotPossible):
            pass
        finally:
            self.table_writes_left = None

    @rule(target=runs, holds=st.booleans())
    def comes_to_its_verdict(self, holds: bool) -> str:
        """Another run is held, or still to be promoted by its gates."""
        return self._evaluated(holds)

    def _evaluated(self, holds: bool) -> str:
        run = self.pipeline.runs.receive(dataset_object(version_id=f"v{next(self.numbers)}"))
        arn = f"arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/{run.id[-12:]}"
        self.scripted.deployments[run.id] = {"arn": arn, "status": "Active", "message": ""}
        for state in UNTIL_EVALUATED:
            changes = {"deployment_arn": arn} if state is State.DEPLOYING else {}
            run = self.pipeline.runs.move(run, state, event=None, summary=SUMMARY, **changes)
        store = self.pipeline.store
        store.put(run.id, TASK, task().to_json())
        store.put(run.id, VALIDATION, '{"prior": {"weights": {}}, "counts": {}}')
        store.put(run.id, STUDENT, b"student")
        evaluation = {"served_first": "bedrock", "golden": 20, "candidates": {"bedrock": MEASURED}}
        store.put(run.id, EVALUATION, json.dumps(evaluation))
        if holds:
            self.pipeline.deliver(self.pipeline.runs.move(run, State.HELD, event="RunFailed"))
        return run.id

    @rule(run_id=runs, crash_after=CRASH, stale=st.booleans())
    def promoted_by_its_gates(self, run_id: str, crash_after: int | None, stale: bool) -> None:
        """The gates pass; with a pointer read at this moment, or one that has been replaced since."""
        self._pass_gates(run_id, crash_after, stale)

    def _pass_gates(self, run_id: str, crash_after: int | None = None, stale: bool = False) -> None:
        run = self._run(run_id)
        if run.state is not State.EVALUATED:
            return
        read = self.pipeline.runs.live(NAME)
        if stale and read is not None:
            read = read.model_copy(update={"since": read.since - timedelta(microseconds=1)})
        pointer = pointer_of(run, read, self.pipeline)
        before = self.pipeline.runs.live(NAME)
        self._attempt(crash_after, self._promote, run, pointer, read)
        if stale and before is not None:
            assert self.pipeline.runs.live(NAME) == before

    def _promote(self, run: Run, pointer: Live, read: Live | None) -> None:
        self.pipeline.deliver(self.transactions.promote(run, pointer, read, note="live"))

    @rule(target=requests, asked=st.sampled_from(Asked), run_id=runs, crash_after=CRASH, lost=st.booleans())
    def asked(self, asked: Asked, run_id: str, crash_after: int | None, lost: bool) -> OperatorRequest:
        """A person asks for something, which is delivered at once or not yet."""
        at = datetime.now(UTC).replace(microsecond=0)
        identifier = f"r{next(self.numbers)}"
        request = OperatorRequest(
            id=identifier, at=at, asked=asked, run_id=run_id, task=NAME, reason="x", by="ada"
        )
        if not lost:
            self._deliver(request, crash_after)
        return request

    @rule(request=requests, crash_after=CRASH)
    def delivered(self, request: OperatorRequest, crash_after: int | None) -> None:
        """A request is delivered, for the first time or once more."""
        self._deliver(request, crash_after)

    def _deliver(self, request: OperatorRequest, crash_after: int | None) -> None:
        answered = self.transactions.outcome(request.id)
        before = self.pipeline.runs.live(NAME)
        self._attempt(crash_after, decide, request, self.pipeline)
        after = self.transactions.outcome(request.id)
        if answered is not None:
            assert after == answered
            assert self.pipeline.runs.live(NAME) == before
        if crash_after is None:
            assert after is not None

    @rule(crash_after=CRASH)
    def alarm(self, crash_after: int | None) -> None:
        """An alarm takes back what is live."""
        options = {"how": "alarm", "by": "RouteFaultAlarm", "reason": "5xx", "asked_at": now()}
        self._attempt(crash_after, roll_back, NAME, self.pipeline, **options)

    @rule()
    def minute(self) -> None:
        """`watch` comes by, and its nudges are delivered."""
        for run in self.pipeline.runs.active():
            if run.state.ended:
                self.pipeline.deliver(run)
        look_through(self.pipeline, now(), NO_GRACE)

    @rule(run_id=runs, crash_after=CRASH)
    def nudged_to_retire(self, run_id: str, crash_after: int | None) -> None:
        """A nudge to retire arrives, due or not, at any time."""
        self._attempt(crash_after, retire, run_id, self.pipeline, NO_GRACE)

    @rule(run_id=runs)
    def refused_to_retire(self, run_id: str) -> None:
        """Bedrock cannot delete the deployment for the moment."""
        self.scripted.raises("DeleteCustomModelDeployment", client_error("ThrottlingException"))
        self._attempt(None, retire, run_id, self.pipeline, NO_GRACE)
        self.scripted._refusals.clear()

    def _run(self, run_id: str) -> Run:
        run = self.pipeline.runs.load(run_id)
        assert run is not None
        return run

    @invariant()
    def pointer_is_consistent(self) -> None:
        """What is live, and what was before it, are promoted runs whose deployments are there."""
        live = self.pipeline.runs.live(NAME)
        assert live is not None
        for pointer in filter(None, (live, live.previous)):
            run = self._run(pointer.run_id)
            assert run.state is State.PROMOTED
            assert run.retired_at is None
            assert run.id in self.scripted.deployments
            assert run.deployment_arn == pointer.deployment_arn
        assert live.previous is None or live.previous.run_id != live.run_id
        assert live.previous is None or live.previous.previous is None

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Whoever owes an event, or holds a deployment, is found by `watch`."""
        found = {run.id for run in (*self.pipeline.runs.active(), *self.pipeline.runs.at_bedrock())}
        for key in self.table.items:
            run = self.pipeline.runs.load(key)
            if run is not None and (run.outbox or run.id in self.scripted.deployments):
                assert run.id in found


TestPromotion = Promotion.TestCase
TestPromotion.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
