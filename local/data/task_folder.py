"""Where a task is found that a dataset is for."""

from pathlib import Path
from typing import TYPE_CHECKING

from local.data.command import CannotUse

if TYPE_CHECKING:
    from signalbox.task import Task

PROJECT = Path(__file__).resolve().parent.parent.parent


def task_at(named: str) -> "tuple[Path, Task]":
    """Return a task and its folder: one with a task.yaml, or that of this name under tasks/.

    Raises
    ------
    CannotUse
        There is none, or it cannot be used.
    """
    from signalbox.spec import TaskError
    from signalbox.task import Task

    folders = [Path(named), Path("tasks") / named, PROJECT / "tasks" / named]
    folder = next((folder for folder in folders if (folder / "task.yaml").is_file()), None)
    if folder is None:
        raise CannotUse(f"there is no task.yaml in {named} or in tasks/{named}")
    try:
        return folder, Task.from_yaml((folder / "task.yaml").read_bytes(), str(folder / "task.yaml"))
    except TaskError as error:
        raise CannotUse("\n  ".join([f"{error.source} cannot be used:", *error.problems])) from error
