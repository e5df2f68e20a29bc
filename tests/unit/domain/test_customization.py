"""The customization section of a task: what each type takes, within which bounds, and whose bounds they are."""

import re
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.customization import (
    LIMITS,
    MADE,
    Distillation,
    FineTuning,
    FineTuningHyperparameters,
    ReinforcementFineTuning,
    ReinforcementHyperparameters,
)
from signalbox.spec import TaskError
from signalbox.task import Task
from tests.builders import spec, task, task_yaml

STUDENT = "amazon.nova-micro-v1:0:128k"


def read(**customization: Any) -> Task:
    return Task.from_yaml(task_yaml(spec(customization={"student": STUDENT} | customization)))


@pytest.mark.parametrize(
    ("given", "section"),
    [
        ({"teacher": "t"}, Distillation),
        ({"type": "DISTILLATION", "teacher": "t", "hyperparameters": {}}, Distillation),
        ({"type": "FINE_TUNING"}, FineTuning),
        ({"type": "FINE_TUNING", "teacher": "t"}, FineTuning),
        ({"type": "REINFORCEMENT_FINE_TUNING"}, ReinforcementFineTuning),
    ],
)
def test_each_type_has_a_section_of_its_own_and_survives_a_run_s_json(
    given: dict[str, Any], section: type
) -> None:
    read_task = read(**given)
    assert isinstance(read_task.customization, section)
    assert Task.model_validate_json(read_task.to_json()) == read_task
    assert read_task.customization.result == f"{STUDENT} ({MADE[read_task.customization.type]})"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"type": "DISTILLATION"}, "customization.teacher: is missing"),
        (
            {"teacher": "t", "hyperparameters": {"epochCount": 2}},
            "customization.hyperparameters: a distillation job takes none (Amazon Bedrock user guide, "
            "'Custom model hyperparameters'), so not epochCount",
        ),
        ({"teacher": "t", "validation_share": 0.1}, "customization.validation_share: unknown key"),
        ({"type": "TUNING"}, "customization: type must be DISTILLATION, FINE_TUNING or REINFORCEMENT_FINE_TUNING"),
        ({"type": ["FINE_TUNING"]}, "customization: type must be "),
        ({"type": "FINE_TUNING", "hyperparameters": {"batchSize": 8}}, "hyperparameters.batchSize: unknown key"),
        ({"type": "FINE_TUNING", "validation_share": 0.6}, "customization.validation_share: "),
        (
            {"type": "REINFORCEMENT_FINE_TUNING", "hyperparameters": {"reasoningEffort": "low"}},
            "customization.hyperparameters.reasoningEffort: is not taken: the router asks the student without",
        ),
        (
            {"type": "FINE_TUNING", "student": "amazon.nova-2-lite-v1:0:256k", "validation_share": 0.1},
            "customization.validation_share: a fine-tuning job of Nova 2 Lite takes no validation set (aws-samples/",
        ),
    ],
)  # fmt: skip
def test_what_a_type_does_not_take_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(TaskError, match=re.escape(problem)):
        read(**given)


GUIDE = "(Amazon Bedrock user guide, 'Custom model hyperparameters', for Amazon Nova)"
REFERENCE = "(Amazon Bedrock API reference, RFTHyperParameters)"
ASSUMED = "(assumed, by the Amazon Nova 2 user guide, 'Reasoning model evaluation', max_new_tokens)"
FINE, REINFORCED = "FINE_TUNING", "REINFORCEMENT_FINE_TUNING"


