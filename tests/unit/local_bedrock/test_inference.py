"""Converse: what is asked for is given, what Bedrock refuses is refused, figures are counted or measured."""

import json

import pytest

from local.bedrock import names
from local.bedrock.inference import LONGEST_CONTEXT
from local.bedrock.text import count_tokens

PROMPT = "Return JSON with visual, audio weights and reasoning."


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": text}]}]


@pytest.fixture
def taught(call, weighted_pairs):
    call.stand_in.teach(PROMPT, weighted_pairs)
    return call


def test_an_answer_has_everything_that_bedrock_gives(taught) -> None:
    answer = taught("Converse", modelId="local.teacher", system=[{"text": PROMPT}], messages=user("thunder"))
    text = answer["output"]["message"]["content"][0]["text"]
    assert json.loads(text)["audio"] == 0.9
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["outputTokens"] == count_tokens(text)
    assert usage["inputTokens"] == count_tokens(PROMPT) + count_tokens("thunder")
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert answer["metrics"]["latencyMs"] >= 1


def test_too_few_tokens_cut_the_answer(taught) -> None:
    limits = {"maxTokens": 5}
    answer = taught("Converse", modelId="local.teacher", messages=user("thunder"), inferenceConfig=limits)
    assert answer["stopReason"] == "max_tokens"
    assert answer["usage"]["outputTokens"] == 5
    with pytest.raises(ValueError):
        json.loads(answer["output"]["message"]["content"][0]["text"])


def test_a_stop_sequence_ends_the_answer(taught) -> None:
    stop = {"stopSequences": ["audio"]}
    answer = taught("Converse", modelId="local.teacher", messages=user("thunder"), inferenceConfig=stop)
    assert answer["stopReason"] == "stop_sequence"
    assert "audio" not in answer["output"]["message"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("amazon.nova-micro-v1:0", "ValidationException"),
        ("local.judge", "ValidationException"),
        (names.foundation_model("local.unknown"), "ResourceNotFoundException"),
        (names.deployment("0" * 12), "ResourceNotFoundException"),
        (names.custom_model("local.student", "0" * 12), "ValidationException"),
        ("not a model id", "ValidationException"),
    ],
)
def test_a_model_that_does_not_converse(call, refused, model, code) -> None:
    with refused(code):
        call("Converse", modelId=model, messages=user("q"))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "a"}]}]}, "must start with a user message"),
        ({"messages": user("a") + user("b")}, "must alternate"),
        ({"messages": [*user("a"), {"role": "assistant", "content": [{"text": "b"}]}]}, "prefill"),
        ({"messages": user(" ")}, "blank"),
        ({"messages": [{"role": "user", "content": []}]}, "empty"),
        (
            {"messages": [{"role": "user", "content": [{"cachePoint": {"type": "default"}}]}]},
            "only supports text",
        ),
        ({"system": [{"text": "x " * (LONGEST_CONTEXT + 1)}]}, "too long"),
        ({"inferenceConfig": {"maxTokens": 0}}, "greater than or equal to 1"),
        ({"inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
        ({"toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]}}, "toolConfig"),
    ],
)
def test_what_bedrock_refuses(call, refused, change, part) -> None:
    with refused("ValidationException", part):
        call("Converse", **{"modelId": "local.teacher", "messages": user("q"), **change})


def test_a_conversation_is_answered_by_its_last_message(taught) -> None:
    turns = [*user("sunset"), {"role": "assistant", "content": [{"text": "?"}]}, *user("thunder")]
    answer = taught(
        "Converse", modelId="arn:aws:bedrock:us-east-1::foundation-model/local.teacher", messages=turns
    )
    assert json.loads(answer["output"]["message"]["content"][0]["text"])["audio"] == 0.9


def test_faults_and_limits_strike_as_scripted(make, faults) -> None:
    call = make(requests_per_minute=2)
    faults.answer("Converse", "ServiceUnavailableException", "Busy.", times=1)

    def status() -> str:
        try:
            call("Converse", modelId="local.base", messages=user("q"))
        except Exception as error:
            return str(error).split(" ")[0]
        return "ok"

    assert [status() for _ in range(4)] == ["ServiceUnavailableException", "ok", "ok", "ThrottlingException"]


def test_the_catalogue_says_what_the_models_are(call, refused) -> None:
    student = call("GetFoundationModel", modelIdentifier="local.student")["modelDetails"]
    assert student["modelLifecycle"] == {"status": "ACTIVE"}
    assert student["customizationsSupported"] == ["DISTILLATION", "FINE_TUNING", "REINFORCEMENT_FINE_TUNING"]
    assert "stand-in" in student["providerName"]
    listed = call("ListFoundationModels")["modelSummaries"]
    assert {model["modelId"].split(".")[0] for model in listed} == {"local"}
    tunable = call("ListFoundationModels", byCustomizationType="DISTILLATION")["modelSummaries"]
    assert [model["modelId"] for model in tunable] == ["local.student"]
    with refused("ResourceNotFoundException"):
        call("GetFoundationModel", modelIdentifier="amazon.nova-pro-v1:0")
