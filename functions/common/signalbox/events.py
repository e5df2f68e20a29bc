"""Events that come in, and events that the pipeline publishes."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from aws_lambda_powertools.utilities.parser.models import (
    EventBridgeModel,
    S3EventNotificationEventBridgeModel,
)
from pydantic import BaseModel

from signalbox.run import DatasetObject, Run

SOURCE = "signalbox"
CONTRACT_VERSION = "1"


class Event(StrEnum):
    """What the pipeline says on its bus."""

    DATASET_ACCEPTED = "DatasetAccepted"
    DATASET_REJECTED = "DatasetRejected"
    TRAINING_STARTED = "TrainingStarted"
    TRAINING_FAILED = "TrainingFailed"
    MODEL_DEPLOYED = "ModelDeployed"
    EVALUATION_COMPLETED = "EvaluationCompleted"
    MODEL_PROMOTED = "ModelPromoted"
    MODEL_HELD = "ModelHeld"
    RUN_FAILED = "RunFailed"
    RUN_STALLED = "RunStalled"
    RUN_NUDGED = "RunNudged"


class RunDetail(BaseModel):
    """The detail of each of the pipeline's events.

    Attributes
    ----------
    state : str
        The state the run was in when the event was published.
    at : datetime
        When it was published (UTC).
    summary : dict
        A few facts about what happened; for a reader, never for a decision.
    """

    version: Literal["1"] = CONTRACT_VERSION
    run_id: str
    task: str
    state: str
    at: datetime
    summary: dict[str, Any] = {}


class PipelineEvent(EventBridgeModel):
    """One of the pipeline's own events as EventBridge delivers it."""

    source: Literal["signalbox"]
    detail: RunDetail


class _JobDetail(BaseModel):
    jobName: str  # noqa: N815 (Bedrock's own key)
    jobStatus: str  # noqa: N815


class CustomizationJobEvent(EventBridgeModel):
    """Bedrock's "Model Customization Job State Change"; its ARNs are not to be trusted, its job name is our run id."""

    source: Literal["aws.bedrock"]
    detail: _JobDetail


def dataset_in(event: dict[str, Any]) -> DatasetObject | None:
    """Return the object that an S3 event announces, or None if it is a folder, as the S3 console makes them.

    Raises
    ------
    pydantic.ValidationError
        If the event does not have the shape that S3 documents.
    """
    detail = S3EventNotificationEventBridgeModel.model_validate(event).detail
    if detail.object.key.endswith("/"):
        return None
    return DatasetObject(
        bucket=detail.bucket.name,
        key=detail.object.key,
        version_id=detail.object.version_id or None,
        etag=detail.object.etag,
        sequencer=detail.object.sequencer or "",
        size=detail.object.size or 0,
    )


def run_id_in(event: dict[str, Any]) -> str:
    """Return the id of the run that an event nudges.

    Raises
    ------
    pydantic.ValidationError
        If the event does not have the shape that its source documents.
    """
    match event.get("source"):
        case "aws.bedrock":
            return CustomizationJobEvent.model_validate(event).detail.jobName
        case "aws.s3":
            key = S3EventNotificationEventBridgeModel.model_validate(event).detail.object.key
            return key.split("/")[1]  # runs/<run_id>/judge/...
        case _:
            return PipelineEvent.model_validate(event).detail.run_id


class EventBus:
    """The custom bus.

    Parameters
    ----------
    events : boto3 EventBridge client
    name : str
        Of the bus.
    """

    def __init__(self, events: Any, name: str) -> None:
        self._events = events
        self._name = name

    def publish(self, event: str, run: Run) -> None:
        """Publish an event about a run.

        Raises
        ------
        RuntimeError
            If EventBridge did not take it; the run's outbox keeps it.
        """
        detail = RunDetail(
            run_id=run.id, task=run.task, state=run.state, at=datetime.now(UTC), summary=_facts(run)
        )
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event,
            "Detail": json.dumps(detail.model_dump(mode="json"), ensure_ascii=False),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"EventBridge did not take {event} of {run.id}: {answer['Entries'][0]}")


def _facts(run: Run) -> dict[str, Any]:
    facts = dict(run.summary)
    if run.reason:
        facts["reason"] = run.reason
    if run.failure:
        facts["failure"] = run.failure.model_dump()
    return facts