@pytest.mark.parametrize(
    ("kind", "name", "value", "problem"),
    [
        (FINE, "epochCount", 0, f"must be a whole number from 1 to 5 {GUIDE}, not 0"),
        (FINE, "epochCount", 6, f"must be a whole number from 1 to 5 {GUIDE}, not 6"),
        (FINE, "epochCount", 2.5, f"must be a whole number from 1 to 5 {GUIDE}, not 2.5"),
        (FINE, "epochCount", True, f"must be a whole number from 1 to 5 {GUIDE}, not True"),
        (FINE, "epochCount", "Auto", f"must be a whole number from 1 to 5 {GUIDE}, not 'Auto'"),
        (FINE, "epochCount", [2], f"must be a whole number from 1 to 5 {GUIDE}, not [2]"),
        (FINE, "learningRate", 9e-7, f"must be a number from 1e-06 to 0.0001 {GUIDE}, not 9e-07"),
        (FINE, "learningRate", 2e-4, f"must be a number from 1e-06 to 0.0001 {GUIDE}, not 0.0002"),
        (FINE, "learningRate", float("nan"), f"must be a number from 1e-06 to 0.0001 {GUIDE}, not nan"),
        (FINE, "learningRateWarmupSteps", 101, f"must be a whole number from 0 to 100 {GUIDE}, not 101"),
        (REINFORCED, "epochCount", 51, f"must be a whole number from 1 to 50 {REFERENCE}, not 51"),
        (REINFORCED, "batchSize", 8, f"must be a whole number from 16 to 512 {REFERENCE}, not 8"),
        (REINFORCED, "learningRate", 1e-8, f"must be a number from 1e-07 to 0.001 {REFERENCE}, not 1e-08"),
        (REINFORCED, "trainingSamplePerPrompt", 1, f"must be a whole number from 2 to 16 {REFERENCE}, not 1"),
        (
            REINFORCED,
            "maxPromptLength",
            32_769,
            f"must be a whole number from 1 to 32768 {ASSUMED}, not 32769",
        ),
        (
            FINE,
            "epochCount",
            10**400,
            f"must be a whole number from 1 to 5 {GUIDE}, not a number of hundreds of digits",
        ),
        (REINFORCED, "evalInterval", 0, f"must be a whole number from 1 to 100 {REFERENCE}, not 0"),
    ],
)
def test_a_hyperparameter_out_of_bounds_is_named_with_line_bound_and_source(
    kind: str, name: str, value: object, problem: str
) -> None:
    content = task_yaml(
        spec(customization={"student": STUDENT, "type": kind, "hyperparameters": {name: value}})
    )
    line = next(n for n, text in enumerate(content.decode().splitlines(), 1) if text.strip().startswith(name))
    with pytest.raises(TaskError) as refused:
        Task.from_yaml(content)
    assert refused.value.problems == [f"line {line}: customization.hyperparameters.{name}: {problem}"]


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"inferenceMaxTokens": 201}, "201 is more than max_response_tokens (200)"),
        ({"inferenceMaxTokens": 61, "max_response_tokens": 60}, "61 is more than max_response_tokens (60)"),
        ({"inferenceMaxTokens": 200}, None),
        ({"inferenceMaxTokens": 300, "max_response_tokens": 300}, None),
        ({"max_response_tokens": 60}, None),
    ],
    ids=["default", "given", "as many", "more of both", "left to the app"],
)
def test_no_answer_is_trained_for_that_would_be_cut_when_it_is_served(
    limits: dict[str, int], problem: str | None
) -> None:
    job = dict(limits)
    sampled = {"inferenceMaxTokens": job.pop("inferenceMaxTokens")} if "inferenceMaxTokens" in job else {}
    given = {"type": REINFORCED, "hyperparameters": sampled} | job
    if problem is None:
        assert read(**given).job.given == sampled
        return
    with pytest.raises(TaskError) as refused:
        read(**given)
    (said,) = refused.value.problems
    assert f"customization.hyperparameters: inferenceMaxTokens: {problem}" in said


NUMBERS = [
    *(
        (FineTuningHyperparameters, name)
        for name in ("epochCount", "learningRate", "learningRateWarmupSteps")
    ),
    *(
        (ReinforcementHyperparameters, name)
        for name in ("epochCount", "maxPromptLength", "inferenceMaxTokens")
    ),
]


