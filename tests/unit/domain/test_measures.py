"""What is measured of a candidate has one name, one place and one way of being written."""

import math

import pytest

from signalbox.measures import ABSENT, MEASURES, grades, grades_in_words, headline, mattering, shown

CANDIDATE = {
    "model": "m",
    "valid_share": 1.0,
    "mae": 0.0312345678,
    "rubric": None,
    "judge": {"mean": 4.25},
    "latency_ms": {"p50": 0.21, "p95": 0.42},
    "cost": {"per_1000_queries": 0.00118},
    "intervals": {"mae": [0.02, 0.04], "judge": None},
}
BY_NAME = {measure.name: measure for measure in MEASURES}


def test_headline_numbers_are_those_that_there_are() -> None:
    assert headline(CANDIDATE) == {
        "valid_share": 1.0,
        "mae": 0.031235,
        "judge": 4.25,
        "latency_p50_ms": 0.21,
        "latency_p95_ms": 0.42,
        "cost_per_1000_queries": 0.00118,
    }


@pytest.mark.parametrize(
    "candidate", [{}, {"judge": None, "cost": {"unknown": "no price"}}, {"mae": math.nan}]
)
def test_what_was_not_measured_is_no_number(candidate: dict) -> None:
    assert headline(candidate) == {}
    assert shown([candidate]) == []
    assert all(measure.written(measure.of(candidate)) == ABSENT for measure in MEASURES)


def test_an_interval_stands_beside_its_number() -> None:
    assert BY_NAME["mae"].interval_of(CANDIDATE) == (0.02, 0.04)
    assert BY_NAME["judge"].interval_of(CANDIDATE) is None
    assert BY_NAME["mae"].interval_of({}) is None


def test_the_numbers_by_which_a_person_decides_are_about_five() -> None:
    weights = {"mae": 0.03, "within_010": 0.9, "dominant_share": 0.9, "rubric": 4.4, "valid_share": 1.0}
    operating = {"latency_p50_ms": 0.2, "latency_p95_ms": 0.4, "cost_per_1000_queries": 0.01}
    names = [measure.name for measure in mattering(weights | operating)]
    assert names == [
        "mae",
        "within_010",
        "dominant_share",
        "rubric",
        "latency_p95_ms",
        "cost_per_1000_queries",
    ]
    judged = [measure.name for measure in mattering(weights | operating | {"judge": 4.2})]
    assert judged == [
        "mae",
        "within_010",
        "dominant_share",
        "judge",
        "latency_p95_ms",
        "cost_per_1000_queries",
    ]
    labels = [measure.name for measure in mattering({"accuracy": 0.9, "macro_f1": 0.9} | operating)]
    assert labels == ["accuracy", "macro_f1", "latency_p95_ms", "cost_per_1000_queries"]


def test_the_grades_of_all_candidates_stand_on_one_line() -> None:
    candidates = {
        "bedrock": {"judge": {"mean": 4.3, "spread": 0.85}},
        "base": {"judge": {"mean": 1.9, "spread": None}},
        "live": {"judge": {"mean": None, "error": "asked later"}},
        "embedded": {},
    }
    assert grades(candidates) == {"bedrock": {"mean": 4.3, "spread": 0.85}, "base": {"mean": 1.9}}
    assert grades_in_words(grades(candidates)) == "bedrock 4.30 (0.85), base 1.90"
