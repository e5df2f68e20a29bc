"""Logs, traces and metrics of every function, by Powertools."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

logger = Logger()
tracer = Tracer()
metrics = Metrics()
# Most invocations of most steps have nothing to count: an event that arrives twice, a nudge that comes early.
warnings.filterwarnings("ignore", "No application metrics to publish")

Handler = Callable[[dict[str, Any], Any], Any]


def observed(handler: Handler) -> Handler:
    """Wrap a Lambda handler in structured logs, a trace and EMF metrics.

    The event itself is never logged and an answer never traced: both may hold what people searched for.
    """
    wrapped = metrics.log_metrics(handler)
    wrapped = tracer.capture_lambda_handler(wrapped, capture_response=False)
    wrapped = logger.inject_lambda_context(wrapped, log_event=False, clear_state=True)
    return functools.wraps(handler)(wrapped)
