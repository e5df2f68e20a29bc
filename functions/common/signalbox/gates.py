"""The gates: what a model must reach on the golden set before it goes live."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from signalbox.task import Task

_EQUAL = 1e-9
"""Slack for numbers that equal their limit: 0.05 - 0.04 is a hair more than 0.01 to a computer."""


class Gate(BaseModel):
    """One gate's verdict.

    Attributes
    ----------
    value : float | None
        What was measured; None if nothing was.
    limit : float
        The least (`at_least`) or the most that passes.
    """

    name: str
    value: float | None
    limit: float
    at_least: bool
    passed: bool
    reason: str

    @classmethod
    def of(
        cls, name: str, value: float | None, limit: float, *, at_least: bool, missing: str = "not measured"
    ) -> "Gate":
        """Compare a value with its limit; a value that is missing does not pass."""
        if value is None:
            return cls(name=name, value=None, limit=limit, at_least=at_least, passed=False, reason=missing)
        passed = value >= limit - _EQUAL if at_least else value <= limit + _EQUAL
        wanted = "at least" if at_least else "at most"
        reason = f"{value:.4g}, {wanted} {limit:.4g} {'reached' if passed else 'is required'}"
        return cls(name=name, value=value, limit=limit, at_least=at_least, passed=passed, reason=reason)


def apply_gates(task: Task, candidates: dict[str, Any], judge_error: str = "") -> list[Gate]:
    """Apply a task's gates to the candidate that would answer first.

    Parameters
    ----------
    candidates : dict
        By candidate, what `scoring.score` measured, `judge` with its mean score among it; `live` if a model is.
    judge_error : str
        Why the judge has no score, if it has none.

    Returns
    -------
    list[Gate]
        The model may go live if every one has passed.
    """
    return list(_gates(task, candidates, judge_error))


def _gates(task: Task, candidates: dict[str, Any], judge_error: str) -> Iterator[Gate]:
    limits, measured = task.gates, candidates[task.first_served]
    yield Gate.of("valid_share", measured["valid_share"], limits.valid_share, at_least=True)
    if limits.mae is not None:
        yield Gate.of("mae", measured["mae"], limits.mae, at_least=False, missing="no answer was usable")
    for name in ("dominant_share", "rubric", "accuracy", "macro_f1"):
        limit = getattr(limits, name)
        if limit is not None:
            yield Gate.of(name, measured[name], limit, at_least=True)
    if limits.judge is not None and task.judge is not None:
        score = (measured.get("judge") or {}).get("mean")
        yield Gate.of(
            "judge", score, limits.judge, at_least=True, missing=judge_error or "the judge gave no score"
        )
    if limits.not_worse_than_live is not None and "live" in candidates:
        yield _not_worse(task, measured, candidates["live"], limits.not_worse_than_live)


def _not_worse(task: Task, measured: dict[str, Any], live: dict[str, Any], tolerance: float) -> Gate:
    """Compare with the live model on the same golden set: how much worse is the new one?"""
    if task.output_kind == "labels":
        worse = live["accuracy"] - measured["accuracy"]
    elif measured["mae"] is None or live["mae"] is None:
        # A live model without one usable answer cannot be better; a new one without any cannot pass.
        worse = 1.0 if measured["mae"] is None else -1.0
    else:
        worse = measured["mae"] - live["mae"]
    return Gate.of("not_worse_than_live", worse, tolerance, at_least=False)
