"""Rollback: the live pointer goes back to the model before, because a person asks for it or an alarm rings."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from signalbox.events import AlarmEvent, Asked, OperatorRequest
from signalbox.live import Live, Rollback
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.promote import pointer_of
from signalbox.publication import complete
from signalbox.run import Run, State, Superseded, now
from signalbox.store import TASK, VALIDATION
from signalbox.task import Task

SERVICE = "route"
"""The router's figures have the dimensions service and task (`route_metrics`)."""
_LEAST_ROUTED = 10
"""Queries since its promotion below which a task's share of fallbacks says nothing."""
_MINUTE = timedelta(minutes=1)
_FAULTS_SUSPECT = timedelta(hours=1)
"""How recent a promotion must be for server errors, which no task is named with, to be laid to its account."""


class NotPossible(Exception):
    """What was asked for cannot be done; the message says why, and what can."""


class RouteFigures:
    """What CloudWatch knows of the router's answers.

    Parameters
    ----------
    cloudwatch : boto3 CloudWatch client
    namespace : str
        Under which the router counts.
    """

    def __init__(self, cloudwatch: Any, namespace: str) -> None:
        self._cloudwatch = cloudwatch
        self._namespace = namespace

    def fallback_share(self, task: str, since: datetime, until: datetime) -> float | None:
        """Return which share of a task's queries fell back, in whole minutes from `since`; None of too few queries."""
        fallbacks, routed = (self._sum(name, task, since, until) for name in ("RouteFallbacks", "Routed"))
        return fallbacks / routed if routed >= _LEAST_ROUTED else None

    def _sum(self, metric: str, task: str, since: datetime, until: datetime) -> float:
        dimensions = [{"Name": "service", "Value": SERVICE}, {"Name": "task", "Value": task}]
        wanted = {"Namespace": self._namespace, "MetricName": metric, "Dimensions": dimensions}
        start = (
            since.replace(second=0, microsecond=0) + _MINUTE
        )  # CloudWatch would begin with the minute before
        if start >= until:
            return 0.0
        answer = self._cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "sum", "MetricStat": {"Metric": wanted, "Period": 60, "Stat": "Sum"}}],
            StartTime=start,
            EndTime=until,
        )
        return sum(answer["MetricDataResults"][0]["Values"])


def roll_back(
    task: str,
    pipeline: Pipeline,
    *,
    how: Literal["rollback", "alarm"],
    by: str,
    reason: str,
    asked_at: datetime,
    run_id: str = "",
    request: OperatorRequest | None = None,
) -> None:
    """Move the live pointer of a task back to the one before it, and say so of the run that is withdrawn.

    Parameters
    ----------
    asked_at : datetime
        In whole seconds; whoever asked before the pointer was set meant another.
    run_id : str
        The run to be withdrawn; "" for whichever is live.

    Raises
    ------
    NotPossible
        If there is nothing to go back to, or it would not answer.
    Superseded
        If the pointer moved meanwhile.
    """
    live = pipeline.runs.live(task)
    if live is None:
        raise NotPossible(f"nothing is live for a task named {task}")
    if run_id and run_id != live.run_id:
        raise NotPossible(f"{run_id} is not live, {live.run_id} is; ask again if that one is to be withdrawn")
    if asked_at < live.since.replace(microsecond=0):
        raise NotPossible(
            f"{live.run_id} has gone live since this was asked; ask again if it is to be withdrawn"
        )
    if live.previous is None:
        raise NotPossible(f"{live.run_id} has no model before it to go back to")
    withdrawn = pipeline.runs.load(live.run_id)
    if withdrawn is None:
        raise NotPossible(f"the run {live.run_id} is not in the run table")
    annotate(withdrawn.id, task)
    restored = _restored(live, pipeline)
    require_deployment(restored.run_id, restored.deployment_arn, pipeline)
    if withdrawn.outbox is not None:
        complete(withdrawn, pipeline)
        raise Superseded(f"{withdrawn.id} owed {withdrawn.outbox}")
    at = now()
    note = Rollback(at=at, from_run_id=live.run_id, to_run_id=restored.run_id, how=how, by=by, reason=reason)
    pointer = restored.model_copy(
        update={"since": at, "how": how, "by": by, "reason": reason, "previous": None, "last_rollback": note}
    )
    facts = note.model_dump(mode="json") | {"to_model": restored.model}
    moved = pipeline.transactions.roll_back(
        withdrawn,
        pointer,
        live,
        note=f"withdrawn, {restored.run_id} is live again; {by or 'a person'}: {reason}",
        request=request,
        summary=withdrawn.summary | {"rolled_back": facts},
        reason=reason,
    )
    logger.info("rolled back", extra={"task": task, "from_run": live.run_id, "to_run": restored.run_id})
    pipeline.deliver(moved)


