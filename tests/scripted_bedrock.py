"""Bedrock in memory: the operations that the pipeline uses, done when a test says so and failing as it says.

It stands in for both boto3 clients. Requests are checked against botocore's own service model, and refusals
are real ClientErrors. Nothing happens by itself: `work` brings what is under way to its end.
"""

import itertools
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.validate import validate_parameters

from tests.builders import LABELS_PROMPT, client_error, job_ended, true_label, truth
from tests.scripted_batch import ScriptedBatch
from tests.scripted_throughput import ScriptedThroughput

REGION = "us-east-1"
_ARN = f"arn:aws:bedrock:{REGION}:123456789012:"
ACTIVE = {"status": "ACTIVE"}


@cache
def _shapes() -> dict[str, Any]:
    session = botocore.session.get_session()
    models = [session.get_service_model(service) for service in ("bedrock", "bedrock-runtime")]
    return {
        name: model.operation_model(name).input_shape for model in models for name in model.operation_names
    }


def right_answer(model_id: str, prompt: str, query: str) -> str:
    """Answer as the rule of the tests' datasets has it, whoever is asked."""
    return true_label(query) if prompt == LABELS_PROMPT else truth(query)


@dataclass
class ScriptedBedrock(ScriptedBatch, ScriptedThroughput):
    """Bedrock with what it is told to do.

    Attributes
    ----------
    says : Callable[[str, str, str], str]
        What a model answers, from model id, prompt and query.
    job_ends, deployment_ends, evaluation_ends : tuple[str, str]
        The status that is reached and the failure message.
    grade : Callable[[dict], float | None]
        What the judge gives a line of its dataset, on the scale that the job declares: 2 to 10.
    retries : int
        How often botocore had to ask a model again before it answered.
    models : dict
        By model id, what GetFoundationModel says of it.
    calls : Counter
        How often each operation was called, whatever came of it.
    lost : set[str]
        The ARNs of customization jobs of which Bedrock knows nothing any more.
    """

    says: Callable[[str, str, str], str] = right_answer
    job_ends: tuple[str, str] = ("Completed", "")
    deployment_ends: tuple[str, str] = ("Active", "")
    evaluation_ends: tuple[str, str] = ("Completed", "")
    grade: Callable[[dict[str, Any]], float | None] = lambda line: 9
    region: str = REGION
    retries: int = 0
    models: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            name: {"modelLifecycle": ACTIVE, "customizationsSupported": ["DISTILLATION", "FINE_TUNING"]}
            for name in (
                *("amazon.nova-pro-v1:0", "amazon.nova-premier-v1:0"),
                *("amazon.nova-micro-v1:0:128k", "amazon.nova-2-lite-v1:0:256k"),
            )
        }
    )
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted_models: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meta = SimpleNamespace(
            region_name=self.region, endpoint_url=f"https://bedrock.{self.region}.amazonaws.com"
        )
        self._refusals: dict[str, list[Exception]] = defaultdict(list)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def refuse(self, operation: str, code: str, message: str = "scripted", times: int = 1) -> None:
        """Answer the next calls of an operation with an error."""
        self.raises(operation, *[client_error(code, message, operation)] * times)

    def raises(self, operation: str, *errors: Exception) -> None:
        """Raise these from the next calls of an operation, one a call."""
        self._refusals[operation] += errors

    def clear(self) -> None:
        """Answer as ever what was to be refused."""
        self._refusals.clear()

    def _begin(self, operation: str, parameters: dict[str, Any]) -> None:
        validate_parameters(parameters, _shapes()[operation])
        with self._lock:
            self.calls[operation] += 1
            if self._refusals[operation]:
                raise self._refusals[operation].pop(0)

    def _arn(self, kind: str) -> str:
        return f"{_ARN}{kind}/{next(self._numbers):012d}"

    @staticmethod
    def _found(things: dict[str, dict[str, Any]], identifier: str, operation: str) -> dict[str, Any]:
        for name, thing in things.items():
            if identifier in (name, thing["arn"]):
                return thing
        raise client_error("ResourceNotFoundException", f"{identifier} does not exist", operation, 404)

    def get_foundation_model(self, **request: Any) -> dict[str, Any]:
        self._begin("GetFoundationModel", request)
        if request["modelIdentifier"] not in self.models:
            raise client_error(
                "ValidationException", "The provided model identifier is invalid.", "GetFoundationModel"
            )
        return {"modelDetails": self.models[request["modelIdentifier"]]}

    def create_model_customization_job(self, **request: Any) -> dict[str, Any]:
        self._begin("CreateModelCustomizationJob", request)
        arn = self._arn("model-customization-job")
        job = {"arn": arn, "status": "InProgress", "message": "", "request": request}
        return {"jobArn": self._once(self.jobs, request["jobName"], job)["arn"]}

    def get_model_customization_job(self, **request: Any) -> dict[str, Any]:
        self._begin("GetModelCustomizationJob", request)
        job = self._found(self.jobs, request["jobIdentifier"], "GetModelCustomizationJob")
        if job["arn"] in self.lost:
            raise client_error("ResourceNotFoundException", "no such job", "GetModelCustomizationJob", 404)
        model = {"outputModelArn": job["model_arn"]} if "model_arn" in job else {}
        return {"jobArn": job["arn"], "status": job["status"], **model, **_failure(job)}

    def stop_model_customization_job(self, **request: Any) -> dict[str, Any]:
        self._begin("StopModelCustomizationJob", request)
        job = self._found(self.jobs, request["jobIdentifier"], "StopModelCustomizationJob")
        if job["status"] != "InProgress":
            raise client_error(
                "ConflictException", f"The job is {job['status']}.", "StopModelCustomizationJob"
            )
        job["status"] = "Stopping"
        return {}

    def get_custom_model(self, **request: Any) -> dict[str, Any]:
        self._begin("GetCustomModel", request)
        job = self._found(self.jobs, request["modelIdentifier"], "GetCustomModel")
        if job.get("model_arn") not in self.custom_models:
            raise client_error("ResourceNotFoundException", "no such custom model", "GetCustomModel", 404)
        return {
            "modelArn": job["model_arn"],
            "modelName": request["modelIdentifier"],
            "modelStatus": "Active",
        }

    def delete_custom_model(self, **request: Any) -> dict[str, Any]:
        self._begin("DeleteCustomModel", request)
        arn = request["modelIdentifier"]
        users = [*self.deployments.values(), *self.throughputs.values()]
        if any(deployment.get("model_arn") == arn for deployment in users):
            raise client_error("ConflictException", "is deployed", "DeleteCustomModel")
        if arn not in self.custom_models:
            raise client_error("ResourceNotFoundException", "no such custom model", "DeleteCustomModel", 404)
        self.deleted_models.add(arn)
        return {}

    @property
    def custom_models(self) -> set[str]:
        """The ARNs of the custom models that are there."""
        made = {job["model_arn"] for job in self.jobs.values() if "model_arn" in job}
        return made - self.deleted_models

    def create_custom_model_deployment(self, **request: Any) -> dict[str, Any]:
        self._begin("CreateCustomModelDeployment", request)
        if request["modelArn"] not in self.custom_models:
            raise client_error(
                "ResourceNotFoundException", "no such custom model", "CreateCustomModelDeployment", 404
            )
        deployment = {
            "arn": self._arn("custom-model-deployment"),
            "status": "Creating",
            "message": "",
            "model_arn": request["modelArn"],
        }
        made = self._once(self.deployments, request["modelDeploymentName"], deployment)
        return {"customModelDeploymentArn": made["arn"]}

    def get_custom_model_deployment(self, **request: Any) -> dict[str, Any]:
        self._begin("GetCustomModelDeployment", request)
        identifier = request["customModelDeploymentIdentifier"]
        deployment = self._found(self.deployments, identifier, "GetCustomModelDeployment")
        return {
            "customModelDeploymentArn": deployment["arn"],
            "status": deployment["status"],
            **_failure(deployment),
        }

    def delete_custom_model_deployment(self, **request: Any) -> dict[str, Any]:
        self._begin("DeleteCustomModelDeployment", request)
        identifier = request["customModelDeploymentIdentifier"]
        deleted = self._found(self.deployments, identifier, "DeleteCustomModelDeployment")
        if deleted["status"] == "Creating":
            raise client_error("ConflictException", "being created", "DeleteCustomModelDeployment")
        self.deployments = {name: one for name, one in self.deployments.items() if one is not deleted}
        return {}

    def create_evaluation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("CreateEvaluationJob", request)
        job = {"arn": self._arn("evaluation-job"), "status": "InProgress", "message": "", "request": request}
        return {"jobArn": self._once(self.evaluations, request["jobName"], job)["arn"]}

    def list_evaluation_jobs(self, **request: Any) -> dict[str, Any]:
        self._begin("ListEvaluationJobs", request)
        found = [
            {"jobName": name, "jobArn": job["arn"], "status": job["status"]}
            for name, job in self.evaluations.items()
            if request["nameContains"] in name
        ]
        return {"jobSummaries": found}

    def get_evaluation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("GetEvaluationJob", request)
        job = self._found(self.evaluations, request["jobIdentifier"], "GetEvaluationJob")
        return {"status": job["status"], "failureMessages": [job["message"]] if job["message"] else []}

    def stop_evaluation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("StopEvaluationJob", request)
        job = self._found(self.evaluations, request["jobIdentifier"], "StopEvaluationJob")
        if job["status"] != "InProgress":
            raise client_error("ConflictException", f"The job is {job['status']}.", "StopEvaluationJob", 409)
        job["status"] = "Stopping"
        return {}

    def batch_delete_evaluation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("BatchDeleteEvaluationJob", request)
        (arn,) = request["jobIdentifiers"]
        name = next((name for name, job in self.evaluations.items() if job["arn"] == arn), None)
        if name is None:
            raise client_error("ResourceNotFoundException", "no such job", "BatchDeleteEvaluationJob", 404)
        if self.evaluations[name]["status"] in ("InProgress", "Stopping"):
            error = {"jobIdentifier": arn, "code": "ConflictException", "message": "is at work"}
            return {"errors": [error], "evaluationJobs": []}
        del self.evaluations[name]
        return {"errors": [], "evaluationJobs": [{"jobIdentifier": arn, "jobStatus": "Deleting"}]}

    def converse(self, **request: Any) -> dict[str, Any]:
        self._begin("Converse", request)
        model_id, prompt = request["modelId"], request["system"][0]["text"]
        query = request["messages"][0]["content"][0]["text"]
        self.asked.append((model_id, prompt, query))
        if ":custom-model-deployment/" in model_id:
            self._found(self.deployments, model_id, "Converse")
        if ":provisioned-model/" in model_id:
            self._found(self.throughputs, model_id, "Converse")
        text = self.says(model_id, prompt, query)
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 20, "outputTokens": 10, "totalTokens": 30},
            "metrics": {"latencyMs": 5},
            "ResponseMetadata": {"RetryAttempts": self.retries},
        }

    @staticmethod
    def _once(things: dict[str, dict[str, Any]], name: str, thing: dict[str, Any]) -> dict[str, Any]:
        """Make a thing, or return the one of the same name: names and request tokens are the same here."""
        return things.setdefault(name, thing)

    def work(self, s3: Any, announce: Callable[[dict[str, Any]], None]) -> None:
        """Bring everything under way to its end, as the attributes say.

        Parameters
        ----------
        s3 : boto3 S3 client
            From which the judge's job reads, and to which it writes.
        announce : Callable[[dict], None]
            Takes the events that Bedrock sends.
        """
        for name, job in self.jobs.items():
            if job["status"] == "InProgress":
                job["status"], job["message"] = self.job_ends
                if job["status"] == "Completed":
                    job["model_arn"] = self._arn("custom-model/amazon.nova-micro-v1:0:128k")
                announce(job_ended(name, job["status"]))
        self.work_batches(s3, announce)
        self.provision()
        for deployment in self.deployments.values():
            if deployment["status"] == "Creating":
                deployment["status"], deployment["message"] = self.deployment_ends
        for name, job in self.evaluations.items():
            if job["status"] == "InProgress":
                job["status"], job["message"] = self.evaluation_ends
                if job["status"] == "Completed":
                    self._judge(name, job["request"], s3)

    def _judge(self, name: str, request: dict[str, Any], s3: Any) -> None:
        automated = request["evaluationConfig"]["automated"]
        (wanted,) = automated["datasetMetricConfigs"]
        bucket, _, key = wanted["dataset"]["datasetLocation"]["s3Uri"].removeprefix("s3://").partition("/")
        lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
        results = [
            {
                "automatedEvaluationResult": {
                    "scores": [
                        {"metricName": wanted["metricNames"][0], "result": self.grade(json.loads(line))}
                    ]
                },
                "inputRecord": json.loads(line),
            }
            for line in lines
        ]
        bucket, _, folder = request["outputDataConfig"]["s3Uri"].removeprefix("s3://").partition("/")
        # The layout of the folders is AWS's (user guide, "Review metrics for an automated evaluation job").
        key = f"{folder}{name}/uuid/models/m/taskTypes/General/datasets/golden/uuid_output.jsonl"
        body = "".join(json.dumps(result) + "\n" for result in results)
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())


def _failure(thing: dict[str, Any]) -> dict[str, str]:
    return {"failureMessage": thing["message"]} if thing["message"] else {}
