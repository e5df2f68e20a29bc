"""Model invocation jobs: batch inference over the records of S3 objects.

Output as in docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html. For the local models
the body of an InvokeModel record has the members of a Converse request, as Amazon Nova's has.
"""

import datetime
import json
from typing import Any

from local.bedrock import catalogue, faults, names
from local.bedrock.announcer import event
from local.bedrock.context import Context, Workers
from local.bedrock.errors import BedrockError, DatasetError, conflict, invalid, not_found, quota_exceeded
from local.bedrock.inference import Answer, Inference, converse
from local.bedrock.objects import join
from local.bedrock.resources import created_before, fingerprint, page, tag_map
from local.bedrock.shapes import SerializationError, from_json, violations
from local.bedrock.store import Resource
from local.bedrock.wire import RUNTIME, service_model

KIND = "invocation-job"
_RUNNING = ("Submitted", "InProgress")
_QUOTA = 20


class InvocationJobs:
    """The operations on model invocation jobs, and the work itself."""

    def __init__(self, context: Context, inference: Inference) -> None:
        self._context = context
        self._store = context.store
        self._inference = inference
        self._workers = Workers(1, "bedrock-batch", context.closing)
        self.operations = {
            "CreateModelInvocationJob": self.create,
            "GetModelInvocationJob": self.get,
            "ListModelInvocationJobs": self.list,
            "StopModelInvocationJob": self.stop,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateModelInvocationJob."""
        with self._store.transaction():
            before = created_before(self._store, KIND, parameters)
            if before:
                return {"jobArn": before.arn}
            self._answer(parameters["modelId"])
            if "s3InputDataConfig" not in parameters["inputDataConfig"]:
                raise invalid("inputDataConfig.s3InputDataConfig is required.")
            if self._store.find(KIND, parameters["jobName"]):
                raise conflict(
                    "The provided job name is currently in use. Try again with a different job name."
                )
            if len(self._store.all(KIND, _RUNNING)) >= _QUOTA:
                raise quota_exceeded(f"You have reached the quota of {_QUOTA} submitted and running jobs.")
            tags = tag_map(parameters.get("tags", []))
            now, arn = self._context.now(), names.invocation_job(names.new_id())
            hours = parameters.get("timeoutDurationInHours", 24)
            document = {
                **{name: value for name, value in parameters.items() if name != "tags"},
                "jobArn": arn,
                "modelInvocationType": parameters.get("modelInvocationType", "InvokeModel"),
                "timeoutDurationInHours": hours,
                "submitTime": now,
                "lastModifiedTime": now,
                "jobExpirationTime": now + hours * 3600,
            }
            name, token = parameters["jobName"], parameters.get("clientRequestToken")
            self._store.add(
                Resource(arn, KIND, name, "Submitted", now, token, fingerprint(parameters), document)
            )
            self._store.tag(arn, tags)
        self._workers.submit(self._carry_out, arn)
        return {"jobArn": arn}

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetModelInvocationJob."""
        job = self._find(parameters["jobIdentifier"])
        return {**job.document, "status": job.status}

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListModelInvocationJobs."""
        summaries = [{**job.document, "status": job.status} for job in self._store.all(KIND)]
        equal = {"statusEquals": "status"}
        return page(
            summaries, parameters, "invocationJobSummaries", created="submitTime", name="jobName", equal=equal
        )

    def stop(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopModelInvocationJob."""
        with self._store.transaction():
            job = self._find(parameters["jobIdentifier"])
            if job.status not in _RUNNING:
                raise conflict(f"The job is {job.status} and can't be stopped.")
            self._end(job.arn, "Stopped")
        return {}

    def _find(self, identifier: str) -> Resource:
        arn = identifier if identifier.startswith("arn:") else names.invocation_job(identifier)
        job = self._store.get(arn)
        if job is None or job.kind != KIND:
            raise not_found("The specified model invocation job wasn't found.")
        return job

    def _answer(self, model_id: str) -> Answer:
        if ":custom-model/" in model_id:
            return self._inference.custom_model(model_id)
        if catalogue.resolve(model_id) is None:
            raise invalid("The provided model identifier is invalid.")
        return self._inference.model(model_id)

    def resume(self) -> None:
        """Take up the jobs that an earlier process did not end, from the beginning."""
        for job in self._store.all(KIND, _RUNNING):
            self._workers.submit(self._carry_out, job.arn)

    def close(self) -> None:
        """Wait for the job at hand."""
        self._workers.close()

    def _carry_out(self, arn: str) -> None:
        if not self._context.may_work():
            return
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status not in _RUNNING:
                return
            job = self._store.change(arn, "InProgress", lastModifiedTime=self._context.now())
        try:
            failure = self._context.faults.failure(faults.INVOCATION)
            if failure:
                raise DatasetError(failure)
            counts = self._infer(job)
        except (DatasetError, BedrockError) as error:
            self._end(arn, "Failed", message=str(error)[:2048])
            return
        if counts:
            self._end(
                arn, "Completed", **{name: counts[name] for name in counts if name.endswith("RecordCount")}
            )

    def _infer(self, job: Resource) -> dict[str, int] | None:
        """Write the outputs and return the manifest; None when the job is to be left."""
        objects, answer = self._context.objects(), self._answer(job.document["modelId"])
        uris = list(objects.below(job.document["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]))
        inputs = {uri: [line for line in objects.read(uri).split(b"\n") if line.strip()] for uri in uris}
        total, minimum = sum(map(len, inputs.values())), self._context.configuration.batch_minimum_records
        if total < minimum:
            raise DatasetError(f"The input has {total} records; a job takes at least {minimum}.")
        counts = dict.fromkeys(
            ("successRecordCount", "errorRecordCount", "inputTokenCount", "outputTokenCount"), 0
        )
        folder = join(
            job.document["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"], names.last_part(job.arn)
        )
        for uri, lines in inputs.items():
            outputs = []
            for number, line in enumerate(lines, 1):
                if self._context.closing.is_set():
                    return None
                outputs.append(_output(answer, line, number, counts))
            name = uri.rsplit("/", 1)[-1]
            objects.write(join(folder, f"{name}.out"), ("\n".join(outputs) + "\n").encode())
        manifest = {"totalRecordCount": total, "processedRecordCount": total, **counts}
        objects.write(join(folder, "manifest.json.out"), json.dumps(manifest).encode())
        return manifest

    def _end(self, arn: str, status: str, **members: Any) -> None:
        now = self._context.now()
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status not in _RUNNING:
                return
            job = self._store.change(arn, status, lastModifiedTime=now, endTime=now, **members)
            detail = {
                "version": "0.0",
                "accountId": names.ACCOUNT,
                "batchJobName": job.name,
                "batchJobArn": arn,
                "batchModelId": job.document["modelId"],
                "status": status,
                "failureMessage": job.document.get("message", ""),
                "creationTime": _spoken_time(job.created),
            }
            self._store.announce(event("Batch Inference Job State Change", arn, detail))
        self._context.announcer.wake()


def _output(answer: Answer, line: bytes, number: int, counts: dict[str, int]) -> str:
    """Return the output line of one record and count it."""
    record: dict[str, Any] = {}
    try:
        record = json.loads(line)
        parameters = _converse_parameters(record["modelInput"])
        result = converse(answer, parameters)
    except (ValueError, KeyError, TypeError, RecursionError, BedrockError) as error:
        counts["errorRecordCount"] += 1
        message = error.message if isinstance(error, BedrockError) else "The record is not valid."
        outcome = {"error": {"errorCode": 400, "errorMessage": message}}
    else:
        counts["successRecordCount"] += 1
        counts["inputTokenCount"] += result["usage"]["inputTokens"]
        counts["outputTokenCount"] += result["usage"]["outputTokens"]
        outcome = {"modelOutput": result}
    record = record if isinstance(record, dict) else {}
    identifier = record.get("recordId", f"RECORD{number:07}")
    return json.dumps(
        {"recordId": identifier, "modelInput": record.get("modelInput"), **outcome}, ensure_ascii=False
    )


def _converse_parameters(body: Any) -> dict[str, Any]:
    shape = service_model(RUNTIME).operation_model("Converse").input_shape
    try:
        parameters = from_json(shape, body)
    except SerializationError as error:
        raise invalid(str(error)) from error
    broken = list(violations(shape, {**parameters, "modelId": catalogue.STUDENT}))
    if broken:
        raise invalid("; ".join(broken))
    return parameters


def _spoken_time(moment: float) -> str:
    """Return a moment as AWS's sample of this event writes it: `Aug 28, 2024, 10:47:53 PM`."""
    time = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return f"{time:%b} {time.day}, {time.year}, {time.hour % 12 or 12}:{time:%M:%S %p}"
