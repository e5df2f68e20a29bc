"""From a dataset in S3 to a deployed student, its judge and a batch, with boto3 over HTTP."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

BUCKET = "data-bucket"


def ask(bedrock, model: str, text: str, **settings: object) -> dict:
    messages = [{"role": "user", "content": [{"text": text}]}]
    return bedrock.runtime.converse(modelId=model, messages=messages, **settings)


@pytest.fixture(scope="module")
def completed(bedrock) -> dict:
    """The job that all of this module's tests look at."""
    name = "lifecycle-0123456789ab"
    arn = bedrock.control.create_model_customization_job(
        jobName=name,
        customModelName=name,
        clientRequestToken=name,
        roleArn="arn:aws:iam::000000000000:role/customization",
        baseModelIdentifier="local.student",
        customizationType="DISTILLATION",
        customizationConfig={
            "distillationConfig": {
                "teacherModelConfig": {
                    "teacherModelIdentifier": "local.teacher",
                    "maxResponseLengthForInference": 200,
                }
            }
        },
        trainingDataConfig={"s3Uri": f"s3://{BUCKET}/train.jsonl"},
        outputDataConfig={"s3Uri": f"s3://{BUCKET}/runs/{name}/customization/"},
    )["jobArn"]
    bedrock.events.wait_for(jobArn=arn, jobStatus="Completed")
    return bedrock.control.get_model_customization_job(jobIdentifier=arn)


@pytest.fixture(scope="module")
def deployment(bedrock, completed) -> str:
    """An Active deployment of that job's model."""
    arn = bedrock.control.create_custom_model_deployment(
        modelDeploymentName="lifecycle", modelArn=completed["outputModelArn"]
    )["customModelDeploymentArn"]
    while True:
        found = bedrock.control.get_custom_model_deployment(customModelDeploymentIdentifier=arn)
        if found["status"] != "Creating":
            assert found["status"] == "Active"
            return arn


def test_the_job_went_through_its_stages(completed) -> None:
    assert completed["status"] == "Completed"
    stages = completed["statusDetails"]
    assert {stage["status"] for stage in stages.values()} == {"Completed"}
    assert stages["validationDetails"]["lastModifiedTime"] <= stages["trainingDetails"]["lastModifiedTime"]
    assert completed["creationTime"] <= completed["lastModifiedTime"] <= completed["endTime"]
    assert completed["trainingMetrics"]["trainingLoss"] > 0


def test_the_artefacts_lie_where_bedrock_puts_them(s3, completed) -> None:
    identifier = completed["jobArn"].rsplit("/", 1)[1]
    prefix = f"runs/{completed['jobName']}/customization/model-customization-job-{identifier}/"
    found = {
        item["Key"].removeprefix(prefix)
        for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    }
    assert found == {
        "training_artifacts/step_wise_training_metrics.csv",
        "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv",
    }
    key = prefix + "training_artifacts/step_wise_training_metrics.csv"
    rows = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode().split()
    assert rows[0] == "step_number,epoch_number,training_loss,perplexity"
    _, _, loss, perplexity = map(float, rows[-1].split(","))
    assert perplexity == pytest.approx(math.exp(loss), abs=1e-4)
    assert loss == pytest.approx(completed["trainingMetrics"]["trainingLoss"], abs=1e-5)


def test_the_event_names_the_job_and_its_model(bedrock, completed) -> None:
    entry = bedrock.events.wait_for(jobArn=completed["jobArn"])
    assert entry["DetailType"] == "Model Customization Job State Change"
    assert entry["Detail"]["outputModelArn"] == completed["outputModelArn"]


def test_the_deployed_student_has_learnt(bedrock, deployment) -> None:
    answer = ask(
        bedrock, deployment, "thunder over the bay", inferenceConfig={"maxTokens": 200, "temperature": 0.0}
    )
    weights = json.loads(answer["output"]["message"]["content"][0]["text"])
    assert weights["audio"] > 0.6
    assert weights["audio"] + weights["visual"] == pytest.approx(1.0, abs=1e-9)
    assert answer["stopReason"] == "end_turn"


def test_many_may_ask_at_once(bedrock, deployment) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: ask(bedrock, deployment, f"thunder {number}"), range(200)))
    assert {answer["stopReason"] for answer in answers} == {"end_turn"}
    latencies = sorted(answer["metrics"]["latencyMs"] for answer in answers)
    assert latencies[100] < 100


def test_errors_are_boto3s_own(bedrock, deployment) -> None:
    errors = bedrock.control.exceptions
    with pytest.raises(errors.ResourceNotFoundException):
        bedrock.control.get_model_customization_job(jobIdentifier="unheard-of")
    with pytest.raises(errors.ValidationException, match="regular expression pattern"):
        bedrock.control.get_evaluation_job(jobIdentifier="a-name")
    with pytest.raises(errors.ConflictException):
        model = bedrock.control.get_custom_model_deployment(customModelDeploymentIdentifier=deployment)[
            "modelArn"
        ]
        bedrock.control.delete_custom_model(modelIdentifier=model)
    bedrock.faults.answer("Converse", "ThrottlingException")
    with pytest.raises(bedrock.runtime.exceptions.ThrottlingException) as caught:
        ask(bedrock, deployment, "q")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_paginators_find_everything(bedrock, completed) -> None:
    pages = bedrock.control.get_paginator("list_custom_models").paginate(PaginationConfig={"PageSize": 1})
    found = [model["modelArn"] for page in pages for model in page["modelSummaries"]]
    assert completed["outputModelArn"] in found
    assert len(found) == len(set(found))


