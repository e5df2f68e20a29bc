"""The judge's job: what it is given keeps Bedrock's limits, and what it says is read whatever its scale."""

import json

import pytest

from signalbox import judging
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
    assert job_name("a" * 24 + "-0123456789ab", "embedded") == "a" * 24 + "-0123456789ab-judge-embedded"


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
    said = scores(outputs, TASK.judge, graded + null)
    spread = said.pop("spread")
    assert spread is None or 0 <= spread <= 2.0000001 * 2**0.5
    low, high = said.pop("interval", (mean, mean))
    assert low <= mean <= high
    assert said == {
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


def test_the_grades_are_shown_with_their_spread_and_an_interval() -> None:
    said = scores([output(10, 8, 6, 6)], TASK.judge, 4)
    assert (said["mean"], said["spread"]) == (3.75, pytest.approx(0.9574, abs=1e-4))  # of 5, 4, 3 and 3
    low, high = said["interval"]
    assert 3 <= low < 3.75 < high <= 5
    assert "interval" not in scores([output(10)], TASK.judge, 1)


def test_normalised_grades_are_not_rounded() -> None:
    assert scores([output(0.9, 0.33)], TASK.judge, 2)["mean"] == pytest.approx(1 + 4 * 0.615)


def test_scores_join_the_other_measures_of_their_candidate() -> None:
    measured = {"model": "m", "intervals": {"mae": (0.1, 0.2)}}
    said = scores([output(10, 8)], TASK.judge, 2)
    joined = judging.with_scores(measured, said)
    assert joined["judge"]["mean"] == 4.5
    assert "interval" not in joined["judge"]
    assert joined["intervals"] == {"mae": (0.1, 0.2), "judge": said["interval"]}
    nothing = judging.with_scores(measured, judging.not_judged(TASK.judge, "no capacity"))
    assert (nothing["judge"]["mean"], nothing["judge"]["error"]) == (None, "no capacity")
    assert nothing["intervals"] == measured["intervals"]
    stopped = judging.with_scores(measured, judging.without_grade(said, "it was late"))
    assert (stopped["judge"]["mean"], stopped["judge"]["graded"]) == (None, 2)
    assert stopped["intervals"] == measured["intervals"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"_RUBRICS": {"weights": "x" * 5_000 + "{{prompt}}{{ground_truth}}{{prediction}}"}}, "5,000 characters"),
        ({"_RUBRICS": {"weights": "{{prompt}} {{ground_truth}}"}}, "must use"),
        ({"_RUBRICS": {"weights": "{{prompt}} {{ground_truth}} {{prediction}} {{context}}"}}, "must use"),
        ({"_RUBRICS": {"weights": "{{prompt}} {{ground_truth}} {{prediction}}\nGrade it."}}, "must come last"),
        ({"_SCALE": {5: "one two three four five six"}}, "at most 5 words"),
        ({"_SCALE": {5: "x" * 101}}, "at most 5 words and 100 characters"),
    ],
)  # fmt: skip
def test_a_rubric_beyond_a_documented_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict, problem: str
) -> None:
    ((name, value),) = change.items()
    monkeypatch.setattr(judging, name, value)
    with pytest.raises(ValueError, match=problem):
        configuration(TASK, TASK.judge, RUN, "s3://bucket/judge/dataset.jsonl")


@pytest.mark.parametrize("run_id", ["Clip-search-0123456789ab", "clip_search", "-clip", "a" * 53])
def test_a_name_that_bedrock_would_not_take_is_refused(run_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name an evaluation job"):
        job_name(run_id, "base")
