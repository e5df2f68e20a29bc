"""What every step of the pipeline shares: load the run, look at its state, act, advance it once, publish."""

import functools
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache

import boto3
from botocore.config import Config

from signalbox.attention import Attention
from signalbox.bedrock import Bedrock, Busy
from signalbox.deployments import Deployments
from signalbox.events import Event, EventBus
from signalbox.failure import Failure, PermanentFailure
from signalbox.generation import Generation, GenerationState, GenerationTable
from signalbox.observability import annotate, discreet, logger
from signalbox.records import Record, read_records
from signalbox.release import Awaited, Expense
from signalbox.run import Run, State, now, task_of
from signalbox.run_metrics import count_generation, count_transition
from signalbox.run_table import RunTable, Superseded
from signalbox.settings import setting
from signalbox.store import TASK, RunStore
from signalbox.task import Task
from signalbox.transactions import Transactions

_HEARTBEAT_SECONDS = 30


@dataclass(frozen=True)
class Pipeline:
    """The adapters that the steps work with, and what `watch` remembers of the minutes before."""

    runs: RunTable
    store: RunStore
    bus: EventBus
    bedrock: Bedrock
    attention: Attention = field(default_factory=Attention)

    @property
    def generations(self) -> GenerationTable:
        """The generations, which stand in the run table."""
        return GenerationTable(self.runs)

    @property
    def deployments(self) -> Deployments:
        """The deployments of custom models."""
        return Deployments(self.bedrock)

    @property
    def transactions(self) -> Transactions:
        """The writes to the run table that hold together."""
        return Transactions(self.runs)

    def advance(self, run: Run, to: State, *, event: str | None, note: str = "", **changes: object) -> Run:
        """Move a run on and publish the event that says so; see `RunTable.move`.

        Should the event be lost between the two, it is still in the run's outbox, and `watch` publishes it.
        """
        moved = self.runs.move(run, to, event=event, note=note, **changes)
        self.count(run, moved)
        self.deliver(moved)
        return moved

    def count(self, before: Run, moved: Run) -> None:
        """Count and log a transition that has been written."""
        count_transition(before, moved)
        logger.info("run advanced", extra={"from_state": before.state, "to_state": moved.state})

    def deliver(self, run: Run) -> None:
        """Publish the event in a run's outbox, if there is one, and empty the outbox."""
        if run.outbox is not None:
            self.bus.publish(run.outbox, run)
            self.runs.delivered(run)

    def advance_generation(
        self, generation: Generation, to: GenerationState, note: str, **changes: object
    ) -> Generation:
        """Move a generation on and publish the event that says so; see `GenerationTable.move`."""
        moved = self.generations.move(generation, to, note, **changes)
        count_generation(moved)
        logger.info("generation advanced", extra={"from_state": generation.state, "to_state": to})
        self.deliver_of(moved)
        return moved

    def deliver_of(self, generation: Generation) -> None:
        """Publish the event in a generation's outbox, if there is one, and empty the outbox."""
        if generation.outbox is not None:
            self.bus.tell(generation.outbox, generation)
            self.generations.delivered(generation)

    def task(self, run: Run) -> Task:
        """Return the task of a run as it was when the dataset was accepted."""
        return Task.model_validate_json(self.store.get(run.id, TASK) or b"")

    def records(self, run: Run, name: str, task: Task) -> list[Record]:
        """Return the records of train.jsonl or golden.jsonl, which `validate` wrote for a run.

        Raises
        ------
        ValueError
            If the file is gone or a line of it cannot be used: it is not what was validated.
        """
        content = self.store.get(run.id, name)
        if content is None:
            raise ValueError(f"{run.id} has no {name}")
        records = []
        for entry in read_records([content], task):
            if not isinstance(entry, Record):
                raise ValueError(f"{name} of {run.id}, line {entry.line}, {entry.field}: {entry.reason}")
            records.append(entry)
        return records

    def heartbeat(self, run: Run) -> Callable[[], None]:
        """Return what a step of minutes calls while it is at work, so that `watch` leaves the run to it.

        However often it is called, the run is touched at most every 30 seconds.
        """
        touched = -math.inf

        def beat() -> None:
            nonlocal touched
            if time.monotonic() - touched >= _HEARTBEAT_SECONDS:
                self.runs.touch(run)
                touched = time.monotonic()

        return beat

    def await_release(self, run: Run, of: Expense, reason: str, usd: dict[str, float]) -> Run:
        """Let a run wait for a person to release what would cost money, and publish that it does.

        Parameters
        ----------
        of, reason, usd
            See `Awaited`.

        Raises
        ------
        Superseded
            If something else has moved the run, or touched it, meanwhile.
        """
        held = self.transactions.await_release(run, Awaited(of=of, reason=reason, usd=usd, since=now()))
        logger.info("run awaits a release", extra={"of": of, "reason": reason})
        self.deliver(held)
        return held

    def fail(self, run_id: str, failure: Failure, states: Collection[State]) -> None:
        """End a run that cannot succeed, if it is still in one of the states in which that was found out."""
        run = self.runs.load(run_id)
        if run is None or run.state not in states:
            return
        note = f"{failure.step}: {failure.reason}"
        try:
            failed = self.advance(
                run, State.FAILED, event=Event.RUN_FAILED, note=note, failure=failure, reason=failure.reason
            )
        except Superseded:
            logger.info("run moved on before it could fail", extra={"run_id": run_id})
            return
        if run.state is State.TRAINING:
            self.bus.publish(Event.TRAINING_FAILED, failed)

    def note_trouble(self, run_id: str, trouble: Exception, states: Collection[State]) -> None:
        """Note on a run, if that can be done, what an attempt broke off with, for whoever is told that it stalls."""
        try:
            run = self.runs.load(run_id)
            if run is not None and run.state in states:
                self.runs.note_trouble(run, str(discreet(trouble)))
        except Exception:  # the error that is to be noted counts, not that it cannot be
            logger.exception("trouble not noted", extra={"run_id": run_id})

    def wait(self, run_id: str, reason: str, states: Collection[State]) -> None:
        """Note what a run waits for, if it is still in one of the states in which that was found out."""
        run = self.runs.load(run_id)
        if run is not None and run.state in states:
            self.runs.wait(run, reason)