@given(
    which=st.sampled_from(NUMBERS),
    number=st.integers(max_value=-1)
    | st.integers(min_value=10**5)
    | st.integers(0, 20_000).map(lambda n: 10**n * 10**5),
    as_text=st.booleans(),
)
def test_no_number_is_too_large_to_be_refused_with_its_bounds(which, number: int, as_text: bool) -> None:
    section, name = which
    value = "1" + "0" * 400 if as_text else number
    with pytest.raises(ValidationError, match=r"must be a (whole )?number from") as refused:
        section.model_validate({name: value})
    assert len(refused.value.errors(include_input=False)[0]["msg"]) < 300


def test_a_rate_as_yaml_reads_it_without_a_point_is_a_number() -> None:
    written = "learningRate: 1e-5"  # YAML 1.1 takes this for a text
    content = task_yaml(spec(customization={"student": STUDENT, "type": FINE})).decode()
    read_task = Task.from_yaml(
        content.replace("type: FINE_TUNING", f"type: FINE_TUNING\n  hyperparameters: {{{written}}}")
    )
    assert isinstance(read_task.customization, FineTuning)
    assert read_task.customization.hyperparameters.learning_rate == 1e-5


@given(epochs=st.integers(1, 5), rate=st.floats(1e-6, 1e-4), warmup=st.none() | st.integers(0, 100))
def test_hyperparameters_reach_bedrock_as_texts_of_the_same_numbers(
    epochs: int, rate: float, warmup: int | None
) -> None:
    wanted = {"epochCount": epochs, "learningRate": rate, "learningRateWarmupSteps": warmup}
    sent = FineTuning(student="s", hyperparameters=wanted).hyperparameters.as_texts()
    assert {name: float(text) for name, text in sent.items()} == {
        name: value for name, value in wanted.items() if value is not None
    }
    assert all(re.fullmatch(r"[0-9.]+", text) for text in sent.values())


def test_reinforcement_hyperparameters_are_those_of_the_service_model() -> None:
    service = botocore.session.get_session().get_service_model("bedrock")
    named = set(service.shape_for("RFTHyperParameters").members)
    assert {field.alias for field in ReinforcementHyperparameters.model_fields.values()} == named


def test_of_nova_2_lite_nothing_is_kept_back_and_no_other_student_changes() -> None:
    assert FineTuning(student="amazon.nova-2-lite-v1:0:256k").share_kept_back == 0
    assert FineTuning(student="amazon.nova-2-lite-v1:0:256k", validation_share=0).share_kept_back == 0
    assert FineTuning(student="amazon.nova-lite-v1:0:300k").share_kept_back == 0.1
    assert ReinforcementFineTuning(student="amazon.nova-2-lite-v1:0:256k").share_kept_back == 0
    assert FineTuning(student="local.student-2").limits.least == 200


@pytest.mark.parametrize(
    "member", ["epochCount", "batchSize", "learningRate", "trainingSamplePerPrompt", "evalInterval"]
)
def test_the_service_model_has_the_same_bounds(member: str) -> None:
    shape = botocore.session.get_session().get_service_model("bedrock").shape_for("RFTHyperParameters")
    bounds = shape.members[member].metadata
    for value in (bounds["min"], bounds["max"]):
        ReinforcementHyperparameters.model_validate({member: value})
    for value in (bounds["min"] / 2, bounds["max"] * 2):
        with pytest.raises(ValueError, match="must be a"):
            ReinforcementHyperparameters.model_validate({member: value})


def test_limits_are_those_of_the_job_that_the_task_starts() -> None:
    tuned = {"student": STUDENT, "type": FINE}
    assert task(customization=tuned).limits == LIMITS["FINE_TUNING"]
    assert task().limits == LIMITS["DISTILLATION"]
    alone = task(customization=tuned, candidates=["embedded"], serve={"order": ["embedded", "prior"]})
    assert alone.limits == LIMITS["DISTILLATION"]


def test_a_prompt_on_which_the_job_would_fail_is_refused() -> None:
    wanted = spec(prompt="Answer as System: would.", customization={"student": STUDENT, "type": FINE})
    with pytest.raises(TaskError, match="prompt has 'System:', on which the job would fail"):
        Task.from_yaml(task_yaml(wanted))
    assert task(wanted | {"customization": spec()["customization"]}).prompt == "Answer as System: would."
