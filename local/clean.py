"""What an app has made, by run and generation, and its removal by a person: listed first, until nothing is left."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from local.client import App
from signalbox.batch_inference import BatchInference
from signalbox.bedrock import Bedrock, Busy
from signalbox.deployments import Committed
from signalbox.events import EventBus
from signalbox.generation import FOLDER as GENERATIONS
from signalbox.generation import PREFIX as GENERATION_PREFIX
from signalbox.generation import Generation, GenerationState, GenerationTable
from signalbox.generation_retention import erase
from signalbox.live import LIVE_PREFIX, Live
from signalbox.pipeline import Pipeline
from signalbox.removal import LONGEST_STEP, StepAtWork, let_steps_end, remove_at_bedrock, remove_run
from signalbox.run import Failure, Part, Run, State, Superseded, task_of
from signalbox.store import CONSOLE, RunStore, Version

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 2.0
_RUN_FOLDER = "runs"
Done = TypeVar("Done")


@dataclass
class Holding:
    """What there is of one run.

    Attributes
    ----------
    run : Run | None
        None where only objects are left.
    live : str
        "live", "previous" or "".
    versions : list[Version]
        All versions of its objects, its dataset's with them.
    """

    run_id: str
    run: Run | None = None
    live: str = ""
    versions: list[Version] = field(default_factory=list)

    @property
    def task(self) -> str:
        """The task that it is of."""
        return self.run.task if self.run else task_of(self.run_id)

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        gone = self.run.gone if self.run else Part.MODEL
        return {
            "run_id": self.run_id,
            "task": self.task,
            "state": self.run.state if self.run else "",
            "live": self.live,
            "deployment": bool(self.run and self.run.deployment_arn and gone < Part.DEPLOYMENT),
            "model": bool(self.run and self.run.model_arn and gone < Part.MODEL),
            "objects": len(self.versions),
            "bytes": sum(version.size for version in self.versions),
        }


@dataclass
class Making:
    """What there is of one generation; the generation is None where only objects are left."""

    generation_id: str
    generation: Generation | None = None
    versions: list[Version] = field(default_factory=list)

    @property
    def task(self) -> str:
        """The task that it is of."""
        return task_of(self.generation_id)

    def belongs_to(self, run_ids: Collection[str]) -> bool:
        """Tell whether it made or labelled the dataset of one of these runs."""
        made = self.generation.run_id if self.generation else ""
        return self.generation_id in run_ids or made in run_ids

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        return {
            "generation_id": self.generation_id,
            "task": self.task,
            "state": self.generation.state if self.generation else "",
            "objects": len(self.versions),
            "bytes": sum(version.size for version in self.versions),
        }


@dataclass
class Inventory:
    """What is to be removed: runs, generations, and beside them what is of a task or of the whole app."""

    holdings: list[Holding]
    versions: list[Version]
    items: list[str]
    pointers: dict[str, Live]
    makings: list[Making] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        return {
            "runs": [holding.as_json() for holding in self.holdings],
            "generations": [making.as_json() for making in self.makings],
            "other_objects": len(self.versions),
            "other_bytes": sum(version.size for version in self.versions),
            "other_items": self.items,
        }

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of it."""
        return not (self.holdings or self.makings or self.versions or self.items)


