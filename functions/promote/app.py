"""promote: the gates, a person or its health decide which model is live."""

import os
from functools import cache
from typing import Any

import boto3

from signalbox.decision import decide
from signalbox.events import OPERATOR_SOURCE, AlarmEvent, Event, PipelineEvent, request_in, run_id_in
from signalbox.health import Limits, RouteMetrics, on_alarm, on_health_check
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.promote import promote
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on EvaluationCompleted or RunNudged, on a person's request, or look at what was promoted lately."""
    match event["source"]:
        case "aws.cloudwatch":
            on_alarm(AlarmEvent.model_validate(event), _limits(), _metrics(), pipeline())
        case source if source == OPERATOR_SOURCE:
            decide(request_in(event), pipeline())
        case _ if event["detail-type"] == Event.HEALTH_CHECK_DUE:
            on_health_check(PipelineEvent.model_validate(event), _limits(), _metrics(), pipeline())
        case _:
            promote(run_id_in(event), pipeline())


def _limits() -> Limits:
    return Limits(
        fallback_share=float(setting("ROUTE_FALLBACK_SHARE")),
        faults=int(setting("ROUTE_FAULTS")),
        fault_share=float(setting("ROUTE_FAULT_SHARE")),
    )


@cache
def _metrics() -> RouteMetrics:
    namespace = os.environ["POWERTOOLS_METRICS_NAMESPACE"]
    return RouteMetrics(boto3.client("cloudwatch"), namespace, setting("ROUTE_FUNCTION"))
