"""Evaluation jobs: `local.judge` scores answers that the caller brings along.

Dataset: docs.aws.amazon.com/bedrock/latest/userguide/model-evaluation-prompt-datasets-judge.html. Place and
shape of the output: model-evaluation-report-s3.html there.
"""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from local.bedrock import catalogue, faults, names
from local.bedrock.context import Context, Workers
from local.bedrock.errors import BedrockError, DatasetError, conflict, invalid, not_found, quota_exceeded
from local.bedrock.objects import join
from local.bedrock.resources import created_before, fingerprint, page, tag_map
from local.bedrock.rubric import judge
from local.bedrock.store import Resource

KIND = "evaluation-job"
MAXIMUM_PROMPTS = 1_000
LONGEST_PROMPT = 4 * 1024
TASK_TYPE = "General"
_GRADES = [1.0, 2.0, 3.0, 4.0, 5.0]
"""The rubric's grades, and the ratings of a metric that declares no scale of its own."""
_VARIABLES = {"prompt", "prediction", "ground_truth"}
_RUNNING = ("InProgress", "Stopping")


class EvaluationJobs:
    """The operations on evaluation jobs, and the work itself."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._workers = Workers(2, "bedrock-evaluation", context.closing)
        self.operations = {
            "CreateEvaluationJob": self.create,
            "GetEvaluationJob": self.get,
            "ListEvaluationJobs": self.list,
            "StopEvaluationJob": self.stop,
            "BatchDeleteEvaluationJob": self.delete,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateEvaluationJob."""
        with self._store.transaction():
            before = created_before(self._store, KIND, parameters)
            if before:
                return {"jobArn": before.arn}
            _check(parameters)
            tags = tag_map(parameters.get("jobTags", []))
            if self._store.find(KIND, parameters["jobName"]):
                raise conflict(
                    "The provided job name is currently in use. Try again with a different job name."
                )
            quota = self._context.configuration.evaluation_jobs
            if len(self._store.all(KIND, _RUNNING)) >= quota:
                raise quota_exceeded(f"You have reached the quota of {quota} concurrent evaluation jobs.")
            now, arn = self._context.now(), names.evaluation_job(names.new_id())
            document = {
                **{name: value for name, value in parameters.items() if name != "jobTags"},
                "jobArn": arn,
                "jobType": "Automated",
                "applicationType": "ModelEvaluation",
                "creationTime": now,
                "lastModifiedTime": now,
            }
            name, token = parameters["jobName"], parameters.get("clientRequestToken")
            self._store.add(
                Resource(arn, KIND, name, "InProgress", now, token, fingerprint(parameters), document)
            )
            self._store.tag(arn, tags)
        self._workers.submit(self._carry_out, arn)
        return {"jobArn": arn}

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetEvaluationJob, by ARN only."""
        job = self._find(parameters["jobIdentifier"])
        return {**job.document, "status": job.status}

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListEvaluationJobs."""
        summaries = [
            {
                **job.document,
                "status": job.status,
                "evaluationTaskTypes": [TASK_TYPE],
                "customMetricsEvaluatorModelIdentifiers": [catalogue.JUDGE],
            }
            for job in self._store.all(KIND)
        ]
        equal = {"statusEquals": "status", "applicationTypeEquals": "applicationType"}
        return page(summaries, parameters, "jobSummaries", name="jobName", equal=equal)

    def stop(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopEvaluationJob."""
        with self._store.transaction():
            job = self._find(parameters["jobIdentifier"])
            if job.status != "InProgress":
                raise conflict(f"The job is {job.status} and can't be stopped.")
            self._store.change(job.arn, "Stopped", lastModifiedTime=self._context.now())
        return {}

    def delete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """BatchDeleteEvaluationJob: those that are over go, the others are named with the reason."""
        deleted, errors = [], []
        for arn in parameters["jobIdentifiers"]:
            with self._store.transaction():
                try:
                    job = self._find(arn)
                    if job.status in _RUNNING or "unwritten" in job.document:
                        raise conflict(f"The job is {job.status} and can't be deleted.")
                except BedrockError as error:
                    errors.append({"jobIdentifier": arn, "code": error.name, "message": error.message})
                    continue
                self._store.remove(arn)
                deleted.append({"jobIdentifier": arn, "jobStatus": "Deleting"})
        return {"errors": errors, "evaluationJobs": deleted}

    def _find(self, arn: str) -> Resource:
        job = self._store.get(arn)
        if job is None or job.kind != KIND:
            raise not_found("The specified evaluation job wasn't found.")
        return job

    def resume(self) -> None:
        """Take up the jobs that an earlier process did not end; they write the same objects again."""
        for job in self._store.all(KIND):
            if job.status in _RUNNING or "unwritten" in job.document:
                self._workers.submit(self._carry_out, job.arn)

    def close(self) -> None:
        """Wait for the jobs at hand."""
        self._workers.close()

    def _carry_out(self, arn: str) -> None:
        if not self._context.may_work():
            return
        job = self._store.get(arn)
        if job is None or (job.status not in _RUNNING and "unwritten" not in job.document):
            return
        try:
            failure = self._context.faults.failure(faults.EVALUATION)
            if failure:
                raise DatasetError(failure)
            outputs = self._score(job)
            self._publish(job, outputs)
        except DatasetError as error:
            self._set(arn, "Failed", failureMessages=[str(error)[:2048]])

    def _score(self, job: Resource) -> dict[str, bytes]:
        objects, outputs = self._context.objects(), {}
        configuration = job.document["evaluationConfig"]["automated"]
        source = job.document["inferenceConfig"]["models"][0]["precomputedInferenceSource"][
            "inferenceSourceIdentifier"
        ]
        scales = {name: ratings(metric) for name, metric in _metrics(configuration).items()}
        for item in configuration["datasetMetricConfigs"]:
            rows = read_rows(objects.read(item["dataset"]["datasetLocation"]["s3Uri"]), source)
            lines = [_output_line(row, {name: scales[name] for name in item["metricNames"]}) for row in rows]
            outputs[_output_uri(job, item["dataset"]["name"], source)] = "".join(lines).encode()
        return outputs

    def _publish(self, job: Resource, outputs: dict[str, bytes]) -> None:
        """Write the output objects and complete the job.

        Which of the two comes first on AWS is not documented. Without a lag the job is Completed first, so
        that who is woken by the object finds it so; a lag shows the other order.
        """
        lag = self._context.configuration.evaluation_lag_seconds
        if not lag and not self._set(job.arn, "Completed", unwritten=True):
            return
        objects = self._context.objects()
        for uri, body in outputs.items():
            objects.write(uri, body)
        if lag and not self._context.may_work(lag):
            return
        self._set(job.arn, "Completed", unwritten=None)

    def _set(self, arn: str, status: str, **members: Any) -> bool:
        """Change a job's status; return False when it was stopped in the meantime."""
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status == "Stopped":
                return False
            self._store.change(arn, status, lastModifiedTime=self._context.now(), **members)
        return True


def _check(parameters: dict[str, Any]) -> None:
    """Refuse what the service model alone cannot, and what `local.judge` cannot do."""
    automated = parameters["evaluationConfig"].get("automated")
    if automated is None or parameters.get("applicationType", "ModelEvaluation") != "ModelEvaluation":
        raise invalid("The local stand-in only runs automated model evaluation.")
    models = parameters["inferenceConfig"].get("models", [])
    if len(models) != 1 or "precomputedInferenceSource" not in models[0]:
        raise invalid("The local stand-in evaluates exactly one model, by its precomputedInferenceSource.")
    metrics = _metrics(automated)
    for metric in metrics.values():
        _check_metric(metric)
    for item in automated["datasetMetricConfigs"]:
        if item["taskType"] != TASK_TYPE:
            raise invalid(f"The task type must be {TASK_TYPE} for a job with an evaluator model.")
        if "datasetLocation" not in item["dataset"]:
            raise invalid(
                "A job with an evaluator model needs datasetLocation; there are no built-in datasets for it."
            )
        unknown = [name for name in item["metricNames"] if name not in metrics]
        if unknown:
            raise invalid(
                f"The metric {unknown[0]} isn't defined in customMetricConfig, and local.judge has no "
                "built-in ones."
            )
    judges = (
        automated.get("customMetricConfig", {})
        .get("evaluatorModelConfig", {})
        .get("bedrockEvaluatorModels", [])
    )
    judges = judges + automated.get("evaluatorModelConfig", {}).get("bedrockEvaluatorModels", [])
    for evaluator in judges:
        model = catalogue.resolve(evaluator["modelIdentifier"])
        if model is None or model.model_id != catalogue.JUDGE:
            raise invalid(f"The evaluator model {evaluator['modelIdentifier']} isn't supported.")


def _metrics(automated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the custom metrics of a job by name."""
    return {
        metric["customMetricDefinition"]["name"]: metric["customMetricDefinition"]
        for metric in automated.get("customMetricConfig", {}).get("customMetrics", [])
        if "customMetricDefinition" in metric
    }


def _check_metric(metric: dict[str, Any]) -> None:
    used = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", metric["instructions"]))
    if not used or not used <= _VARIABLES:
        raise invalid(
            f"The instructions of {metric['name']} must use {{{{prompt}}}}, {{{{prediction}}}} or "
            "{{ground_truth}}, and no other variable."
        )
    declared = [item["value"].get("floatValue") for item in metric.get("ratingScale", [])]
    if declared and (None in declared or len(set(declared)) != len(_GRADES)):
        raise invalid(
            f"local.judge rates on five different numbers; the scale of {metric['name']} has something else."
        )


def ratings(metric: dict[str, Any]) -> list[float]:
    """Return what a metric's scale calls the grades 1 to 5."""
    return sorted(item["value"]["floatValue"] for item in metric.get("ratingScale", [])) or _GRADES


@dataclass(frozen=True)
class Row:
    """One line of the dataset: the object itself, and what is compared."""

    record: dict[str, Any]
    reference: str
    response: dict[str, str]


def read_rows(body: bytes, source: str) -> list[Row]:
    """Return the rows of a judge dataset.

    Parameters
    ----------
    body
        JSON lines with `prompt`, `referenceResponse` (optional) and `modelResponses` (exactly one).
    source
        The `inferenceSourceIdentifier` that every response's `modelIdentifier` must equal.

    Raises
    ------
    DatasetError
        More than 1,000 prompts, a prompt over 4 KB, or a line of another shape; the message names the line.
    """
    rows = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(json.loads(line.decode()), source))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"Line {number} of the dataset is invalid: {error}.") from error
    if not 1 <= len(rows) <= MAXIMUM_PROMPTS:
        raise DatasetError(
            f"The dataset has {len(rows)} prompts; an evaluation job takes 1 to {MAXIMUM_PROMPTS}."
        )
    return rows


