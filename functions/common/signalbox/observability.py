"""Logs, traces and metrics of every function, by Powertools."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
# Most invocations of most steps have nothing to count: an event that arrives twice, a nudge that comes early.
warnings.filterwarnings("ignore", "No application metrics to publish")

Handler = Callable[[dict[str, Any], Any], Any]


def logged(handler: Handler) -> Handler:
    """Wrap a Lambda handler in structured logs.

    The event itself is never logged: it may hold what people searched for.
    """
    wrapped = logger.inject_lambda_context(handler, log_event=False, clear_state=True)
    return functools.wraps(handler)(wrapped)


def observed(handler: Handler) -> Handler:
    """Wrap a Lambda handler in logs, metrics and a trace of the AWS calls that it makes."""
    from aws_lambda_powertools import Tracer  # a tenth of a second, which the router would spend for nothing

    traced = Tracer().capture_lambda_handler(handler, capture_response=False)
    return logged(metrics.log_metrics(traced))
