"""The adapter to Bedrock: nothing is made twice, and each error is told for what it is."""

import pytest
from botocore.exceptions import ClientError

from signalbox.bedrock import Bedrock, Busy
from signalbox.customization import Customization, Distillation, FineTuning, ReinforcementFineTuning
from signalbox.failure import PermanentFailure
from tests.builders import PROMPT, QUERIES, truth
from tests.scripted_bedrock import ScriptedBedrock

CUSTOMIZATION = Distillation(teacher="us.amazon.nova-pro-v1:0", student="amazon.nova-micro-v1:0:128k")

METRICS = {
    "taskType": "General",
    "dataset": {"name": "golden", "datasetLocation": {"s3Uri": "s3://bucket/dataset.jsonl"}},
    "metricNames": ["OverallQuality"],
}


@pytest.fixture
def script() -> ScriptedBedrock:
    return ScriptedBedrock()


@pytest.fixture
def bedrock(script: ScriptedBedrock) -> Bedrock:
    return Bedrock(script, script)


REWARD = "arn:aws:lambda:us-east-1:123456789012:function:reward"


def start(
    bedrock: Bedrock,
    name: str = "clip-1",
    customization: Customization = CUSTOMIZATION,
    kms_key_arn: str = "",
    validation: str = "",
) -> str:
    return bedrock.start_customization(
        name,
        customization,
        role_arn="arn:aws:iam::123456789012:role/r",
        training="s3://bucket/train.jsonl",
        output="s3://bucket/customization/",
        kms_key_arn=kms_key_arn,
        validation=validation,
        reward_function_arn=REWARD,
    )


def test_a_job_that_was_started_is_found_and_not_started_again(
    bedrock: Bedrock, script: ScriptedBedrock
) -> None:
    assert start(bedrock) == start(bedrock)
    assert script.calls["CreateModelCustomizationJob"] == 1


def test_a_key_is_sent_only_where_there_is_one(bedrock: Bedrock, script: ScriptedBedrock) -> None:
    start(bedrock, "plain")
    start(bedrock, "more", kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/k")
    assert "customModelKmsKeyId" not in script.jobs["plain"]["request"]
    assert script.jobs["more"]["request"]["customModelKmsKeyId"].endswith("key/k")


MICRO, LITE = "amazon.nova-micro-v1:0:128k", "amazon.nova-2-lite-v1:0:256k"


@pytest.mark.parametrize(
    ("customization", "validation", "sent"),
    [
        (
            CUSTOMIZATION,
            "",
            {
                "customizationType": "DISTILLATION",
                "customizationConfig": {
                    "distillationConfig": {
                        "teacherModelConfig": {
                            "teacherModelIdentifier": "us.amazon.nova-pro-v1:0",
                            "maxResponseLengthForInference": 200,
                        }
                    }
                },
            },
        ),
        (FineTuning(student=MICRO), "", {"customizationType": "FINE_TUNING"}),
        (
            FineTuning(
                student=MICRO,
                teacher="us.amazon.nova-pro-v1:0",
                hyperparameters={"epochCount": 3, "learningRate": 1e-5, "learningRateWarmupSteps": 0},
            ),
            "s3://bucket/validation_set.jsonl",
            {
                "customizationType": "FINE_TUNING",
                "hyperParameters": {
                    "epochCount": "3",
                    "learningRate": "0.00001",
                    "learningRateWarmupSteps": "0",
                },
                "validationDataConfig": {"validators": [{"s3Uri": "s3://bucket/validation_set.jsonl"}]},
            },
        ),
        (
            ReinforcementFineTuning(
                student=LITE,
                hyperparameters={"batchSize": 64, "learningRate": 1e-5, "maxPromptLength": 900},
            ),
            "",
            {
                "customizationType": "REINFORCEMENT_FINE_TUNING",
                "customizationConfig": {
                    "rftConfig": {
                        "graderConfig": {"lambdaGrader": {"lambdaArn": REWARD}},
                        "hyperParameters": {
                            "inferenceMaxTokens": 200,
                            "batchSize": 64,
                            "learningRate": 1e-5,
                            "maxPromptLength": 900,
                        },
                    }
                },
            },
        ),
        (
            ReinforcementFineTuning(student=LITE, max_response_tokens=60),
            "",
            {
                "customizationType": "REINFORCEMENT_FINE_TUNING",
                "customizationConfig": {
                    "rftConfig": {
                        "graderConfig": {"lambdaGrader": {"lambdaArn": REWARD}},
                        "hyperParameters": {"inferenceMaxTokens": 60},
                    }
                },
            },
        ),
        (
            ReinforcementFineTuning(student=LITE, hyperparameters={"inferenceMaxTokens": 50}),
            "",
            {
                "customizationType": "REINFORCEMENT_FINE_TUNING",
                "customizationConfig": {
                    "rftConfig": {
                        "graderConfig": {"lambdaGrader": {"lambdaArn": REWARD}},
                        "hyperParameters": {"inferenceMaxTokens": 50},
                    }
                },
            },
        ),
    ],
    ids=[
        "distillation",
        "fine-tuning",
        "with all of it",
        "reinforcement with some",
        "reinforcement",
        "reinforcement with shorter answers",
    ],
)
def test_a_request_has_what_its_type_takes_and_nothing_of_another(
    bedrock: Bedrock, script: ScriptedBedrock, customization: Customization, validation: str, sent: dict
) -> None:
    start(bedrock, customization=customization, validation=validation)
    request = script.jobs["clip-1"]["request"]
    of_a_type = ("customizationType", "customizationConfig", "hyperParameters", "validationDataConfig")
    assert {name: request[name] for name in of_a_type if name in request} == sent


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("ThrottlingException", Busy),
        ("ServiceQuotaExceededException", Busy),
        ("ValidationException", PermanentFailure),
        ("AccessDeniedException", PermanentFailure),
        ("InternalServerException", ClientError),
    ],
)
def test_a_refusal_that_passes_is_told_from_one_that_stands(
    bedrock: Bedrock, script: ScriptedBedrock, code: str, raised: type[Exception]
) -> None:
    script.refuse("CreateModelCustomizationJob", code, "because")
    with pytest.raises(raised, match="because"):
        start(bedrock)


