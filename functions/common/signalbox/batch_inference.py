"""Bedrock's batch inference: half the price of asking one by one, and no limit of requests a minute."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from signalbox.bedrock import BUSY, Bedrock, Busy, look_up, refusals

MIN_RECORDS, MAX_RECORDS = 100, 50_000
MAX_FILE_BYTES = 1_000_000_000
"""Bedrock's quotas for one job, as they are unless AWS has changed an account's.

AWS general reference, "Amazon Bedrock endpoints and quotas", by model, of which Nova Pro, Lite and Micro have the same:
"Minimum number of records per batch inference job" 100 (a few models have less: Llama 4 Scout 50); "Records per batch
inference job" and "Records per input file per batch inference job" 50,000, which AWS raises on request; "Batch
inference input file size" 1 GB; "Batch inference job size" 5 GB (Nova Pro 100 GB), which one file does not reach.
Which models have it in which regions: Amazon Bedrock user guide, "Supported Regions and models for batch inference";
custom models of Nova do not. What role a job needs: the same, "Create a custom service role for batch inference".
"""
AT_WORK = frozenset({"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"})
_ENDED = frozenset({"ConflictException", "ResourceNotFoundException", "ValidationException"})
"""What stopping a job is answered with that is not at work (Amazon Bedrock API reference, StopModelInvocationJob)."""
_HOURS = 24
"""The shortest time after which a job may expire; what it has answered until then is kept."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A model invocation job: its status, and Bedrock's message, "" if there is none."""

    arn: str
    status: str
    message: str


class BatchInference:
    """Model invocation jobs of records with the members of Converse.

    Parameters
    ----------
    bedrock : Bedrock
    """

    def __init__(self, bedrock: Bedrock) -> None:
        self._control = bedrock.control

    def start(self, name: str, model_id: str, *, role_arn: str, records: str, output: str) -> str:
        """Start a job, unless one of its name was started, and return its ARN.

        Parameters
        ----------
        name : str
            Names the job; letters, digits and dashes.
        records, output : str
            s3:// addresses of the .jsonl file and of the prefix to write below.

        Raises
        ------
        Busy
            Throttled, or a quota of jobs is used up.
        PermanentFailure
            Bedrock refuses the job.
        """
        remedy = "correct customization.teacher in the task, or ask for labelling: {mode: converse}, and upload again"
        with refusals("label", remedy):
            if (started := self.named(name)) is not None:
                return started
            return self._control.create_model_invocation_job(
                jobName=name,
                clientRequestToken=name,
                roleArn=role_arn,
                modelId=model_id,
                modelInvocationType="Converse",
                inputDataConfig={"s3InputDataConfig": {"s3Uri": records, "s3InputFormat": "JSONL"}},
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": output}},
                timeoutDurationInHours=_HOURS,
            )["jobArn"]

    def stop(self, arn: str) -> None:
        """Stop a job that is at work; one that is over or gone is left so.

        Raises
        ------
        Busy
            Throttled.
        """
        try:
            self._control.stop_model_invocation_job(jobIdentifier=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in BUSY:
                raise Busy(f"Bedrock throttles stopping the batch job: {code}") from error
            if code not in _ENDED:
                raise

    def named(self, name: str) -> str | None:
        """Return the ARN of the job of a name, which GetModelInvocationJob does not take.

        Raises
        ------
        Busy
            Throttled.
        """
        answer: dict[str, Any] | None = look_up(
            "batch job", name, lambda: self._control.list_model_invocation_jobs(nameContains=name)
        )
        jobs = answer.get("invocationJobSummaries", ()) if answer else ()
        return next((job["jobArn"] for job in jobs if job["jobName"] == name), None)

    def job(self, arn: str) -> BatchJob:
        """Return a job as Bedrock itself reports it; one that is gone has failed.

        Raises
        ------
        Busy
            Throttled.
        """
        try:
            answer = self._control.get_model_invocation_job(jobIdentifier=arn)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in BUSY:
                raise Busy(f"Bedrock throttles looking up the batch job: {code}") from error
            if code != "ResourceNotFoundException":
                raise
            return BatchJob(arn, "Failed", "the job is gone")
        return BatchJob(arn, answer["status"], answer.get("message", ""))
