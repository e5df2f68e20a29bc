"""The judge: what Bedrock's evaluation job is given, and what it says.

Shapes and limits: Amazon Bedrock user guide, "Create a prompt dataset for a model evaluation job that uses a model as
judge", "Create a prompt for a custom metric" and "Review metrics for an automated evaluation job".
"""

import json
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from signalbox.scoring import Prediction
from signalbox.task import Judge, Task

MAX_PROMPTS = 1_000
MAX_PROMPT_BYTES = 4_096
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

_LOWEST, _HIGHEST = 1, 5
_SCALE = {
    5: "Matches the reference",
    4: "Close to the reference",
    3: "Right tendency",
    2: "Weak",
    1: "Wrong or unusable",
}


def job_name(run_id: str) -> str:
    """Name a run's evaluation job; lower case only, which a run id is."""
    return f"{run_id}-judge"


def dataset(predictions: Sequence[Prediction], task: Task, run_id: str) -> bytes:
    """Write the judge's dataset: prompt, reference and the one answer that the job is to grade, a line each.

    At most 1,000 prompts are taken, and none of more than 4 KB.
    """
    lines = [
        {
            "prompt": prediction.query,
            "category": task.output_kind,
            "referenceResponse": prediction.reference,
            "modelResponses": [{"response": prediction.text, "modelIdentifier": run_id}],
        }
        for prediction in predictions
        if len(prediction.query.encode()) <= MAX_PROMPT_BYTES and prediction.text
    ]
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines[:MAX_PROMPTS])


def configuration(task: Task, judge: Judge, run_id: str, dataset_uri: str) -> dict[str, Any]:
    """Return evaluationConfig and inferenceConfig of CreateEvaluationJob for answers that are there already.

    `taskType` is General, which a judge's job needs although it is not in the API model's list.
    """
    evaluator = {"bedrockEvaluatorModels": [{"modelIdentifier": judge.model}]}
    metric = {
        "name": judge.rubric,
        "instructions": _LABELS_RUBRIC if task.output_kind == "labels" else _WEIGHTS_RUBRIC,
        "ratingScale": [
            {"definition": definition, "value": {"floatValue": float(_STEP * grade)}}
            for grade, definition in _SCALE.items()
        ],
    }
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
            "models": [{"precomputedInferenceSource": {"inferenceSourceIdentifier": run_id}}]
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
        mean (1 to 5; None, and `error` says why, if less than LEAST_GRADED of the answers have a grade), graded,
        null (results that are no grade), handed_over, model, and scale: "raw" as declared, or "normalised" if the
        job reported 0 to 1, which the documentation leaves open.
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
        "graded": len(grades),
        "null": len(results) - len(grades),
        "handed_over": handed_over,
        "scale": "normalised" if normalised else "raw",
        "model": judge.model,
    }
    if not grades or len(grades) < LEAST_GRADED * handed_over:
        error = (
            f"the judge graded {len(grades):,} of {handed_over:,} answers; {LEAST_GRADED:.0%} are required"
        )
        said |= {"mean": None, "error": error}
    return said
