"""promote: the gates, a person or an alarm decide which model is live."""

import os
from functools import cache
from typing import Any

import boto3

from signalbox.decision import decide
from signalbox.events import OPERATOR_SOURCE, AlarmEvent, request_in, run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.promote import promote
from signalbox.rollback import FallbackAlarm, RouteFigures, on_alarm
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on EvaluationCompleted or RunNudged, on a person's request, or on an alarm of the router's."""
    match event["source"]:
        case "aws.cloudwatch":
            alarm = AlarmEvent.model_validate(event)
            of_fallbacks = FallbackAlarm(
                setting("ROUTE_FALLBACK_ALARM"), float(setting("ROUTE_FALLBACK_SHARE"))
            )
            on_alarm(alarm, of_fallbacks, _figures(), pipeline())
        case source if source == OPERATOR_SOURCE:
            decide(request_in(event), pipeline())
        case _:
            promote(run_id_in(event), pipeline())


@cache
def _figures() -> RouteFigures:
    return RouteFigures(boto3.client("cloudwatch"), os.environ["POWERTOOLS_METRICS_NAMESPACE"])