def take_inventory(
    app: App, *, run_id: str = "", task: str = "", with_live: Collection[str] = ()
) -> tuple[Inventory, list[Holding]]:
    """Return what there is of a run or generation, a task, or (given neither) of all, and the runs that are to stay.

    Parameters
    ----------
    with_live : Collection[str]
        The tasks whose live run and the one before it go, too. Of any other task these, and whatever is the task's
        own, are left as they are.
    """
    items = _items(app)
    pointers = {
        key.removeprefix(LIVE_PREFIX): Live.model_validate_json(item["pointer"])
        for key, item in items.items()
        if key.startswith(LIVE_PREFIX)
    }
    runs = {key: run for key in items if "#" not in key and (run := app.runs.load(key))}
    versions = list(RunStore(app.objects, app.bucket).versions(""))
    holdings = _holdings(runs, pointers, versions)
    wanted = [
        holding
        for holding in holdings
        if (not run_id or holding.run_id == run_id) and (not task or holding.task == task)
    ]
    kept = [holding for holding in wanted if holding.live and holding.task not in with_live]
    spared = {name for name in pointers if name not in with_live}
    removed = [holding for holding in wanted if holding not in kept]
    inventory = Inventory(
        removed, [], [], {name: live for name, live in pointers.items() if name in with_live}
    )
    served = {run for name in spared for run in pointers[name].run_ids}
    inventory.makings = [
        making
        for making in _makings(app, items, versions)
        if (not run_id or making.generation_id == run_id)
        and (not task or making.task == task)
        and not making.belongs_to(served)
    ]
    if not run_id:
        of_runs = {(version.key, version.version_id) for one in holdings for version in one.versions}
        inventory.versions = [
            version
            for version in versions
            if (version.key, version.version_id) not in of_runs and _is_of(version.key, task, spared)
        ]
        inventory.items = sorted(
            key
            for key, item in items.items()
            if "#" in key and not key.startswith(GENERATION_PREFIX) and _item_is_of(key, item, task, spared)
        )
    return inventory, kept


def remove(app: App, inventory: Inventory, say: Callable[[str], None]) -> list[str]:
    """Remove what an inventory names, and return what is left, with the reasons. One failure does not stop the rest.

    What is dropped goes first, so that nothing that is gone is taken for lost and begun anew.
    """
    pipeline = pipeline_of(app)
    left: list[str] = []

    def attempt(what: str, act: Callable[[], None]) -> None:
        try:
            act()
            say(f"{what}: removed")
        except (ClientError, BotoCoreError, RuntimeError, Superseded, Busy, ValueError) as error:
            left.append(f"{what}: {error}")
            say(left[-1])

    if inventory.versions:
        attempt(
            f"{len(inventory.versions)} objects of no run", lambda: pipeline.store.delete(inventory.versions)
        )
    for holding in inventory.holdings:
        attempt(holding.run_id, lambda one=holding: _remove(one, inventory.pointers, pipeline))
    for making in inventory.makings:
        attempt(making.generation_id, lambda one=making: _remove_making(one, pipeline))
    for key in inventory.items:
        attempt(key, lambda name=key: app.run_items.delete_item(Key={"id": name}))
    return left


def pipeline_of(app: App) -> Pipeline:
    """Return the adapters that the functions work with, as the person who calls."""
    bedrock = Bedrock(app.client("bedrock"), None)
    return Pipeline(
        app.runs, RunStore(app.objects, app.bucket), EventBus(app.client("events"), app.bus), bedrock
    )


def _remove(holding: Holding, pointers: dict[str, Live], pipeline: Pipeline) -> None:
    """Remove one run: no pointer names it, it is ended and given up, Bedrock's things go, its objects, its item."""
    dataset = [version for version in holding.versions if not version.key.startswith(f"{_RUN_FOLDER}/")]
    if holding.run is None:
        pipeline.store.delete(dataset)
        pipeline.store.delete_run(holding.run_id)
        return
    run = holding.run
    if holding.live:  # first, as what is live meanwhile keeps its dataset
        _withdraw(run, pointers, pipeline)
    pipeline.store.delete(dataset)
    if not run.state.ended:
        failure = Failure(step="clean", reason="removed by a person", remedy="none is needed")
        run = pipeline.runs.move(
            run, State.FAILED, event=None, note=failure.reason, failure=failure, reason=failure.reason
        )
    if run.retired_at is None:
        pipeline.transactions.give_up(run, pipeline.runs.live(run.task))
        run = pipeline.runs.load(run.id) or run
    run = _patiently(lambda: remove_at_bedrock(pipeline.runs.load(run.id) or run, Part.MODEL, pipeline))
    remove_run(run, pipeline)