def test_what_is_not_there_is_none(bedrock: Bedrock) -> None:
    assert bedrock.customization_job("none") is None
    assert bedrock.foundation_model("vendor.unknown-v1:0") is None


@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException"])
def test_a_throttled_look_up_is_busy_and_not_absence(
    bedrock: Bedrock, script: ScriptedBedrock, code: str
) -> None:
    script.refuse("GetModelCustomizationJob", code)
    with pytest.raises(Busy):
        bedrock.customization_job("clip-1")


@pytest.mark.parametrize("kind", ["customization_job", "custom_model"])
def test_an_arn_is_absent_only_if_bedrock_says_so_in_as_many_words(
    bedrock: Bedrock, script: ScriptedBedrock, kind: str
) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:some-thing/abc"
    assert getattr(bedrock, kind)(arn) is None
    for operation in ("GetModelCustomizationJob", "GetCustomModel"):
        script.refuse(operation, "ValidationException")
    with pytest.raises(ClientError, match="ValidationException"):
        getattr(bedrock, kind)(arn)


def test_a_judges_job_that_was_started_is_found_and_not_started_again(
    bedrock: Bedrock, script: ScriptedBedrock
) -> None:
    def judged(name: str) -> str:
        configuration = {
            "evaluationConfig": {"automated": {"datasetMetricConfigs": [METRICS]}},
            "inferenceConfig": {
                "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": "m"}}]
            },
        }
        return bedrock.start_evaluation(
            name, configuration, role_arn="arn:aws:iam::123456789012:role/r", output="s3://bucket/judge/"
        )

    # Given a job whose name contains the other's
    longer = judged("a-clip-1-judge")
    assert judged("clip-1-judge") == judged("clip-1-judge") != longer
    assert script.calls["CreateEvaluationJob"] == 2
    # When it cannot be looked up, then nothing is started
    script.refuse("ListEvaluationJobs", "ThrottlingException")
    with pytest.raises(Busy):
        judged("clip-2-judge")
    assert script.calls["CreateEvaluationJob"] == 2


def test_a_look_up_that_fails_otherwise_is_raised(bedrock: Bedrock, script: ScriptedBedrock) -> None:
    script.refuse("GetModelCustomizationJob", "InternalServerException")
    with pytest.raises(ClientError):
        bedrock.customization_job("clip-1")


def test_a_foundation_model_is_described(bedrock: Bedrock) -> None:
    model = bedrock.foundation_model("amazon.nova-pro-v1:0")
    assert (model.legacy, model.end_of_life, model.customizations) == (
        False,
        None,
        {"DISTILLATION", "FINE_TUNING"},
    )


def test_a_model_is_asked_with_prompt_and_query_and_measured(
    bedrock: Bedrock, script: ScriptedBedrock
) -> None:
    reply = bedrock.ask("m", PROMPT, QUERIES[0], 200)
    assert script.asked == [("m", PROMPT, QUERIES[0])]
    assert (reply.text, reply.input_tokens, reply.output_tokens, reply.stop_reason) == (
        truth(QUERIES[0]),
        20,
        10,
        "end_turn",
    )
    assert reply.latency_ms > 0
