"""What an app has made, by run and generation: what there is to be removed, and what a person's words spare."""

from collections.abc import Collection, Iterable, Iterator
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
class Made:
    """What there is of a run or a generation.

    Attributes
    ----------
    unread : list[str]
        Which attributes of its item cannot be read.
    versions : list[Version]
        All versions of its objects, with the one that began it.
    """

    id: str
    unread: list[str] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

    @property
    def task(self) -> str:
        """The task that it is of."""
        return task_of(self.id)

    def belongs_to(self, run_ids: Collection[str]) -> bool:
        """Tell whether it is of one of these runs."""
        return self.id in run_ids

    def shown(self, state: str) -> dict[str, Any]:
        """Return what a person is shown of either."""
        return {
            "task": self.task,
            "state": "unreadable" if self.unread else state,
            "objects": len(self.versions),
            "bytes": sum(version.size for version in self.versions),
        }


@dataclass
class Holding(Made):
    """What there is of one run.

    Attributes
    ----------
    run : Run | None
        None where only objects are left.
    live : str
        "live", "previous", "unknown" if nobody can tell, or "".
    """

    run: Run | None = None
    live: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        gone = self.run.gone if self.run else Part.MODEL
        return {
            "run_id": self.id,
            **self.shown(self.run.state if self.run else ""),
            "live": self.live,
            "deployment": bool(self.run and self.run.deployment_arn and gone < Part.DEPLOYMENT),
            "model": bool(self.run and self.run.model_arn and gone < Part.MODEL),
        }


@dataclass
class Making(Made):
    """What there is of one generation; the generation is None where only objects are left."""

    generation: Generation | None = None

    def belongs_to(self, run_ids: Collection[str]) -> bool:
        """Tell whether it made or labelled the dataset of one of these runs."""
        made = self.generation.run_id if self.generation else ""
        return super().belongs_to(run_ids) or made in run_ids

    @property
    def is_of_unknown_run(self) -> bool:
        """Whether nobody can tell whose dataset it made."""
        return "run_id" in self.unread

    def as_json(self) -> dict[str, Any]:
        """Return what a person is shown."""
        return {"generation_id": self.id, **self.shown(self.generation.state if self.generation else "")}


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
    makings: list[Making]
    pointers: dict[str, Live]
    versions: list[Version] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
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
    spared = {*pointers, *unclear} - {*with_live} | (unclear if run_id else set())
    served = {run for name in spared & pointers.keys() for run in pointers[name].run_ids}

    def is_named(one: Made) -> bool:
        return (not run_id or one.id == run_id) and (not task or one.task == task)

    def is_spared(one: Made) -> bool:
        return one.task in spared & unclear or one.belongs_to(served)

    holdings = _holdings(items, pointers, unclear, versions, app.bucket)
    wanted = [holding for holding in holdings if is_named(holding)]
    makings = [
        making
        for making in _makings(items, versions, app.bucket)
        if is_named(making) and not is_spared(making)
    ]
    unsure = [making for making in makings if making.is_of_unknown_run and making.task in spared]
    inventory = Inventory(
        holdings=[holding for holding in wanted if not is_spared(holding)],
        makings=[making for making in makings if making not in unsure],
        pointers={name: live for name, live in pointers.items() if name in with_live},
    )
    if not run_id:
        owned = {version for one in (*holdings, *inventory.makings) for version in one.versions}
        inventory.versions = [
            version for version in versions if version not in owned and _is_of(version.key, task, spared)
        ]
        inventory.items = sorted(
            key
            for key, item in items.items()
            if "#" in key and not key.startswith(GENERATION_PREFIX) and _item_is_of(key, item, task, spared)
        )
    concerned = {task_of(run_id)} if run_id else {task} if task else unclear
    inventory.left = [*map(_unclear, sorted(unclear & spared & concerned)), *map(_unsure, unsure)]
    if task:
        _leave_unreadable(inventory)
    return inventory, [holding for holding in wanted if is_spared(holding)]


def _leave_unreadable(inventory: Inventory) -> None:
    """Leave what cannot be read, unless everything goes or it is named itself: more may belong to it than is known."""
    inventory.left += [_unread(one) for one in (*inventory.holdings, *inventory.makings) if one.unread]
    inventory.holdings = [holding for holding in inventory.holdings if not holding.unread]
    inventory.makings = [making for making in inventory.makings if not making.unread]


def _unread(one: Made) -> str:
    return (
        f"{one.id}: unreadable ({', '.join(one.unread)}), perhaps of another version of the app; named itself, or with "
        "--everything, it is deleted with all that can be found of it"
    )


def _unclear(task: str) -> str:
    return (
        f"{LIVE_PREFIX}{task}: unreadable, so nobody can tell what is live, and all runs of {task} are kept; "
        f"--task {task} --with-live {task} deletes it and all of them, whichever is live"
    )


def _unsure(making: Making) -> str:
    return (
        f"{making.id}: unreadable ({', '.join(making.unread)}), so nobody can tell whether it made the dataset of what "
        f"is live for {making.task}; named itself together with --with-live {making.task}, it is deleted"
    )


def _makings(items: dict[str, dict[str, Any]], versions: list[Version], bucket: str) -> list[Making]:
    makings: dict[str, Making] = {}
    requests: dict[tuple[str, str | None], str] = {}
    for key, item in items.items():
        if key.startswith(GENERATION_PREFIX):
            one = key.removeprefix(GENERATION_PREFIX)
            generation, unread = unreadable.generation_of(one, item, versions, bucket)
            makings[one] = Making(one, unread, generation=generation)
            requests[generation.request.key, generation.request.version_id] = one
    for version, owner in _owned(versions, GENERATIONS, requests):
        makings.setdefault(owner, Making(owner)).versions.append(version)
    return sorted(makings.values(), key=lambda making: making.id)


def _owned(
    versions: Iterable[Version], folder: str, begun: dict[tuple[str, str | None], str]
) -> Iterator[tuple[Version, str]]:
    """Yield the versions that belong to somebody, by the folder of ids in which they lie or because they began it."""
    for version in versions:
        first, *rest = version.key.split("/")
        owner = rest[0] if first == folder and len(rest) > 1 else begun.get((version.key, version.version_id))
        if owner:
            yield version, owner


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
    holdings: dict[str, Holding] = {}
    datasets: dict[tuple[str, str | None], str] = {}
    for key, item in items.items():
        if "#" not in key:
            run, unread = unreadable.run_of(key, item, versions, bucket)
            holdings[key] = Holding(key, unread, run=run)
            datasets[run.dataset.key, run.dataset.version_id] = key
    for version, owner in _owned(versions, RUN_FOLDER, datasets):
        holdings.setdefault(owner, Holding(owner)).versions.append(version)
    named = {run_id: pointer for pointer in pointers.values() for run_id in pointer.run_ids}
    for holding in holdings.values():
        if pointer := named.get(holding.id):
            holding.live = "live" if holding.id == pointer.run_id else "previous"
        elif holding.task in unclear:
            holding.live = _UNCLEAR
    return sorted(holdings.values(), key=lambda holding: (holding.task, holding.id))


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
