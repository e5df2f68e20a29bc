"""Follows a run to its end: what its item in the run table and its Bedrock job say, as it comes."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.client import App
from signalbox.run import Moment, Run, State

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Update:
    """One thing that has become known of a run.

    Attributes
    ----------
    kind
        "state" when the run has moved on, "waiting" when it says what it waits for, "job" for Bedrock's job.
    at
        When it happened, or was seen.
    run
        The run as it is, None as long as nobody has registered it.
    """

    kind: str
    at: datetime
    text: str
    state: State | None = None
    run: Run | None = None


def follow(app: App, run_id: str, pause: Callable[[float], None] = time.sleep) -> Iterator[Update]:
    """Tell of a run's every transition, waiting reason and Bedrock job phase, from its start to its end.

    The last update's `run` is the run at its end. Ends only then: what `watch` cannot heal it fails.
    """
    told = 0
    waiting, job = "", ""
    while True:
        run = app.runs.load(run_id)
        if run is not None:
            for moment in run.history[told:]:
                yield transition(run, moment)
            told = len(run.history)
            waited_for = f"for a person: {release_commands(app, run_id)}" if run.awaits else run.waiting
            if waited_for and waited_for != waiting:
                yield Update("waiting", datetime.now(UTC), waited_for, run.state, run)
            waiting = waited_for
            if run.state.ended and run.outbox is None:  # its results are written before its last event is out
                return
            if run.state == State.TRAINING and run.job_arn:
                phase = _job_phase(app, run.job_arn)
                if phase and phase != job:
                    yield Update("job", datetime.now(UTC), phase, run.state, run)
                job = phase or job
        pause(POLL_SECONDS)


def release_commands(app: App, run_id: str) -> str:
    """Return both command lines that answer a run that awaits a release."""
    command = f"python -m local release {run_id}{app.port_options}"
    return f"{command} (lets it go on), or {command} --end --reason WHY (ends it)"


def waits(run: Run) -> str:
    """Say what a run waits for; "" if for nothing."""
    if run.awaits:
        return f"waits {run.waiting}"
    return f"waiting: {run.waiting}" if run.waiting else ""


def transition(run: Run, moment: Moment) -> Update:
    """Tell of one entry of a run's history, and of the event that it was published by."""
    text = f"{moment.event}: {moment.said}" if moment.event else moment.said
    return Update("state", moment.at, text, moment.state, run)


def _job_phase(app: App, job_arn: str) -> str:
    """What the customization job reports of itself, in a few words."""
    try:
        job = app.bedrock.get_model_customization_job(jobIdentifier=job_arn)
    except (BotoCoreError, ClientError):
        return ""
    return job_phase(job)


def job_phase(job: dict[str, Any]) -> str:
    """Put a GetModelCustomizationJob answer into words: its status, the phase it is in, its loss."""
    phases = job.get("statusDetails") or {}
    names = {
        "validationDetails": "validating",
        "dataProcessingDetails": "processing data",
        "trainingDetails": "training",
    }
    at_work = [words for key, words in names.items() if (phases.get(key) or {}).get("status") == "InProgress"]
    loss = (job.get("trainingMetrics") or {}).get("trainingLoss")
    parts = [f"customization job {job.get('status', '')}", *at_work]
    if loss is not None:
        parts.append(f"loss {loss:.4f}")
    return ", ".join(parts)


def as_json(run: Run) -> dict[str, Any]:
    """A run for `--json`."""
    return json.loads(run.model_dump_json(exclude_none=True))
