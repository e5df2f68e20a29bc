"""Sets that come from outside a dataset: the task's own golden and validation set, and the live run's golden set."""

from dataclasses import dataclass

from signalbox.customization import Tuning
from signalbox.dataset import MAX_SET_BYTES, read_golden, read_validation_set
from signalbox.pipeline import Pipeline
from signalbox.records import Record
from signalbox.store import GOLDEN, TASK_VALIDATION_SET
from signalbox.task import Task


@dataclass(frozen=True)
class GivenSet:
    """Golden or validation records, and where they come from, in words."""

    records: list[Record]
    source: str


def golden_of_task(task: Task, pipeline: Pipeline) -> GivenSet | None:
    """Return the golden set that was uploaded with a task, if there is one.

    Raises
    ------
    GoldenError
        It cannot be used.
    """
    content, source = pipeline.store.task_golden(task.name, MAX_SET_BYTES), f"tasks/{task.name}/{GOLDEN}"
    return None if content is None else GivenSet(read_golden([content], task, source), source)


def validation_set_of_task(task: Task, pipeline: Pipeline) -> GivenSet | None:
    """Return the validation set that was uploaded with a task, if there is one and its job takes any.

    Raises
    ------
    GoldenError
        It cannot be used.
    """
    if not isinstance(task.job, Tuning):
        return None
    content = pipeline.store.task_validation_set(task.name, MAX_SET_BYTES)
    source = f"tasks/{task.name}/{TASK_VALIDATION_SET}"
    return None if content is None else GivenSet(read_validation_set([content], task, source), source)


def golden_of_live(task: Task, pipeline: Pipeline) -> GivenSet | None:
    """Return the golden set of the run that is live, if its task asks for the same output.

    Raises
    ------
    GoldenError
        It cannot be used.
    """
    live = pipeline.runs.live(task.name)
    if live is None or Task.model_validate(live.task).output != task.output:
        return None
    found = _of_run(live.run_id, Task.model_validate(live.task), pipeline)
    if found is None:
        return None
    # The prompt of that run may have been another one; its queries and answers are the same.
    lines = b"".join(record.to_json(task.prompt) for record in found.records)
    return GivenSet(read_golden([lines], task, found.source), found.source)


def held_out(task: Task, pipeline: Pipeline) -> list[Record]:
    """Return the records whose queries nothing may have that is made to train on, of whatever output.

    Those are the golden records on which models of the task are or were measured: a student would be measured on what
    it has learnt, the next one as well as the live one when the two are compared. And those of the task's validation
    set, as a run takes them out of its training data, so that fewer would be left than were asked and paid for.

    Raises
    ------
    GoldenError
        One of them cannot be used.
    """
    own, validation = golden_of_task(task, pipeline), validation_set_of_task(task, pipeline)
    live = pipeline.runs.live(task.name)
    measured = _of_run(live.run_id, Task.model_validate(live.task), pipeline) if live else None
    return [record for found in (own, measured, validation) if found for record in found.records]


def _of_run(run_id: str, task: Task, pipeline: Pipeline) -> GivenSet | None:
    content, source = pipeline.store.get(run_id, GOLDEN), f"golden set of the live run {run_id}"
    return None if content is None else GivenSet(read_golden([content], task, source), source)
