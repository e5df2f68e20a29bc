"""Health of what was promoted lately: its own figures decide whether a promotion is taken back without a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from signalbox.decision import refuse
from signalbox.events import AlarmEvent, Asked, OperatorRequest, PipelineEvent
from signalbox.live import Live
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.promote import RACES
from signalbox.rollback import NotPossible, roll_back
from signalbox.run_table import Superseded

SERVICE = "route"
"""The router's figures have the dimensions service and task (`route_metrics`)."""
_LEAST_ROUTED = 10
"""Queries below which a task's share of fallbacks says nothing."""
_MINUTE = timedelta(minutes=1)
_CHECKED = timedelta(minutes=10)
"""What a health check looks back on: long enough for ten queries, too short to dilute what has just begun."""
_ALARMED = timedelta(minutes=6)
"""What an alarm has looked back on: a period of five minutes, and the minute until it rang."""
_CRASHES_SUSPECT = timedelta(hours=1)
"""How recent a promotion must be for crashes, which no task is named with, to be laid to its account."""
_BY_TASK = ("Routed", "RouteFallbacks", "RouteServerFaults")
_TASKS_A_CALL = 160
"""GetMetricData takes 500 metrics (CloudWatch API reference): three a task, and three of the whole service."""


@dataclass(frozen=True)
class Limits:
    """Above which shares a promotion is taken back.

    Attributes
    ----------
    fallback_share : float
        Of a task's queries.
    faults, fault_share : int, float
        Server errors, and of a task's queries; both have to be reached.
    """

    fallback_share: float
    faults: int
    fault_share: float


@dataclass(frozen=True)
class Counted:
    """What was counted of a task since a moment, and of the whole service.

    Attributes
    ----------
    faults : float
        Server errors that the router laid to the task.
    invocations, crashes : float
        Calls of the route function, and those that ended before the router could count anything: a time-out, say.
        What was throttled was never called, and is in neither.
    """

    routed: float
    fallbacks: float
    faults: float
    invocations: float
    crashes: float


class Figures:
    """Sums over whole minutes: values by minute, by metric and task ("" for the whole service)."""

    def __init__(self, values: dict[tuple[str, str], list[tuple[datetime, float]]]) -> None:
        self._values = values

    def of(self, task: str, since: datetime) -> Counted:
        """Return what was counted from the first whole minute after a moment."""
        start = since.replace(second=0, microsecond=0) + _MINUTE

        def total(metric: str, name: str = "") -> float:
            return sum(value for at, value in self._values.get((metric, name), ()) if at >= start)

        return Counted(
            *(total(metric, task) for metric in _BY_TASK),
            invocations=total("Invocations"),
            crashes=max(0.0, total("Errors") - total("RouteServerFaults")),
        )


