"""Retirement: the deployment of a run that is neither live nor kept for a way back is deleted after a grace time."""

from datetime import datetime, timedelta

from signalbox.bedrock import Busy
from signalbox.events import Event
from signalbox.live import Live
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.run import Run, Superseded, now, task_of


def look_through(pipeline: Pipeline, at: datetime, grace: timedelta) -> None:
    """Note of every ended run that holds a deployment since when nobody needs it, and nudge `deploy` when it is due.

    Parameters
    ----------
    grace : timedelta
        How long a deployment is kept that is neither live nor previous.
    """
    live: dict[str, Live | None] = {}
    for run in pipeline.runs.deployed():
        try:
            if run.task not in live:
                live[run.task] = pipeline.runs.live(run.task)
            _look_at(run, live[run.task], pipeline, at, grace)
        except Exception:  # one run that cannot be looked at must not keep the others waiting
            logger.exception("deployment not looked at", extra={"run_id": run.id})


def retire(run_id: str, pipeline: Pipeline, grace: timedelta) -> None:
    """Delete the deployment of a run for which it is time, by what stands in the table at this moment.

    First the run gives up its deployment, which no run can do that a pointer names, and after which it cannot go live;
    then the deployment is deleted; then that is noted. Whatever is cut off is taken up by the next nudge.
    """
    logger.set_correlation_id(run_id)
    annotate(run_id, task_of(run_id))
    run = pipeline.runs.load(run_id)
    if run is None or run.deployment_arn is None or not run.state.ended:
        logger.info("nothing to retire")
        return
    live = pipeline.runs.live(run.task)
    if not _is_due(run, live, now(), grace):
        logger.info("not to be retired")
        return
    try:
        if run.retired_at is None:
            pipeline.transactions.give_up_deployment(run, live)
        pipeline.bedrock.delete_deployment(run.deployment_arn)
    except (Superseded, Busy) as reason:
        logger.info("not retired for the moment", extra={"reason": str(reason)})
        return
    pipeline.runs.note_retired(run, f"deployment {run.deployment_arn} retired")


def _look_at(run: Run, live: Live | None, pipeline: Pipeline, at: datetime, grace: timedelta) -> None:
    if _is_needed(run, live):
        if run.released_at is not None:
            pipeline.runs.note_release(run, None)
    elif run.released_at is None:
        pipeline.runs.note_release(run, at)
    elif _is_due(run, live, at, grace):
        pipeline.bus.publish(Event.RETIREMENT_DUE, run)


def _is_needed(run: Run, live: Live | None) -> bool:
    return live is not None and run.id in live.run_ids


def _is_due(run: Run, live: Live | None, at: datetime, grace: timedelta) -> bool:
    if _is_needed(run, live) or run.released_at is None:
        return False
    return run.retired_at is not None or at - run.released_at >= grace
