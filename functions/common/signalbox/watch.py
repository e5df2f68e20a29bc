"""watch: whatever should have happened and has not is nudged, announced as stalled, or ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from signalbox import console, generation_retention
from signalbox.attempt import in_vain
from signalbox.dataset_object import DatasetObject
from signalbox.deployments import is_provisioned
from signalbox.events import RESULTS_FIRST, Event
from signalbox.failure import Failure
from signalbox.generation_watch import look_after
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.release import Awaited
from signalbox.retirement import look_through
from signalbox.run import Run, State, run_id_for
from signalbox.run_metrics import count_stalled
from signalbox.run_table import Superseded

_SWEPT = timedelta(days=1)
_SWEEP_SECONDS = 25
"""After which no more of what was dropped is looked at in this turn; the function has 60 seconds for all it does."""
_POLLED = {State.DEPLOYING}
"""What Bedrock never announces: looked at every time, however little time has passed."""
_TO_STOP_THE_JUDGE = timedelta(hours=1)
"""How long the step has for a judge's job that is late before the run is called stalled."""
_WAITING = timedelta(hours=24)
"""How long in any other state, if the run waits: for a quota, hence for other jobs, which take hours."""
_OTHERWISE = timedelta(hours=1)
"""And if it waits for nothing."""
_REMEDY = (
    "look at the logs of the step and at what it has at work in the Bedrock console, then drop the dataset again; "
    "if that takes as long as a rule, give it more in the task's patience"
)
_REMEDY_BY_THE_HOUR = (
    "ask for more of the quota in Service Quotas, then drop the dataset again; the run's provisioned throughput is "
    "deleted by itself after RetireAfterHours, or after its term if it has one, and at once by `clean` "
    "(docs/cleanup.md)"
)


def watch(pipeline: Pipeline, nudge_after: timedelta, retire_after: timedelta) -> int:
    """Go once through everything that is not finished, and return how many runs and generations were nudged.

    Heals a lost event, a crash between two steps, a quota that was used up, and a deployment, which announces
    nothing: the step whose turn it is looks at the run again. An event that was owed but not published is.

    Parameters
    ----------
    nudge_after : timedelta
        How long a run may stay untouched before it is nudged, so that steps at work are left alone.
    retire_after : timedelta
        How long the deployment of a run is kept that is neither live nor the one before.

    Raises
    ------
    Exception
        The first that a part of it broke off with, once all others have been done.
    """
    now = datetime.now(UTC)
    under_way = list(pipeline.runs.active())
    pipeline.attention.notice_runs(under_way)
    failed: list[Exception] = []
    nudged = _heal_all(under_way, now, pipeline, nudge_after, failed)
    with _apart("health", failed):
        _look_at_pointers(now, pipeline)
    with _apart("generations", failed):  # from here on S3 is asked, which may be slow, or not answer
        nudged += look_after(pipeline, now, nudge_after)
    with _apart("retention of runs", failed):
        look_through(pipeline, now, retire_after)
    with _apart("retention of generations", failed):
        generation_retention.look_through(pipeline, now, retire_after)
    with _apart("what nobody announced", failed):
        _register_unannounced(pipeline, now, nudge_after, failed)
    console.publish(pipeline)
    if failed:
        raise failed[0]
    return nudged


@contextmanager
def _apart(part: str, failed: list[Exception]) -> Iterator[None]:
    """Let a part of what is to be done break off without keeping the others from being done."""
    try:
        yield
    except Exception as error:
        logger.exception("part of watch broken off", extra={"part": part})
        failed.append(error)


def _heal_all(
    under_way: list[Run], now: datetime, pipeline: Pipeline, nudge_after: timedelta, failed: list[Exception]
) -> int:
    """Heal each run that is due, and return how many of them were nudged."""
    nudged = 0
    for run in under_way:
        if now - run.updated_at < nudge_after and run.state not in _POLLED:
            continue
        try:
            nudged += _heal(run, now, pipeline)
        except Superseded:
            logger.info("run moved on meanwhile", extra={"run_id": run.id})
        except Exception as error:  # one run that cannot be healed must not keep the others waiting
            logger.exception("run not healed", extra={"run_id": run.id})
            failed.append(error)
    return nudged


def _look_at_pointers(now: datetime, pipeline: Pipeline) -> None:
    """Notice which have changed, and ask for a look at what was promoted lately, if any of it can be taken back.

    Whoever looks at its health has the rights.
    """
    pointers = pipeline.runs.live_pointers()
    pipeline.attention.notice_pointers(pointers)
    if any(live.previous and live.is_on_trial(now) for live in pointers):
        pipeline.bus.check_health()


