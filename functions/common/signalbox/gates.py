"""The gates: what a model must reach on the golden set before it goes live."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from signalbox.scoring import Comparison
from signalbox.task import Judge, Task
from signalbox.wording import difference

LEAST_COMPARED = 20
"""The fewest golden queries, as many as a golden set must have, on which a model is compared with the live one."""
STAND_IN = "local."
"""Begins the names of models that stand in for Bedrock's on one machine, and that nobody pays for."""

_DISAGREEMENT = (
    "the labels of the two datasets may disagree: see which of them are right, and if it is the new ones, a person can "
    "promote it"
)
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
    task: Task,
    measured: dict[str, Any],
    with_live: Comparison | str | None = None,
    on_live_golden: Comparison | str | None = None,
    *,
    golden: int,
) -> list[Gate]:
    """Apply a task's gates to the candidate that would answer first.

    Parameters
    ----------
    measured : dict
        What `candidate.measure` found out about it; `judge`, with the mean grade or the `error` for which there is
        none.
    with_live : Comparison | str | None
        The comparison with the live model, or why there can be none; None if nothing is live. A model is not held
        for a comparison that cannot be made, or on too few queries: that gate passes and says why.
    on_live_golden : Comparison | str | None
        The same on the golden queries of the live run that the candidate was not trained on.
    golden : int
        How many golden queries there are.

    Returns
    -------
    list[Gate]
        The model may go live if every one has passed.
    """
    return [*_gates(task, measured, golden), *_against_live(task, with_live, on_live_golden)]


def _gates(task: Task, measured: dict[str, Any], golden: int) -> Iterator[Gate]:
    limits = task.gates
    yield Gate.of("min_golden", golden, limits.min_golden, at_least=True)
    yield Gate.of("valid_share", measured["valid_share"], limits.valid_share, at_least=True)
    if limits.mae is not None:
        yield Gate.of("mae", measured["mae"], limits.mae, at_least=False, missing="no answer was usable")
    for name in ("within_010", "dominant_share", "rubric", "accuracy", "macro_f1"):
        limit = getattr(limits, name)
        if limit is not None:
            yield Gate.of(name, measured[name], limit, at_least=True)
    if limits.judge is not None and task.judge is not None:
        yield _judged(measured.get("judge") or {}, limits.judge, task.judge)
    if limits.latency_p95_ms is not None:
        missing = "no query asked alone was answered at once"
        p95 = measured["latency_ms"]["p95"]
        yield Gate.of("latency_p95_ms", p95, limits.latency_p95_ms, at_least=False, missing=missing)
    if limits.cost_per_1000_queries is not None:
        yield _affordable(measured, limits.cost_per_1000_queries)


def _judged(judged: dict[str, Any], limit: float, judge: Judge) -> Gate:
    missing = f"not judged: {judged.get('error', 'the judge gave no score')}"
    gate = Gate.of("judge", judged.get("mean"), limit, at_least=True, missing=missing)
    if gate.value is not None or judge.required:
        return gate
    reason = f"{missing}; decided on the measured figures alone"
    return gate.model_copy(update={"passed": True, "reason": reason})


def _affordable(measured: dict[str, Any], limit: float) -> Gate:
    cost, model = measured["cost"], measured["model"]
    missing = f"the cost is unknown: {cost.get('unknown', 'it was not computed')}"
    gate = Gate.of(
        "cost_per_1000_queries", cost.get("per_1000_queries"), limit, at_least=False, missing=missing
    )
    if gate.value is not None or not model.startswith(STAND_IN):
        return gate
    reason = f"not applied: {model} is a stand-in on one machine, which has no price"
    return gate.model_copy(update={"passed": True, "reason": reason})


def _against_live(
    task: Task, with_live: Comparison | str | None, on_live_golden: Comparison | str | None
) -> Iterator[Gate]:
    limit = task.gates.not_worse_than_live
    if limit is None:
        return
    if with_live is not None:
        among = "golden queries that the live model answered and was not trained on"
        yield _not_worse("not_worse_than_live", with_live, limit, among)
    if on_live_golden is not None:
        among = "queries of the live run's golden set that the live model answered and this one was not trained on"
        gate = _not_worse("not_worse_on_live_golden", on_live_golden, limit, among)
        yield gate if gate.passed else gate.model_copy(update={"reason": f"{gate.reason}; {_DISAGREEMENT}"})


def _not_worse(name: str, with_live: Comparison | str, limit: float, among: str) -> Gate:
    """Pass a model that is measured to be worse by no more than the limit, if the interval bears that out.

    It does if all of it lies within the limit, or if it does not show the model to be worse at all.

    Parameters
    ----------
    among : str
        What queries it is compared on.
    """
    if isinstance(with_live, str):
        reason = f"not compared: {with_live}"
        return Gate(name=name, value=None, limit=limit, at_least=False, passed=True, reason=reason)
    among = f"{with_live.answered} {among}"
    if with_live.answered < LEAST_COMPARED:
        return _not_worse(name, f"only {among}, at least {LEAST_COMPARED} are needed", limit, among)
    worse_by, low, high = with_live.worse_by, with_live.low, with_live.high
    if with_live.queries < LEAST_COMPARED or worse_by is None or low is None or high is None:
        reason = f"it answered only {with_live.queries} of the {among}, at least {LEAST_COMPARED} are needed"
        return Gate(name=name, value=worse_by, limit=limit, at_least=False, passed=False, reason=reason)
    passed = worse_by <= limit + _EQUAL and (high <= limit + _EQUAL or low <= _EQUAL)
    allowed = f"{limit:.4g} worse is allowed" if passed else f"only {limit:.4g} worse is allowed"
    measured = "" if passed or with_live.verdict == "worse" else f", {worse_by:.4g} was measured"
    found = f"{difference(asdict(with_live))}, on {with_live.queries} of the {among}"
    reason = f"{found}; {allowed}{measured}"
    return Gate(name=name, value=worse_by, limit=limit, at_least=False, passed=passed, reason=reason)