def test_the_judge_grades_what_it_is_given(bedrock, s3) -> None:
    weights = {"visual": 0.5, "audio": 0.5}
    answers = [{"visual": 0.5, "audio": 0.5}, {"visual": 0.42, "audio": 0.58}, {"visual": 0.0, "audio": 1.0}]
    lines = [
        {
            "prompt": f"query {number}",
            "referenceResponse": json.dumps(weights),
            "modelResponses": [{"response": json.dumps(answer), "modelIdentifier": "bedrock"}],
        }
        for number, answer in enumerate(answers)
    ]
    s3.put_object(Bucket=BUCKET, Key="judge/in.jsonl", Body="\n".join(map(json.dumps, lines)).encode())
    evaluator = {"bedrockEvaluatorModels": [{"modelIdentifier": "local.judge"}]}
    scale = [{"definition": f"grade {n}", "value": {"floatValue": float(n)}} for n in range(1, 6)]
    metric = {"name": "OverallQuality", "instructions": "Rate {{prediction}}.", "ratingScale": scale}
    dataset = {"name": "golden", "datasetLocation": {"s3Uri": f"s3://{BUCKET}/judge/in.jsonl"}}
    arn = bedrock.control.create_evaluation_job(
        jobName="lifecycle-judge",
        roleArn="arn:aws:iam::000000000000:role/evaluation",
        evaluationConfig={
            "automated": {
                "datasetMetricConfigs": [
                    {"taskType": "General", "dataset": dataset, "metricNames": ["OverallQuality"]}
                ],
                "customMetricConfig": {
                    "customMetrics": [{"customMetricDefinition": metric}],
                    "evaluatorModelConfig": evaluator,
                },
            }
        },
        inferenceConfig={
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "bedrock"}}]
        },
        outputDataConfig={"s3Uri": f"s3://{BUCKET}/judge/out/"},
    )["jobArn"]
    while bedrock.control.get_evaluation_job(jobIdentifier=arn)["status"] == "InProgress":
        pass
    prefix = "judge/out/lifecycle-judge/"
    keys: list[str] = []
    while not keys:
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        keys = [item["Key"] for item in listed.get("Contents", []) if item["Key"].endswith("_output.jsonl")]
    assert "/models/bedrock/taskTypes/General/datasets/golden/" in keys[0]
    outputs = [
        json.loads(line) for line in s3.get_object(Bucket=BUCKET, Key=keys[0])["Body"].read().splitlines()
    ]
    assert [line["automatedEvaluationResult"]["scores"][0]["result"] for line in outputs] == [5.0, 4.0, 1.0]


def test_a_batch_is_inferred(bedrock, s3, completed) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "thunder"}]}]}
    records = [{"recordId": f"R{number}", "modelInput": body} for number in range(5)]
    s3.put_object(Bucket=BUCKET, Key="batch/in/a.jsonl", Body="\n".join(map(json.dumps, records)).encode())
    arn = bedrock.control.create_model_invocation_job(
        jobName="batch",
        roleArn="arn:aws:iam::000000000000:role/batch",
        modelId=completed["outputModelArn"],
        modelInvocationType="Converse",
        inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://{BUCKET}/batch/in/"}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{BUCKET}/batch/out/"}},
    )["jobArn"]
    bedrock.events.wait_for(batchJobArn=arn, status="Completed")
    identifier = arn.rsplit("/", 1)[1]
    key = f"batch/out/{identifier}/a.jsonl.out"
    lines = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines()
    assert [json.loads(line)["recordId"] for line in lines] == [f"R{number}" for number in range(5)]
    manifest = s3.get_object(Bucket=BUCKET, Key=f"batch/out/{identifier}/manifest.json.out")["Body"].read()
    assert json.loads(manifest)["successRecordCount"] == 5


def test_a_dataset_that_is_not_there_fails_the_job(bedrock, job) -> None:
    arn = bedrock.control.create_model_customization_job(**job("missing", f"s3://{BUCKET}/none.jsonl"))[
        "jobArn"
    ]
    detail = bedrock.events.wait_for(jobArn=arn)["Detail"]
    assert detail["jobStatus"] == "Failed"
    assert "Unable to read s3://data-bucket/none.jsonl" in detail["failureMessage"]
    found = bedrock.control.get_model_customization_job(jobIdentifier=arn)
    assert found["failureMessage"] == detail["failureMessage"]
    with pytest.raises(ClientError):
        bedrock.control.get_custom_model(modelIdentifier="missing")
