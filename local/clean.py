"""Removal of what an app has made, by a person: whatever can go goes, and what is left is said with the reason."""

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local.client import App
from local.inventory import RUN_FOLDER, Holding, Inventory, Making
from signalbox.batch_inference import BatchInference
from signalbox.bedrock import Bedrock, Busy
from signalbox.deployments import Committed
from signalbox.events import EventBus
from signalbox.failure import Failure
from signalbox.generation import FOLDER as GENERATIONS
from signalbox.generation import Generation, GenerationState
from signalbox.generation_retention import erase
from signalbox.live import LIVE_PREFIX, Live
from signalbox.pipeline import Pipeline
from signalbox.removal import (
    LONGEST_STEP,
    StepAtWork,
    at_work_until,
    let_steps_end,
    remove_at_bedrock,
    remove_run,
    remove_unreadable,
    stop_jobs,
)
from signalbox.run import Part, Run, State, now
from signalbox.run_table import Superseded
from signalbox.store import RunStore

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 2.0
Done = TypeVar("Done")


def remove(app: App, inventory: Inventory, say: Callable[[str], None], *, wait: bool = False) -> list[str]:
    """Remove what an inventory names, and return what is left, with the reasons. One failure does not stop the rest.

    What is dropped goes first, so that nothing that is gone is taken for lost and begun anew; then all runs are ended
    and their jobs stopped, before the first of them is waited for.

    Parameters
    ----------
    wait : bool
        Whether to wait until no step can be at work any more on what was under way: a quarter of an hour at most.
    """
    pipeline = pipeline_of(app)
    left = list(inventory.left)

    def attempt(what: str, act: Callable[[], None], done: str = "removed") -> bool:
        try:
            act()
        except (ClientError, BotoCoreError, RuntimeError, Superseded, Busy, ValueError) as error:
            left.append(f"{what}: {error}")
            say(left[-1])
            return False
        say(f"{what}: {done}")
        return True

    def forget(keys: list[str]) -> None:
        for key in keys:
            attempt(key, lambda name=key: app.run_items.delete_item(Key={"id": name}))

    if inventory.versions:
        attempt(
            f"{len(inventory.versions)} objects of no run", lambda: pipeline.store.delete(inventory.versions)
        )
    pointers = [key for key in inventory.items if _is_unreadable_pointer(key, inventory)]
    forget(pointers)  # first, as nothing can be withdrawn from them
    ended = [
        holding
        for holding in inventory.holdings
        if attempt(holding.id, lambda one=holding: _end(one, inventory.pointers, pipeline), "given up")
    ]
    for holding in ended:
        attempt(holding.id, lambda one=holding: _remove(one, pipeline, app, wait))
    for making in inventory.makings:
        attempt(making.id, lambda one=making: _remove_making(one, pipeline, wait))
    forget([key for key in inventory.items if key not in pointers])
    return left


def pipeline_of(app: App) -> Pipeline:
    """Return the adapters that the functions work with, as the person who calls."""
    bedrock = Bedrock(app.client("bedrock"), None)
    return Pipeline(
        app.runs, RunStore(app.objects, app.bucket), EventBus(app.client("events"), app.bus), bedrock
    )


def _end(holding: Holding, pointers: dict[str, Live], pipeline: Pipeline) -> None:
    """Let no pointer name a run, end it, give it up, and stop the jobs that are at work for it."""
    run = holding.run
    if holding.live and run is not None:  # first, as what is live meanwhile keeps its dataset
        _withdraw(run, pointers, pipeline)
    pipeline.store.delete(
        version for version in holding.versions if not version.key.startswith(f"{RUN_FOLDER}/")
    )
    if run is None or holding.unread:
        return
    if not run.state.ended:
        failure = Failure(step="clean", reason="removed by a person", remedy="none is needed")
        run = pipeline.runs.move(
            run, State.FAILED, event=None, note=failure.reason, failure=failure, reason=failure.reason
        )
    if run.retired_at is None:
        pipeline.transactions.give_up(run, pipeline.runs.live(run.task))
    if (until := at_work_until(run)) is not None and now() < until:
        stop_jobs(run, pipeline.bedrock)


def _remove(holding: Holding, pipeline: Pipeline, app: App, wait: bool) -> None:
    """Remove one run that was given up: Bedrock's things go, its objects, its item."""
    run = holding.run
    if run is None:
        pipeline.store.delete_run(holding.id)
    elif holding.unread:
        _patiently(lambda: remove_unreadable(run, pipeline), wait)
        app.run_items.delete_item(Key={"id": holding.id})
    else:
        remove_run(
            _patiently(
                lambda: remove_at_bedrock(pipeline.runs.load(run.id) or run, Part.MODEL, pipeline), wait
            ),
            pipeline,
        )


def _remove_making(making: Making, pipeline: Pipeline, wait: bool) -> None:
    """Remove one generation: it is ended, its batch jobs are stopped; once no step is at work, it is forgotten.

    What began it goes first, as with a run. Nobody is at work on one that is under way and that nobody holds.
    """
    generation = making.generation
    pipeline.store.delete(
        version for version in making.versions if not version.key.startswith(f"{GENERATIONS}/")
    )
    if generation is None:
        pipeline.store.folder(GENERATIONS).delete_run(making.id)
        return
    rests = not generation.state.ended and not generation.is_held(now())
    if not generation.state.ended and not making.unread:
        failure = Failure(step="clean", reason="removed by a person", remedy="none is needed")
        generation = pipeline.generations.move(
            generation, GenerationState.FAILED, failure.reason, failure=failure
        )
    _patiently(lambda: _stop_batch_jobs(generation, BatchInference(pipeline.bedrock)), wait)
    failed_at = [moment.at for moment in generation.history if moment.state is GenerationState.FAILED]
    if not rests:
        _patiently(lambda: let_steps_end(failed_at[-1] + LONGEST_STEP if failed_at else None), wait)
    erase(generation, pipeline)


def _stop_batch_jobs(generation: Generation, batches: BatchInference) -> None:
    """Stop the batch jobs of a generation, one as well that was started and not noted."""
    named = [arn for name in generation.batch_names if (arn := batches.named(name))]
    for arn in {*generation.job_arns.values(), *named}:
        batches.stop(arn)


def _patiently(act: Callable[[], Done], wait: bool) -> Done:
    """Do what Bedrock may need a while for; a deployment that is being deleted, say, keeps its model from it."""
    end = time.monotonic() + PATIENCE_SECONDS + (LONGEST_STEP.total_seconds() if wait else 0)
    while True:
        try:
            return act()
        except Busy as busy:
            takes_longer = isinstance(busy, Committed) or (isinstance(busy, StepAtWork) and not wait)
            if takes_longer or time.monotonic() > end:
                raise
            time.sleep(_POLL_SECONDS)


def _withdraw(run: Run, pointers: dict[str, Live], pipeline: Pipeline) -> None:
    """Let a task's pointer name a run no longer: a pointer to it goes, one that keeps it for a way back forgets it."""
    live = pipeline.runs.live(run.task)
    if live is None or run.id not in live.run_ids:
        return
    if run.task not in pointers:
        raise ValueError(f"{run.id} has become live meanwhile")
    pipeline.transactions.withdraw(run, live)


def _is_unreadable_pointer(key: str, inventory: Inventory) -> bool:
    return key.startswith(LIVE_PREFIX) and key.removeprefix(LIVE_PREFIX) not in inventory.pointers