@dataclass(frozen=True)
class FallbackAlarm:
    """The alarm that rings when too many queries fall back: its name, and the share above which it does."""

    name: str
    share: float


def on_alarm(
    alarm: AlarmEvent, of_fallbacks: FallbackAlarm, figures: RouteFigures, pipeline: Pipeline
) -> None:
    """Roll back the tasks whose latest promotion an alarm of the router's speaks against.

    Parameters
    ----------
    of_fallbacks : FallbackAlarm
        Any other alarm rings for server errors.

    Raises
    ------
    Superseded
        If a pointer moved meanwhile; the tasks that have been rolled back are not looked at again.
    """
    name, at = alarm.detail.alarmName, alarm.time
    asks = OperatorRequest(id=alarm.id, at=at, asked=Asked.ROLLBACK, by=name)
    for task in pipeline.runs.live_tasks():
        live = pipeline.runs.live(task)
        if live is None or not _may_be_withdrawn(live, at):
            continue
        if name == of_fallbacks.name:
            why = _falls_back(live, at, of_fallbacks.share, figures)
        else:
            why = "the API answered with server errors" if at - live.since <= _FAULTS_SUSPECT else ""
        if why:
            reason = f"{why} after {live.run_id} had gone live"
            _withdraw(asks.model_copy(update={"task": task, "reason": reason}), pipeline)


def require_deployment(run_id: str, deployment_arn: str | None, pipeline: Pipeline) -> None:
    """Make sure that the deployment of a run, if it has one, can be asked.

    Raises
    ------
    NotPossible
        If it is gone or not active.
    """
    if deployment_arn is None:
        return
    deployment = pipeline.bedrock.deployment(deployment_arn)
    if deployment is None or deployment.status != "Active":
        state = "gone" if deployment is None else deployment.status
        raise NotPossible(f"the deployment of {run_id} is {state}; drop its dataset again")


def _restored(live: Live, pipeline: Pipeline) -> Live:
    """Return the pointer before a pointer; made anew from its run where only its name was kept."""
    if isinstance(live.previous, Live):
        return live.previous
    name = live.previous.run_id if live.previous else ""
    run = pipeline.runs.load(name)
    if run is None or not _is_whole(run, pipeline):
        raise NotPossible(f"the run before it, {name}, is gone")
    return pointer_of(run, None, pipeline)


def _is_whole(run: Run, pipeline: Pipeline) -> bool:
    kept = all(pipeline.store.has(run.id, name) for name in (TASK, VALIDATION))
    return kept and run.state is State.PROMOTED and run.retired_at is None


def _may_be_withdrawn(live: Live, at: datetime) -> bool:
    """Tell a pointer that a promotion set lately, before the alarm rang."""
    allowed = timedelta(hours=Task.model_validate(live.task).serve.rollback_hours)
    promoted = live.how in ("gates", "person")
    return promoted and timedelta() <= at - live.since.replace(microsecond=0) <= allowed


def _falls_back(live: Live, at: datetime, limit: float, figures: RouteFigures) -> str:
    share = figures.fallback_share(live.task_name, live.since, at)
    return (
        ""
        if share is None or share <= limit
        else f"{share:.0%} of its queries fell back, more than {limit:.0%},"
    )


def _withdraw(asks: OperatorRequest, pipeline: Pipeline) -> None:
    """Roll back for an alarm, or publish why it cannot be done: a person has to do something else then."""
    try:
        roll_back(asks.task, pipeline, how="alarm", by=asks.by, reason=asks.reason, asked_at=asks.at)
    except NotPossible as impossible:
        logger.error("alarm, but no rollback", extra={"task": asks.task, "reason": str(impossible)})
        pipeline.bus.refuse(asks, asks.task, f"{asks.reason}, but {impossible}")
