"""What botocore leaves unchecked on the client is checked here: patterns, enums, lengths, ranges, types."""

import time

import pytest
from botocore.model import Shape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.bedrock.shapes import SerializationError, from_json, from_text, time_text, violations
from local.bedrock.wire import CONTROL_PLANE, RUNTIME, service_model


def shape(name: str, service: str = CONTROL_PLANE) -> Shape:
    return service_model(service).shape_for(name)


def problems(name: str, value: object, service: str = CONTROL_PLANE) -> list[str]:
    return list(violations(shape(name, service), value, "x"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JobName", "video-search-0123456789ab"),
        ("CustomModelName", "video-search-0123456789ab"),
        ("EvaluationJobName", "video-search-0123456789ab-judge"),
        ("S3Uri", "s3://data-bucket/runs/a_b-c/train.jsonl"),
        ("BaseModelIdentifier", "local.student"),
        ("BaseModelIdentifier", "arn:aws:bedrock:us-east-1::foundation-model/local.student"),
        ("TeacherModelIdentifier", "local.teacher"),
        ("EvaluatorModelIdentifier", "local.judge"),
        ("EvaluationTaskType", "General"),
        ("EvaluationTaskType", "Summarization"),
    ],
)
def test_a_value_that_bedrock_takes_is_taken(name: str, value: str) -> None:
    assert problems(name, value) == []


@pytest.mark.parametrize(
    ("name", "value", "constraint"),
    [
        ("JobName", "under_score", "regular expression pattern"),
        ("JobName", "a" * 64, "length less than or equal to 63"),
        ("JobName", "", "length greater than or equal to 1"),
        ("CustomModelName", "double--dash", "regular expression pattern"),
        ("EvaluationJobName", "Capital", "regular expression pattern"),
        ("S3Uri", "s3://data-bucket/with space.jsonl", "regular expression pattern"),
        ("S3Uri", "s3://data-bucket/a.jsonl\n", "regular expression pattern"),
        ("CustomizationType", "DISTILL", "enum value set: [FINE_TUNING"),
        ("EvaluationTaskType", "Anything", "enum value set"),
        ("MaxResults", 0, "value greater than or equal to 1"),
        ("MaxResults", 1001, "value less than or equal to 1000"),
        ("EvaluationMetricNames", ["m"] * 26, "length less than or equal to 25"),
    ],
)
def test_a_value_that_bedrock_refuses_is_refused(name: str, value: object, constraint: str) -> None:
    (problem,) = problems(name, value)
    assert constraint in problem
    assert "at 'x' failed to satisfy constraint" in problem


def test_a_sensitive_value_is_not_repeated() -> None:
    (problem,) = problems("EvaluationDatasetName", "a secret!")
    assert "secret" not in problem


def test_a_missing_member_is_named_with_its_path() -> None:
    (problem,) = problems("TeacherModelConfig", {})
    assert problem == (
        "Value null at 'x.teacherModelIdentifier' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize("value", [{}, {"distillationConfig": {}, "rftConfig": {}}])
def test_a_union_has_exactly_one_member(value: dict) -> None:
    assert any("Exactly one member" in problem for problem in problems("CustomizationConfig", value))


@pytest.mark.parametrize("value", ["0.5", True, [0.5], {}, float("nan")])
def test_a_number_of_another_type_is_not_serializable(value: object) -> None:
    with pytest.raises(SerializationError, match="temperature must be a number"):
        from_json(shape("InferenceConfiguration", RUNTIME), {"temperature": value})


@pytest.mark.parametrize("value", [1.5, 2.0, "1", True])
def test_a_whole_number_is_a_whole_number(value: object) -> None:
    with pytest.raises(SerializationError, match="maxTokens must be a whole number"):
        from_json(shape("InferenceConfiguration", RUNTIME), {"maxTokens": value})


def test_nulls_and_unknown_members_are_left_out() -> None:
    body = {"s3Uri": "s3://a-b/c", "invocationLogsConfig": None, "unheardOf": 1}
    assert from_json(shape("TrainingDataConfig"), body) == {"s3Uri": "s3://a-b/c"}


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(SerializationError, match="UTF-8"):
        from_json(shape("JobName"), "\ud800")


def test_times_are_read_in_both_forms_and_written_in_utc() -> None:
    timestamp = shape("Timestamp")
    assert from_text(timestamp, "2026-11-21T08:00:00Z", "t") == from_text(timestamp, "1795248000", "t")
    assert time_text(1795248000.5) == "2026-11-21T08:00:00.500Z"


def patterns() -> list[Shape]:
    """All string shapes with a pattern that an operation of this stand-in can meet."""
    found: dict[str, Shape] = {}

    def walk(of: Shape) -> None:
        if of.name in found:
            return
        found[of.name] = of
        inner = [getattr(of, name) for name in ("member", "key", "value") if hasattr(of, name)]
        for child in [*getattr(of, "members", {}).values(), *inner]:
            walk(child)

    for name in ("CreateModelCustomizationJob", "CreateEvaluationJob", "CreateModelInvocationJob"):
        walk(service_model(CONTROL_PLANE).operation_model(name).input_shape)
    for name in ("GetModelCustomizationJob", "GetCustomModel", "GetCustomModelDeployment", "TagResource"):
        walk(service_model(CONTROL_PLANE).operation_model(name).input_shape)
    walk(service_model(RUNTIME).operation_model("Converse").input_shape)
    return [found[name] for name in sorted(found) if found[name].metadata.get("pattern")]


@pytest.mark.parametrize("of", patterns(), ids=lambda of: of.name)
def test_no_value_makes_a_pattern_slow(of: Shape) -> None:
    stems = (
        "a",
        "-",
        "a-",
        "a.",
        "a_",
        "-.",
        "a:",
        "arn:aws:bedrock:us-east-1:000000000000:custom-model/",
        "/",
    )
    for stem in stems:
        for length in (30, 63, 400):
            started = time.process_time()
            list(violations(of, (stem * length)[:length] + "!\n", "x"))
            assert time.process_time() - started < 2


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(r"[a-zA-Z0-9][-a-zA-Z0-9+.]{0,61}[a-zA-Z0-9+.]", fullmatch=True))
def test_the_rewritten_pattern_takes_what_the_model_takes(name: str) -> None:
    assert problems("JobName", name) == []


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "jobName",
                        "trainingDataConfig",
                        "s3Uri",
                        "customizationConfig",
                        "jobTags",
                        "key",
                        "hyperParameters",
                        "distillationConfig",
                        "teacherModelConfig",
                        "vpcConfig",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_either_converted_or_refused(body: object) -> None:
    of = shape("CreateModelCustomizationJobRequest")
    try:
        parameters = from_json(of, body)
    except SerializationError:
        return
    assert list(violations(of, parameters)), "a request without its required members cannot be valid"
