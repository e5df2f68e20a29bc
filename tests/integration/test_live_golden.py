"""A model is compared with the live one on the live run's golden set too, which the new dataset had no part in."""

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jsonschema
import pytest

from signalbox.cost import of_run
from signalbox.prices import prices
from signalbox.run import Run, State
from signalbox.task import Task
from tests.builders import (
    OPENINGS,
    client_error,
    embedded_spec,
    labelled,
    prompts,
    spec,
    truth,
)
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET, PROJECT

GATE = "not_worse_on_live_golden"
OTHERS = [f"{opening} lake {number}" for opening in OPENINGS for number in range(50)]
"""Queries of a later dataset, none of which the first had."""
_SLIPPED = {opening: list(OPENINGS)[place - 1] for place, opening in enumerate(OPENINGS)}


def slipped(query: str) -> str:
    """Return the answer that belongs to another query, consistently, as a student can learn it."""
    opening = next(opening for opening in OPENINGS if query.startswith(opening))
    return truth(_SLIPPED[opening])


def gate(cloud: Cloud, run: Run, name: str = GATE) -> dict[str, Any]:
    gates = {gate["name"]: gate for gate in cloud.read(run.id, "metrics.json")["gates"]}
    return gates[name]


def evaluation_without(cloud: Cloud, run: Run) -> float:
    """What the run's evaluation would have cost (USD) without the tokens that were asked beside the golden set."""
    task = Task.model_validate(cloud.read(run.id, "task.json"))
    counts = cloud.read(run.id, "validation.json")["counts"]
    return of_run(task, counts, cloud.read(run.id, "metrics.json"), "us-east-1")["evaluation"]


@pytest.fixture
def live(cloud: Cloud) -> Run:
    """A good model that is live; any deployment after it says what its dataset taught it."""
    cloud.upload_task(spec(judge=None))
    first = cloud.finish(cloud.drop(labelled()))
    assert first.state is State.PROMOTED
    return first


def teach(cloud: Cloud, live: Run, answer: Callable[[str], str]) -> None:
    """Let what is deployed from now on answer so, and everybody else rightly."""
    cloud.bedrock.says = lambda model, prompt, query: (
        answer(query) if "deployment/" in model and model != live.deployment_arn else truth(query)
    )


def test_a_dataset_with_other_labels_does_not_replace_a_good_model(cloud: Cloud, live: Run) -> None:
    # Given a dataset whose answers have slipped, so that its own golden set is wrong in the same way
    teach(cloud, live, slipped)
    # When it is dropped
    run = cloud.finish(cloud.drop(labelled(OTHERS, slipped)))
    # Then the model looks better than what is live on its own golden set, and worse on that of the live run
    assert gate(cloud, run, "not_worse_than_live")["passed"] is True
    found = gate(cloud, run)
    assert found["passed"] is False
    assert found["value"] > 0.2
    # And it is held with what that may mean and what a person can do
    assert run.state is State.HELD
    assert "the labels of the two datasets may disagree" in run.reason
    assert "a person can promote it" in run.reason
    assert cloud.live().run_id == live.id
    # And the figures are in metrics.json, which keeps its schema, in the report and in the mail
    metrics = cloud.read(run.id, "metrics.json")
    jsonschema.validate(metrics, json.loads((PROJECT / "docs/metrics.schema.json").read_bytes()))
    compared = metrics["compared_on_live_golden"]
    assert (compared["run_id"], compared["verdict"]) == (live.id, "worse")
    assert compared["queries"] == len(cloud.read(live.id, "golden.jsonl").splitlines())
    assert "golden set of the run that was live" in cloud.read(run.id, "report.html").decode()
    assert any("On the golden set of" in text for _, text in cloud.mails())


