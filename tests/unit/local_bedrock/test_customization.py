"""Customization jobs and custom models: what is refused, what is the same again, how a job ends."""

import json
import subprocess
import sys
from typing import Any

import pytest

from local.bedrock import faults as faults_module
from local.bedrock.processes import TrainingProcesses


@pytest.fixture
def trained(monkeypatch) -> dict[str, Any]:
    """Let training processes end at once with this news instead of starting."""
    outcome: dict[str, Any] = {"news": [{"result": {"trainingLoss": 0.5, "validationLoss": 0.6}}], "code": 0}

    def train(self: TrainingProcesses, name: str, order: Any, tell: Any) -> int:
        outcome["order"] = order
        for news in outcome["news"]:
            tell(news)
        return outcome["code"]

    monkeypatch.setattr(TrainingProcesses, "train", train)
    return outcome


def finish(call: Any, faults: Any) -> None:
    """Let the jobs run to their end."""
    faults.release_jobs()
    call.stand_in._customization._workers.close()


def test_a_job_is_made_as_asked(call, distillation) -> None:
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    assert arn.startswith("arn:aws:bedrock:us-east-1:000000000000:model-customization-job/local.student/")
    job = call("GetModelCustomizationJob", jobIdentifier=arn)
    assert job == call("GetModelCustomizationJob", jobIdentifier="task-0123456789ab")
    assert (job["status"], job["customizationType"]) == ("InProgress", "DISTILLATION")
    assert {detail["status"] for detail in job["statusDetails"].values()} == {"NotStarted"}
    assert job["customizationConfig"] == distillation["customizationConfig"]
    assert "outputModelArn" not in job
    listed = call("ListModelCustomizationJobs")["modelCustomizationJobSummaries"]
    assert [(item["jobArn"], item["customModelName"]) for item in listed] == [(arn, "task-0123456789ab")]


def test_the_same_token_and_request_is_the_same_job(call, distillation, refused) -> None:
    first = call("CreateModelCustomizationJob", **distillation)
    assert call("CreateModelCustomizationJob", **distillation) == first
    with refused("ConflictException", "token"):
        call(
            "CreateModelCustomizationJob",
            **{**distillation, "roleArn": "arn:aws:iam::000000000000:role/other"},
        )
    assert len(call("ListModelCustomizationJobs")["modelCustomizationJobSummaries"]) == 1


def test_names_are_used_once(call, distillation, refused) -> None:
    call("CreateModelCustomizationJob", **distillation)
    again = {**distillation, "clientRequestToken": "another"}
    with refused("ValidationException", "job name is currently in use"):
        call("CreateModelCustomizationJob", **again)
    with refused("ValidationException", "model name is currently in use"):
        call("CreateModelCustomizationJob", **{**again, "jobName": "another"})


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        (
            {"baseModelIdentifier": "amazon.nova-micro-v1:0:128k"},
            "ValidationException",
            "identifier is invalid",
        ),
        ({"baseModelIdentifier": "local.base"}, "ValidationException", "doesn't support"),
        ({"customizationType": "CONTINUED_PRE_TRAINING"}, "ValidationException", "doesn't support"),
        ({"customizationType": "GUESSING"}, "ValidationException", "enum value set"),
        ({"customizationConfig": None}, "ValidationException", "distillationConfig is required"),
        ({"hyperParameters": {"epochCount": "2"}}, "ValidationException", "no hyperparameters"),
        ({"trainingDataConfig": {}}, "ValidationException", "s3Uri"),
        ({"jobTags": [{"key": "aws:x", "value": ""}]}, "ValidationException", "aws:"),
        ({"jobTags": [{"key": f"k{n}", "value": ""} for n in range(51)]}, "TooManyTagsException", "50"),
        ({"jobName": "under_score"}, "ValidationException", "pattern"),
        ({"roleArn": "me"}, "ValidationException", "pattern"),
    ],
)
def test_what_aws_would_refuse_is_refused(call, distillation, refused, change, code, part) -> None:
    parameters = {name: value for name, value in {**distillation, **change}.items() if value is not None}
    with refused(code, part):
        call("CreateModelCustomizationJob", **parameters)
    assert call("ListModelCustomizationJobs")["modelCustomizationJobSummaries"] == []


