"""A task whose student is fine-tuned by reinforcement: what the job is given, and what grades its answers."""

import html
import json
from typing import Any

import pytest

from signalbox.run import State
from tests.builders import QUERIES, labelled, labels_spec, prompts, reinforced_spec, true_label
from tests.integration.cloud import Cloud, stack
from tests.unit.template.stack import DATA_BUCKET


def given_to_the_job(cloud: Cloud, run_id: str, name: str = "train.jsonl") -> list[dict[str, Any]]:
    """Return the records of a run's job."""
    return [
        json.loads(line) for line in (cloud.store.get(run_id, f"reinforcement/{name}") or b"").splitlines()
    ]


def answered(record: dict[str, Any], answer: str) -> dict[str, Any]:
    """Return what the job sends to be graded when the model answers a record so."""
    turn = {"role": "assistant", "content": answer}
    carried = {name: value for name, value in record.items() if name != "messages"}
    return {"id": "1", "messages": [*record["messages"], turn], "metadata": carried}


def test_a_student_that_is_fine_tuned_by_reinforcement_goes_live(cloud: Cloud) -> None:
    # Given a task without a teacher, and labelled records
    cloud.upload_task(reinforced_spec())
    run_id = cloud.drop(labelled())
    # When time passes
    run = cloud.finish(run_id)
    # Then its job was given its own records, the reward function and the hyperparameters
    assert run.state is State.PROMOTED, run
    request = cloud.bedrock.jobs[run_id]["request"]
    assert request["customizationType"] == "REINFORCEMENT_FINE_TUNING"
    folder = f"s3://{DATA_BUCKET}/runs/{run_id}/reinforcement/"
    assert request["trainingDataConfig"] == {"s3Uri": folder + "train.jsonl"}
    assert "validationDataConfig" not in request  # AWS's sources disagree, so none unless it is asked for
    assert request["customizationConfig"] == {
        "rftConfig": {
            "graderConfig": {"lambdaGrader": {"lambdaArn": stack().arn("RewardFunction")}},
            "hyperParameters": {"inferenceMaxTokens": 200, "epochCount": 3, "learningRate": 1e-5},
        }
    }
    assert "hyperParameters" not in request
    # And what is live bears the name of what was done
    assert cloud.live().model == "amazon.nova-2-lite-v1:0:256k (reinforcement fine-tuned)"


@pytest.mark.parametrize("of_labels", [False, True], ids=["weights", "labels"])
def test_the_function_that_the_job_names_grades_the_records_that_it_was_given(
    cloud: Cloud, of_labels: bool
) -> None:
    spec = reinforced_spec()
    spec["customization"]["validation_share"] = 0.1
    if of_labels:
        spec = labels_spec(customization=spec["customization"], name="clip-search")
    cloud.upload_task(spec)
    run_id = cloud.drop(labelled(answer=true_label) if of_labels else labelled(), trains=of_labels)
    cloud.settle()
    folder = f"s3://{DATA_BUCKET}/runs/{run_id}/reinforcement/"
    request = cloud.bedrock.jobs[run_id]["request"]
    assert request["validationDataConfig"] == {"validators": [{"s3Uri": folder + "validation_set.jsonl"}]}
    records = given_to_the_job(cloud, run_id)
    assert len(records) == 115
    records += given_to_the_job(cloud, run_id, "validation_set.jsonl")
    assert len({record["messages"][1]["content"] for record in records} & set(QUERIES)) == len(records) == 128
    right = [
        record["reference_answer"]["label"]
        if of_labels
        else json.dumps(record["reference_answer"]["weights"])
        for record in records
    ]
    graded = cloud.invoke("reward", [answered(*pair) for pair in zip(records, right, strict=True)])
    assert {each["aggregate_reward_score"] for each in graded} == {1.0}
    wrong = cloud.invoke("reward", [answered(record, f"I say {right[0]}") for record in records])
    assert {each["aggregate_reward_score"] for each in wrong} == {0.0}


def test_the_report_shows_how_the_rewards_rose(cloud: Cloud) -> None:
    # Given a job that leaves its metrics
    cloud.upload_task(reinforced_spec())
    run_id = cloud.drop(labelled())
    cloud.settle()
    steps = [f"{step},1,0.0{9 - step},0.{step}5,1.0,0.0" for step in range(1, 9)]
    header = (
        "step_number,epoch_number,training_loss,critic/rewards/mean,critic/rewards/max,critic/rewards/min"
    )
    folder = "customization/model-customization-job-abc"
    name = f"{folder}/training_artifacts/step_wise_training_metrics.csv"
    cloud.store.put(run_id, name, "\n".join([header, *steps]))
    # When the run has ended
    cloud.finish(run_id)
    # Then its report tells the mean reward by step, beside the loss
    told = html.unescape((cloud.store.get(run_id, "report.html") or b"").decode())
    assert "training reward 0.150 at first, 0.850 at the end" in told
    assert "Reward of the custom model by step" in told
    assert "reward (higher is better)" in told
    assert "training loss 0.080 at first, 0.010 at the end" in told


def test_records_without_answers_are_rejected_before_anything_is_paid(cloud: Cloud) -> None:
    cloud.upload_task(reinforced_spec(serve={"order": ["bedrock", "prior"]}, candidates=["bedrock"]))
    run = cloud.finish(cloud.drop(labelled(QUERIES[:100]) + prompts(QUERIES[100:])))
    assert run.state is State.REJECTED
    assert not cloud.bedrock.jobs


def test_a_job_that_was_started_before_a_crash_is_not_started_again(cloud: Cloud) -> None:
    cloud.upload_task(reinforced_spec())
    cloud.deliveries = 2
    run_id = cloud.drop(labelled())
    assert cloud.finish(run_id).state is State.PROMOTED
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 1


def test_a_job_that_waits_for_a_quota_has_its_records_written_once(cloud: Cloud) -> None:
    # Given that the quota of jobs is used up for a while
    cloud.upload_task(reinforced_spec())
    cloud.bedrock.refuse("CreateModelCustomizationJob", "ServiceQuotaExceededException", times=3)
    # When the run is nudged until its job starts
    run_id = cloud.drop(labelled())
    run = cloud.finish(run_id)
    # Then its files are as they were written for the first attempt
    assert run.state is State.PROMOTED, run
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 4
    listed = cloud.s3.list_object_versions(Bucket=DATA_BUCKET, Prefix=f"runs/{run_id}/reinforcement/")
    written = [version["Key"].rpartition("/")[2] for version in listed["Versions"]]
    assert "train.jsonl" in written
    assert len(written) == len(set(written)), written