Step = Callable[[str, Pipeline], None]


def step(name: str, *states: State) -> Callable[[Callable[[Run, Pipeline], None]], Step]:
    """Make what is to be done with a run in certain states a step that any event may nudge at any time.

    The step loads the run and acts only if it is in one of these states. A permanent failure ends the run; a
    quota or throttling answer leaves it waiting for `watch`; whatever else is raised goes on to be retried.
    """

    def decorate(act: Callable[[Run, Pipeline], None]) -> Step:
        @functools.wraps(act)
        def act_on(run_id: str, pipeline: Pipeline) -> None:
            logger.set_correlation_id(run_id)
            annotate(run_id, task_of(run_id))
            run = pipeline.runs.load(run_id)
            if run is None or run.state not in states:
                logger.info("nothing to do", extra={"step": name, "state": run.state if run else None})
                return
            if run.awaits is not None:
                logger.info("not released", extra={"step": name, "awaits": run.awaits.of})
                return
            try:
                act(run, pipeline)
            except PermanentFailure as permanent:
                logger.warning("run failed", extra={"step": name, "reason": permanent.failure.reason})
                pipeline.fail(run_id, permanent.failure, states)
            except Busy as busy:
                logger.info("run waits", extra={"step": name, "reason": str(busy)})
                pipeline.wait(run_id, str(busy), states)
            except Superseded as superseded:
                logger.info("run already moved on", extra={"step": name, "reason": str(superseded)})
            except Exception as trouble:
                pipeline.note_trouble(run_id, trouble, states)
                raise

        return act_on

    return decorate


@cache
def pipeline() -> Pipeline:
    """Connect the steps to AWS, once a sandbox."""
    config = Config(retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=16)
    return Pipeline(
        runs=RunTable(boto3.resource("dynamodb", config=config).Table(setting("RUN_TABLE"))),
        store=RunStore(boto3.client("s3", config=config), setting("DATA_BUCKET")),
        bus=EventBus(boto3.client("events", config=config), setting("EVENT_BUS")),
        bedrock=Bedrock(
            boto3.client("bedrock", config=config), boto3.client("bedrock-runtime", config=config)
        ),
    )
