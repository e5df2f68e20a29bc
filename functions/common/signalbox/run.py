"""A run: one dataset on its way to a live model. The run table is the truth; every event only nudges."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from pydantic import BaseModel

from signalbox.dataset_object import DatasetObject
from signalbox.failure import Failure
from signalbox.release import Awaited, Expense
from signalbox.task import NAME_LENGTH, Deployment, Patience


class State(StrEnum):
    """How far a run has come; the comment says what is under way or awaited in it."""

    RECEIVED = "RECEIVED"  # the dataset is being validated
    LABELLING = "LABELLING"  # the teacher answers the records that have no answer
    REJECTED = "REJECTED"
    ACCEPTED = "ACCEPTED"  # the embedded student is being trained, the customization job started
    TRAINING = "TRAINING"  # the customization job runs at Bedrock
    TRAINED = "TRAINED"  # the custom model is being given a deployment
    DEPLOYING = "DEPLOYING"  # the deployment is being created at Bedrock
    DEPLOYED = "DEPLOYED"  # the candidates are answering the golden set
    EVALUATING = "EVALUATING"  # the judge's evaluation job runs at Bedrock
    EVALUATED = "EVALUATED"  # the gates are being applied
    PROMOTED = "PROMOTED"
    HELD = "HELD"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the run has come to its end."""
        return self not in TRANSITIONS


TRANSITIONS: dict[State, frozenset[State]] = {
    state: frozenset({*following, State.FAILED})
    for state, following in {
        State.RECEIVED: {State.LABELLING, State.ACCEPTED, State.REJECTED},
        State.LABELLING: {State.ACCEPTED, State.REJECTED},
        State.ACCEPTED: {State.TRAINING, State.TRAINED},
        State.TRAINING: {State.TRAINED},
        State.TRAINED: {State.DEPLOYING, State.DEPLOYED},
        State.DEPLOYING: {State.DEPLOYED},
        State.DEPLOYED: {State.EVALUATING},
        State.EVALUATING: {State.EVALUATED},
        State.EVALUATED: {State.PROMOTED, State.HELD},
    }.items()
}
"""From each state that is not an end, the states that may follow."""
PROMOTABLE = frozenset({State.HELD, State.PROMOTED})
"""The ends from which a person, and nobody else, may promote: held, or promoted and no longer live."""


class Part(IntEnum):
    """What a run has made, in the order in which it is deleted; each stands for those before it as well."""

    NOTHING = 0
    DEPLOYMENT = 1
    MODEL = 2  # and the judge's jobs: all that is at Bedrock
    RUN = 3  # its objects and its item


class Moment(BaseModel):
    """One entry of a run's history: the state it came to, what there is to say, the event that was published.

    `by` and `reason` are a person's, or an alarm's, where it was not a step of the pipeline that moved the run. The
    note does not say the reason once more: a history of long ones has to fit an item. Of one that is too long for that,
    `left_out` moments before this one are not kept.
    """

    state: State
    at: datetime
    note: str = ""
    event: str = ""
    by: str = ""
    reason: str = ""
    left_out: int = 0

    @property
    def noted(self) -> str:
        """The note, and before it how many moments are not kept."""
        return (
            f"[{self.left_out:,} moments before this are not kept] {self.note}"
            if self.left_out
            else self.note
        )

    @property
    def said(self) -> str:
        """What is noted, with the reason."""
        return f"{self.noted}: {self.reason}" if self.reason else self.noted


class Run(BaseModel):
    """One item of the run table.

    Attributes
    ----------
    updated_at : datetime
        The last sign of life; when its state began stands in the history.
    outbox : str | None
        The event that the last transition owes; removed once it is published, republished by `watch` otherwise.
    judge_job_arns : dict[str, str]
        The judge's jobs, by the candidate whose answers each grades.
    waiting, trouble, waited_until :
        What the last attempt in this state found; see `Attempted`. It is tried again.
    awaits : Awaited | None
        What a person has to release before the run goes on; no step acts on it until then.
    released : list[Expense]
        What has been released.
    patience : Patience
        The task's, from the moment its dataset was accepted.
    deployment : Deployment
        The task's, likewise.
    committed_until : datetime | None
        Before when its provisioned throughput cannot be deleted, as far as that is known.
    surplus : Part
        How much of an ended run nobody needs, as `watch` noted.
    released_at : datetime | None
        Since when that has been so of any part of it.
    retired_at : datetime | None
        When it was given up; from then on the run cannot go live.
    gone : Part
        How much of it has been deleted.
    summary : dict
        What the last step found, small enough for an event and a mail.
    """

    id: str
    task: str
    state: State
    created_at: datetime
    updated_at: datetime
    dataset: DatasetObject
    history: list[Moment] = []
    outbox: str | None = None
    waiting: str = ""
    awaits: Awaited | None = None
    released: list[Expense] = []
    trouble: str = ""
    waited_until: datetime | None = None
    patience: Patience = Patience()
    deployment: Deployment = Deployment()
    stalled: bool = False
    reason: str = ""
    failure: Failure | None = None
    job_arn: str | None = None
    model_arn: str | None = None
    deployment_arn: str | None = None
    committed_until: datetime | None = None
    judge_job_arns: dict[str, str] = {}
    surplus: Part = Part.NOTHING
    released_at: datetime | None = None
    retired_at: datetime | None = None
    gone: Part = Part.NOTHING
    summary: dict[str, Any] = {}

    @property
    def taken(self) -> timedelta:
        """How long it took on its own way, to its end or so far; what people or alarms did later is no part of it."""
        last = next((moment for moment in self.history if moment.state.ended), None)
        last = last or (self.history[-1] if self.history else None)
        return last.at - self.created_at if last else timedelta()

    @property
    def awaits_until(self) -> datetime | None:
        """When it ends if nobody releases it; None if it awaits no release."""
        return self.awaits.since + timedelta(hours=self.patience.release_end_hours) if self.awaits else None


def run_id_for(dataset: DatasetObject) -> str:
    """Derive the id of the run that an object version starts, the same however often it is announced.

    Returns
    -------
    str
        `<task>-` and 12 hexadecimal digits of SHA-256 over bucket, key and version id (etag and sequencer in a
        bucket without versions).
    """
    version = dataset.version_id or f"{dataset.etag}\n{dataset.sequencer}"
    digest = hashlib.sha256("\n".join((dataset.bucket, dataset.key, version)).encode()).hexdigest()
    return f"{dataset.task}-{digest[:12]}"


def is_run_id(text: str) -> bool:
    """Tell whether a text can be the id of a run: it says nothing else, and fits wherever an id is put."""
    return re.fullmatch(rf"[a-z0-9_-]{{1,{NAME_LENGTH + 13}}}", text) is not None


def task_of(run_id: str) -> str:
    """Return the task that the id of a run names."""
    return run_id.rpartition("-")[0]


def now() -> datetime:
    """Return the moment (UTC)."""
    return datetime.now(UTC)
