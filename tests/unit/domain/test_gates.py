"""The gates are applied to the candidate that answers first, and a missing number does not pass."""

from typing import Any

import pytest

from signalbox.gates import apply_gates
from signalbox.scoring import Comparison
from tests.builders import spec, task

GOOD = {"valid_share": 1.0, "mae": 0.01, "dominant_share": 0.95, "rubric": 4.8, "judge": {"mean": 4.5}}


def verdicts(
    measured: dict[str, Any], with_live: Comparison | str | None = None, **changes: Any
) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in apply_gates(task(spec(**changes)), measured, with_live)}


def test_each_gate_that_the_task_names_is_applied_and_no_other() -> None:
    assert verdicts(GOOD) == {"valid_share": True, "mae": True, "dominant_share": True, "judge": True}
    assert verdicts(GOOD, gates={"rubric": 4.9}) == {"valid_share": True, "rubric": False}


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"valid_share": 0.98}, "valid_share"),
        ({"mae": 0.0601}, "mae"),
        ({"mae": None}, "mae"),
        ({"dominant_share": 0.84}, "dominant_share"),
        ({"judge": {"mean": 3.7}}, "judge"),
        ({"judge": {"mean": None}}, "judge"),
        ({"judge": None}, "judge"),
    ],
)
def test_a_number_beyond_its_limit_fails_its_gate_alone(change: dict[str, Any], failed: str) -> None:
    assert [name for name, passed in verdicts(GOOD | change).items() if not passed] == [failed]


@pytest.mark.parametrize("value", [0.06, 0.85, 0.99, 3.8])
def test_a_number_on_its_limit_passes(value: float) -> None:
    exactly = {"valid_share": 0.99, "mae": 0.06, "dominant_share": 0.85, "judge": {"mean": 3.8}}
    assert all(verdicts(exactly).values())


def test_a_gate_says_what_was_measured_and_what_is_required() -> None:
    gates = {gate.name: gate for gate in apply_gates(task(), GOOD | {"mae": 0.1})}
    assert gates["mae"].reason == "0.1, at most 0.06 is required"
    assert gates["valid_share"].reason == "1, at least 0.99 reached"


def test_a_judge_without_a_score_is_explained() -> None:
    (gate,) = (
        g
        for g in apply_gates(task(), GOOD | {"judge": {"mean": None, "error": "no capacity"}})
        if g.name == "judge"
    )
    assert (gate.passed, gate.reason) == (False, "no capacity")


def test_a_task_without_a_judge_has_no_gate_of_the_judge() -> None:
    assert "judge" not in verdicts(GOOD, judge=None)


@pytest.mark.parametrize(
    ("with_live", "passed"),
    [
        (Comparison(20, 0.05, 0.04, 0.01), True),
        (Comparison(20, 0.052, 0.04, 0.012), False),
        (Comparison(20, 0.01, 0.06, -0.05), True),
        (Comparison(20), False),  # the live model answered, this one did not
        (Comparison(19, 0.5, 0.0, 0.5), True),
        ("the deployment is gone", True),
    ],
)
def test_a_model_may_be_a_little_worse_than_the_live_one_where_they_can_be_compared(
    with_live: Comparison | str, passed: bool
) -> None:
    assert verdicts(GOOD, with_live)["not_worse_than_live"] is passed


@pytest.mark.parametrize(
    ("with_live", "reason"),
    [
        (Comparison(25, 0.05, 0.04, 0.01), "0.01, at most 0.01 reached, on the 25 golden queries that"),
        (Comparison(19, 0.5, 0.0, 0.5), "not compared: only 19 golden queries that the live model answered"),
        ("the deployment is gone", "not compared: the deployment is gone"),
    ],
)
def test_the_comparison_says_on_how_many_queries_it_rests(with_live: Comparison | str, reason: str) -> None:
    assert apply_gates(task(), GOOD, with_live)[-1].reason.startswith(reason)


def test_a_task_may_do_without_the_comparison() -> None:
    gates = {"not_worse_than_live": None}
    assert "not_worse_than_live" not in verdicts(GOOD, Comparison(20, 0.5, 0.0, 0.5), gates=gates)
