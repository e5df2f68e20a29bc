"""The gates: what a model must reach on the golden set before it goes live."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from signalbox.scoring import Comparison
from signalbox.task import Task

LEAST_COMPARED = 20
"""The fewest golden queries, as many as a golden set must have, on which a model is compared with the live one."""


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


def apply_gates(
    task: Task, measured: dict[str, Any], with_live: Comparison | str | None = None
) -> list[Gate]:
    """Apply a task's gates to the candidate that would answer first.

    Parameters
    ----------
    measured : dict
        What `scoring.score` measured of it; `judge`, with the mean score or the `error` for which there is none.
    with_live : Comparison | str | None
        The comparison with the live model, or why there can be none; None if nothing is live. A model is not held
        for a comparison that cannot be made, or on too few queries: that gate passes and says why.

    Returns
    -------
    list[Gate]
        The model may go live if every one has passed.
    """
    return list(_gates(task, measured, with_live))


def _gates(task: Task, measured: dict[str, Any], with_live: Comparison | str | None) -> Iterator[Gate]:
    limits = task.gates
    yield Gate.of("valid_share", measured["valid_share"], limits.valid_share, at_least=True)
    if limits.mae is not None:
        yield Gate.of("mae", measured["mae"], limits.mae, at_least=False, missing="no answer was usable")
    for name in ("dominant_share", "rubric", "accuracy", "macro_f1"):
        limit = getattr(limits, name)
        if limit is not None:
            yield Gate.of(name, measured[name], limit, at_least=True)
    if limits.judge is not None and task.judge is not None:
        judged = measured.get("judge") or {}
        missing = judged.get("error", "the judge gave no score")
        yield Gate.of("judge", judged.get("mean"), limits.judge, at_least=True, missing=missing)
    if limits.not_worse_than_live is not None and with_live is not None:
        yield _not_worse(with_live, limits.not_worse_than_live)


def _not_worse(with_live: Comparison | str, limit: float) -> Gate:
    name = "not_worse_than_live"
    if isinstance(with_live, str):
        reason = f"not compared: {with_live}"
        return Gate(name=name, value=None, limit=limit, at_least=False, passed=True, reason=reason)
    among = f"{with_live.queries} golden queries that the live model answered and was not trained on"
    if with_live.queries < LEAST_COMPARED:
        return _not_worse(f"only {among}, at least {LEAST_COMPARED} are needed", limit)
    gate = Gate.of(name, with_live.worse_by, limit, at_least=False, missing="no answer was usable")
    return gate.model_copy(update={"reason": f"{gate.reason}, on the {among}"})
