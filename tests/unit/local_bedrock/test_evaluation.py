"""Evaluation jobs: which are taken, what their dataset may hold, what they write."""

import copy
import json
from typing import Any

import pytest

from local.bedrock.errors import DatasetError
from local.bedrock.evaluation import read_rows
from local.bedrock.objects import Objects

WEIGHTS = '{"visual": 0.5, "audio": 0.5}'


def line(
    prompt: str = "q", reference: str = WEIGHTS, answer: str = WEIGHTS, source: str = "bedrock-student"
) -> bytes:
    responses = [{"response": answer, "modelIdentifier": source}]
    return json.dumps(
        {"prompt": prompt, "referenceResponse": reference, "modelResponses": responses}
    ).encode()


@pytest.fixture
def bucket(monkeypatch) -> dict[str, bytes]:
    """Objects by URI, in the place of S3."""
    objects: dict[str, bytes] = {}

    def read(self: Objects, uri: str) -> bytes:
        if uri not in objects:
            raise DatasetError(f"Unable to read {uri}")
        return objects[uri]

    monkeypatch.setattr(Objects, "read", read)
    monkeypatch.setattr(Objects, "write", lambda self, uri, body: objects.update({uri: body}))
    return objects


def carry_out(call: Any, faults: Any) -> None:
    faults.release_jobs()
    call.stand_in._evaluation._workers.close()


def test_a_job_scores_the_answers_it_was_given(call, evaluation, faults, bucket) -> None:
    bucket["s3://data-bucket/runs/r/judge/dataset.jsonl"] = b"\n".join(
        [line(), line(answer="sorry"), line(reference="{broken"), b""]
    )
    arn = call("CreateEvaluationJob", **evaluation)["jobArn"]
    assert call("GetEvaluationJob", jobIdentifier=arn)["status"] == "InProgress"
    carry_out(call, faults)
    assert call("GetEvaluationJob", jobIdentifier=arn)["status"] == "Completed"
    (uri,) = (uri for uri in bucket if uri.endswith("_output.jsonl"))
    start, middle = uri.split("/models/")
    assert start.startswith("s3://data-bucket/runs/r/judge/task-0123456789ab-judge/")
    assert middle.startswith("bedrock-student/taskTypes/General/datasets/golden/")
    lines = [json.loads(text) for text in bucket[uri].splitlines()]
    assert [item["automatedEvaluationResult"]["scores"][0]["result"] for item in lines] == [5.0, 1.0, None]
    score = lines[0]["automatedEvaluationResult"]["scores"][0]
    assert score["metricName"] == "OverallQuality"
    assert score["evaluatorDetails"][0]["modelIdentifier"] == "local.judge"
    assert "largest error 0.000" in score["evaluatorDetails"][0]["explanation"]
    assert lines[0]["inputRecord"] == {"prompt": "q", "referenceResponse": WEIGHTS}
    assert lines[0]["modelResponses"] == [{"response": WEIGHTS, "modelIdentifier": "bedrock-student"}]


def test_grades_are_written_on_the_scale_that_the_metric_declares(call, evaluation, faults, bucket) -> None:
    bucket["s3://data-bucket/runs/r/judge/dataset.jsonl"] = b"\n".join([line(), line(answer="sorry")])
    scale = [{"definition": f"grade {n}", "value": {"floatValue": 2.0 * n}} for n in (5, 4, 3, 2, 1)]
    call("CreateEvaluationJob", **changed(evaluation, f"{METRIC}.ratingScale", scale))
    carry_out(call, faults)
    (body,) = (body for uri, body in bucket.items() if uri.endswith("_output.jsonl"))
    lines = [json.loads(text) for text in body.splitlines()]
    assert [item["automatedEvaluationResult"]["scores"][0]["result"] for item in lines] == [10.0, 2.0]


def test_a_job_without_its_dataset_fails(call, evaluation, faults, bucket) -> None:
    arn = call("CreateEvaluationJob", **evaluation)["jobArn"]
    carry_out(call, faults)
    job = call("GetEvaluationJob", jobIdentifier=arn)
    assert job["status"] == "Failed"
    assert "Unable to read" in job["failureMessages"][0]


@pytest.mark.parametrize("lag", [0.0, 0.01])
def test_the_order_of_output_and_status_can_be_chosen(
    make, evaluation, faults, bucket, monkeypatch, lag
) -> None:
    call = make(evaluation_lag_seconds=lag)
    bucket["s3://data-bucket/runs/r/judge/dataset.jsonl"] = line()
    arn = call("CreateEvaluationJob", **evaluation)["jobArn"]
    seen: list[str] = []
    monkeypatch.setattr(
        Objects,
        "write",
        lambda self, uri, body: seen.append(call("GetEvaluationJob", jobIdentifier=arn)["status"]),
    )
    carry_out(call, faults)
    assert seen == ["InProgress" if lag else "Completed"]
    assert call("GetEvaluationJob", jobIdentifier=arn)["status"] == "Completed"


