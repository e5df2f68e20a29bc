"""The pipeline's figures: what is counted of a run, under which dimensions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalbox.run import Moment, Run, State
from signalbox.run_metrics import count_cost, count_judge_failure, count_stalled, count_transition
from tests.builders import dataset_object

BEGUN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Signalbox/test")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "promote")


def run(*states: State) -> Run:
    """Return a run that has been in each of these states for a minute and a half."""
    history = [Moment(state=state, at=BEGUN + i * timedelta(seconds=90)) for i, state in enumerate(states)]
    return Run(
        id="clip-search-0123456789ab",
        task="clip-search",
        state=states[-1],
        created_at=BEGUN,
        updated_at=history[-1].at,
        dataset=dataset_object(),
        history=history,
    )


def counted(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, float, str, list[dict[str, str]]]]:
    """Return name, value, unit and dimensions of each metric that was written."""
    said = []
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        for group in line["_aws"]["CloudWatchMetrics"]:
            assert group["Namespace"] == "Signalbox/test"
            for metric in group["Metrics"]:
                dimensions = [{name: line[name] for name in names} for names in group["Dimensions"]]
                (value,) = line[metric["Name"]]
                said.append((metric["Name"], value, metric["Unit"], dimensions))
    return said


def test_a_transition_counts_where_the_run_is_and_how_long_it_was_where_it_came_from(capsys: Any) -> None:
    count_transition(run(State.RECEIVED), run(State.RECEIVED, State.ACCEPTED))
    assert counted(capsys) == [
        ("Runs", 1, "Count", [{"state": "ACCEPTED"}]),
        ("StateSeconds", 90, "Seconds", [{"state": "RECEIVED"}]),
    ]


def test_a_failure_is_counted_by_the_state_in_which_it_was_found(capsys: Any) -> None:
    before = (State.RECEIVED, State.ACCEPTED, State.TRAINING)
    count_transition(run(*before), run(*before, State.FAILED))
    assert ("RunFailures", 1, "Count", [{"state": "TRAINING"}]) in counted(capsys)


def test_how_long_a_run_was_held_before_a_person_promoted_it_is_no_steps_time(capsys: Any) -> None:
    count_transition(run(State.EVALUATED, State.HELD), run(State.EVALUATED, State.HELD, State.PROMOTED))
    assert counted(capsys) == [("Runs", 1, "Count", [{"state": "PROMOTED"}])]


def test_a_stalled_run_and_a_judge_without_grades_are_counted(capsys: Any) -> None:
    count_stalled(run(State.RECEIVED, State.ACCEPTED))
    count_judge_failure()
    assert counted(capsys) == [
        ("RunsStalled", 1, "Count", [{"state": "ACCEPTED"}]),
        ("JudgeFailures", 1, "Count", [{"service": "promote"}]),
    ]


@pytest.mark.parametrize(
    ("total", "name", "value", "unit"),
    [
        (0.41234567, "RunCost", 0.412346, "None"),
        (0.0, "RunCost", 0.0, "None"),
        ({"unknown": "no price of a teacher"}, "RunCostUnknown", 1, "Count"),
    ],
)
def test_an_unknown_cost_is_not_taken_for_none(
    capsys: Any, total: Any, name: str, value: float, unit: str
) -> None:
    count_cost("clip-search", {"total": total})
    dimensions = [{"service": "promote"}, {"service": "promote", "task": "clip-search"}]
    assert counted(capsys) == [(name, value, unit, dimensions)]
