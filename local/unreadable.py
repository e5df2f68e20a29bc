"""Items of the run table that cannot be read: as much of each as can, so that what it made can be found and deleted."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from signalbox.dataset_object import DatasetObject
from signalbox.generation import Generation, GenerationState
from signalbox.items import plain
from signalbox.run import Run, State, run_id_for, task_of
from signalbox.store import Version

_LONG_AGO = datetime.fromtimestamp(0, UTC)
Item = TypeVar("Item", bound=BaseModel)


def run_of(
    run_id: str, item: dict[str, Any], versions: Iterable[Version], bucket: str
) -> tuple[Run, list[str]]:
    """Return a run, and which attributes of its item cannot be read.

    Its task is the one that its id names. An item that says another cannot be believed in that.

    Parameters
    ----------
    versions : Iterable[Version]
        Of all objects: its dataset is one of them, which its id tells where its item does not.
    """
    named = {"id": run_id, "task": task_of(run_id)}
    run, unread = _read(Run, plain(item), named, _ended(State.FAILED, bucket, "dataset"))
    if unread and not run.dataset.key:
        run = run.model_copy(update={"dataset": _dropped(run_id, run.dataset, versions)})
    return run, unread


def generation_of(
    generation_id: str, item: dict[str, Any], versions: Iterable[Version], bucket: str
) -> tuple[Generation, list[str]]:
    """Return a generation, and which attributes of its item cannot be read. See `run_of`."""
    named = {"id": generation_id, "task_name": task_of(generation_id)}
    ended = _ended(GenerationState.FAILED, bucket, "request")
    generation, unread = _read(Generation, plain(item) | {"id": generation_id}, named, ended)
    if unread and not generation.request.key:
        request = _dropped(generation_id, generation.request, versions)
        generation = generation.model_copy(update={"request": request})
    return generation, unread


def _ended(state: str, bucket: str, begun_by: str) -> dict[str, Any]:
    """Return what stands in for attributes that every item has."""
    return {
        "state": state,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
        begun_by: DatasetObject(bucket=bucket, key=""),
    }


def _read(
    kind: type[Item], item: dict[str, Any], named: dict[str, str], otherwise: dict[str, Any]
) -> tuple[Item, list[str]]:
    """Read an item; what of it cannot be read is left out, and what has to be there stands in `otherwise`.

    Parameters
    ----------
    named : dict[str, str]
        What is known by the item's key. Whatever of this the item contradicts counts as unreadable.
    """
    believed = {name: value for name, value in item.items() if named.get(name, value) == value}
    try:
        return kind.model_validate(believed), []
    except ValidationError as error:
        unread = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    readable = {name: value for name, value in believed.items() if name not in unread}
    return kind.model_validate(otherwise | named | readable), sorted(unread)


def _dropped(name: str, unknown: DatasetObject, versions: Iterable[Version]) -> DatasetObject:
    """Return the object that began what is named so, as its id is made of it; if it is gone, what stands in for it."""
    for version in versions:
        dropped = DatasetObject(bucket=unknown.bucket, key=version.key, version_id=version.version_id)
        if version.key.startswith(("datasets/", "requests/")) and run_id_for(dropped) == name:
            return dropped
    return unknown
