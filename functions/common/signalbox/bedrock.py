"""Amazon Bedrock: customization jobs, custom models, evaluation jobs, and asking a model."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from signalbox.customization import Customization, Distillation, FineTuning
from signalbox.failure import PermanentFailure

BUSY = frozenset({"ThrottlingException", "ServiceQuotaExceededException", "TooManyRequestsException"})
REFUSED = frozenset({"ValidationException", "AccessDeniedException", "ResourceNotFoundException"})
_ABSENT_NAME = frozenset({"ResourceNotFoundException", "ValidationException"})
_ABSENT_ARN = frozenset({"ResourceNotFoundException"})
"""A name that Bedrock does not know may not look like an identifier to it; an ARN that it gave out does."""
_ENDED = frozenset({"ConflictException", "ResourceNotFoundException", "ValidationException"})
"""What stopping a job is answered with that is not at work."""

_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")

UNTRAINED_TOKENS = 500
"""Room for a model that was not trained for the task and explains itself; a cut answer would be an invalid one."""


class Busy(RuntimeError):
    """Bedrock throttles, or a quota is used up: what was asked for is to be asked again later."""


@dataclass(frozen=True)
class FoundationModel:
    """What GetFoundationModel says of a model that we look at."""

    legacy: bool
    end_of_life: datetime | None
    customizations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Job:
    """A customization job as Bedrock itself reports it.

    Attributes
    ----------
    status : str
        InProgress, Completed, Failed, Stopping or Stopped.
    model_arn : str | None
        The custom model, once the job is completed.
    message : str
        Bedrock's failure message, "" if there is none.
    """

    arn: str
    status: str
    model_arn: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, in how many milliseconds (measured here, over the network), with how many tokens.

    `retries` says how often botocore had to ask again within these milliseconds.
    """

    text: str
    latency_ms: float
    input_tokens: int
    output_tokens: int
    stop_reason: str
    retries: int = 0


