"""The gates are applied to the candidate that answers first, and a missing number does not pass."""

from typing import Any

import pytest

from signalbox.gates import Gate, apply_gates
from signalbox.scoring import Comparison
from tests.builders import labels_spec, spec, task

GOOD = {
    "model": "amazon.nova-micro-v1:0:128k (distilled)",
    "valid_share": 1.0,
    "mae": 0.01,
    "within_010": 0.9,
    "dominant_share": 0.95,
    "rubric": 4.8,
    "judge": {"mean": 4.5},
    "latency_ms": {"p95": 420.0},
    "cost": {"per_1000_queries": 0.02},
}
GOLDEN = 25


def gates(
    measured: dict[str, Any],
    with_live: Comparison | str | None = None,
    *,
    golden: int = GOLDEN,
    content: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Gate]:
    applied = apply_gates(task(content or spec(**changes)), measured, with_live, golden=golden)
    return {gate.name: gate for gate in applied}


def verdicts(*arguments: Any, **changes: Any) -> dict[str, bool]:
    return {name: gate.passed for name, gate in gates(*arguments, **changes).items()}


def compared(worse_by: float, low: float, high: float, verdict: str = "no difference shown") -> Comparison:
    return Comparison(25, 25, 0.04 + worse_by, 0.04, worse_by, low, high, verdict)


def test_each_gate_that_the_task_names_is_applied_and_no_other() -> None:
    always = {"min_golden": True, "valid_share": True}
    assert verdicts(GOOD) == always | {"mae": True, "dominant_share": True, "judge": True}
    assert verdicts(GOOD, gates={"rubric": 4.9}) == always | {"rubric": False}


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


@pytest.mark.parametrize(
    ("gate", "limit", "beyond"),
    [
        ("within_010", 0.9, 0.91),
        ("rubric", 4.8, 4.9),
        ("latency_p95_ms", 420, 419),
        ("cost_per_1000_queries", 0.02, 0.019),
        ("min_golden", 25, 26),
    ],
)
def test_a_number_on_its_limit_passes_and_one_beyond_does_not(gate: str, limit: float, beyond: float) -> None:
    passing = gates(GOOD, gates={gate: limit})[gate]
    assert (passing.passed, passing.value, passing.limit) == (True, limit, limit)
    assert gates(GOOD, gates={gate: beyond})[gate].passed is False


@pytest.mark.parametrize(("gate", "limit", "beyond"), [("accuracy", 0.8, 0.81), ("macro_f1", 0.7, 0.71)])
def test_labels_have_gates_of_their_own(gate: str, limit: float, beyond: float) -> None:
    measured = {"model": "m", "valid_share": 1.0, "accuracy": 0.8, "macro_f1": 0.7}
    assert verdicts(measured, content=labels_spec(gates={gate: limit}))[gate] is True
    assert verdicts(measured, content=labels_spec(gates={gate: beyond}))[gate] is False


@pytest.mark.parametrize("name", ["valid_share", "mae", "dominant_share", "judge"])
def test_the_numbers_of_the_example_pass_on_their_limits(name: str) -> None:
    exactly = {"valid_share": 0.99, "mae": 0.06, "dominant_share": 0.85, "judge": {"mean": 3.8}}
    assert verdicts(GOOD | {name: exactly[name]})[name] is True


def test_a_gate_says_what_was_measured_and_what_is_required() -> None:
    applied = gates(GOOD | {"mae": 0.1})
    assert applied["mae"].reason == "0.1, at most 0.06 is required"
    assert applied["valid_share"].reason == "1, at least 0.99 reached"
    assert applied["min_golden"].reason == "25, at least 20 reached"


def test_a_judge_without_a_score_is_explained_and_does_not_pass() -> None:
    gate = gates(GOOD | {"judge": {"mean": None, "error": "no capacity"}})["judge"]
    assert (gate.passed, gate.value, gate.reason) == (False, None, "not judged: no capacity")


@pytest.mark.parametrize(("mean", "passed"), [(None, True), (3.7, False), (3.9, True)])
def test_a_judge_that_is_not_required_decides_only_if_there_is_a_score(mean: float, passed: bool) -> None:
    judged = {"mean": mean} if mean else {"mean": None, "error": "the judge's job failed: no capacity"}
    gate = gates(GOOD | {"judge": judged}, judge={"model": "m", "required": False})["judge"]
    assert gate.passed is passed
    if mean is None:
        assert gate.reason == (
            "not judged: the judge's job failed: no capacity; decided on the measured figures alone"
        )