def test_a_model_that_agrees_with_the_live_golden_set_goes_live(cloud: Cloud, live: Run) -> None:
    cloud.bedrock.asked.clear()
    run = cloud.finish(cloud.drop(labelled(OTHERS)))
    assert run.state is State.PROMOTED
    assert gate(cloud, run)["passed"] is True
    # And what the live model said when it was evaluated was not asked again
    golden = {
        json.loads(line)["messages"][0]["content"][0]["text"]
        for line in cloud.read(live.id, "golden.jsonl").splitlines()
    }
    asked = [(model, query) for model, _, query in cloud.bedrock.asked if query in golden]
    assert {model for model, _ in asked} == {run.deployment_arn}
    assert len(asked) == len(golden)
    # And what was is paid for in the run's cost
    (beside,) = cloud.read(run.id, "comparison.json")["asked_on_live_golden"]
    metrics = cloud.read(run.id, "metrics.json")
    mean = {
        name: tokens / metrics["golden"]
        for name, tokens in metrics["candidates"]["bedrock"]["tokens"].items()
    }
    assert beside["tokens"] == {
        name: pytest.approx(mean[name] * len(golden), rel=0.1) for name in ("input", "output")
    }
    price = prices().of_model(beside["model"], "us-east-1").of(*beside["tokens"].values())
    assert price > 0
    assert metrics["run_cost"]["evaluation"] == pytest.approx(evaluation_without(cloud, run) + price)


def test_what_the_live_model_has_said_before_it_fell_silent_is_paid_for(cloud: Cloud, live: Run) -> None:
    # Given a live model that has to be asked again, and is throttled after a few answers
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=f"runs/{live.id}/predictions/bedrock.jsonl")
    golden = cloud.read(live.id, "golden.jsonl").decode()
    answered, turns = cloud.bedrock.converse, itertools.count()

    def fall_silent(**request: Any) -> dict[str, Any]:
        query = request["messages"][0]["content"][0]["text"]
        if request["modelId"] == live.deployment_arn and f'"{query}"' in golden and next(turns) >= 5:
            raise client_error("ThrottlingException", "Converse")
        return answered(**request)

    cloud.bedrock.converse = fall_silent
    run = cloud.finish(cloud.drop(labelled(OTHERS)))
    assert run.state is State.EVALUATED
    # When the patience is over
    cloud.age(run.id, timedelta(hours=2))
    cloud.minute(2)
    assert "no answer within 1 h" in gate(cloud, run)["reason"]
    # Then what those few answers cost is in the run's cost
    (beside,) = cloud.read(run.id, "comparison.json")["asked_on_live_golden"]
    said = cloud.read(run.id, f"predictions/live-{live.id}-golden-live.jsonl").splitlines()
    assert len(said) == 5
    for kind in ("input", "output"):
        assert beside["tokens"][kind] == sum(json.loads(line)[f"{kind}_tokens"] for line in said) > 0
    price = prices().of_model(beside["model"], "us-east-1").of(*beside["tokens"].values())
    paid = cloud.read(run.id, "metrics.json")["run_cost"]["evaluation"]
    assert paid == pytest.approx(evaluation_without(cloud, run) + price)


def test_queries_that_both_golden_sets_have_are_not_asked_twice(cloud: Cloud, live: Run) -> None:
    golden = [json.loads(line) for line in cloud.read(live.id, "golden.jsonl").splitlines()]
    shared = [record["messages"][0]["content"][0]["text"] for record in golden][:10]
    # Given a golden set that has some of the live run's queries, with other answers
    cloud.upload_task(spec(judge=None), labelled([*OTHERS[:20], *shared], slipped))
    teach(cloud, live, slipped)
    cloud.bedrock.asked.clear()
    run = cloud.finish(cloud.drop(labelled(OTHERS[20:], slipped)))
    # Then those were asked once, and are measured against the live run's answers
    asked = [query for model, _, query in cloud.bedrock.asked if model == run.deployment_arn]
    assert sorted(set(asked)) == sorted(asked)
    assert cloud.read(run.id, "metrics.json")["compared_on_live_golden"]["queries"] == len(golden)
    assert gate(cloud, run)["passed"] is False