class RouteMetrics:
    """What CloudWatch knows of the router's answers.

    Parameters
    ----------
    cloudwatch : boto3 CloudWatch client
    namespace : str
        Under which the router counts.
    function : str
        Name of the route function.
    """

    def __init__(self, cloudwatch: Any, namespace: str, function: str) -> None:
        self._cloudwatch = cloudwatch
        self._namespace = namespace
        self._function = function

    def between(self, start: datetime, end: datetime, tasks: Sequence[str]) -> Figures:
        """Return the figures of tasks and of the whole service, by one call for every 160 tasks."""
        values: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
        for first in range(0, len(tasks), _TASKS_A_CALL):
            asked = list(self._metrics(tasks[first : first + _TASKS_A_CALL]))
            queries = [
                {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
                for number, (_, metric) in enumerate(asked)
            ]
            # CloudWatch would begin with a minute of which only a part is meant.
            begin = start.replace(second=0, microsecond=0)
            answer = self._cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=begin, EndTime=end)
            found = {result["Id"]: result for result in answer["MetricDataResults"]}
            for number, (key, _) in enumerate(asked):
                result = found.get(f"m{number}", {"Timestamps": (), "Values": ()})
                values[key] = list(zip(result["Timestamps"], result["Values"], strict=True))
        return Figures(values)

    def _metrics(self, tasks: Sequence[str]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
        """Yield under which name each metric is kept, and what CloudWatch calls it."""
        for name in ("Errors", "Invocations"):
            yield (name, ""), _metric("AWS/Lambda", name, FunctionName=self._function)
        yield ("RouteServerFaults", ""), _metric(self._namespace, "RouteServerFaults", service=SERVICE)
        for task in tasks:
            for name in _BY_TASK:
                yield (name, task), _metric(self._namespace, name, service=SERVICE, task=task)


def on_health_check(event: PipelineEvent, limits: Limits, metrics: RouteMetrics, pipeline: Pipeline) -> None:
    """Take back the promotions that can be taken back and whose last ten minutes are bad.

    Raises
    ------
    Superseded
        If several races for a pointer were lost; whatever was rolled back before is not looked at again.
    """
    at = event.detail.at
    on_trial = [live for live in _on_trial(at, pipeline) if live.previous]
    _take_back(on_trial, at, _CHECKED, "health check", limits, metrics, pipeline)


def on_alarm(alarm: AlarmEvent, limits: Limits, metrics: RouteMetrics, pipeline: Pipeline) -> None:
    """Take back the promotions whose own figures were bad while an alarm of the router's came to ring.

    Raises as `on_health_check` does.
    """
    on_trial = _on_trial(alarm.time, pipeline)
    _take_back(on_trial, alarm.time, _ALARMED, alarm.detail.alarmName, limits, metrics, pipeline)


def _on_trial(at: datetime, pipeline: Pipeline) -> list[Live]:
    return [live for live in pipeline.runs.live_pointers() if live.is_on_trial(at)]


def _take_back(
    pointers: Sequence[Live],
    at: datetime,
    window: timedelta,
    by: str,
    limits: Limits,
    metrics: RouteMetrics,
    pipeline: Pipeline,
) -> None:
    if not pointers:
        return
    start = at - window
    figures = metrics.between(start, at, [live.task_name for live in pointers])
    for live in pointers:
        counted = figures.of(live.task_name, max(start, live.since))
        is_suspect = at - live.since <= _CRASHES_SUSPECT
        if why := _fault_with(counted, limits, is_suspect):
            reason = f"{why} after {live.run_id} had gone live"
            _withdraw_in_the_end(live, at, by, reason, pipeline)


def _fault_with(counted: Counted, limits: Limits, is_suspect: bool) -> str:
    """Say what speaks against a promotion, "" if nothing; crashes speak against suspects only."""
    if counted.routed >= _LEAST_ROUTED and counted.fallbacks > limits.fallback_share * counted.routed:
        share = counted.fallbacks / counted.routed
        return f"{share:.0%} of its queries fell back, more than {limits.fallback_share:.0%},"
    if _too_many(counted.faults, counted.routed + counted.faults, limits):
        return f"{counted.faults:,.0f} requests for it failed with server errors"
    if is_suspect and _too_many(counted.crashes, counted.invocations, limits):
        return f"{counted.crashes:,.0f} of {counted.invocations:,.0f} calls of the router crashed"
    return ""


def _too_many(faults: float, of: float, limits: Limits) -> bool:
    return faults >= limits.faults and faults >= limits.fault_share * of


def _withdraw_in_the_end(live: Live, at: datetime, by: str, reason: str, pipeline: Pipeline) -> None:
    """Withdraw a promotion; look again if something of it has moved meanwhile: a duplicate may have withdrawn it.

    Raises
    ------
    Superseded
        After several lost races.
    """
    for _ in range(RACES):
        try:
            return _withdraw(live, at, by, reason, pipeline)
        except Superseded as superseded:
            logger.info("looked at again", extra={"task": live.task_name, "reason": str(superseded)})
    raise Superseded(f"{live.run_id} could not be withdrawn: {RACES} races were lost")


def _withdraw(live: Live, at: datetime, by: str, reason: str, pipeline: Pipeline) -> None:
    """Roll back, or publish why that cannot be done: a person has to do something else then. Once a promotion."""
    current = pipeline.runs.live(live.task_name)
    if current is None or current.as_read != live.as_read:  # the index lags behind
        return
    asks = OperatorRequest(
        id=f"automatic/{live.run_id}/{live.since.isoformat()}",
        at=at,
        asked=Asked.ROLLBACK,
        task=live.task_name,
        run_id=live.run_id,
        by=by,
        reason=reason,
    )
    if pipeline.transactions.outcome(asks.id) is not None:
        return
    try:
        roll_back(
            asks.task,
            pipeline,
            how="alarm",
            by=by,
            reason=reason,
            asked_at=at,
            run_id=live.run_id,
            request=asks,
        )
    except NotPossible as impossible:
        logger.error("no rollback", extra={"task": asks.task, "reason": str(impossible)})
        refuse(asks, f"{reason}, but {impossible}", pipeline)


def _metric(namespace: str, name: str, **dimensions: str) -> dict[str, Any]:
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    return {"Namespace": namespace, "MetricName": name, "Dimensions": named}
