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

from signalbox.dataset_object import DatasetObject
from signalbox.generation import BATCH_NAME, Generation
from signalbox.run import Run, State, is_run_id
from signalbox.task import is_task_name
from signalbox.wording import shortened

SOURCE = "signalbox"
OPERATOR_SOURCE = "signalbox.operator"
CONTRACT_VERSION = "1"
REASON_LENGTH, NAME_OF_PERSON_LENGTH = 1000, 100


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
    MODEL_ROLLED_BACK = "ModelRolledBack"
    REQUEST_REFUSED = "RequestRefused"
    RUN_FAILED = "RunFailed"
    RUN_STALLED = "RunStalled"
    RELEASE_AWAITED = "ReleaseAwaited"
    RUN_NUDGED = "RunNudged"
    HEALTH_CHECK_DUE = "HealthCheckDue"
    LABELLING_STARTED = "LabellingStarted"
    GENERATION_COMPLETED = "GenerationCompleted"
    GENERATION_REJECTED = "GenerationRejected"
    GENERATION_FAILED = "GenerationFailed"
    GENERATION_STALLED = "GenerationStalled"
    GENERATION_NUDGED = "GenerationNudged"
    GENERATION_REMOVAL_DUE = "GenerationRemovalDue"
    RETIREMENT_DUE = "RetirementDue"
    REMOVAL_DUE = "RemovalDue"


RESULTS_FIRST = frozenset({Event.MODEL_PROMOTED, Event.MODEL_HELD, Event.MODEL_ROLLED_BACK})
"""Events that go out once metrics.json and report.html of the run are written, as they lead a person to them."""


class Asked(StrEnum):
    """What a person can ask for."""

    PROMOTION = "PromotionRequested"
    ROLLBACK = "RollbackRequested"
    RELEASE = "ReleaseRequested"
    END = "EndRequested"


_REQUIRED = {
    Asked.PROMOTION: ("run_id", "reason"),
    Asked.ROLLBACK: ("task", "reason"),
    Asked.RELEASE: ("run_id",),
    Asked.END: ("run_id", "reason"),
}
"""What a request has to say."""


class RunDetail(BaseModel):
    """The detail of each of the pipeline's events.

    Attributes
    ----------
    run_id, task : str
        "" in RequestRefused where the request named none that exists, and in HealthCheckDue, which is about all.
    state : str
        The state the run was in when the event was published; "" without a run.
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


class _BatchDetail(BaseModel):
    batchJobName: str  # noqa: N815 (Bedrock's own key)
    status: str


class BatchJobEvent(EventBridgeModel):
    """Bedrock's "Batch Inference Job State Change"; its job name tells our generation."""

    source: Literal["aws.bedrock"]
    detail: _BatchDetail


class OperatorRequest(BaseModel):
    """A person's decision, put on the bus by `aws events put-events` or `local promote`, `rollback` and `release`.

    Attributes
    ----------
    id : str
        Of the event: what arrives under one id a second time is the same request.
    at : datetime
        When it was asked (UTC, whole seconds).
    run_id, task : str
        The run to promote, to release or to end; the task to roll back, and the run that is to be withdrawn by it
        ("" for whichever is live). "" is what is not there or cannot be the name of one.
    reason, by : str
        Why, and who says so, no longer than they are kept.
    fault : str
        What the request lacks or has too much of, "" if it can be considered.
    """

    id: str
    at: datetime
    asked: Asked
    run_id: str = ""
    task: str = ""
    reason: str = ""
    by: str = ""
    fault: str = ""

    @property
    def subject(self) -> str:
        """The run or the task that it is about."""
        return self.task if self.asked is Asked.ROLLBACK else self.run_id


class _AlarmState(BaseModel):
    value: str


class _AlarmDetail(BaseModel):
    alarmName: str  # noqa: N815 (CloudWatch's own key)
    state: _AlarmState


class AlarmEvent(EventBridgeModel):
    """CloudWatch's "CloudWatch Alarm State Change" (CloudWatch user guide, "Alarm events and EventBridge").

    `resources` holds the ARN of the one alarm.
    """

    source: Literal["aws.cloudwatch"]
    detail: _AlarmDetail