def _remove_making(making: Making, pipeline: Pipeline) -> None:
    """Remove one generation: it is ended, its batch jobs are stopped; once no step is at work, it is forgotten."""
    generation = making.generation
    if generation is None:
        pipeline.store.folder(GENERATIONS).delete_run(making.generation_id)
        return
    if not generation.state.ended:
        failure = Failure(step="clean", reason="removed by a person", remedy="none is needed")
        generation = pipeline.generations.move(
            generation, GenerationState.FAILED, failure.reason, failure=failure
        )
    _patiently(lambda: _stop_batch_jobs(generation, BatchInference(pipeline.bedrock)))
    failed_at = [moment.at for moment in generation.history if moment.state is GenerationState.FAILED]
    let_steps_end(failed_at[-1] + LONGEST_STEP if failed_at else None)
    erase(generation, pipeline)


def _stop_batch_jobs(generation: Generation, batches: BatchInference) -> None:
    """Stop the batch jobs of a generation, one as well that was started and not noted."""
    named = [arn for name in generation.batch_names if (arn := batches.named(name))]
    for arn in {*generation.job_arns.values(), *named}:
        batches.stop(arn)


def _makings(app: App, items: Collection[str], versions: list[Version]) -> list[Making]:
    table = GenerationTable(app.runs)
    ids = [key.removeprefix(GENERATION_PREFIX) for key in items if key.startswith(GENERATION_PREFIX)]
    makings = {one: Making(one, table.load(one)) for one in ids}
    for version in versions:
        folder, *rest = version.key.split("/")
        if folder == GENERATIONS and len(rest) > 1:
            makings.setdefault(rest[0], Making(rest[0])).versions.append(version)
    return sorted(makings.values(), key=lambda making: making.generation_id)


def _patiently(act: Callable[[], Done]) -> Done:
    """Do what Bedrock may need a while for; a deployment that is being deleted, say, keeps its model from it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except Busy as busy:
            if isinstance(busy, StepAtWork | Committed) or time.monotonic() > end:
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


def _items(app: App) -> dict[str, dict[str, Any]]:
    arguments: dict[str, Any] = {"ConsistentRead": True}
    items: dict[str, dict[str, Any]] = {}
    while True:
        page = app.run_items.scan(**arguments)
        items |= {item["id"]: item for item in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return items
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _holdings(runs: dict[str, Run], pointers: dict[str, Live], versions: list[Version]) -> list[Holding]:
    holdings = {run_id: Holding(run_id, run) for run_id, run in runs.items()}
    for pointer in pointers.values():
        for run_id in pointer.run_ids & holdings.keys():
            holdings[run_id].live = "live" if run_id == pointer.run_id else "previous"
    datasets = {(run.dataset.key, run.dataset.version_id): run.id for run in runs.values()}
    for version in versions:
        folder, *rest = version.key.split("/")
        owner = datasets.get((version.key, version.version_id))
        if folder == _RUN_FOLDER and len(rest) > 1:
            owner = rest[0]
        if owner:
            holdings.setdefault(owner, Holding(owner)).versions.append(version)
    return sorted(holdings.values(), key=lambda holding: (holding.task, holding.run_id))


def _is_of(key: str, task: str, spared: Collection[str]) -> bool:
    """Whether an object of no run is a task's own, or (given none) the app's, and nothing live is served from it."""
    if key == CONSOLE:
        return not task and not spared
    folder, *rest = key.split("/")
    if folder == GENERATIONS:
        return False
    owner = rest[0] if folder in ("tasks", "datasets", "requests") and len(rest) > 1 else ""
    return (not task or owner == task) and owner not in spared


def _item_is_of(key: str, item: dict[str, Any], task: str, spared: Collection[str]) -> bool:
    """The same of an item: a pointer, or the answer to a person's request."""
    if key.startswith(LIVE_PREFIX):
        owner = key.removeprefix(LIVE_PREFIX)
    else:
        subject = str(item.get("subject", ""))
        owner = subject if item.get("asked") == "RollbackRequested" else task_of(subject)
    return (not task or owner == task) and owner not in spared
