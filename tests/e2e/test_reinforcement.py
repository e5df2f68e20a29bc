"""Reinforcement fine-tuning through the front door: the job calls the reward function as Bedrock would."""

import csv
import json

import pytest

from signalbox.dataset_object import DatasetObject
from signalbox.run import run_id_for
from tests.e2e.harness import SMALL_PROMPT, push_small_task, until

TUNED = """customization:
  type: REINFORCEMENT_FINE_TUNING
  student: amazon.nova-2-lite-v1:0:256k
  hyperparameters: {epochCount: 3, trainingSamplePerPrompt: 6}
"""


def test_the_reward_function_makes_the_model_that_goes_live(app, small_dataset, tmp_path):
    # Given a task like the small one, but for how its student is made
    push_small_task(app, tmp_path, "rewarded", "[bedrock]", TUNED)
    # When a dataset is dropped
    bucket, key, objects = app.ready["bucket"], "datasets/rewarded/drop.jsonl", app.client("s3")
    put = objects.put_object(Bucket=bucket, Key=key, Body=small_dataset("clouds"))
    run_id = run_id_for(DatasetObject(bucket=bucket, key=key, version_id=put["VersionId"]))
    # Then the run ends well, and its job earned more and more
    assert app.ended(run_id, patience=90) == {run_id: "PROMOTED"}, app.runs()[run_id]
    folder = objects.list_objects_v2(Bucket=bucket, Prefix=f"runs/{run_id}/customization/")["Contents"]
    name = next(each["Key"] for each in folder if each["Key"].endswith("step_wise_training_metrics.csv"))
    lines = objects.get_object(Bucket=bucket, Key=name)["Body"].read().decode().splitlines()
    earned = [float(step["critic/rewards/mean"]) for step in csv.DictReader(lines)]
    assert earned[-1] > earned[0] + 0.2

    def metrics():  # written once the run has its verdict
        if objects.list_objects_v2(Bucket=bucket, Prefix=f"runs/{run_id}/metrics.json")["KeyCount"]:
            return json.load(objects.get_object(Bucket=bucket, Key=f"runs/{run_id}/metrics.json")["Body"])
        return None

    # The base model's answer to all, the mean of the four kinds, is off by 0.3.
    assert until(metrics)["candidates"]["bedrock"]["mae"] < 0.15


@pytest.mark.parametrize(
    ("function", "reason"),
    [("signalbox-judge", "returned an error: "), ("nobodys", "can't be invoked: ")],
)
def test_a_function_that_cannot_grade_fails_the_job_and_says_why(app, function, reason):
    # Given records, and a function that knows nothing of samples, or none at all
    bucket, key, name = app.ready["bucket"], f"elsewhere/{function}.jsonl", f"graded-by-{function}"
    record = {
        "messages": [{"role": "system", "content": SMALL_PROMPT}, {"role": "user", "content": "clouds"}],
        "reference_answer": {"weights": {"visual": 0.9, "audio": 0.1}},
    }
    app.client("s3").put_object(Bucket=bucket, Key=key, Body=(json.dumps(record) + "\n").encode() * 100)
    bedrock = app.client("bedrock")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}"
    # When a job is to learn from it
    job = bedrock.create_model_customization_job(
        jobName=name,
        customModelName=name,
        roleArn="arn:aws:iam::000000000000:role/customization",
        baseModelIdentifier="local.student",
        customizationType="REINFORCEMENT_FINE_TUNING",
        customizationConfig={"rftConfig": {"graderConfig": {"lambdaGrader": {"lambdaArn": arn}}}},
        trainingDataConfig={"s3Uri": f"s3://{bucket}/{key}"},
        outputDataConfig={"s3Uri": f"s3://{bucket}/elsewhere/{function}/"},
    )["jobArn"]

    def ended():
        found = bedrock.get_model_customization_job(jobIdentifier=job)
        return found if found["status"] != "InProgress" else None

    # Then it fails with the reason
    failed = until(ended)
    assert failed["status"] == "Failed"
    assert f"The reward function {arn} {reason}" in failed["failureMessage"]
