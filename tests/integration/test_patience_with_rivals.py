"""A model that is only compared, and cannot be asked, holds up a run for so long and no longer."""

from datetime import timedelta
from typing import Any

import pytest

from signalbox.run import Run, State
from tests.builders import client_error, labelled, spec
from tests.integration.cloud import Cloud
from tests.integration.test_promotion import ask_for_promotion

BASE = spec()["compare"]["base"]


def unavailable(cloud: Cloud, model: str, code: str = "InternalServerException") -> None:
    """Let a model answer with an error that passes, or never does."""
    answered = cloud.bedrock.converse

    def converse(**request: Any) -> dict[str, Any]:
        if request["modelId"] == model:
            raise client_error(code, "Converse")
        return answered(**request)

    cloud.bedrock.converse = converse


def wait(cloud: Cloud, run_id: str, hours: float) -> Run:
    """Let that much time pass in the state in which a run is, and the next minute come."""
    cloud.age(run_id, timedelta(hours=hours))
    cloud.minute(2)
    return cloud.run(run_id)


@pytest.mark.parametrize("code", ["InternalServerException", "ThrottlingException"])
def test_a_base_model_that_does_not_answer_is_left_out_after_an_hour(cloud: Cloud, code: str) -> None:
    cloud.upload_task(spec(judge=None))
    unavailable(cloud, BASE, code)
    run = cloud.finish(cloud.drop(labelled()))
    # Given a run that waits for it, in which all others have been asked
    assert run.state is State.DEPLOYED
    assert "could not be asked for the moment" in run.waiting
    assert cloud.store.has(run.id, "predictions/baseline.jsonl")
    assert wait(cloud, run.id, 0.9).state is State.DEPLOYED
    # When the patience is over, it goes on, and says why that model is not there
    assert wait(cloud, run.id, 0.2).state is State.PROMOTED
    metrics = cloud.read(run.id, "metrics.json")
    assert "base" not in metrics["candidates"]
    assert f"no answer within 1 h: base ({BASE}) could not be asked" in metrics["not_compared"]["base"]


def test_a_student_is_waited_for_as_long_as_it_takes(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, patience={"comparison_hours": 0.5}))
    says = cloud.bedrock.converse

    def converse(**request: Any) -> dict[str, Any]:
        if "deployment/" in request["modelId"]:
            raise client_error("ThrottlingException", "Converse")
        return says(**request)

    cloud.bedrock.converse = converse
    run = cloud.finish(cloud.drop(labelled()))
    assert wait(cloud, run.id, 30).state is State.DEPLOYED
    cloud.bedrock.converse = says
    assert wait(cloud, run.id, 0).state is State.PROMOTED


def waiting_for_live(cloud: Cloud) -> tuple[Run, Run]:
    """Bring a run to where it waits for what is live to answer."""
    cloud.upload_task(spec(judge=None))
    live = cloud.finish(cloud.drop(labelled()))
    unavailable(cloud, live.deployment_arn)
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.EVALUATED
    assert run.waiting
    return live, run


def test_a_live_model_that_does_not_answer_is_replaced_after_an_hour(cloud: Cloud) -> None:
    live, run = waiting_for_live(cloud)
    assert wait(cloud, run.id, 0.9).state is State.EVALUATED
    assert wait(cloud, run.id, 0.2).state is State.PROMOTED
    gates = {gate["name"]: gate for gate in cloud.read(run.id, "metrics.json")["gates"]}
    gate = gates["not_worse_than_live"]
    assert gate["passed"] is True
    assert "no answer within 1 h: " in gate["reason"]
    assert cloud.live().previous.run_id == live.id


def test_a_person_need_not_wait_for_what_is_live(cloud: Cloud) -> None:
    _, run = waiting_for_live(cloud)
    cloud.mails()
    ask_for_promotion(cloud, run.id, "the live model is down")
    promoted = cloud.run(run.id)
    assert promoted.state is State.PROMOTED
    assert (cloud.live().run_id, cloud.live().how) == (run.id, "person")
    # And it says what was not asked for
    metrics = cloud.read(run.id, "metrics.json")
    assert metrics["provenance"]["promoted_by"]["reason"] == "the live model is down"
    gates = {gate["name"]: gate["reason"] for gate in metrics["gates"]}
    assert gates["not_worse_than_live"] == "not compared: a person decided before it was"
    assert "before it was compared with what is live" in promoted.history[-1].note
    ((subject, _),) = cloud.mails()
    assert subject.startswith("PROMOTED ")
    assert "a person decided before it was" in cloud.read(run.id, "report.html").decode()
