"""The report of a run: one self-contained page from which a person can decide."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from signalbox.run import Run
from signalbox.task import Task

_ABSENT = "\N{EN DASH}"


def _share(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3f}"


def _milliseconds(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:,.1f}"


def _count(value: int | None) -> str:
    return f"{value:,}" if value else _ABSENT


_ROWS: tuple[tuple[str, tuple[str, ...], Callable[[Any], str]], ...] = (
    ("Model", ("model",), str),
    ("Usable answers", ("valid_share",), _share),
    ("Mean absolute error", ("mae",), _number),
    ("All weights within 0.05", ("within_005",), _share),
    ("All weights within 0.10", ("within_010",), _share),
    ("Dominant signal right", ("dominant_share",), _share),
    ("Rubric, 1 to 5", ("rubric",), _number),
    ("Accuracy", ("accuracy",), _share),
    ("Macro F1", ("macro_f1",), _number),
    ("Judge, 1 to 5", ("judge", "mean"), _number),
    ("Latency, mean, ms", ("latency_ms", "mean"), _milliseconds),
    ("Latency, p50, ms", ("latency_ms", "p50"), _milliseconds),
    ("Latency, p95, ms", ("latency_ms", "p95"), _milliseconds),
    ("Tokens in", ("tokens", "input"), _count),
    ("Tokens out", ("tokens", "output"), _count),
)
"""Rows of the comparison: title, where in a candidate's metrics its value stands, and how it is written."""


def render(run: Run, task: Task, metrics: dict[str, Any], validation: dict[str, Any]) -> str:
    """Write the report of an evaluated run as HTML; whatever came from outside is escaped.

    Parameters
    ----------
    metrics : dict
        The complete metrics.json, gates and verdict included.
    validation : dict
        validation.json.
    """
    candidates = metrics["candidates"]
    rows = [
        (title, [write(_at(measured, path)) for measured in candidates.values()])
        for title, path, write in _ROWS
        if any(_at(measured, path) is not None for measured in candidates.values())
    ]
    return _template().render(
        run=run, task=task, metrics=metrics, candidates=candidates, rows=rows, validation=validation
    )


def _at(measured: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return a value from nested dicts, or None where a candidate does not have it."""
    value: Any = measured
    for key in path:
        value = (value or {}).get(key)
    return value


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "number": _number}
    return environment.from_string(
        files("signalbox").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
