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
_LOWEST, _HIGHEST = 1, 5

_WEIGHTS_RUBRIC = """You grade a search router. For a query it says how much each index should count, as JSON weights \
that sum to 1, with its reasoning. Compare its answer with the reference answer and grade its overall quality: how \
accurate the weights are, and whether the reasoning, if there is any, fits the query and the weights.

Grade 5 if every weight is within 0.05 of the reference. Grade 4 if every weight is within 0.10. Grade 3 if the \
largest weight is on the same signal and the mean difference is under 0.15. Grade 2 if the mean difference is at most \
0.30. Grade 1 if it is more, or if the answer is not JSON with exactly these weights. Lower the grade by one step, but \
not below 1, if the reasoning contradicts the query or the weights.

Query: {{prompt}}
Reference answer: {{ground_truth}}
Answer to grade: {{prediction}}"""

_LABELS_RUBRIC = """You grade a classifier. For a query it names one label. Compare its answer with the reference \
answer and grade its overall quality.

Grade 5 if the label is the reference label. Grade 3 if it is another label that is just as right for the query. \
Grade 2 if it is related. Grade 1 if it is wrong or no label at all.

Query: {{prompt}}
Reference answer: {{ground_truth}}
Answer to grade: {{prediction}}"""

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
            {"definition": definition, "value": {"floatValue": float(score)}}
            for score, definition in _SCALE.items()
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


def scores(outputs: Iterable[bytes], judge: Judge) -> dict[str, Any]:
    """Read what the judge said.

    Parameters
    ----------
    outputs : Iterable[bytes]
        The job's *_output.jsonl files. A result may be null: the judge could not grade that answer.

    Returns
    -------
    dict
        mean (1 to 5; None if nothing was graded), graded, null, and scale: "raw", or "normalised" if the job
        reported 0 to 1 instead of the declared 1 to 5, which the documentation leaves open.
    """
    results: list[float | None] = []
    for line in (line for output in outputs for line in output.splitlines() if line.strip()):
        entries = (json.loads(line).get("automatedEvaluationResult") or {}).get("scores") or []
        results += [entry.get("result") for entry in entries if entry.get("metricName") == judge.rubric]
    grades = [float(result) for result in results if result is not None]
    # On the declared scale no grade is below 1, on the normalised one none is above it; all ones are read as raw.
    normalised = bool(grades) and min(grades) < _LOWEST and max(grades) <= 1
    if normalised:
        grades = [_LOWEST + grade * (_HIGHEST - _LOWEST) for grade in grades]
    return {
        "mean": fmean(grades) if grades else None,
        "graded": len(grades),
        "null": len(results) - len(grades),
        "scale": "normalised" if normalised else "raw",
        "model": judge.model,
    }
