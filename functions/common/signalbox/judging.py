"""The judge: what Bedrock's evaluation job is given, and what it says.

Shapes and limits: Amazon Bedrock user guide, "Create a prompt dataset for a model evaluation job that uses a model as
judge", "Create a prompt for a custom metric" and "Review metrics for an automated evaluation job".
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, stdev
from typing import Any

import numpy as np

from signalbox import uncertainty
from signalbox.scoring import Prediction
from signalbox.task import Judge, Task

MAX_PROMPTS = 1_000
MAX_PROMPT_BYTES = 4_096
"""Of a job: quotas of model evaluation (AWS General Reference, "Amazon Bedrock endpoints and quotas")."""
MAX_NAME = 63
MAX_INSTRUCTIONS = 5_000
MAX_DEFINITION, MAX_DEFINITION_WORDS = 100, 5
_VARIABLES = {"prompt", "prediction", "ground_truth"}
LEAST_GRADED = 0.8
"""The least share of the answers handed over that must have a grade for their mean to say anything."""

_STEP = 2
"""Grades 1 to 5 are declared as 2 to 10: no value of that scale lies in 0 to 1, in which Bedrock may report them."""

_WEIGHTS_RUBRIC = """You grade a search router. For a query it says how much each index should count, as JSON weights \
that sum to 1, with its reasoning. Compare its answer with the reference answer and grade its overall quality: how \
accurate the weights are, and whether the reasoning, if there is any, fits the query and the weights.

Grade 10 if every weight is within 0.05 of the reference. Grade 8 if every weight is within 0.10. Grade 6 if the \
largest weight is on the same signal and the mean difference is under 0.15. Grade 4 if the mean difference is at most \
0.30. Grade 2 if it is more, or if the answer is not JSON with exactly these weights. Lower the grade by 2, but not \
below 2, if the reasoning contradicts the query or the weights.

Query: {{prompt}}
Reference answer: {{ground_truth}}
Answer to grade: {{prediction}}"""

_LABELS_RUBRIC = """You grade a classifier. For a query it names one label. Compare its answer with the reference \
answer and grade its overall quality.

Grade 10 if the label is the reference label. Grade 6 if it is another label that is just as right for the query. \
Grade 4 if it is related. Grade 2 if it is wrong or no label at all.