def request_in(event: dict[str, Any]) -> OperatorRequest:
    """Return what a person asks for, with what is wrong about it, so that it can be refused in words.

    Only what is sound is kept of it: a name that can be one, and no more of a text than is stored and mailed.
    """
    envelope = EventBridgeModel.model_validate(event)
    detail = event["detail"]
    said = {
        name: detail[name].strip() if isinstance(detail.get(name), str) else ""
        for name in ("run_id", "task", "reason", "by")
    }
    asked = Asked(envelope.detail_type)
    kept = {
        "run_id": said["run_id"] if is_run_id(said["run_id"]) else "",
        "task": said["task"] if is_task_name(said["task"]) else "",
        "reason": shortened(said["reason"], REASON_LENGTH),
        "by": shortened(said["by"], NAME_OF_PERSON_LENGTH),
    }
    return OperatorRequest(id=envelope.id, at=envelope.time, asked=asked, fault=_fault(asked, said), **kept)


def _fault(asked: Asked, said: dict[str, str]) -> str:
    """Say what a request lacks or has too much of; "" if nothing."""
    for name in _REQUIRED[asked]:
        if not said[name]:
            return f"{name} is required: a text"
    if said["run_id"] and not is_run_id(said["run_id"]):
        return "run_id is not the id of a run"
    if asked is Asked.ROLLBACK and not is_task_name(said["task"]):
        return "task is not the name of a task"
    for name, most in (("reason", REASON_LENGTH), ("by", NAME_OF_PERSON_LENGTH)):
        if len(said[name]) > most:
            return f"{name} has {len(said[name]):,} characters, {most:,} are kept"
    return ""


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


def generation_id_in(event: dict[str, Any]) -> str:
    """Return the id of the generation that an event of a batch job, or of ours, nudges; "" if the job is not ours.

    Raises
    ------
    pydantic.ValidationError
        If the event does not have the shape that its source documents.
    """
    if event.get("source") == "aws.bedrock":
        ours = BATCH_NAME.fullmatch(BatchJobEvent.model_validate(event).detail.batchJobName)
        return ours["generation"] if ours else ""
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
        self._put(event, run_id=run.id, task=run.task, state=run.state, summary=_facts(run))

    def tell(self, event: str, generation: Generation) -> None:
        """Publish an event about a generation, whose id stands where others have a run's.

        Of one that labels a dataset it is also the id of the run that waits for it, and RunNudged is about that.

        Raises
        ------
        RuntimeError
            If EventBridge did not take it.
        """
        state = State.LABELLING if event == Event.RUN_NUDGED else generation.state
        facts = {"run_id": generation.id, "task": generation.task, "state": state}
        self._put(event, **facts, summary=_facts_of(generation))

    def nudge(self, generation: Generation) -> None:
        """Publish that a generation is to be looked at.

        Raises
        ------
        RuntimeError
            If EventBridge did not take it.
        """
        self.tell(Event.GENERATION_NUDGED, generation)

    def check_health(self) -> None:
        """Publish that what was promoted lately is to be looked at.

        Raises
        ------
        RuntimeError
            If EventBridge did not take it.
        """
        self._put(Event.HEALTH_CHECK_DUE, run_id="", task="", state="")

    def refuse(self, request: OperatorRequest, task: str, reason: str) -> None:
        """Publish that a person's request cannot be done, and why.

        Raises
        ------
        RuntimeError
            If EventBridge did not take it.
        """
        summary = {"asked": request.asked, "request": request.id, "by": request.by, "reason": reason}
        self._put(Event.REQUEST_REFUSED, run_id=request.run_id, task=task, state="", summary=summary)

    def _put(self, event: str, **facts: Any) -> None:
        detail = RunDetail(at=datetime.now(UTC), **facts)
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event,
            "Detail": json.dumps(detail.model_dump(mode="json"), ensure_ascii=False),
        }
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"EventBridge did not take {event} of {detail.run_id}: {answer['Entries'][0]}")


def _facts_of(generation: Generation) -> dict[str, Any]:
    facts: dict[str, Any] = {"request": generation.request.key, **generation.summary}
    if generation.run_id:
        facts |= {"dataset": generation.dataset_key, "run": generation.run_id}
    if generation.waiting:
        facts["waiting"] = generation.waiting
    if generation.trouble:
        facts["trouble"] = generation.trouble
    if generation.reasons:
        facts["reasons"] = generation.reasons
    if generation.failure:
        facts["failure"] = generation.failure.model_dump()
    return facts


def _facts(run: Run) -> dict[str, Any]:
    facts = dict(run.summary)
    if run.reason:
        facts["reason"] = run.reason
    if run.failure:
        facts["failure"] = run.failure.model_dump()
    if run.awaits and run.awaits_until:
        facts["awaits"] = run.awaits.model_dump(mode="json") | {"until": run.awaits_until.isoformat()}
    return facts