def test_an_output_that_a_crash_kept_back_is_written_later(
    make, evaluation, faults, bucket, monkeypatch
) -> None:
    bucket["s3://data-bucket/runs/r/judge/dataset.jsonl"] = line()
    call = make()
    arn = call("CreateEvaluationJob", **evaluation)["jobArn"]

    def crash(self: Objects, uri: str, body: bytes) -> None:
        raise SystemError

    with monkeypatch.context() as during:
        during.setattr(Objects, "write", crash)
        carry_out(call, faults)
    later = make()
    later.stand_in._evaluation.resume()
    carry_out(later, faults)
    assert later("GetEvaluationJob", jobIdentifier=arn)["status"] == "Completed"
    assert any(uri.endswith("_output.jsonl") for uri in bucket)


def changed(parameters: dict, path: str, value: Any) -> dict:
    """Return a copy with the member at a dotted path set, or removed when the value is None."""
    result = copy.deepcopy(parameters)
    *way, last = path.split(".")
    place: Any = result
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return result


AUTOMATED = "evaluationConfig.automated"
METRIC = f"{AUTOMATED}.customMetricConfig.customMetrics.0.customMetricDefinition"


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("jobName", "Capital", "pattern"),
        (f"{AUTOMATED}.datasetMetricConfigs.0.taskType", "Summarization", "must be General"),
        (f"{AUTOMATED}.datasetMetricConfigs.0.metricNames", ["Builtin.Correctness"], "isn't defined"),
        (f"{AUTOMATED}.datasetMetricConfigs.0.dataset", {"name": "golden"}, "datasetLocation"),
        (f"{AUTOMATED}.customMetricConfig", None, "isn't defined"),
        (f"{METRIC}.instructions", "Rate it.", "must use"),
        (f"{METRIC}.instructions", "Rate {{everything}}.", "no other variable"),
        (
            f"{METRIC}.ratingScale",
            [{"definition": "good", "value": {"floatValue": 1.0}}],
            "five different numbers",
        ),
        (
            f"{AUTOMATED}.customMetricConfig.evaluatorModelConfig.bedrockEvaluatorModels",
            [{"modelIdentifier": "us.amazon.nova-pro-v1:0"}],
            "isn't supported",
        ),
        (
            "inferenceConfig.models",
            [{"bedrockModel": {"modelIdentifier": "local.base"}}],
            "precomputedInferenceSource",
        ),
        ("applicationType", "RagEvaluation", "automated model evaluation"),
    ],
)
def test_what_is_refused(call, evaluation, refused, path, value, part) -> None:
    with refused("ValidationException", part):
        call("CreateEvaluationJob", **changed(evaluation, path, value))


def test_names_tokens_and_quota(make, evaluation, refused) -> None:
    call = make(evaluation_jobs=1)
    first = call("CreateEvaluationJob", **evaluation)
    assert call("CreateEvaluationJob", **evaluation) == first
    other = {**evaluation, "clientRequestToken": "other"}
    with refused("ConflictException", "name is currently in use"):
        call("CreateEvaluationJob", **other)
    with refused("ServiceQuotaExceededException", "1 concurrent"):
        call("CreateEvaluationJob", **{**other, "jobName": "other"})
    call("StopEvaluationJob", jobIdentifier=first["jobArn"])
    assert call("GetEvaluationJob", jobIdentifier=first["jobArn"])["status"] == "Stopped"
    with refused("ConflictException"):
        call("StopEvaluationJob", jobIdentifier=first["jobArn"])
    listed = call("ListEvaluationJobs", statusEquals="Stopped")["jobSummaries"]
    assert [job["evaluationTaskTypes"] for job in listed] == [["General"]]


def test_a_job_that_is_over_is_deleted_and_one_that_is_not_there_is_named(make, evaluation, refused) -> None:
    call = make()
    over = call("CreateEvaluationJob", **evaluation)["jobArn"]
    call("StopEvaluationJob", jobIdentifier=over)
    unknown = over[:-12] + "zzzzzzzzzzzz"
    answer = call("BatchDeleteEvaluationJob", jobIdentifiers=[over, unknown])
    assert [job["jobIdentifier"] for job in answer["evaluationJobs"]] == [over]
    assert [(error["jobIdentifier"], error["code"]) for error in answer["errors"]] == [
        (unknown, "ResourceNotFoundException")
    ]
    with refused("ResourceNotFoundException"):
        call("GetEvaluationJob", jobIdentifier=over)


def test_a_dataset_holds_up_to_a_thousand_prompts() -> None:
    assert len(read_rows(b"\n".join([line()] * 1000), "bedrock-student")) == 1000
    with pytest.raises(DatasetError, match="1001 prompts"):
        read_rows(b"\n".join([line()] * 1001), "bedrock-student")
    with pytest.raises(DatasetError, match="0 prompts"):
        read_rows(b"\n", "bedrock-student")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (line(prompt="x" * 4097), "longer than 4096 bytes"),
        (line(source="another"), "is not the inference source"),
        (b"{", "Line 1"),
        (b'{"prompt": "q", "modelResponses": []}', "exactly one response, not 0"),
        (b'{"prompt": 1, "modelResponses": [{"response": "a", "modelIdentifier": "b"}]}', "must be texts"),
        (b"[]", "Line 1"),
    ],
)
def test_a_dataset_of_another_shape_is_refused(body: bytes, part: str) -> None:
    with pytest.raises(DatasetError, match=part):
        read_rows(body, "bedrock-student")
