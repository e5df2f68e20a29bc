"""Errors are logged and raised without words that may be somebody's query; traces are marked with the run."""

import io
import json
import logging
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from signalbox import observability
from signalbox.observability import UnforeseenError, annotate, discreet, logged
from tests.builders import client_error
from tests.integration.cloud import Context

SECRET = "a query that nobody is to read"


def choke(event: dict[str, Any], context: Any) -> None:
    raise ValueError(f"could not make sense of {event['query']!r}")


def test_an_error_loses_its_words_and_keeps_its_kind_and_place() -> None:
    with pytest.raises(UnforeseenError) as raised:
        logged(choke)({"query": SECRET}, Context("tests"))
    assert str(raised.value).startswith("ValueError; ")
    assert "choke" in [entry.name for entry in raised.traceback]
    assert SECRET not in str(raised.getrepr(style="value", chain=True).reprcrash)
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize(
    "error", [client_error("ThrottlingException"), RuntimeError("EventBridge did not take it")]
)
def test_words_of_aws_and_of_our_own_are_kept_but_not_those_of_what_led_to_them(error: Exception) -> None:
    error.__context__ = ValueError(SECRET)
    assert discreet(error) is error
    assert (error.__cause__, error.__suppress_context__) == (None, True)


def test_wrapping_twice_says_it_once() -> None:
    once = discreet(ValueError(SECRET))
    assert discreet(once) is once


def test_an_error_that_is_logged_on_the_way_has_no_words_either() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(Logger(service="another").registered_formatter)
    logger = observability.logger
    logger.addHandler(handler)
    try:
        try:
            raise KeyError(SECRET)
        except KeyError:
            logger.exception("run not healed")
    finally:
        logger.removeHandler(handler)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert line["exception_name"] == "UnforeseenError"
    assert "KeyError; " in line["exception"]
    assert SECRET not in lines.getvalue()


def test_a_trace_is_marked_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[tuple[str, str]] = []
    monkeypatch.setattr(
        observability._tracer(), "put_annotation", lambda key, value: marks.append((key, value))
    )
    annotate("clip-search-0123456789ab", "clip-search")
    annotate("", "clip-search")
    assert marks == [
        ("run_id", "clip-search-0123456789ab"),
        ("task", "clip-search"),
        ("task", "clip-search"),
    ]
