"""The gates are applied to the candidate that answers first, and a missing number does not pass."""

from typing import Any

import pytest

from signalbox.gates import apply_gates
from tests.builders import labels_spec, spec, task

GOOD = {"valid_share": 1.0, "mae": 0.01, "dominant_share": 0.95, "rubric": 4.8, "judge": {"mean": 4.5}}
GOOD_LABELS = {"valid_share": 1.0, "accuracy": 0.95, "macro_f1": 0.93}


def verdicts(measured: dict[str, Any], live: dict[str, Any] | None = None, **changes: Any) -> dict[str, bool]:
    candidates = {"bedrock": measured, "embedded": {}} | ({"live": live} if live else {})
    return {gate.name: gate.passed for gate in apply_gates(task(spec(**changes)), candidates)}


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
    gates = {gate.name: gate for gate in apply_gates(task(), {"bedrock": GOOD | {"mae": 0.1}})}
    assert gates["mae"].reason == "0.1, at most 0.06 is required"
    assert gates["valid_share"].reason == "1, at least 0.99 reached"


def test_a_judge_without_a_score_is_explained() -> None:
    (gate,) = (
        g
        for g in apply_gates(task(), {"bedrock": GOOD | {"judge": None}}, "no capacity")
        if g.name == "judge"
    )
    assert (gate.passed, gate.reason) == (False, "no capacity")


def test_a_task_without_a_judge_has_no_gate_of_the_judge() -> None:
    assert "judge" not in verdicts(GOOD, judge=None)


@pytest.mark.parametrize(
    ("new", "old", "passed"),
    [(0.05, 0.04, True), (0.052, 0.04, False), (0.01, 0.06, True), (0.01, None, True), (None, None, False)],
)
def test_weights_may_be_a_little_worse_than_the_live_models(new: float, old: float, passed: bool) -> None:
    assert verdicts(GOOD | {"mae": new}, live={"mae": old})["not_worse_than_live"] is passed


@pytest.mark.parametrize(
    ("new", "old", "passed"), [(0.95, 0.96, True), (0.9, 0.96, False), (0.99, 0.5, True)]
)
def test_labels_may_be_a_little_worse_than_the_live_models(new: float, old: float, passed: bool) -> None:
    candidates = {"bedrock": GOOD_LABELS | {"accuracy": new}, "live": GOOD_LABELS | {"accuracy": old}}
    gates = {gate.name: gate.passed for gate in apply_gates(task(labels_spec()), candidates)}
    assert gates["not_worse_than_live"] is passed


def test_a_task_may_do_without_the_comparison() -> None:
    gates = {"not_worse_than_live": None}
    assert "not_worse_than_live" not in verdicts(GOOD, live={"mae": 0.0}, gates=gates)