@pytest.mark.parametrize("teacher", ["us.amazon.nova-pro-v1:0", "local.student", "local.baseline"])
def test_only_the_supported_pair_distils(call, distillation, refused, teacher) -> None:
    model = {"teacherModelConfig": {"teacherModelIdentifier": teacher}}
    with refused("ValidationException", "isn't supported for the student"):
        call(
            "CreateModelCustomizationJob",
            **{**distillation, "customizationConfig": {"distillationConfig": model}},
        )


@pytest.mark.parametrize(
    ("hyperparameters", "part"),
    [
        ({"epochCount": "6"}, "from 1 to 5"),
        ({"epochCount": "1.5"}, "must be a int"),
        ({"learningRate": "0.1"}, "learningRate"),
        ({"learningRateWarmupSteps": "-1"}, "from 0 to 100"),
        ({"batchSize": "1"}, "batchSize is not supported"),
    ],
)
def test_fine_tuning_checks_its_hyperparameters(call, distillation, refused, hyperparameters, part) -> None:
    tuning = {**distillation, "customizationType": "FINE_TUNING", "hyperParameters": hyperparameters}
    del tuning["customizationConfig"]
    with refused("ValidationException", part):
        call("CreateModelCustomizationJob", **tuning)


def test_fine_tuning_passes_its_settings_on(call, distillation, trained, faults) -> None:
    hyperparameters = {"epochCount": "5", "learningRate": "0.00003", "learningRateWarmupSteps": "7"}
    tuning = {**distillation, "customizationType": "FINE_TUNING", "hyperParameters": hyperparameters}
    tuning["validationDataConfig"] = {"validators": [{"s3Uri": "s3://data-bucket/validation.jsonl"}]}
    del tuning["customizationConfig"]
    call("CreateModelCustomizationJob", **tuning)
    finish(call, faults)
    order = trained["order"]
    assert (order.epochs, order.learning_rate, order.warmup_steps) == (5, 3e-5, 7)
    assert order.validation_uris == ["s3://data-bucket/validation.jsonl"]
    assert order.artifacts_uri.startswith("s3://data-bucket/runs/r/customization/model-customization-job-")


def test_what_stands_for_nova_2_lite_is_fine_tuned_without_validators(
    call, distillation, refused, trained, faults
) -> None:
    tuning = {**distillation, "customizationType": "FINE_TUNING", "baseModelIdentifier": "local.student-2"}
    del tuning["customizationConfig"]
    with_validators = {
        "validationDataConfig": {"validators": [{"s3Uri": "s3://data-bucket/validation.jsonl"}]}
    }
    with refused("ValidationException", "local.student-2 does not support a validation dataset"):
        call("CreateModelCustomizationJob", **tuning, **with_validators)
    with refused("ValidationException", "doesn't support the customization type DISTILLATION"):
        call("CreateModelCustomizationJob", **distillation | {"baseModelIdentifier": "local.student-2"})
    call("CreateModelCustomizationJob", **tuning)
    finish(call, faults)
    assert (trained["order"].student, trained["order"].validation_uris) == ("local.student-2", [])


REWARD_FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:signalbox-reward"


@pytest.fixture
def reinforcement(distillation) -> dict[str, Any]:
    """Parameters of a reinforcement fine-tuning job that is accepted."""
    grader = {"graderConfig": {"lambdaGrader": {"lambdaArn": REWARD_FUNCTION}}}
    configuration = {"customizationConfig": {"rftConfig": grader}}
    return {**distillation, "customizationType": "REINFORCEMENT_FINE_TUNING", **configuration}


