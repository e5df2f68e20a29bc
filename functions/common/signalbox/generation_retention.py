"""Retention of generations: those that nobody needs are noted, and deleted after a grace time, objects and item."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from signalbox.events import Event
from signalbox.generation import FOLDER, Generation
from signalbox.live import Live
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.retention import RUN_AGE
from signalbox.run import now, task_of
from signalbox.run_table import Superseded
from signalbox.task import Retention, Task

_PURPOSE, _ALL = "retention of generations", "all tasks"
_AGAIN = timedelta(hours=1)


def needless(
    generations: Sequence[Generation], live: Live | None, retention: Retention, at: datetime
) -> set[str]:
    """Return the ids of those of a task's generations, all of them over, that nobody needs.

    The newest `retention.generations` are needed, those that made or labelled the dataset of the live run or of the one
    before it, and those of the last two days: `watch` takes a request of the last day without one for a lost one.
    """
    newest = sorted(generations, key=lambda one: (one.created_at, one.id), reverse=True)
    needed = live.run_ids if live else set()
    return {
        one.id
        for one in newest[retention.generations :]
        if not needed & {one.id, one.run_id} and at - one.created_at >= RUN_AGE
    }


def look_through(pipeline: Pipeline, at: datetime, grace: timedelta) -> None:
    """Note of every generation that is over since when nobody needs it, and nudge who deletes it when that is due.

    They are looked at once an hour: none is deleted before it is two days old.
    """
    if not pipeline.attention.is_due(_PURPOSE, _ALL, at):
        return
    by_task: dict[str, list[Generation]] = {}
    for generation in pipeline.generations.kept():
        by_task.setdefault(generation.task, []).append(generation)
    uploaded = pipeline.store.uploaded_tasks() if by_task else set()
    for task, generations in by_task.items():
        try:
            spec = pipeline.store.task_spec(task) if task in uploaded else None
            retention = Task.from_yaml(spec).retention if spec is not None else Retention()
            unneeded = needless(generations, pipeline.runs.live(task), retention, at)
            for generation in generations:
                _look_at(generation, generation.id in unneeded, pipeline, at, grace)
        except Exception:  # one task that cannot be looked at must not keep the others waiting
            logger.exception("retention of generations not looked at", extra={"task": task})
    pipeline.attention.has_read(_PURPOSE, _ALL, at + _AGAIN)


def _look_at(
    generation: Generation, is_needless: bool, pipeline: Pipeline, at: datetime, grace: timedelta
) -> None:
    try:
        if is_needless != (generation.released_at is not None):
            pipeline.generations.release(generation, at if is_needless else None)
        elif _is_due(generation, at, grace):
            pipeline.bus.tell(Event.GENERATION_REMOVAL_DUE, generation)
    except Superseded:
        logger.info("generation moved on meanwhile", extra={"generation_id": generation.id})


def remove(generation_id: str, pipeline: Pipeline, grace: timedelta) -> None:
    """Delete the objects of a generation that nobody needs by what stands in the table, and then its item.

    Raises
    ------
    RuntimeError
        If S3 kept some of the objects; the item stays, and the next nudge tries again.
    """
    logger.set_correlation_id(generation_id)
    annotate(generation_id, task_of(generation_id))
    generation = pipeline.generations.load(generation_id)
    if generation is None or not generation.state.ended or not _is_due(generation, now(), grace):
        logger.info("nothing is due")
        return
    erase(generation, pipeline)


def erase(generation: Generation, pipeline: Pipeline) -> None:
    """Delete every version of a generation's objects, and then its item.

    Raises
    ------
    RuntimeError
        If S3 kept some of the objects.
    """
    pipeline.store.folder(FOLDER).delete_run(generation.id)
    pipeline.generations.delete(generation)


def _is_due(generation: Generation, at: datetime, grace: timedelta) -> bool:
    return generation.released_at is not None and at - generation.released_at >= grace