Query: {{prompt}}
Reference answer: {{ground_truth}}
Answer to grade: {{prediction}}"""

_RUBRICS = {"weights": _WEIGHTS_RUBRIC, "labels": _LABELS_RUBRIC}

_LOWEST, _HIGHEST = 1, 5
_SCALE = {
    5: "Matches the reference",
    4: "Close to the reference",
    3: "Right tendency",
    2: "Weak",
    1: "Wrong or unusable",
}


def job_name(run_id: str, candidate: str) -> str:
    """Name the evaluation job that grades what a candidate of a run said.

    Raises
    ------
    ValueError
        If Bedrock would not take the name (CreateEvaluationJob, `jobName`: at most 63, lower case).
    """
    name = f"{run_id}-judge-{candidate}"
    fits = len(name) <= MAX_NAME and re.fullmatch(r"[a-z0-9](-*[a-z0-9])*", name)
    _require(fits, f"{name} cannot name an evaluation job")
    return name


def dataset(predictions: Sequence[Prediction], task: Task, source: str) -> bytes:
    """Write a dataset for the judge: prompt, reference and the one answer that the job is to grade, a line each.

    At most 1,000 prompts are taken, and none of more than 4 KB. `source` says who gave the answers; a job takes those
    of one source only.
    """
    lines = [
        {
            "prompt": prediction.query,
            "category": task.output_kind,
            "referenceResponse": prediction.reference,
            "modelResponses": [{"response": prediction.text, "modelIdentifier": source}],
        }
        for prediction in predictions
        if len(prediction.query.encode()) <= MAX_PROMPT_BYTES and prediction.text
    ]
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines[:MAX_PROMPTS])


def configuration(task: Task, judge: Judge, source: str, dataset_uri: str) -> dict[str, Any]:
    """Return evaluationConfig and inferenceConfig of CreateEvaluationJob for answers that a source has given already.

    `taskType` is General, which a judge's job needs although it is not in the API model's list (user guide, "Create
    a model evaluation job using custom metrics").

    Raises
    ------
    ValueError
        If the metric breaks a limit that Bedrock documents.
    """
    evaluator = {"bedrockEvaluatorModels": [{"modelIdentifier": judge.model}]}
    metric = {
        "name": judge.rubric,
        "instructions": _RUBRICS[task.output_kind],
        "ratingScale": [
            {"definition": definition, "value": {"floatValue": float(_STEP * grade)}}
            for grade, definition in _SCALE.items()
        ],
    }
    _check(metric)
    return {
        "evaluationConfig": {
            "automated": {
                "datasetMetricConfigs": [
                    {
                        "taskType": "General",
                        "dataset": {"name": "golden", "datasetLocation": {"s3Uri": dataset_uri}},
                        "metricNames": [judge.rubric],
                    }
                ],
                "customMetricConfig": {
                    "customMetrics": [{"customMetricDefinition": metric}],
                    "evaluatorModelConfig": evaluator,
                },
            }
        },
        "inferenceConfig": {
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": source}}]
        },
    }


def scores(outputs: Iterable[bytes], judge: Judge, handed_over: int) -> dict[str, Any]:
    """Read what the judge said.

    Parameters
    ----------
    outputs : Iterable[bytes]
        The job's *_output.jsonl files. A result may be null: the judge could not grade that answer.
    handed_over : int
        How many answers the job was given.

    Returns
    -------
    dict
        mean (1 to 5; None, and `error` says why, if less than LEAST_GRADED of the answers have a grade), spread (the
        standard deviation of the grades; None with fewer than two), interval (of the mean, if it has one), graded,
        null (results that are no grade), handed_over, model, and scale: "raw" as declared, or "normalised" if the job
        reported 0 to 1, which the documentation leaves open (None without any grade).
    """
    results: list[float | None] = []
    for line in (line for output in outputs for line in output.splitlines() if line.strip()):
        entries = (json.loads(line).get("automatedEvaluationResult") or {}).get("scores") or []
        results += [entry.get("result") for entry in entries if entry.get("metricName") == judge.rubric]
    given = [float(result) for result in results if result is not None]
    normalised = bool(given) and max(given) <= 1
    grades = [_LOWEST + each * (_HIGHEST - _LOWEST) if normalised else each / _STEP for each in given]
    grades = [grade for grade in grades if _LOWEST <= grade <= _HIGHEST]
    said: dict[str, Any] = {
        "mean": fmean(grades) if grades else None,
        "spread": stdev(grades) if len(grades) > 1 else None,
        "graded": len(grades),
        "null": len(results) - len(grades),
        "handed_over": handed_over,
        "scale": ("normalised" if normalised else "raw") if given else None,
        "model": judge.model,
    }
    if not grades or len(grades) < LEAST_GRADED * handed_over:
        error = (
            f"the judge graded {len(grades):,} of {handed_over:,} answers; {LEAST_GRADED:.0%} are required"
        )
        return without_grade(said, error)
    interval = uncertainty.of_mean(np.array(grades))
    return said | ({"interval": interval} if interval else {})


def is_late(task: Task, since: datetime) -> bool:
    """Tell whether the judge has been waited for since then for longer than the task allows."""
    return datetime.now(UTC) - since > timedelta(hours=task.patience.judge_hours)


def not_judged(judge: Judge, reason: str) -> dict[str, Any]:
    """Return what stands in the place of scores where there can be none."""
    return without_grade(scores([], judge, handed_over=0), reason)


def without_grade(said: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return scores of which no mean is to be taken, for a reason: the job did not come to its end."""
    kept = {name: value for name, value in said.items() if name != "interval"}
    return kept | {"mean": None, "error": reason}


def with_scores(measured: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return a candidate's measures with what `scores` or `not_judged` returned, its interval among the others."""
    judged = {name: value for name, value in said.items() if name != "interval"}
    intervals = {"judge": said["interval"]} if "interval" in said else {}
    return measured | {"judge": judged, "intervals": measured["intervals"] | intervals}


def _check(metric: dict[str, Any]) -> None:
    """Require that a custom metric keeps the limits of the user guide, "Create a prompt for a custom metric"."""
    instructions = metric["instructions"]
    _require(
        len(instructions) <= MAX_INSTRUCTIONS, f"more than {MAX_INSTRUCTIONS:,} characters of instructions"
    )
    variables = list(re.finditer(r"\{\{(\w+)\}\}", instructions))
    _require({each[1] for each in variables} == _VARIABLES, f"instructions must use {sorted(_VARIABLES)}")
    tail = instructions[variables[0].start() :].splitlines()
    _require(all("{{" in line for line in tail), "variables must come last in the instructions")
    for entry in metric["ratingScale"]:
        definition = entry["definition"]
        _require(
            len(definition) <= MAX_DEFINITION and len(definition.split()) <= MAX_DEFINITION_WORDS,
            f"a definition has at most {MAX_DEFINITION_WORDS} words and {MAX_DEFINITION} characters: {definition}",
        )


def _require(kept: object, problem: str) -> None:
    if not kept:
        raise ValueError(f"judge: {problem}")