def test_reinforcement_fine_tuning_passes_its_settings_on(call, reinforcement, trained, faults) -> None:
    given = {"epochCount": 2, "learningRate": 2e-5, "trainingSamplePerPrompt": 4, "reasoningEffort": "low"}
    reinforcement["customizationConfig"]["rftConfig"]["hyperParameters"] = given
    arn = call("CreateModelCustomizationJob", **reinforcement)["jobArn"]
    finish(call, faults)
    order = trained["order"]
    assert (order.customization_type, order.reward_function_arn) == (
        "REINFORCEMENT_FINE_TUNING",
        REWARD_FUNCTION,
    )
    assert order.reinforcement == given
    job = call("GetModelCustomizationJob", jobIdentifier=arn)
    assert (job["status"], job["customizationType"]) == ("Completed", "REINFORCEMENT_FINE_TUNING")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochCount", 0),
        ("epochCount", 51),
        ("batchSize", 15),
        ("batchSize", 513),
        ("learningRate", 1e-8),
        ("learningRate", 0.002),
        ("trainingSamplePerPrompt", 1),
        ("trainingSamplePerPrompt", 17),
        ("evalInterval", 101),
        ("reasoningEffort", "none"),
    ],
)
def test_reinforcement_fine_tuning_checks_its_hyperparameters(
    call, reinforcement, refused, name, value
) -> None:
    reinforcement["customizationConfig"]["rftConfig"]["hyperParameters"] = {name: value}
    with refused("ValidationException", name):
        call("CreateModelCustomizationJob", **reinforcement)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"customizationConfig": {"rftConfig": {}}}, "graderConfig is required"),
        ({"baseModelIdentifier": "local.base"}, "doesn't support the customization type REINFORCEMENT"),
        ({"hyperParameters": {"epochCount": "2"}}, "belong into customizationConfig.rftConfig"),
        (
            {
                "customizationConfig": {
                    "rftConfig": {"graderConfig": {"lambdaGrader": {"lambdaArn": "reward"}}}
                }
            },
            "pattern",
        ),
    ],
)
def test_reinforcement_fine_tuning_needs_a_grader_and_a_model_that_has_it(
    call, reinforcement, refused, change, part
) -> None:
    with refused("ValidationException", part):
        call("CreateModelCustomizationJob", **{**reinforcement, **change})


def test_no_teacher_is_taken_for_fine_tuning(call, distillation, refused) -> None:
    with refused("ValidationException", "customizationConfig is only valid"):
        call("CreateModelCustomizationJob", **{**distillation, "customizationType": "FINE_TUNING"})


def test_models_are_customized_in_their_region_alone(call, distillation, refused) -> None:
    call.region = "eu-west-1"
    with refused("ValidationException", "local.student can't be customized in eu-west-1"):
        call("CreateModelCustomizationJob", **distillation)
    model = call("GetFoundationModel", modelIdentifier="local.student")["modelDetails"]
    assert model["customizationsSupported"] == []
    call.region = "us-east-1"
    assert call("CreateModelCustomizationJob", **distillation)["jobArn"]


def test_the_quota_of_jobs_is_kept(make, distillation, refused) -> None:
    call = make(scheduled_customization_jobs=1)
    call("CreateModelCustomizationJob", **distillation)
    other = {**distillation, "jobName": "b", "customModelName": "b", "clientRequestToken": "b"}
    with refused("ServiceQuotaExceededException", "1 scheduled"):
        call("CreateModelCustomizationJob", **other)
    call("StopModelCustomizationJob", jobIdentifier="task-0123456789ab")
    assert call("CreateModelCustomizationJob", **other)["jobArn"]


def test_a_finished_job_has_made_a_model(call, distillation, trained, faults) -> None:
    tags = {"jobTags": [{"key": "a", "value": "1"}], "customModelTags": [{"key": "b", "value": "2"}]}
    arn = call("CreateModelCustomizationJob", **distillation, **tags)["jobArn"]
    finish(call, faults)
    job = call("GetModelCustomizationJob", jobIdentifier=arn)
    assert job["status"] == "Completed"
    assert job["trainingMetrics"] == {"trainingLoss": 0.5}
    assert job["validationMetrics"] == [{"validationLoss": 0.6}]
    model = call("GetCustomModel", modelIdentifier=job["outputModelArn"])
    assert model == call("GetCustomModel", modelIdentifier="task-0123456789ab")
    assert (model["modelStatus"], model["jobArn"]) == ("Active", arn)
    assert call("ListTagsForResource", resourceARN=arn)["tags"] == tags["jobTags"]
    assert call("ListTagsForResource", resourceARN=model["modelArn"])["tags"] == tags["customModelTags"]
    summary = call("ListCustomModels", nameContains="task")["modelSummaries"][0]
    assert (summary["baseModelName"], summary["modelStatus"]) == ("local.student", "Active")


