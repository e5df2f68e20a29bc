"""Logs and traces of every function, by Powertools; neither ever holds what people searched for."""

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

Handler = Callable[[dict[str, Any], Any], Any]

_OUTSPOKEN = (BotoCoreError, ClientError, RuntimeError)
"""Errors whose words are AWS's or our own. Those of any other may quote what it choked on: a query, or a record."""


class UnforeseenError(RuntimeError):
    """An error without its words: which it was, and in its traceback where."""


def discreet(error: BaseException) -> BaseException:
    """Return an error as it may be logged and traced: alone, and with words only if they are AWS's or our own."""
    if not isinstance(error, _OUTSPOKEN):
        words = "its words are left out, since they may quote what people searched for"
        error = UnforeseenError(f"{type(error).__name__}; {words}").with_traceback(error.__traceback__)
    error.__cause__ = None  # and with it what was being handled is not told either
    return error


def _without_words(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1]:
        error = discreet(record.exc_info[1])
        record.exc_info = (type(error), error, error.__traceback__)
    return True


logger = Logger()
logger.addFilter(_without_words)


def logged(handler: Handler) -> Handler:
    """Wrap a Lambda handler in structured logs, and let no error out with words that are not to be logged.

    The event itself is never logged: it may hold what people searched for.
    """
    wrapped = logger.inject_lambda_context(_discreet(handler), log_event=False, clear_state=True)
    return functools.wraps(handler)(wrapped)


def observed(handler: Handler) -> Handler:
    """Wrap a Lambda handler in logs, and a trace of the AWS calls that it makes."""
    return logged(_tracer().capture_lambda_handler(_discreet(handler), capture_response=False))


def annotate(run_id: str, task: str) -> None:
    """Mark the trace of this invocation with the run that it is about, so that the run's traces can be found.

    EventBridge hands the trace of an event on to the function that it calls, but not with events of S3 and Bedrock, nor
    with the clock's: a run has several traces, which have only this in common.
    """
    for key, value in (("run_id", run_id), ("task", task)):
        if value:
            _tracer().put_annotation(key, value)


def _discreet(handler: Handler) -> Handler:
    @functools.wraps(handler)
    def wrapped(event: dict[str, Any], context: Any) -> Any:
        try:
            return handler(event, context)
        except Exception as error:
            raise discreet(error) from None

    return wrapped


@functools.cache
def _tracer() -> "Tracer":
    from aws_lambda_powertools import Tracer  # a tenth of a second, which the router would spend for nothing

    return Tracer()
