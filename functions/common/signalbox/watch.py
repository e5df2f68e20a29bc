"""watch: whatever should have happened and has not is nudged, announced as stalled, or ended."""

import time
from datetime import UTC, datetime, timedelta

from signalbox import console
from signalbox.events import RESULTS_FIRST, Event
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.retirement import look_through
from signalbox.run import Failure, Run, State, run_id_for
from signalbox.run_metrics import count_stalled

_SWEPT = timedelta(days=1)
_SWEEP_SECONDS = 25
"""The longest that listing what was dropped may take; the function has 60 seconds for all it does."""
_POLLED = {State.DEPLOYING}
"""What Bedrock never announces: looked at every time, however little time has passed."""
_PATIENCE = {
    State.TRAINING: timedelta(hours=24),
    State.DEPLOYING: timedelta(hours=1),
    State.EVALUATING: timedelta(hours=7),  # the step ends a judge's job that is late, by default after six
}
"""How long Bedrock may be at work in a state before the run is called stalled."""
_WAITING = timedelta(hours=24)
"""How long in any other state, if the run waits: for a quota, hence for other jobs, which take hours."""
_OTHERWISE = timedelta(hours=1)
"""And if it waits for nothing. A run that waits for nothing fails after as long again."""


def watch(pipeline: Pipeline, nudge_after: timedelta, retire_after: timedelta) -> int:
    """Go once through everything that is not finished, and return how many runs were nudged.

    Heals a lost event, a crash between two steps, a quota that was used up, and a deployment, which announces
    nothing: the step whose turn it is looks at the run again. An event that was owed but not published is.

    Parameters
    ----------
    nudge_after : timedelta
        How long a run may stay untouched before it is nudged, so that steps at work are left alone.
    retire_after : timedelta
        How long the deployment of a run is kept that is neither live nor the one before.
    """
    now = datetime.now(UTC)
    nudged = _heal_all(now, pipeline, nudge_after)
    look_through(pipeline, now, retire_after)
    _register_unannounced(pipeline, now, nudge_after)  # after healing: S3 may be slow, or not answer
    console.publish(pipeline)
    return nudged


def _heal_all(now: datetime, pipeline: Pipeline, nudge_after: timedelta) -> int:
    """Heal each run that is due, and return how many of them were nudged."""
    nudged = 0
    for run in pipeline.runs.active():
        if now - run.updated_at < nudge_after and run.state not in _POLLED:
            continue
        try:
            nudged += _heal(run, now, pipeline)
        except Exception:  # one run that cannot be healed must not keep the others waiting
            logger.exception("run not healed", extra={"run_id": run.id})
    return nudged


def _register_unannounced(pipeline: Pipeline, now: datetime, nudge_after: timedelta) -> None:
    """Register datasets whose S3 event never arrived."""
    begun = time.monotonic()
    for dataset in pipeline.store.dropped_between(now - _SWEPT, now - nudge_after):
        if time.monotonic() - begun > _SWEEP_SECONDS:
            logger.warning("not everything dropped could be looked at", extra={"reached": dataset.key})
            return
        if pipeline.runs.load(run_id_for(dataset)) is None:
            pipeline.bus.publish(Event.RUN_NUDGED, pipeline.runs.receive(dataset))


def _heal(run: Run, now: datetime, pipeline: Pipeline) -> bool:
    """Publish what is owed, and nudge, announce or end the run."""
    stayed = now - run.history[-1].at
    if run.outbox in RESULTS_FIRST and stayed < _OTHERWISE:  # after that people are told without the results
        pipeline.bus.publish(Event.RUN_NUDGED, run)
        return True
    pipeline.deliver(run)
    if run.state.ended:
        return False
    patience = _PATIENCE.get(run.state, _WAITING if run.waiting else _OTHERWISE)
    if stayed > 2 * patience and not run.waiting:  # what it waits for may have been paid for
        _end(run, stayed, pipeline)
        return False
    if stayed > patience and not run.stalled:
        pipeline.deliver(pipeline.runs.mark_stalled(run, _overstayed(run, stayed)))
        count_stalled(run)
    pipeline.bus.publish(Event.RUN_NUDGED, run)
    return True


def _end(run: Run, stayed: timedelta, pipeline: Pipeline) -> None:
    remedy = "look at the logs of the step and at its job in the Bedrock console, then drop the dataset again"
    failure = Failure(step=run.state.lower(), reason=_overstayed(run, stayed), remedy=remedy)
    pipeline.fail(run.id, failure, {run.state})


def _overstayed(run: Run, stayed: timedelta) -> str:
    reason = f"in state {run.state} for {stayed.total_seconds() / 3600:.1f} hours"
    return f"{reason}, waiting: {run.waiting}" if run.waiting else reason