def test_the_event_is_bedrocks(call, distillation, trained, faults, events) -> None:
    sample = json.loads(
        '{"version": "0.0", "jobName": 0, "jobArn": 0, "outputModelName": 0, "outputModelArn": 0,'
        '"roleArn": 0,'
        '"jobStatus": 0, "creationTime": 0, "lastModifiedTime": 0, "endTime": 0, "baseModelArn": 0,'
        '"hyperParameters": 0, "trainingDataConfig": 0, "outputDataConfig": 0}'
    )
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    finish(call, faults)
    ((_, entry),) = call.stand_in._context.store.unannounced()
    assert (entry["Source"], entry["DetailType"]) == ("aws.bedrock", "Model Customization Job State Change")
    assert entry["Resources"] == [arn]
    detail = json.loads(entry["Detail"])
    assert detail.keys() == sample.keys()
    assert (detail["jobStatus"], detail["jobArn"]) == ("Completed", arn)
    assert detail["creationTime"].endswith("Z")
    assert events == [], "nothing is delivered before startup"


@pytest.mark.parametrize(
    ("news", "code", "message"),
    [
        ([{"failure": "The dataset is empty."}], 0, "The dataset is empty."),
        ([], 137, "The training process ended with exit code 137."),
        ([{"stage": "trainingDetails", "status": "InProgress"}], 1, "exit code 1"),
    ],
)
def test_a_job_that_cannot_train_fails_with_a_reason(
    call, distillation, trained, faults, news, code, message
) -> None:
    trained.update(news=news, code=code)
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    finish(call, faults)
    job = call("GetModelCustomizationJob", jobIdentifier=arn)
    assert job["status"] == "Failed"
    assert message in job["failureMessage"]
    assert "InProgress" not in {detail["status"] for detail in job["statusDetails"].values()}
    assert call("ListCustomModels")["modelSummaries"] == []


def test_a_scripted_failure_fails_one_job(call, distillation, trained, faults) -> None:
    faults.fail(faults_module.CUSTOMIZATION, "No capacity.")
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    finish(call, faults)
    assert call("GetModelCustomizationJob", jobIdentifier=arn)["failureMessage"] == "No capacity."


def test_a_job_can_be_stopped_once(call, distillation, refused) -> None:
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    call("StopModelCustomizationJob", jobIdentifier=arn)
    assert call("GetModelCustomizationJob", jobIdentifier=arn)["status"] == "Stopped"
    with refused("ConflictException", "Stopped"):
        call("StopModelCustomizationJob", jobIdentifier=arn)
    ((_, entry),) = call.stand_in._context.store.unannounced()
    assert json.loads(entry["Detail"])["jobStatus"] == "Stopped"


def test_a_job_of_an_earlier_process_is_taken_up(make, distillation, trained, faults) -> None:
    arn = make()("CreateModelCustomizationJob", **distillation)["jobArn"]
    later = make()
    later.stand_in._customization.resume()
    finish(later, faults)
    assert later("GetModelCustomizationJob", jobIdentifier=arn)["status"] == "Completed"


def test_shutting_down_leaves_jobs_in_progress(make, distillation) -> None:
    call = make()
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    call.stand_in.shutdown()
    assert make()("GetModelCustomizationJob", jobIdentifier=arn)["status"] == "InProgress"


def test_nobody_knows_an_unknown_job_or_model(call, refused) -> None:
    for operation in ("GetModelCustomizationJob", "StopModelCustomizationJob"):
        with refused("ResourceNotFoundException"):
            call(operation, jobIdentifier="unheard-of")
    for operation in ("GetCustomModel", "DeleteCustomModel"):
        with refused("ResourceNotFoundException"):
            call(operation, modelIdentifier="unheard-of")


def test_lists_come_in_pages_newest_first(call, distillation, refused) -> None:
    for name in ("a", "b", "c"):
        names = {"jobName": name, "customModelName": name, "clientRequestToken": name}
        call("CreateModelCustomizationJob", **{**distillation, **names})
    first = call("ListModelCustomizationJobs", maxResults=2)
    assert [job["jobName"] for job in first["modelCustomizationJobSummaries"]] == ["c", "b"]
    second = call("ListModelCustomizationJobs", maxResults=2, nextToken=first["nextToken"])
    assert [job["jobName"] for job in second["modelCustomizationJobSummaries"]] == ["a"]
    assert "nextToken" not in second
    assert call("ListModelCustomizationJobs", statusEquals="Failed")["modelCustomizationJobSummaries"] == []
    with refused("ValidationException", "nextToken"):
        call("ListModelCustomizationJobs", nextToken="nonsense")


def test_importing_the_stand_in_loads_no_numerical_library() -> None:
    code = "import sys, local.bedrock; print(sorted({'sklearn', 'scipy', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