class Bedrock:
    """Bedrock's operations as the pipeline uses them.

    Every name is a run's, so that asking twice makes nothing twice: what is there already is returned.

    Parameters
    ----------
    control, runtime : boto3 clients of bedrock and bedrock-runtime
    """

    def __init__(self, control: Any, runtime: Any) -> None:
        self._control = control
        self._runtime = runtime

    @property
    def control(self) -> Any:
        """The client of bedrock, for the adapters beside this one."""
        return self._control

    @property
    def region(self) -> str:
        """The region in which models are customized and asked."""
        return self._control.meta.region_name

    @property
    def on_aws(self) -> bool:
        """Whether the models are asked at AWS, and not at an endpoint that stands in for it."""
        host = urlsplit(self._control.meta.endpoint_url).hostname or ""
        return host.endswith(_AWS_DOMAINS)

    def foundation_model(self, model_id: str) -> FoundationModel | None:
        """Return what Bedrock says of a foundation model, or None if it does not offer it in this region."""
        details = look_up(
            "model", model_id, lambda: self._control.get_foundation_model(modelIdentifier=model_id)
        )
        if details is None:
            return None
        lifecycle = details["modelDetails"].get("modelLifecycle", {})
        return FoundationModel(
            legacy=lifecycle.get("status") == "LEGACY",
            end_of_life=lifecycle.get("endOfLifeTime"),
            customizations=frozenset(details["modelDetails"].get("customizationsSupported", ())),
        )

    def start_customization(
        self,
        name: str,
        customization: Customization,
        *,
        role_arn: str,
        training: str,
        output: str,
        kms_key_arn: str,
        validation: str = "",
        reward_function_arn: str = "",
    ) -> str:
        """Start the customization job of a run, unless it has been started, and return its ARN.

        Parameters
        ----------
        name : str
            The run id; it names the job and the custom model.
        training, output : str
            s3:// addresses of the training file and of the prefix for the job's artefacts.
        kms_key_arn : str
            Encrypts the custom model; "" for a key that AWS owns.
        validation : str
            s3:// address of the validation set; "" for none.
        reward_function_arn : str
            The Lambda function that grades answers; read for reinforcement fine-tuning alone.

        Raises
        ------
        Busy
            Throttled, or a quota of jobs or models is used up.
        PermanentFailure
            Bedrock refuses the job.
        """
        started = self.customization_job(name)
        if started is not None:
            return started.arn
        optional = {"customModelKmsKeyId": kms_key_arn} if kms_key_arn else {}
        if validation:
            optional["validationDataConfig"] = {"validators": [{"s3Uri": validation}]}
        with refusals("distill", "correct customization in the task, upload it and drop the dataset again"):
            return self._control.create_model_customization_job(
                jobName=name,
                customModelName=name,
                clientRequestToken=name,
                roleArn=role_arn,
                baseModelIdentifier=customization.student,
                customizationType=customization.type,
                trainingDataConfig={"s3Uri": training},
                outputDataConfig={"s3Uri": output},
                jobTags=tags(name),
                customModelTags=tags(name),
                **_of_type(customization, reward_function_arn),
                **optional,
            )["jobArn"]

    def customization_job(self, identifier: str) -> Job | None:
        """Return a customization job by ARN or name, or None if there is none."""
        answer = look_up(
            "job",
            identifier,
            lambda: self._control.get_model_customization_job(jobIdentifier=identifier),
        )
        if answer is None:
            return None
        return Job(
            answer["jobArn"], answer["status"], answer.get("outputModelArn"), answer.get("failureMessage", "")
        )

    def custom_model(self, name: str) -> str | None:
        """Return the ARN of a custom model by its name, or None if there is none that can be used."""
        answer = look_up("custom model", name, lambda: self._control.get_custom_model(modelIdentifier=name))
        usable = answer is not None and answer.get("modelStatus", "Active") == "Active"
        return answer["modelArn"] if usable else None

    def delete_model(self, arn: str) -> None:
        """Delete a custom model, unless it is gone.

        Raises
        ------
        Busy
            Throttled, or a deployment of the model is still there.
        """
        with deletion():
            self._control.delete_custom_model(modelIdentifier=arn)

    def stop_customization(self, arn: str) -> None:
        """Stop a customization job; one that has ended meanwhile is left as it is.

        Raises
        ------
        Busy
            Throttled.
        """
        try:
            self._control.stop_model_customization_job(jobIdentifier=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in BUSY:
                raise Busy(f"Bedrock throttles stopping the job: {_message(error)}") from error
            if code not in _ENDED:
                raise

    def delete_evaluation(self, arn: str) -> None:
        """Delete a judge's evaluation job, unless it is gone; what it wrote stays.

        Raises
        ------
        Busy
            Throttled, or the job is still at work.
        """
        with deletion():
            errors = self._control.batch_delete_evaluation_job(jobIdentifiers=[arn])["errors"]
            for error in errors:
                if error["code"] not in _ABSENT_ARN:
                    raise Busy(f"Bedrock: {error['code']}: {error.get('message', '')}")

    def start_evaluation(
        self, name: str, configuration: dict[str, Any], *, role_arn: str, output: str
    ) -> str:
        """Start a judge's evaluation job, unless it has been started, and return its ARN.

        Parameters
        ----------
        configuration : dict
            evaluationConfig and inferenceConfig of CreateEvaluationJob.
        output : str
            s3:// address of the prefix for the job's results.

        Raises
        ------
        Busy
            Throttled, or a quota is used up.
        PermanentFailure
            Bedrock refuses the job.
        """
        started = self._evaluation_named(name)
        if started is not None:
            return started
        with refusals("evaluate", "correct judge in the task, or leave it out, and drop the dataset again"):
            return self._control.create_evaluation_job(
                jobName=name,
                clientRequestToken=name,
                roleArn=role_arn,
                applicationType="ModelEvaluation",
                outputDataConfig={"s3Uri": output},
                jobTags=tags(name),
                **configuration,
            )["jobArn"]

    def _evaluation_named(self, name: str) -> str | None:
        """Return the ARN of the evaluation job of a name, which GetEvaluationJob does not take."""
        return self._evaluations_with(name).get(name)

    def evaluations_of(self, run_id: str) -> list[str]:
        """Return the ARNs of the evaluation jobs that are named after a run, whatever candidate each grades.

        Raises
        ------
        Busy
            Throttled.
        """
        named = self._evaluations_with(run_id)
        return [arn for name, arn in named.items() if name.startswith(f"{run_id}-")]

    def _evaluations_with(self, text: str) -> dict[str, str]:
        """Return the ARNs of the evaluation jobs in whose names a text is, by name; a page holds all of one run."""
        answer = look_up("judge's job", text, lambda: self._control.list_evaluation_jobs(nameContains=text))
        return {job["jobName"]: job["jobArn"] for job in answer["jobSummaries"]} if answer else {}

    def evaluation_status(self, arn: str) -> tuple[str, str]:
        """Return an evaluation job's status and its failure messages in one line; one that is gone has failed.

        Raises
        ------
        Busy
            Bedrock does not say: throttled, or access is denied, which says nothing of the job.
        """
        try:
            answer = self._control.get_evaluation_job(jobIdentifier=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _ABSENT_ARN:
                return "Failed", "the job is gone"
            raise Busy(f"Bedrock does not say how the judge's job is: {code}") from error
        return answer["status"], " ".join(answer.get("failureMessages", ()))

    def stop_evaluation(self, arn: str) -> None:
        """Stop an evaluation job; one that has ended meanwhile, or is gone, is left as it is.

        Raises
        ------
        Busy
            Throttled, or access is denied.
        """
        try:
            self._control.stop_evaluation_job(jobIdentifier=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _ENDED:
                raise Busy(f"Bedrock does not stop the judge's job: {code}: {_message(error)}") from error

    def ask(self, model_id: str, prompt: str, query: str, max_tokens: int) -> Reply:
        """Ask a model one query with the prompt that it was trained with, at temperature 0.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            As they come; what a failed answer means is the caller's to say.
        """
        started = time.perf_counter()
        answer = self._runtime.converse(
            modelId=model_id,
            system=[{"text": prompt}],
            messages=[{"role": "user", "content": [{"text": query}]}],
            inferenceConfig={"maxTokens": max_tokens, "temperature": 0.0},
        )
        elapsed = (time.perf_counter() - started) * 1000
        text = "".join(content.get("text", "") for content in answer["output"]["message"]["content"])
        usage = answer["usage"]
        retries = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        return Reply(
            text, elapsed, usage["inputTokens"], usage["outputTokens"], answer["stopReason"], retries
        )

    def converse(self, model_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a model with all other members of a Converse request, and return the answer's own members.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            As they come.
        """
        answer = self._runtime.converse(modelId=model_id, **request)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def look_up(what: str, identifier: str, call: Callable[[], Any]) -> Any:
    """Return what a call finds, or None if there is nothing of this name or ARN.

    Raises
    ------
    Busy
        Throttled.
    """
    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in (_ABSENT_ARN if identifier.startswith("arn:") else _ABSENT_NAME):
            return None
        if code in BUSY:
            raise Busy(f"Bedrock throttles looking up the {what}: {_message(error)}") from error
        raise


def _of_type(customization: Customization, reward_function_arn: str) -> dict[str, Any]:
    """Return what a request has for the type of its job: customizationConfig, or the hyperparameters."""
    if isinstance(customization, Distillation):
        teacher = {
            "teacherModelIdentifier": customization.teacher,
            "maxResponseLengthForInference": customization.max_response_tokens,
        }
        return {"customizationConfig": {"distillationConfig": {"teacherModelConfig": teacher}}}
    if isinstance(customization, FineTuning):
        hyperparameters = customization.hyperparameters.as_texts()
        return {"hyperParameters": hyperparameters} if hyperparameters else {}
    reinforcement = {
        "graderConfig": {"lambdaGrader": {"lambdaArn": reward_function_arn}},
        # An answer that would be cut when the model is served must not earn a reward in training.
        "hyperParameters": {"inferenceMaxTokens": customization.max_response_tokens} | customization.given,
    }
    return {"customizationConfig": {"rftConfig": reinforcement}}


@contextmanager
def deletion() -> Iterator[None]:
    """Take what is gone already for deleted, and tell what cannot be deleted for the moment."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in BUSY or code == "ConflictException":
            raise Busy(f"Bedrock: {code}: {_message(error)}") from error
        if code not in _ABSENT_ARN:
            raise


@contextmanager
def refusals(step: str, remedy: str) -> Iterator[None]:
    """Tell a refusal that stands from one that passes; anything else is left to be retried."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in BUSY:
            raise Busy(f"Bedrock: {code}: {_message(error)}") from error
        if code in REFUSED:
            raise PermanentFailure(step, f"Bedrock: {code}: {_message(error)}", remedy) from error
        raise


def _message(error: ClientError) -> str:
    return error.response["Error"].get("Message", "")


def tags(run_id: str) -> list[dict[str, str]]:
    """Return what marks a thing with the run that it was made for."""
    return [{"key": "signalbox:run", "value": run_id}]
