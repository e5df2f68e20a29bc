"""Batch inference in memory: jobs that write what the model says, as far as a test lets them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.builders import batch_ended, client_error


@dataclass
class ScriptedBatch:
    """The part of a scripted Bedrock that does model invocation jobs.

    Attributes
    ----------
    batch_ends : tuple[str, str]
        The status that jobs reach, and Bedrock's message.
    batch_answers : Callable[[int], bool]
        Whether the record of a place, from 0, is answered.
    batches : dict
        Jobs by name.
    """

    batch_ends: tuple[str, str] = ("Completed", "")
    batch_answers: Callable[[int], bool] = lambda place: True
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def create_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("CreateModelInvocationJob", request)
        if request["jobName"] in self.batches:
            raise client_error("ConflictException", "the name is in use", "CreateModelInvocationJob")
        job = {
            "arn": self._arn("model-invocation-job"),
            "status": "Submitted",
            "request": request,
            "message": "",
        }
        self.batches[request["jobName"]] = job
        return {"jobArn": job["arn"]}

    def list_model_invocation_jobs(self, **request: Any) -> dict[str, Any]:
        self._begin("ListModelInvocationJobs", request)
        found = [
            {"jobName": name, "jobArn": job["arn"], "status": job["status"]}
            for name, job in self.batches.items()
            if request["nameContains"] in name
        ]
        return {"invocationJobSummaries": found}

    def get_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("GetModelInvocationJob", request)
        job = self._found(self.batches, request["jobIdentifier"], "GetModelInvocationJob")
        return {"jobArn": job["arn"], "status": job["status"], "message": job["message"]}

    def stop_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        self._begin("StopModelInvocationJob", request)
        job = self._found(self.batches, request["jobIdentifier"], "StopModelInvocationJob")
        if job["status"] not in ("Submitted", "InProgress"):
            raise client_error("ConflictException", "the job is over", "StopModelInvocationJob")
        job["status"] = "Stopped"
        return {}

    def work_batches(self, s3: Any, announce: Callable[[dict[str, Any]], None]) -> None:
        """Bring the jobs under way to their end; see `ScriptedBedrock.work`."""
        for name, job in self.batches.items():
            if job["status"] == "Submitted":
                job["status"], job["message"] = self.batch_ends
                if job["status"] != "Failed":
                    self._answer(job, s3)
                announce(batch_ended(name, job["status"]))

    def _answer(self, job: dict[str, Any], s3: Any) -> None:
        request = job["request"]
        bucket, key = _place(request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        records = map(json.loads, s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines())
        lines = []
        for place, record in enumerate(records):
            if self.batch_answers(place):
                asked = record["modelInput"]
                query = asked["messages"][0]["content"][0]["text"]
                text = self.says(request["modelId"], asked["system"][0]["text"], query)
                output = {"output": {"message": {"role": "assistant", "content": [{"text": text}]}}}
                lines.append(json.dumps(record | {"modelOutput": output | {"stopReason": "end_turn"}}))
        bucket, folder = _place(request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"])
        folder += job["arn"].rpartition("/")[2]
        name = key.rpartition("/")[2]
        s3.put_object(Bucket=bucket, Key=f"{folder}/{name}.out", Body="\n".join(lines).encode())
        s3.put_object(Bucket=bucket, Key=f"{folder}/manifest.json.out", Body=b"{}")


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
