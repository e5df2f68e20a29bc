"""What provisioned throughput costs, and from which rate of requests on it is cheaper."""

from typing import Any

import pytest

from signalbox.spec import TaskError
from signalbox.task import Deployment, Task
from signalbox.throughput import against_on_demand, price_of
from tests.builders import spec, task_yaml

MICRO = {"model": "amazon.nova-micro-v1:0:128k (distilled)", "tokens": {"input": 4000, "output": 4000}}


def test_an_hour_costs_so_many_units_by_the_price_that_the_task_gives() -> None:
    said = price_of(Deployment(type="provisioned", model_units=3, usd_per_unit_hour=1.5))

    assert said.usd == {"an_hour": 4.5, "a_day": 108.0}
    assert said.in_words.startswith(
        "3 model units without commitment, paid by the hour whether asked or not: 4.50"
    )


def test_without_a_price_it_is_unknown_and_no_figure_is_given() -> None:
    said = price_of(Deployment(type="provisioned", commitment="six_months"))

    assert said.usd == {}
    assert "1 model unit for six months (it cannot be deleted before)" in said.in_words
    assert "AWS publishes no price of a model unit" in said.in_words


@pytest.mark.parametrize("kind", ["on_demand", "provisioned"])
def test_the_rate_is_where_the_tokens_of_an_hour_cost_the_hour(kind: str) -> None:
    units = {"model_units": 2} if kind == "provisioned" else {}
    deployment = Deployment(type=kind, usd_per_unit_hour=21.0, **units)

    said = against_on_demand(deployment, MICRO, 100, "us-east-1")

    # 40 tokens in and out a request: 40 x (0.035 + 0.14) USD a million.
    assert said["usd_per_request"] == pytest.approx(7e-6)
    assert said["requests_per_minute"] * 60 * said["usd_per_request"] == pytest.approx(said["usd_per_hour"])
    assert said["usd_per_hour"] == 21.0 * deployment.model_units


def test_a_query_that_was_refused_is_none_of_those_that_share_the_tokens() -> None:
    errors = {"ValidationException": 20, "AccessDeniedException": 5, "unusable answer": 30}

    said = against_on_demand(Deployment(), MICRO | {"errors": errors}, 125, "us-east-1")

    assert said["usd_per_request"] == pytest.approx(7e-6)


@pytest.mark.parametrize(
    ("price", "measured", "queries", "words"),
    [
        (None, MICRO, 100, "AWS publishes no price"),
        (1.0, MICRO | {"model": "local.student (distilled)"}, 100, "stand-in"),
        (1.0, MICRO | {"tokens": {"input": 0, "output": 0}}, 100, "no tokens of"),
        (1.0, MICRO, 0, "no tokens of"),
        (1.0, MICRO | {"errors": {"ValidationException": 100}}, 100, "no tokens of"),
    ],
)
def test_a_price_that_is_unknown_leaves_the_rate_unknown(
    price: float | None, measured: dict[str, Any], queries: int, words: str
) -> None:
    said = against_on_demand(Deployment(usd_per_unit_hour=price), measured, queries, "us-east-1")

    assert words in said["requests_per_minute"]["unknown"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"candidates": ["embedded"]}, "candidates must have bedrock"),
        (
            {"gates": {"cost_per_1000_queries": 1}, "serve": {"order": ["bedrock", "embedded", "prior"]}},
            "paid by the hour",
        ),
        (
            {
                "gates": {"cost_per_1000_queries": 1},
                "candidates": ["bedrock"],
                "serve": {"order": ["embedded", "bedrock", "prior"]},
            },
            "paid by the hour",
        ),
        ({"deployment": {"type": "provisioned", "model_units": 0}}, "deployment.model_units"),
        ({"deployment": {"type": "provisioned", "commitment": "a year"}}, "deployment.commitment"),
        ({"deployment": {"model_units": 2}}, "type: provisioned"),
        ({"deployment": {"commitment": "one_month"}}, "type: provisioned"),
    ],
)
def test_what_does_not_go_together_is_refused_in_the_task(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        Task.from_yaml(task_yaml(spec(**{"deployment": {"type": "provisioned"}, **changes})))