def _register_unannounced(
    pipeline: Pipeline, now: datetime, nudge_after: timedelta, failed: list[Exception]
) -> None:
    """Register datasets whose S3 event never arrived.

    S3 lists by name, so they are looked for in all that was ever dropped, round after round: a sandbox that is new goes
    as far as it comes in its time, and one that has been round once makes one request a turn, from where it was. That
    finds what was lost after as many minutes as there are thousands of versions.
    """
    ends = time.monotonic() + _SWEEP_SECONDS
    attention = pipeline.attention
    while True:
        page = pipeline.store.dropped_page(now - _SWEPT, after=attention.after)
        for dataset, dropped_at in page.dropped:
            if time.monotonic() > ends:
                logger.warning("not all that was dropped was looked at", extra={"reached": dataset.key})
                return
            with _apart("a dataset that nobody announced", failed):
                _register(dataset, dropped_at <= now - nudge_after, pipeline)
        attention.go_on(page.after)
        if page.after is None or attention.has_been_round or time.monotonic() > ends:
            return


def _register(dataset: DatasetObject, is_overdue: bool, pipeline: Pipeline) -> None:
    """Begin the run of a dataset if it has none and its event is overdue; of one that has been met, nothing is read."""
    run_id, attention = run_id_for(dataset), pipeline.attention
    if not attention.has_met(run_id):
        attention.changed(dataset.task)  # a run may begin and end between two minutes
        if not is_overdue:
            return
        if pipeline.runs.item(run_id) is None:
            run = pipeline.runs.receive(dataset)
            attention.see(run)
            pipeline.bus.publish(Event.RUN_NUDGED, run)
    attention.meet(run_id)


def _heal(run: Run, now: datetime, pipeline: Pipeline) -> bool:
    """Publish what is owed, and nudge, announce or end the run."""
    stayed = now - run.history[-1].at
    if run.outbox in RESULTS_FIRST and stayed < _OTHERWISE:  # after that people are told without the results
        pipeline.bus.publish(Event.RUN_NUDGED, run)
        return True
    pipeline.deliver(run)
    if run.state.ended:
        return False
    if run.awaits is not None:
        _await_release(run, run.awaits, now, pipeline)
        return False
    at_bedrock = _patience_with_bedrock(run)
    patience = at_bedrock or (_WAITING if run.waiting else _OTHERWISE)
    tried = stayed if at_bedrock else in_vain(run, run.history[-1].at, now)
    # A quota that is used up is waited for, unless that is paid for by the hour.
    has_an_end = at_bedrock or not run.waiting or _has_throughput(run)
    if tried > 2 * patience and has_an_end:
        _end(run, stayed, pipeline)
        return False
    if stayed > patience and not run.stalled:
        pipeline.deliver(pipeline.runs.mark_stalled(run, _overstayed(run, stayed)))
        count_stalled(run)
    pipeline.bus.publish(Event.RUN_NUDGED, run)
    return True


def _await_release(run: Run, awaited: Awaited, now: datetime, pipeline: Pipeline) -> None:
    """Tell people once more that a run awaits their release, and end it at last, each after the task's patience."""
    waited = now - awaited.since
    if run.awaits_until is not None and now > run.awaits_until:
        reason = f"nobody released the {awaited.of} in {_days_or_hours(waited)}"
        remedy = "none is needed; drop the dataset again should it be wanted after all"
        failure = Failure(step="release", reason=reason, remedy=remedy)
        ended = pipeline.transactions.end(run, failure)
        pipeline.count(run, ended)
        pipeline.deliver(ended)
    elif not awaited.reminded and waited > timedelta(hours=run.patience.release_hours):
        pipeline.deliver(pipeline.transactions.remind(run, awaited))


def _days_or_hours(waited: timedelta) -> str:
    return f"{waited.days} days" if waited.days > 1 else f"{waited.total_seconds() / 3600:.0f} hours"


def _patience_with_bedrock(run: Run) -> timedelta | None:
    """Return how long Bedrock may be at work for a run in its state; None if Bedrock is not at work in it."""
    match run.state:
        case State.TRAINING:
            return timedelta(hours=run.patience.training_hours)
        case State.DEPLOYING:
            return timedelta(hours=run.patience.deployment_hours)
        case State.EVALUATING:
            return timedelta(hours=run.patience.judge_hours) + _TO_STOP_THE_JUDGE
    return None


def _has_throughput(run: Run) -> bool:
    return run.deployment_arn is not None and is_provisioned(run.deployment_arn)


def _end(run: Run, stayed: timedelta, pipeline: Pipeline) -> None:
    reason, remedy = _overstayed(run, stayed), _REMEDY
    if run.waiting and _has_throughput(run):
        reason += "; its provisioned throughput costs by the hour meanwhile"
        remedy = _REMEDY_BY_THE_HOUR
    pipeline.fail(run.id, Failure(step=run.state.lower(), reason=reason, remedy=remedy), {run.state})


def _overstayed(run: Run, stayed: timedelta) -> str:
    """Say all that is known of a run that overstays: where, since when, for what, and what went wrong."""
    since = f"{run.history[-1].at:%Y-%m-%d %H:%M} UTC"
    known = [f"in state {run.state} for {stayed.total_seconds() / 3600:.1f} hours, since {since}"]
    known += [f"waiting: {run.waiting}"] if run.waiting else []
    known += [f"the last attempt broke off: {run.trouble}"] if run.trouble else []
    return "; ".join(known)
