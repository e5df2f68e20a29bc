"""Whether a customization job starts by itself."""

from typing import Any

import pytest

from signalbox.budget import excess_of_job
from signalbox.task import Task
from tests.builders import spec

KNOWN = {"training_usd": 0.25, "at_most_usd": 28.35}
STAND_INS = {"teacher": "local.teacher", "student": "local.student"}


def task(budget: float | None, **changes: Any) -> Task:
    return Task.model_validate(spec(dataset={"budget_usd": budget}, **changes))


def test_what_a_job_may_cost_at_most_counts_and_not_the_estimate() -> None:
    found = excess_of_job(task(5), KNOWN)

    assert found is not None
    assert found.reason == (
        "the customization job may cost $28.35 (estimate $0.25), more than the task's dataset.budget_usd of $5.00"
    )
    assert found.usd == {"estimate": 0.25, "at_most": 28.35, "budget": 5}


@pytest.mark.parametrize("budget", [None, 28.35, 100])
def test_within_the_budget_or_without_one_it_starts(budget: float | None) -> None:
    assert excess_of_job(task(budget), KNOWN) is None


@pytest.mark.parametrize("cost", [{"unknown": "no price is known for x"}, {}, None])
def test_a_price_that_is_unknown_keeps_within_no_budget(cost: dict[str, Any] | None) -> None:
    found = excess_of_job(task(5), cost)

    assert found is not None
    assert "not known: " + (cost or {}).get("unknown", "the cost was not estimated") in found.reason


def test_a_stand_in_costs_nothing() -> None:
    assert excess_of_job(task(5, customization=STAND_INS), {"unknown": "a stand-in has no price"}) is None


@pytest.mark.parametrize("customization", [STAND_INS, spec()["customization"]])
def test_a_budget_of_nothing_holds_every_job(customization: dict[str, Any]) -> None:
    found = excess_of_job(task(0, customization=customization), {"unknown": "whatever"})

    assert found is not None
    assert "budget_usd is 0" in found.reason


def test_without_a_job_there_is_nothing_to_release() -> None:
    assert excess_of_job(task(0, candidates=["embedded"]), KNOWN) is None