def test_a_task_without_a_judge_has_no_gate_of_the_judge() -> None:
    assert "judge" not in verdicts(GOOD, judge=None)


def test_a_latency_that_nobody_measured_does_not_pass() -> None:
    gate = gates(GOOD | {"latency_ms": {"p95": None}}, gates={"latency_p95_ms": 500})["latency_p95_ms"]
    assert (gate.passed, gate.reason) == (False, "no query asked alone was answered at once")


@pytest.mark.parametrize(
    ("model", "passed", "reason"),
    [
        ("some.model-v1:0", False, "the cost is unknown: no price of some.model-v1:0"),
        ("a.local.model", False, "the cost is unknown: no price of a.local.model"),
        (
            "local.student (distilled)",
            True,
            "not applied: local.student (distilled) is a stand-in on one machine, which has no price",
        ),
    ],
)
def test_a_cost_that_is_unknown_passes_for_a_stand_in_only(model: str, passed: bool, reason: str) -> None:
    measured = GOOD | {"model": model, "cost": {"unknown": f"no price of {model}"}}
    gate = gates(measured, gates={"cost_per_1000_queries": 1})["cost_per_1000_queries"]
    assert (gate.passed, gate.value, gate.reason) == (passed, None, reason)


@pytest.mark.parametrize(
    ("with_live", "passed"),
    [
        (compared(0.01, -0.005, 0.025), True),  # on the limit, and it may be chance
        (compared(0.0101, -0.005, 0.025), False),
        (compared(0.005, 0.001, 0.009, "worse"), True),  # worse, but surely by less than the limit
        (compared(0.005, 0.001, 0.011, "worse"), False),  # worse, and perhaps by more than the limit
        (compared(0.005, 0.0, 0.011), True),
        (compared(0.02, 0.015, 0.025, "worse"), False),
        (compared(-0.05, -0.06, -0.04, "better"), True),
        (Comparison(25), False),  # the live model answered, this one did not
        (Comparison(25, 19, 0.04, 0.05, -0.01, -0.02, -0.005, "better"), False),  # nor often enough
        (Comparison(19, 19, 0.5, 0.0, 0.5, 0.4, 0.6, "worse"), True),  # too few to compare on
        ("the deployment is gone", True),
    ],
)
def test_a_model_may_be_a_little_worse_than_the_live_one_where_they_can_be_compared(
    with_live: Comparison | str, passed: bool
) -> None:
    assert verdicts(GOOD, with_live)["not_worse_than_live"] is passed


AMONG = "25 golden queries that the live model answered and was not trained on"


@pytest.mark.parametrize(
    ("with_live", "reason"),
    [
        (
            compared(0.005, -0.01, 0.02),
            f"no difference shown (0.010 better to 0.020 worse), on 25 of the {AMONG}; 0.01 worse is allowed",
        ),
        (
            compared(0.02, -0.01, 0.05),
            f"no difference shown (0.010 better to 0.050 worse), on 25 of the {AMONG}; only 0.01 worse is allowed, "
            "0.02 was measured",
        ),
        (
            compared(0.05, 0.04, 0.06, "worse"),
            f"worse by 0.050 (0.040 to 0.060), on 25 of the {AMONG}; only 0.01 worse is allowed",
        ),
        (
            compared(-0.05, -0.06, -0.04, "better"),
            f"better by 0.050 (0.040 to 0.060), on 25 of the {AMONG}; 0.01 worse is allowed",
        ),
        (
            Comparison(25, 3, 0.1, 0.1, 0.0, 0.0, 0.0),
            f"it answered only 3 of the {AMONG}, at least 20 are needed",
        ),
        (
            Comparison(19, 19),
            "not compared: only 19 golden queries that the live model answered and was not trained on, "
            "at least 20 are needed",
        ),
        ("the deployment is gone", "not compared: the deployment is gone"),
    ],
)
def test_the_comparison_is_put_in_words(with_live: Comparison | str, reason: str) -> None:
    assert gates(GOOD, with_live)["not_worse_than_live"].reason == reason


def test_a_task_may_do_without_the_comparison() -> None:
    limits = {"not_worse_than_live": None}
    assert "not_worse_than_live" not in verdicts(GOOD, compared(0.5, 0.4, 0.6), gates=limits)
