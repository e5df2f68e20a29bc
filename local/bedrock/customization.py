"""Model customization jobs: distillation, fine-tuning and reinforcement fine-tuning of the local students."""

from collections.abc import Callable
from typing import Any

from local.bedrock import faults, names
from local.bedrock.announcer import event, event_time
from local.bedrock.context import Context, Workers
from local.bedrock.custom_models import KIND as CUSTOM_MODEL
from local.bedrock.custom_models import model_path
from local.bedrock.customization_request import checked
from local.bedrock.errors import conflict, invalid, not_found, quota_exceeded
from local.bedrock.objects import join
from local.bedrock.processes import TrainingProcesses
from local.bedrock.resources import created_before, fingerprint, page, tag_map
from local.bedrock.store import Resource
from local.bedrock.training import (
    DEFAULT_EPOCHS,
    DEFAULT_LEARNING_RATE,
    DEFAULT_WARMUP_STEPS,
    TrainingOrder,
)

KIND = "customization-job"
_STAGES = ("validationDetails", "dataProcessingDetails", "trainingDetails")
_DETAIL_TYPE = "Model Customization Job State Change"


class CustomizationJobs:
    """The operations on model customization jobs, and the work itself.

    `prepare` is called whenever a job is created: somebody will soon ask what it made.
    """

    def __init__(self, context: Context, prepare: Callable[[], None]) -> None:
        self._context = context
        self._prepare = prepare
        self._store = context.store
        self._processes = TrainingProcesses()
        self._workers = Workers(context.configuration.training_processes, "bedrock-training", context.closing)
        self.operations = {
            "CreateModelCustomizationJob": self.create,
            "GetModelCustomizationJob": self.get,
            "ListModelCustomizationJobs": self.list,
            "StopModelCustomizationJob": self.stop,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateModelCustomizationJob."""
        with self._store.transaction():
            before = created_before(self._store, KIND, parameters)
            if before:
                return {"jobArn": before.arn}
            model_id = checked(parameters)
            self._refuse_used_names(parameters)
            self._refuse_beyond_quota()
            job = self._add(parameters, model_id)
        self._prepare()
        self._workers.submit(self._carry_out, job.arn)
        return {"jobArn": job.arn}

    def get(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """GetModelCustomizationJob."""
        job = self._find(parameters["jobIdentifier"])
        return {**job.document, "status": job.status}

    def list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListModelCustomizationJobs."""
        summaries = [
            {
                **job.document,
                "status": job.status,
                "customModelArn": job.document.get("outputModelArn"),
                "customModelName": job.document["outputModelName"],
            }
            for job in self._store.all(KIND)
        ]
        equal = {"statusEquals": "status"}
        return page(summaries, parameters, "modelCustomizationJobSummaries", name="jobName", equal=equal)

    def stop(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """StopModelCustomizationJob."""
        with self._store.transaction():
            job = self._find(parameters["jobIdentifier"])
            if job.status != "InProgress":
                raise conflict(f"The job is {job.status} and can't be stopped.")
            self._store.change(job.arn, "Stopping", lastModifiedTime=self._context.now())
        self._processes.stop(job.arn)
        # The worker that has the job sees that it is to stop; one that is still in the queue is seen when it
        # gets there.
        if job.document["statusDetails"]["validationDetails"]["status"] == "NotStarted":
            self._end(job.arn, "Stopped")
        return {}

    def _find(self, identifier: str) -> Resource:
        job = self._store.find(KIND, identifier)
        if job is None:
            raise not_found("The specified model customization job wasn't found.")
        return job

    def _refuse_used_names(self, parameters: dict[str, Any]) -> None:
        # The wording and error are those that CreateModelImportJob is reported to give:
        # github.com/aws/sagemaker-python-sdk pull request 6076. The service model also lists
        # ConflictException for this operation.
        if self._store.find(KIND, parameters["jobName"]):
            raise invalid("The provided job name is currently in use. Try again with a different job name.")
        name = parameters["customModelName"]
        reserved = {
            job.document["outputModelName"] for job in self._store.all(KIND, ("InProgress", "Stopping"))
        }
        if name in reserved or self._store.find(CUSTOM_MODEL, name):
            raise invalid(
                "The provided model name is currently in use. Try again with a different model name."
            )

    def _refuse_beyond_quota(self) -> None:
        configuration = self._context.configuration
        waiting = len(self._store.all(KIND, ("InProgress", "Stopping")))
        if waiting >= configuration.scheduled_customization_jobs:
            raise quota_exceeded(
                f"You have reached the quota of {configuration.scheduled_customization_jobs} scheduled "
                "customization jobs. Wait for one to end and try again."
            )
        if len(self._store.all(CUSTOM_MODEL)) + waiting >= configuration.custom_models:
            raise quota_exceeded(
                f"You have reached the quota of {configuration.custom_models} custom models."
            )

    def _add(self, parameters: dict[str, Any], model_id: str) -> Resource:
        now, identifier = self._context.now(), names.new_id()
        arn = names.customization_job(model_id, identifier)
        document = {
            **{
                name: value
                for name, value in parameters.items()
                if name not in ("jobTags", "customModelTags")
            },
            "jobArn": arn,
            "outputModelName": parameters["customModelName"],
            "baseModelArn": names.foundation_model(model_id),
            "customizationType": parameters.get("customizationType", "FINE_TUNING"),
            "validationDataConfig": parameters.get("validationDataConfig", {"validators": []}),
            "outputModelKmsKeyArn": parameters.get("customModelKmsKeyId"),
            "hyperParameters": parameters.get("hyperParameters", {}),
            "creationTime": now,
            "lastModifiedTime": now,
            "statusDetails": {
                stage: {"status": "NotStarted", "creationTime": now, "lastModifiedTime": now}
                for stage in _STAGES
            },
            "customModelArn": names.custom_model(model_id, names.new_id()),
            "customModelTags": tag_map(parameters.get("customModelTags", [])),
        }
        job = Resource(
            arn,
            KIND,
            parameters["jobName"],
            "InProgress",
            now,
            parameters.get("clientRequestToken"),
            fingerprint(parameters),
            document,
        )
        self._store.add(job)
        self._store.tag(arn, tag_map(parameters.get("jobTags", [])))
        return job

    def resume(self) -> None:
        """Take up the jobs that an earlier process did not end; training starts again from the beginning."""
        for job in self._store.all(KIND, ("InProgress", "Stopping")):
            self._workers.submit(self._carry_out, job.arn)

    def close(self) -> None:
        """End all training; the jobs stay InProgress and are resumed by the next process."""
        self._processes.close()
        self._workers.close()

    def _carry_out(self, arn: str) -> None:
        if not self._context.may_work(self._context.configuration.training_start_seconds):
            return
        job = self._store.get(arn)
        if job is None or job.status not in ("InProgress", "Stopping"):
            return
        if job.status == "Stopping":
            self._end(arn, "Stopped")
            return
        failure = self._context.faults.failure(faults.CUSTOMIZATION)
        if failure:
            self._end(arn, "Failed", failure)
            return
        outcome: dict[str, Any] = {}
        code = self._processes.train(arn, self._order(job), lambda news: self._hear(arn, news, outcome))
        self._conclude(arn, outcome, code)

    def _conclude(self, arn: str, outcome: dict[str, Any], code: int | None) -> None:
        job = self._store.get(arn)
        if job is None or self._context.closing.is_set() or code is None:
            return
        if job.status == "Stopping":
            self._end(arn, "Stopped")
        elif "result" in outcome:
            self._complete(arn, outcome["result"])
        else:
            self._end(
                arn, "Failed", outcome.get("failure", f"The training process ended with exit code {code}.")
            )

    def _order(self, job: Resource) -> TrainingOrder:
        document = job.document
        teacher = (
            document.get("customizationConfig", {})
            .get("distillationConfig", {})
            .get("teacherModelConfig", {})
        )
        hyperparameters = document["hyperParameters"]
        reinforcement = document.get("customizationConfig", {}).get("rftConfig", {})
        folder = f"model-customization-job-{names.last_part(job.arn)}"
        return TrainingOrder(
            state_folder=str(self._context.folder),
            aws_endpoint=self._context.aws_endpoint,
            customization_type=document["customizationType"],
            student=names.last_part(document["baseModelArn"]),
            training_uri=document["trainingDataConfig"]["s3Uri"],
            validation_uris=[
                validator["s3Uri"] for validator in document["validationDataConfig"]["validators"]
            ],
            artifacts_uri=join(document["outputDataConfig"]["s3Uri"], folder),
            model_path=str(model_path(self._context.folder, document["customModelArn"])),
            epochs=int(hyperparameters.get("epochCount", DEFAULT_EPOCHS)),
            learning_rate=float(hyperparameters.get("learningRate", DEFAULT_LEARNING_RATE)),
            warmup_steps=int(hyperparameters.get("learningRateWarmupSteps", DEFAULT_WARMUP_STEPS)),
            longest_answer=teacher.get("maxResponseLengthForInference"),
            reward_function_arn=reinforcement.get("graderConfig", {})
            .get("lambdaGrader", {})
            .get("lambdaArn", ""),
            reinforcement=reinforcement.get("hyperParameters", {}),
        )

    def _hear(self, arn: str, news: dict[str, Any], outcome: dict[str, Any]) -> None:
        outcome.update(news)
        if "stage" not in news:
            return
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status != "InProgress":
                return
            now, details = self._context.now(), dict(job.document["statusDetails"])
            details[news["stage"]] = {
                **details[news["stage"]],
                "status": news["status"],
                "lastModifiedTime": now,
            }
            self._store.change(arn, job.status, statusDetails=details, lastModifiedTime=now)

    def _complete(self, arn: str, result: dict[str, float]) -> None:
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status != "InProgress":
                return
            now, document = self._context.now(), job.document
            metrics: dict[str, Any] = {"trainingMetrics": {"trainingLoss": result["trainingLoss"]}}
            if "validationLoss" in result:
                metrics["validationMetrics"] = [{"validationLoss": result["validationLoss"]}]
            copied = (
                "baseModelArn",
                "customizationType",
                "hyperParameters",
                "trainingDataConfig",
                "outputDataConfig",
            )
            copied += (
                "validationDataConfig",
                "customizationConfig",
                "outputModelKmsKeyArn",
                "jobArn",
                "jobName",
            )
            model = {
                **{name: document[name] for name in copied if name in document},
                **metrics,
                "modelArn": document["customModelArn"],
                "modelName": document["outputModelName"],
                "modelKmsKeyArn": document.get("outputModelKmsKeyArn"),
                "creationTime": now,
            }
            arn_of_model = document["customModelArn"]
            self._store.add(
                Resource(
                    arn_of_model,
                    CUSTOM_MODEL,
                    model["modelName"],
                    "Active",
                    now,
                    None,
                    job.fingerprint,
                    model,
                )
            )
            self._store.tag(arn_of_model, document["customModelTags"])
            self._end(arn, "Completed", outputModelArn=arn_of_model, **metrics)

    def _end(self, arn: str, status: str, failure: str | None = None, **members: Any) -> None:
        now = self._context.now()
        with self._store.transaction():
            job = self._store.get(arn)
            if job is None or job.status not in ("InProgress", "Stopping"):
                return
            details = {
                stage: detail
                if detail["status"] in ("Completed", "NotStarted")
                else {**detail, "status": status}
                for stage, detail in job.document["statusDetails"].items()
            }
            failure = failure[:2048] if failure else None
            times = {"lastModifiedTime": now, "endTime": now}
            job = self._store.change(
                arn, status, statusDetails=details, failureMessage=failure, **times, **members
            )
            self._store.announce(event(_DETAIL_TYPE, arn, _event_detail(job)))
        self._context.announcer.wake()


def _event_detail(job: Resource) -> dict[str, Any]:
    """Return the event's detail.

    Members as in docs.aws.amazon.com/bedrock/latest/userguide/monitoring-eventbridge-how-it-works.html
    """
    document = job.document
    validators = document["validationDataConfig"]["validators"]
    detail = {
        "version": "0.0",
        "jobName": job.name,
        "jobArn": job.arn,
        "outputModelName": document["outputModelName"],
        "outputModelArn": document.get("outputModelArn"),
        "roleArn": document["roleArn"],
        "jobStatus": job.status,
        "failureMessage": document.get("failureMessage"),
        "creationTime": event_time(document["creationTime"]),
        "lastModifiedTime": event_time(document["lastModifiedTime"]),
        "endTime": event_time(document["endTime"]),
        "baseModelArn": document["baseModelArn"],
        "hyperParameters": document["hyperParameters"],
        "trainingDataConfig": document["trainingDataConfig"],
        "validationDataConfig": validators[0] if validators else None,
        "outputDataConfig": document["outputDataConfig"],
    }
    return {name: value for name, value in detail.items() if value is not None}
