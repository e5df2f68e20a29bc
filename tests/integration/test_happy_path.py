"""A dataset that is dropped becomes the live model, and every step leaves what it should."""

from decimal import Decimal

import pytest

from signalbox.run import State
from tests.builders import QUERIES, embedded_spec, labelled, labels_spec, spec, true_label
from tests.integration.cloud import Cloud

WITH_BEDROCK = [
    State.RECEIVED,
    State.ACCEPTED,
    State.TRAINING,
    State.TRAINED,
    State.DEPLOYING,
    State.DEPLOYED,
    State.EVALUATING,
    State.EVALUATED,
    State.PROMOTED,
]


def test_a_dataset_for_weights_goes_live_with_both_students(cloud: Cloud) -> None:
    # Given a task and a dataset for it
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled(), trains=True)
    # When time passes
    run = cloud.finish(run_id)
    # Then the run went through every state, to PROMOTED
    assert cloud.states(run_id) == WITH_BEDROCK
    assert run.reason == run.waiting == ""
    # And one job and one deployment bear its name, and one evaluation job for each candidate
    assert (list(cloud.bedrock.jobs), list(cloud.bedrock.deployments)) == ([run_id], [run_id])
    judged = [f"{run_id}-judge-{name}" for name in ("bedrock", "embedded", "base", "baseline")]
    assert list(cloud.bedrock.evaluations) == judged
    arns = {job["arn"] for job in cloud.bedrock.evaluations.values()}
    assert set(run.judge_job_arns.values()) == arns
    # And the live pointer names it
    live = cloud.live()
    assert (live.run_id, live.model, live.deployment_arn) == (
        run_id,
        "amazon.nova-micro-v1:0:128k (distilled)",
        run.deployment_arn,
    )


def test_a_run_keeps_all_it_used_and_made_under_its_prefix(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.finish(cloud.drop(labelled())).id
    for name in (
        "task.json",
        "train.jsonl",
        "golden.jsonl",
        "student/student.bin",
        "evaluation.json",
        "judge/bedrock.jsonl",
        "judge/scores.json",
        "report.html",
    ):
        assert cloud.read(run_id, name)
    for candidate in ("embedded", "bedrock", "base", "baseline"):
        assert len(cloud.read(run_id, f"predictions/{candidate}.jsonl").splitlines()) == 22
    metrics = cloud.read(run_id, "metrics.json")
    assert metrics["verdict"] == "PROMOTED"
    assert set(metrics["candidates"]) == {"embedded", "bedrock", "base", "baseline"}
    assert metrics["candidates"]["bedrock"]["mae"] == pytest.approx(0, abs=1e-9)
    assert {measured["judge"]["mean"] for measured in metrics["candidates"].values()} == {4.5}
    assert cloud.read(run_id, "validation.json")["accepted"] is True


def test_a_task_for_the_embedded_student_alone_asks_nothing_of_bedrock(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    run_id = cloud.drop(labelled(), trains=True)
    # When the events are delivered, without one minute having to pass
    cloud.settle()
    # Then the model is live
    assert cloud.states(run_id) == [
        State.RECEIVED,
        State.ACCEPTED,
        State.TRAINED,
        State.DEPLOYED,
        State.EVALUATING,
        State.EVALUATED,
        State.PROMOTED,
    ]
    assert cloud.bedrock.calls.total() == 0
    assert cloud.live().deployment_arn is None


def test_a_task_for_labels_goes_live_and_answers_a_label(cloud: Cloud) -> None:
    cloud.upload_task(labels_spec())
    run_id = cloud.drop(labelled(answer=true_label), "datasets/clip-kind/drop.jsonl", trains=True)
    assert cloud.finish(run_id).state is State.PROMOTED
    measured = cloud.read(run_id, "metrics.json")["candidates"]
    assert measured["embedded"]["accuracy"] == measured["bedrock"]["macro_f1"] == 1
    status, body = cloud.request("POST", "/route", {"query": QUERIES[0], "task": "clip-kind"})
    assert (status, body["label"], body["source"]) == (200, "watch", "bedrock")


def test_the_events_tell_the_story_and_people_are_told_its_end(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.finish(cloud.drop(labelled())).id
    told = [event["detail-type"] for event in cloud.announced if event["detail-type"] != "RunNudged"]
    assert told == [
        "Object Created",
        "DatasetAccepted",
        "TrainingStarted",
        "Model Customization Job State Change",
        "ModelDeployed",
        *["Object Created"] * 4,  # the judge's results of each candidate
        "EvaluationCompleted",
        "ModelPromoted",
    ]
    for event in cloud.announced:
        if event["source"] == "signalbox":
            assert (event["detail"]["run_id"], event["detail"]["task"], event["detail"]["version"]) == (
                run_id,
                "clip-search",
                "1",
            )
    ((subject, text),) = cloud.mails()
    assert subject == "PROMOTED clip-search: amazon.nova-micro-v1:0:128k (distilled) is live"
    assert f"runs/{run_id}/" in text


def test_models_are_asked_with_the_prompt_of_their_run_and_nothing_else(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.finish(cloud.drop(labelled()))
    assert {prompt for _, prompt, _ in cloud.bedrock.asked} == {spec()["prompt"]}
    assert {query for _, _, query in cloud.bedrock.asked} <= set(QUERIES)


def test_what_is_live_answers_over_the_api_with_weights_that_sum_to_exactly_one(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.finish(cloud.drop(labelled())).id
    status, body = cloud.request("POST", "/route", {"query": QUERIES[0], "task": "clip-search"})
    assert (status, body["source"], body["run_id"]) == (200, "bedrock", run_id)
    assert sum(Decimal(str(weight)) for weight in body["weights"].values()) == 1
