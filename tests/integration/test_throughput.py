"""A task that asks for provisioned throughput: bought once a person has released it, asked, and deleted again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from signalbox.failure import Failure
from signalbox.release import Expense
from signalbox.run import Run, State
from signalbox.store import METRICS
from tests.builders import QUERIES, labelled, spec
from tests.integration.cloud import Cloud

PRICED = {"type": "provisioned", "usd_per_unit_hour": 12.0}
RETIRE_AFTER = timedelta(hours=25)


def provisioned(**changes: Any) -> dict[str, Any]:
    return spec(deployment={**PRICED, **changes}, serve={"order": ["bedrock", "embedded", "prior"]})


def trained(cloud: Cloud, **changes: Any) -> Run:
    """Drop a dataset and return its run, whose custom model awaits its throughput."""
    cloud.upload_task(provisioned(**changes))
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.minute()
    run = cloud.run(run_id)
    assert (run.state, run.awaits and run.awaits.of) == (State.TRAINED, Expense.THROUGHPUT)
    return run


def live(cloud: Cloud, **changes: Any) -> Run:
    """Return a run that is live with throughput of its own."""
    run = trained(cloud, **changes)
    cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
    return cloud.finish(run.id)


def replaced(cloud: Cloud, run: Run, times: int = 2) -> None:
    """Let runs go live after a run until neither it nor a way back to it is needed."""
    for _ in range(times):
        live(cloud)
    cloud.watch()
    for _ in range(2):
        released = cloud.run(run.id)
        if released.released_at:
            cloud.runs.note_surplus(released, released.surplus, datetime.now(UTC) - RETIRE_AFTER)
        cloud.watch()


def test_nothing_is_bought_before_a_person_releases_it(cloud: Cloud) -> None:
    run = trained(cloud)

    assert cloud.bedrock.throughputs == cloud.bedrock.deployments == {}
    assert run.awaits.reason == (
        "1 model unit without commitment, paid by the hour whether asked or not: 12.00 USD an hour, 288.00 USD a day, "
        "by the price that the task gives"
    )
    subject, text = cloud.mails()[-1]
    assert subject == "WAITING clip-search: a person has to release the provisioned throughput"
    assert "it holds its custom model, which Bedrock charges for by the month, used or not" in text


def test_released_it_is_bought_once_asked_by_its_arn_and_promoted(cloud: Cloud) -> None:
    run = live(cloud, model_units=2)

    assert run.state is State.PROMOTED
    ((name, throughput),) = cloud.bedrock.throughputs.items()
    assert (name, throughput["request"]["modelUnits"]) == (run.id, 2)
    assert "commitmentDuration" not in throughput["request"]
    assert run.deployment_arn == throughput["arn"]
    assert {model for model, _, _ in cloud.bedrock.asked if "provisioned-model" in model} == {
        throughput["arn"]
    }
    assert "without the hours of its provisioned throughput" in cloud.read(run.id, "report.html").decode()
    cloud.forget()
    _, answer = cloud.request("POST", "/route", {"query": QUERIES[0], "task": "clip-search"})
    assert answer["source"] == "bedrock"


def test_the_report_says_from_which_rate_on_it_is_cheaper(cloud: Cloud) -> None:
    run = live(cloud)

    metrics = json.loads(cloud.store.get(run.id, METRICS))
    said = metrics["throughput"]
    # 20 tokens in and 10 out a query, at 0.035 and 0.14 USD a million, against 12 USD an hour.
    assert said["usd_per_request"] == pytest.approx((20 * 0.035 + 10 * 0.14) / 1e6)
    assert said["requests_per_minute"] == pytest.approx(12 / 60 / 2.1e-6)
    assert metrics["candidates"]["bedrock"]["cost"]["unknown"].startswith(
        "provisioned throughput is paid by the hour"
    )
    assert "95,239 requests a minute on" in cloud.store.get(run.id, "report.html").decode()


def test_a_mail_of_a_run_that_is_held_says_what_its_throughput_goes_on_costing(cloud: Cloud) -> None:
    cloud.upload_task(provisioned() | {"gates": {"latency_p95_ms": 1e-9}, "judge": None})
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.minute()
    cloud.ask("ReleaseRequested", run_id=run_id, by="ada")

    assert cloud.finish(run_id).state is State.HELD
    subject, text = cloud.mails()[-1]
    assert subject.startswith("HELD")
    assert "Provisioned throughput, until it is retired: 1 model unit without commitment" in text
    assert "12.00 USD an hour" in text


def test_a_person_may_end_it_and_the_model_is_left_to_retention(cloud: Cloud) -> None:
    run = trained(cloud)

    cloud.ask("EndRequested", run_id=run.id, reason="too dear", by="ada")

    ended = cloud.finish(run.id)
    assert (ended.state, ended.failure.step) == (State.FAILED, "release")
    assert cloud.bedrock.throughputs == {}


def test_throughput_that_is_neither_live_nor_the_way_back_is_deleted(cloud: Cloud) -> None:
    first = live(cloud)
    assert len(cloud.bedrock.throughputs) == 1

    replaced(cloud, first)

    assert first.id not in cloud.bedrock.throughputs
    assert len(cloud.bedrock.throughputs) == 2
    assert cloud.run(first.id).retired_at is not None


def test_a_way_back_is_kept_and_taken(cloud: Cloud) -> None:
    first, second = live(cloud), live(cloud)

    cloud.ask("RollbackRequested", task="clip-search", reason="worse", by="ada")
    cloud.settle()

    assert cloud.live().run_id == first.id
    assert set(cloud.bedrock.throughputs) == {first.id, second.id}


def test_a_commitment_is_kept_until_its_term_is_over_and_deleted_then(cloud: Cloud) -> None:
    cloud.bedrock.committed_until = datetime.now(UTC) + timedelta(days=30)
    first = live(cloud, commitment="one_month")
    assert cloud.bedrock.throughputs[first.id]["request"]["commitmentDuration"] == "OneMonth"
    assert first.committed_until == cloud.bedrock.committed_until

    replaced(cloud, first)

    kept = cloud.run(first.id)
    assert (first.id in cloud.bedrock.throughputs, kept.retired_at) == (True, None)
    # When the term is over
    cloud.bedrock.committed_until = datetime.now(UTC) - timedelta(minutes=1)
    cloud.runs.note_commitment(kept, cloud.bedrock.committed_until)
    cloud.watch()
    assert first.id not in cloud.bedrock.throughputs


def test_model_units_that_the_account_does_not_have_are_waited_for(cloud: Cloud) -> None:
    run = trained(cloud)
    cloud.bedrock.refuse("CreateProvisionedModelThroughput", "ServiceQuotaExceededException", "no units")

    cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
    cloud.settle()

    assert cloud.run(run.id).waiting == "Bedrock: ServiceQuotaExceededException: no units"
    cloud.age(run.id, timedelta(minutes=10))
    assert cloud.finish(run.id).state is State.PROMOTED


def test_throughput_that_fails_fails_the_run(cloud: Cloud) -> None:
    cloud.bedrock.throughput_ends = ("Failed", "No capacity.")

    run = live(cloud)

    assert (run.state, run.failure.reason) == (State.FAILED, "the deployment failed: No capacity.")


def test_throughput_of_a_run_that_failed_has_no_grace_time(cloud: Cloud) -> None:
    # Given a run that is ended from outside while its throughput is being bought
    run = trained(cloud)
    cloud.ask("ReleaseRequested", run_id=run.id, by="ada")
    cloud.settle()
    failure = Failure(step="evaluate", reason="given up", remedy="none is needed")
    cloud.pipeline().fail(run.id, failure, {cloud.run(run.id).state})
    cloud.settle()
    # When a step may still be at work on it
    cloud.minute()
    cloud.age(run.id, timedelta(minutes=13))
    cloud.watch()
    assert set(cloud.bedrock.throughputs) == {run.id}
    # And when none can be
    cloud.age(run.id, timedelta(minutes=3))
    cloud.watch()
    assert cloud.bedrock.throughputs == {}
    assert cloud.bedrock.custom_models == {run.model_arn}  # which the task keeps
