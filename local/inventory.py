"""What an app has made, by run and generation: what there is to be removed, and what a person's words spare."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from local import unreadable
from local.client import App
from signalbox.generation import FOLDER as GENERATIONS
from signalbox.generation import PREFIX as GENERATION_PREFIX
from signalbox.generation import Generation
from signalbox.live import LIVE_PREFIX, Live
from signalbox.run import Part, Run, task_of
from signalbox.store import CONSOLE, RunStore, Version

RUN_FOLDER = "runs"
_UNCLEAR = "unknown"


@dataclass
class Holding:
    """What there is of one run.

    Attributes
    ----------
    run : Run | None
        None where only objects are left.
    unread : str
        Which attributes of its item cannot be read, "" if all can.
    live : str
        "live", "previous", "unknown" if nobody can tell, or "".
    versions : list[Version]
        All versions of its objects, its dataset's with them.
    """

    run_id: str
    run: Run | None = None
    unread: str = ""
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
            "state": _state(self.run, self.unread),
            "live": self.live,
            "deployment": bool(self.run and self.run.deployment_arn and gone < Part.DEPLOYMENT),
            "model": bool(self.run and self.run.model_arn and gone < Part.MODEL),
            "objects": len(self.versions),
            "bytes": sum(version.size for version in self.versions),
        }


@dataclass
class Making:
    """What there is of one generation, its request with it; the generation is None where only objects are left."""

    generation_id: str
    generation: Generation | None = None
    unread: str = ""
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
            "state": _state(self.generation, self.unread),
            "objects": len(self.versions),
            "bytes": sum(version.size for version in self.versions),
        }


@dataclass
class Inventory:
    """What is to be removed: runs, generations, and beside them what is of a task or of the whole app.

    Attributes
    ----------
    pointers : dict[str, Live]
        Of the tasks whose live run goes, too.
    left : list[str]
        What stays since it cannot be read, and what to do.
    """

    holdings: list[Holding]
    versions: list[Version]
    items: list[str]
    pointers: dict[str, Live]
    makings: list[Making] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        return {
            "runs": [holding.as_json() for holding in self.holdings],
            "generations": [making.as_json() for making in self.makings],
            "other_objects": len(self.versions),
            "other_bytes": sum(version.size for version in self.versions),
            "other_items": self.items,
            "unreadable": self.left,
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
    items, versions = _items(app), list(RunStore(app.objects, app.bucket).versions(""))
    pointers, unclear = _pointers(items)
    holdings = _holdings(items, pointers, unclear, versions, app.bucket)
    wanted = [
        holding
        for holding in holdings
        if (not run_id or holding.run_id == run_id) and (not task or holding.task == task)
    ]
    kept = [holding for holding in wanted if holding.live and holding.task not in with_live]
    spared = {name for name in (*pointers, *unclear) if name not in with_live}
    inventory = Inventory(
        [holding for holding in wanted if holding not in kept],
        [],
        [],
        {name: live for name, live in pointers.items() if name in with_live},
    )
    served = {run for name in spared & pointers.keys() for run in pointers[name].run_ids}
    inventory.makings = [
        making
        for making in _makings(items, versions, app.bucket)
        if (not run_id or making.generation_id == run_id)
        and (not task or making.task == task)
        and making.task not in spared & unclear
        and not making.belongs_to(served)
    ]
    if not run_id:
        of_runs = {
            (version.key, version.version_id)
            for one in (*holdings, *inventory.makings)
            for version in one.versions
        }
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
    concerned = {holding.task for holding in wanted} if run_id else {task} if task else unclear
    inventory.left = [_unclear(name) for name in sorted(unclear & spared & concerned)]
    if task:
        _leave_unreadable(inventory)
    return inventory, kept


def _leave_unreadable(inventory: Inventory) -> None:
    """Leave what cannot be read, unless everything goes or it is named itself: more may belong to it than is known."""
    for holding in [one for one in inventory.holdings if one.unread]:
        inventory.holdings.remove(holding)
        inventory.left.append(_unread(holding.run_id, holding.unread))
    for making in [one for one in inventory.makings if one.unread]:
        inventory.makings.remove(making)
        inventory.left.append(_unread(making.generation_id, making.unread))


def _unread(name: str, what: str) -> str:
    return (
        f"{name}: unreadable ({what}), perhaps of another version of the app; named itself, or with --everything, "
        "it is deleted with all that can be found of it"
    )


def _unclear(task: str) -> str:
    return (
        f"{LIVE_PREFIX}{task}: unreadable, so nobody can tell what is live, and all runs of {task} are kept; "
        f"--with-live {task} deletes it, and lets them be deleted whichever is live"
    )


def _state(one: Run | Generation | None, unread: str) -> str:
    return "unreadable" if unread else one.state if one else ""


def _makings(items: dict[str, dict[str, Any]], versions: list[Version], bucket: str) -> list[Making]:
    makings: dict[str, Making] = {}
    for key, item in items.items():
        if key.startswith(GENERATION_PREFIX):
            one = key.removeprefix(GENERATION_PREFIX)
            makings[one] = Making(one, *unreadable.generation_of(one, item, versions, bucket))
    requests = {
        (one.generation.request.key, one.generation.request.version_id): one.generation_id
        for one in makings.values()
        if one.generation
    }
    for version in versions:
        folder, *rest = version.key.split("/")
        owner = requests.get((version.key, version.version_id))
        if folder == GENERATIONS and len(rest) > 1:
            owner = rest[0]
        if owner:
            makings.setdefault(owner, Making(owner)).versions.append(version)
    return sorted(makings.values(), key=lambda making: making.generation_id)


def _items(app: App) -> dict[str, dict[str, Any]]:
    arguments: dict[str, Any] = {"ConsistentRead": True}
    items: dict[str, dict[str, Any]] = {}
    while True:
        page = app.run_items.scan(**arguments)
        items |= {item["id"]: item for item in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return items
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _pointers(items: dict[str, dict[str, Any]]) -> tuple[dict[str, Live], set[str]]:
    """Return the live pointers by task, and the tasks whose pointer cannot be read."""
    pointers: dict[str, Live] = {}
    unclear: set[str] = set()
    for key, item in items.items():
        if key.startswith(LIVE_PREFIX):
            task = key.removeprefix(LIVE_PREFIX)
            try:
                pointers[task] = Live.model_validate_json(item["pointer"])
            except (KeyError, ValueError):  # pydantic's errors are ValueErrors
                unclear.add(task)
    return pointers, unclear


def _holdings(
    items: dict[str, dict[str, Any]],
    pointers: dict[str, Live],
    unclear: Collection[str],
    versions: list[Version],
    bucket: str,
) -> list[Holding]:
    holdings = {
        key: Holding(key, *unreadable.run_of(key, item, versions, bucket))
        for key, item in items.items()
        if "#" not in key
    }
    datasets = {
        (one.run.dataset.key, one.run.dataset.version_id): one.run_id for one in holdings.values() if one.run
    }
    for version in versions:
        folder, *rest = version.key.split("/")
        owner = datasets.get((version.key, version.version_id))
        if folder == RUN_FOLDER and len(rest) > 1:
            owner = rest[0]
        if owner:
            holdings.setdefault(owner, Holding(owner)).versions.append(version)
    for holding in holdings.values():
        pointer = pointers.get(holding.task)
        if holding.task in unclear:
            holding.live = _UNCLEAR
        elif pointer and holding.run_id in pointer.run_ids:
            holding.live = "live" if holding.run_id == pointer.run_id else "previous"
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
