"""Retirement: what nobody needs of an ended run is deleted after a grace time, its deployment first, itself last."""

from datetime import datetime, timedelta

from signalbox.bedrock import Busy
from signalbox.dataset_object import NO_TASK
from signalbox.deployments import Committed
from signalbox.events import Event
from signalbox.live import Live
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.removal import at_work_until, remove_at_bedrock, remove_run
from signalbox.retention import is_idle_throughput, surplus
from signalbox.run import Part, Run, now, task_of
from signalbox.run_table import Superseded
from signalbox.task import Retention, Task

_PURPOSE = "retention"
_OF_NO_TASK_THAT_IS_THERE = "tasks that were deleted"
_AGAIN = timedelta(hours=1)
"""After which a task is looked at of which nothing is known to have changed: its spec may have, and runs grow old."""


def look_through(pipeline: Pipeline, at: datetime, grace: timedelta) -> None:
    """Note of every ended run how much of it nobody needs and since when, and nudge who deletes it when that is due.

    Tasks that have not changed, and of which nothing is due, are looked at once an hour.

    Parameters
    ----------
    grace : timedelta
        How long what nobody needs is kept all the same.
    """
    uploaded = pipeline.store.uploaded_tasks()
    tasks = {*pipeline.store.tasks(), NO_TASK}
    deleted: set[str] = set()
    if listed := pipeline.attention.is_due(_PURPOSE, _OF_NO_TASK_THAT_IS_THERE, at):
        deleted = {run.task for run in pipeline.runs.at_bedrock()} - tasks
    list_again = at + _AGAIN
    for task in sorted(tasks | deleted):
        if not pipeline.attention.is_due(_PURPOSE, task, at):
            continue
        try:
            again = _look_at_task(task, task in uploaded, pipeline, at, grace)
            pipeline.attention.has_read(_PURPOSE, task, again)
            list_again = min(list_again, again) if task in deleted else list_again
        except Exception:  # one task that cannot be looked at must not keep the others waiting
            logger.exception("retention not looked at", extra={"task": task})
    if listed:
        pipeline.attention.has_read(_PURPOSE, _OF_NO_TASK_THAT_IS_THERE, list_again)


def retire(run_id: str, pipeline: Pipeline, grace: timedelta) -> None:
    """Delete at Bedrock what nobody needs of a run, by what stands in the table at this moment.

    First the run is given up, which no run can be that a pointer names, and after which it cannot go live; then its
    deployment is deleted, then its custom model; then that is noted. Whatever is cut off is taken up by the next nudge.
    """
    run = _due(run_id, pipeline, grace)
    if run is None:
        return
    try:
        if run.retired_at is None:
            pipeline.transactions.give_up(run, pipeline.runs.live(run.task))
            run = pipeline.runs.load(run_id) or run
        remove_at_bedrock(run, min(run.surplus, Part.MODEL), pipeline)
    except Committed as committed:
        pipeline.runs.note_commitment(run, committed.until)
        logger.info("not retired before its term is over", extra={"until": committed.until.isoformat()})
    except (Superseded, Busy) as reason:
        logger.info("not retired for the moment", extra={"reason": str(reason)})


def remove(run_id: str, pipeline: Pipeline, grace: timedelta) -> None:
    """Delete the objects of a run and then its item, once nothing of it is left at Bedrock.

    Raises
    ------
    RuntimeError
        If S3 kept some of the objects; the item stays, and the next nudge tries again.
    """
    run = _due(run_id, pipeline, grace)
    if run is None or run.surplus < Part.RUN or run.gone < Part.MODEL or run.retired_at is None:
        logger.info("not to be removed")
        return
    try:
        remove_run(run, pipeline)
    except Superseded as reason:
        logger.info("not removed for the moment", extra={"reason": str(reason)})


def _look_at_task(task: str, uploaded: bool, pipeline: Pipeline, at: datetime, grace: timedelta) -> datetime:
    """Look at all runs of a task; one that is not uploaded any more keeps as much as one that says nothing of it.

    Returns
    -------
    datetime
        When to look again, unless something changes.

    Raises
    ------
    TaskError
        If the task's spec cannot be used: how much it would keep is not known then.
    """
    runs = pipeline.runs.of_task(task)
    if not runs:
        return at + _AGAIN
    live = pipeline.runs.live(task)
    needless = surplus(runs, live, _retention(task, uploaded, pipeline), at)
    again = at + _AGAIN
    for run in runs:
        try:
            again = min(again, _look_at(run, needless[run.id], live, pipeline, at, grace))
        except Exception:  # nor one run the others of its task
            logger.exception("run not looked at", extra={"run_id": run.id})
            again = at
    return again


def _retention(task: str, uploaded: bool, pipeline: Pipeline) -> Retention:
    spec = pipeline.store.task_spec(task) if uploaded else None
    return Task.from_yaml(spec).retention if spec is not None else Retention()


def _look_at(
    run: Run, needless: Part, live: Live | None, pipeline: Pipeline, at: datetime, grace: timedelta
) -> datetime:
    """Note how much of a run nobody needs, or nudge who deletes it; return when to look again."""
    since = (run.released_at or at) if needless > Part.NOTHING else None
    if (needless, since) != (run.surplus, run.released_at):
        pipeline.runs.note_surplus(run, needless, since)
        return min(at + _AGAIN, _due_at(run, since or at, grace))
    if _is_due(run, live, at, grace):
        event = Event.RETIREMENT_DUE if run.gone < Part.MODEL else Event.REMOVAL_DUE
        pipeline.bus.publish(event, run)
        return at
    if run.released_at is None or run.surplus <= run.gone:
        return at + _AGAIN
    return min(at + _AGAIN, _due_at(run, run.released_at, grace))


def _due(run_id: str, pipeline: Pipeline, grace: timedelta) -> Run | None:
    """Return a run of which something is to be deleted at this moment, or None."""
    logger.set_correlation_id(run_id)
    annotate(run_id, task_of(run_id))
    run = pipeline.runs.load(run_id)
    if run is None or not run.state.ended or not _is_due(run, pipeline.runs.live(run.task), now(), grace):
        logger.info("nothing is due")
        return None
    return run


def _is_due(run: Run, live: Live | None, at: datetime, grace: timedelta) -> bool:
    if (live is not None and run.id in live.run_ids) or run.released_at is None or run.surplus <= run.gone:
        return False
    until = _committed_until(run)
    if until is not None and at < until:
        return False
    return run.retired_at is not None or at >= _due_at(run, run.released_at, grace)


def _due_at(run: Run, released_at: datetime, grace: timedelta) -> datetime:
    """When to delete what nobody has needed of a run since then; what nobody could need later has no grace time."""
    due = (at_work_until(run) or released_at) if is_idle_throughput(run) else released_at + grace
    until = _committed_until(run)
    return max(due, until) if until else due


def _committed_until(run: Run) -> datetime | None:
    """Return before when what a run still has at Bedrock is paid for and cannot be deleted, None if it can."""
    return run.committed_until if run.gone < Part.DEPLOYMENT else None