def _row(record: dict[str, Any], source: str) -> Row:
    responses = record["modelResponses"]
    if len(responses) != 1:
        raise ValueError(f"modelResponses must hold exactly one response, not {len(responses)}")
    response, reference = responses[0], record.get("referenceResponse", "")
    texts = (record["prompt"], reference, response["response"], response["modelIdentifier"])
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("prompt, referenceResponse, response and modelIdentifier must be texts")
    if len(record["prompt"].encode()) > LONGEST_PROMPT:
        raise ValueError(f"the prompt is longer than {LONGEST_PROMPT} bytes")
    if response["modelIdentifier"] != source:
        raise ValueError(
            f"modelIdentifier {response['modelIdentifier']} is not the inference source {source}"
        )
    return Row(record, reference, response)


def _output_line(row: Row, scales: dict[str, list[float]]) -> str:
    verdict = judge(row.reference, row.response["response"])
    details = [{"modelIdentifier": catalogue.JUDGE, "explanation": verdict.explanation}]
    scores = [
        {"metricName": name, "result": _rated(verdict.score, scale), "evaluatorDetails": details}
        for name, scale in scales.items()
    ]
    input_record = {name: value for name, value in row.record.items() if name != "modelResponses"}
    line = {
        "automatedEvaluationResult": {"scores": scores},
        "inputRecord": input_record,
        "modelResponses": [row.response],
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _rated(grade: float | None, scale: list[float]) -> float | None:
    """Return a grade on a scale of five: grade 1 is its lowest value, grade 5 its highest."""
    return None if grade is None else scale[int(grade) - 1]


def _output_uri(job: Resource, dataset: str, source: str) -> str:
    """Return where the output goes: the same for every attempt, so that a resumed job overwrites it."""
    run, file = (
        uuid.uuid5(uuid.NAMESPACE_URL, job.arn),
        uuid.uuid5(uuid.NAMESPACE_URL, f"{job.arn}#{dataset}"),
    )
    return join(
        job.document["outputDataConfig"]["s3Uri"],
        job.name,
        str(run),
        "models",
        source,
        "taskTypes",
        TASK_TYPE,
        "datasets",
        dataset,
        f"{file}_output.jsonl",
    )