def test_the_same_golden_set_is_not_compared_on_again(cloud: Cloud, live: Run) -> None:
    run = cloud.finish(cloud.drop(labelled()))
    assert "the same golden set" in gate(cloud, run)["reason"]
    prompted = cloud.finish(cloud.drop(prompts(OTHERS)))
    assert "the same golden set" in gate(cloud, prompted)["reason"]
    assert prompted.state is State.PROMOTED


def test_what_the_new_model_was_trained_on_says_nothing(cloud: Cloud, live: Run) -> None:
    golden = [json.loads(line) for line in cloud.read(live.id, "golden.jsonl").splitlines()]
    known = [record["messages"][0]["content"][0]["text"] for record in golden][:5]
    cloud.upload_task(spec(judge=None), labelled(OTHERS[:30]))
    run = cloud.finish(cloud.drop(labelled([*OTHERS[30:], *known])))
    found = gate(cloud, run)
    assert found["passed"] is True
    assert found["reason"].startswith(f"not compared: only {len(golden) - 5} queries of the golden set")


def test_a_live_model_that_is_gone_still_has_what_it_said(cloud: Cloud, live: Run) -> None:
    teach(cloud, live, slipped)
    del cloud.bedrock.deployments[live.id]
    run = cloud.finish(cloud.drop(labelled(OTHERS, slipped)))
    assert gate(cloud, run, "not_worse_than_live")["reason"].startswith("not compared: ")
    assert run.state is State.HELD
    assert gate(cloud, run)["passed"] is False


@pytest.mark.parametrize("name", ["golden.jsonl", "predictions/bedrock.jsonl"])
def test_what_the_live_run_has_lost_is_asked_again_or_said(cloud: Cloud, live: Run, name: str) -> None:
    cloud.s3.delete_object(Bucket=DATA_BUCKET, Key=f"runs/{live.id}/{name}")
    run = cloud.finish(cloud.drop(labelled(OTHERS)))
    assert run.state is State.PROMOTED
    found = gate(cloud, run)
    if name == "golden.jsonl":
        assert found["reason"] == f"not compared: the golden set of {live.id} is gone"
    else:
        assert "no difference shown" in found["reason"]


def test_a_new_model_that_no_longer_answers_is_not_promoted(cloud: Cloud, live: Run) -> None:
    golden = cloud.read(live.id, "golden.jsonl").decode()
    answered = cloud.bedrock.converse

    def refuse(**request: Any) -> dict[str, Any]:
        query = request["messages"][0]["content"][0]["text"]
        if request["modelId"] != live.deployment_arn and f'"{query}"' in golden:
            raise client_error("AccessDeniedException", "Converse")
        return answered(**request)

    cloud.bedrock.converse = refuse
    run = cloud.finish(cloud.drop(labelled(OTHERS)))
    assert run.state is State.HELD
    assert gate(cloud, run)["reason"].startswith("it answered only 0 of the ")


def test_embedded_students_are_compared_on_it_too(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(gates={"mae": 0.5}))
    first = cloud.finish(cloud.drop(labelled()))
    second = cloud.finish(cloud.drop(labelled(OTHERS)))
    assert second.state is State.PROMOTED
    compared = cloud.read(second.id, "metrics.json")["compared_on_live_golden"]
    assert compared["queries"] == len(cloud.read(first.id, "golden.jsonl").splitlines())
    assert cloud.read(second.id, f"predictions/live-{first.id}-golden-embedded.jsonl")


def test_the_gate_is_switched_off_with_the_other_one(cloud: Cloud, live: Run) -> None:
    cloud.upload_task(spec(judge=None, gates={"mae": 0.2, "not_worse_than_live": None}))
    teach(cloud, live, slipped)
    run = cloud.finish(cloud.drop(labelled(OTHERS, slipped)))
    assert run.state is State.PROMOTED
    assert "compared_on_live_golden" not in cloud.read(run.id, "metrics.json")
