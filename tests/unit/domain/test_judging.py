"""The judge's job: what it is given keeps Bedrock's limits, and what it says is read whatever its scale."""

import json

import pytest

from signalbox.judging import MAX_PROMPTS, configuration, dataset, job_name, scores
from signalbox.scoring import Prediction
from tests.builders import labels_spec, spec, task, truth

RUN = "clip-search-0123456789ab"
TASK = task()


def prediction(query: str = "ships turning in the harbour", text: str = "{}") -> Prediction:
    return Prediction(query=query, reference=truth("ships turning in the"), text=text)


def output(*results: float | None, metric: str = "OverallQuality") -> bytes:
    lines = [
        {"automatedEvaluationResult": {"scores": [{"metricName": metric, "result": result}]}}
        for result in results
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_each_line_has_prompt_reference_and_the_one_answer() -> None:
    (line,) = dataset([prediction(text="said")], TASK, RUN).splitlines()
    assert json.loads(line) == {
        "prompt": "ships turning in the harbour",
        "category": "weights",
        "referenceResponse": truth("ships turning in the"),
        "modelResponses": [{"response": "said", "modelIdentifier": RUN}],
    }


def test_of_very_many_answers_as_many_are_graded_as_a_job_takes() -> None:
    assert len(dataset([prediction()] * (MAX_PROMPTS + 5), TASK, RUN).splitlines()) == 1_000


def test_what_a_job_does_not_take_is_left_out() -> None:
    assert dataset([prediction(text=""), prediction(query="é" * 2_049)], TASK, RUN) == b""


@pytest.mark.parametrize("content", [spec(), labels_spec(judge={"model": "m"})])
def test_the_rubric_keeps_the_limits_of_a_custom_metric(content: dict) -> None:
    asked = configuration(task(content), task(content).judge, RUN, "s3://bucket/judge/dataset.jsonl")
    automated = asked["evaluationConfig"]["automated"]
    (metric,) = automated["customMetricConfig"]["customMetrics"]
    definition = metric["customMetricDefinition"]
    # Limits of the user guide, "Create a prompt for a custom metric": 5,000 characters, the variables last, each
    # definition of the scale at most 5 words and 100 characters.
    assert len(definition["instructions"]) <= 5_000
    *_, tail = definition["instructions"].rpartition("\n\n")
    assert all(name in tail for name in ("{{prompt}}", "{{ground_truth}}", "{{prediction}}"))
    assert all(len(entry["definition"].split()) <= 5 for entry in definition["ratingScale"])
    assert sorted(entry["value"]["floatValue"] for entry in definition["ratingScale"]) == [2, 4, 6, 8, 10]
    # The metric stands in both places under one name, and the identifier is the one in the dataset.
    (dataset_metric,) = automated["datasetMetricConfigs"]
    assert dataset_metric["metricNames"] == [definition["name"]]
    (source,) = asked["inferenceConfig"]["models"]
    assert source["precomputedInferenceSource"]["inferenceSourceIdentifier"] == RUN


def test_the_job_has_a_name_that_bedrock_takes() -> None:
    assert job_name("a" * 24 + "-0123456789ab") == "a" * 24 + "-0123456789ab-judge"


@pytest.mark.parametrize(
    ("outputs", "mean", "graded", "null", "scale"),
    [
        ([output(10, 8, 6)], 4, 3, 0, "raw"),
        ([output(10), output(6)], 4, 2, 0, "raw"),
        ([output(10, 10, 10, 10, None)], 5, 4, 1, "raw"),
        ([output(2, 2)], 1, 2, 0, "raw"),
        (
            [output(10, 10, 10, 10, 1)],
            5,
            4,
            1,
            "raw",
        ),  # 1 is no grade of this scale, least of all a perfect one
        ([output(1, 0.5, 0)], 3, 3, 0, "normalised"),
        ([output(1, 1)], 5, 2, 0, "normalised"),
        ([output(0, 0)], 1, 2, 0, "normalised"),
    ],
)
def test_what_the_judge_says_is_read(outputs: list, mean: float, graded: int, null: int, scale: str) -> None:
    assert scores(outputs, TASK.judge, graded + null) == {
        "mean": mean,
        "graded": graded,
        "null": null,
        "handed_over": graded + null,
        "scale": scale,
        "model": TASK.judge.model,
    }


@pytest.mark.parametrize(
    ("outputs", "graded"),
    [
        ([output(10, 10, 10, None, None)], 3),
        ([output(10)], 1),
        ([output(None)], 0),
        ([b"\n"], 0),
        ([], 0),
        ([output(10, metric="Builtin.Correctness")], 0),
        ([b'{"inputRecord": {}}\n'], 0),
        ([b'{"automatedEvaluationResult": null}\n'], 0),
    ],
)
def test_too_few_grades_are_none(outputs: list, graded: int) -> None:
    said = scores(outputs, TASK.judge, 5)
    assert (said["mean"], said["graded"]) == (None, graded)
    assert said["error"] == f"the judge graded {graded} of 5 answers; 80% are required"
