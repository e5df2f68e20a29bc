"""notify: a message that a person can act on, for every outcome of a run, as a mail and for a chat."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.config import Config

from signalbox.dataset_object import NO_TASK
from signalbox.events import Event, PipelineEvent
from signalbox.generation import FOLDER
from signalbox.generation_mail import WRITERS as OF_GENERATIONS
from signalbox.run import is_run_id
from signalbox.run_mail import WRITERS as OF_RUNS
from signalbox.run_mail import commands_to_answer
from signalbox.store import REPORT
from signalbox.task import is_task_name
from signalbox.wording import harmless, shortened

OUTCOMES = {
    Event.MODEL_PROMOTED: "PROMOTED",
    Event.MODEL_HELD: "HELD",
    Event.DATASET_REJECTED: "REJECTED",
    Event.RUN_FAILED: "FAILED",
    Event.RUN_STALLED: "STALLED",
    Event.RELEASE_AWAITED: "WAITING",
    Event.MODEL_ROLLED_BACK: "ROLLED_BACK",
    Event.REQUEST_REFUSED: "REFUSED",
    Event.LABELLING_STARTED: "LABELLING",
    Event.GENERATION_COMPLETED: "GENERATED",
    Event.GENERATION_REJECTED: "GENERATION_REJECTED",
    Event.GENERATION_FAILED: "GENERATION_FAILED",
    Event.GENERATION_STALLED: "GENERATION_STALLED",
}
"""What a subscription can filter by, beside the task."""
_REPORTED = {"PROMOTED", "HELD", "ROLLED_BACK"}
SIGNING = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
"""How links are signed: what a key of KMS encrypts wants the newer signature, and only so does boto3 name the bucket's
region in the address, without which S3 redirects to another host than the one that was signed for."""
_LINK_HOLDS = timedelta(hours=12)
_SUBJECT_LENGTH = 99
"""SNS takes subjects of less than 100 characters, ASCII only, without control characters (SNS API, Publish)."""
_TEXT_LENGTH = 10_000
"""The text goes out twice; with the chat's it stays far below the 256 KB that SNS takes (SNS API, Publish)."""
_CHAT_LENGTH = 2_500
_WRITERS = OF_RUNS | OF_GENERATIONS


@dataclass(frozen=True)
class Link:
    """A presigned address of a report, and when it ends at the latest."""

    url: str
    until: datetime


@dataclass(frozen=True)
class Notification:
    """What is published on the topic.

    Attributes
    ----------
    subject : str
        The verdict and the task first.
    text : str
        Plain text, for mail and for whatever else subscribes.
    chat : dict
        The same for Amazon Q Developer in chat applications, which subscribes by https: its event schema for custom
        notifications, version 1.0 (Amazon Q Developer in chat applications, Administrator Guide).
    outcome, task : str
        For the filter policies of subscriptions.
    """

    subject: str
    text: str
    chat: dict[str, Any]
    outcome: str
    task: str

    def request(self) -> dict[str, Any]:
        """Return it as SNS's Publish takes it."""
        messages = {
            "default": self.text,
            "email": self.text,
            "https": json.dumps(self.chat, ensure_ascii=False),
        }
        attributes = {"task": self.task, "outcome": self.outcome}
        return {
            "Subject": self.subject,
            "MessageStructure": "json",
            "Message": json.dumps(messages, ensure_ascii=False),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        }


def report_link(event: PipelineEvent, s3: Any, bucket: str) -> Link | None:
    """Sign an address at which the report of an event's run can be read without credentials; None if it has none.

    Parameters
    ----------
    s3 : boto3 S3 client
        Its credentials bound the link: once they have ended it is refused, however long it was signed for.
    """
    if OUTCOMES[Event(event.detail_type)] not in _REPORTED:
        return None
    report = {"Bucket": bucket, "Key": f"runs/{event.detail.run_id}/{REPORT}"}
    seconds = int(_LINK_HOLDS.total_seconds())
    url = s3.generate_presigned_url("get_object", Params=report, ExpiresIn=seconds)
    return Link(url, datetime.now(UTC) + _LINK_HOLDS)


def notification_of(
    event: PipelineEvent, bucket: str, link: Link | None = None, bus: str = "signalbox"
) -> Notification:
    """Write what people are told of an event.

    Parameters
    ----------
    bucket : str
        The data bucket, where the run's report and findings lie.
    link : Link | None
        To the report, if there is one.
    bus : str
        On which a person answers.
    """
    event = _sound(event)
    run, kind = event.detail, Event(event.detail_type)
    outcome, task = OUTCOMES[kind], run.task
    headline, paragraphs, advice = _WRITERS[kind](run.summary)
    if kind is Event.RELEASE_AWAITED:
        paragraphs = [*paragraphs, *commands_to_answer(run.run_id, bus)]
    title = f"{outcome.replace('_', ' ')} {task}: {shortened(headline, 200)}"
    facts = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    text = [title, facts, f"What to do: {advice}", _report(run.run_id, bucket, link), _where(event, bucket)]
    steps = [_inert(shortened(advice, 500)), *([f"Report, for up to 12 hours: {link.url}"] if link else [])]
    return Notification(
        subject=_subject(title),
        text=shortened("\n\n".join(part for part in text if part), _TEXT_LENGTH) + "\n",
        chat=_chat(event, title, facts, steps, outcome, task),
        outcome=outcome,
        task=task,
    )


def _subject(title: str) -> str:
    ascii_only = title.encode("ascii", "replace").decode()
    return "".join(filter(str.isprintable, " ".join(ascii_only.split())))[:_SUBJECT_LENGTH]


def _report(run_id: str, bucket: str, link: Link | None) -> str:
    if link is None:
        return ""
    return (
        f"Report, until {link.until:%Y-%m-%d %H:%M} UTC, or until the credentials end that signed the link:\n"
        f"{link.url}\n"
        f"Afterwards: aws s3 presign s3://{bucket}/runs/{run_id}/{REPORT} --expires-in 3600"
    )


def _where(event: PipelineEvent, bucket: str) -> str:
    run = event.detail
    kind, folder = ("Generation", FOLDER) if Event(event.detail_type) in OF_GENERATIONS else ("Run", "runs")
    everything = f"Everything about it: s3://{bucket}/{folder}/{run.run_id}/"
    named = f"{kind}: {run.run_id}\n{everything}\n" if run.run_id else ""
    return f"{named}When: {run.at:%Y-%m-%d %H:%M} UTC"


def _chat(
    event: PipelineEvent, title: str, facts: str, steps: list[str], outcome: str, task: str
) -> dict[str, Any]:
    run = event.detail
    return {
        "version": "1.0",
        "source": "custom",
        "id": event.id,
        "content": {
            "textType": "client-markdown",
            "title": _inert(shortened(title, 200)),
            "description": f"```\n{_inert(shortened(facts, _CHAT_LENGTH))}\n```" if facts else _inert(title),
            "nextSteps": steps,
            "keywords": [outcome, task],
        },
        "metadata": {
            "threadId": run.run_id or event.id,
            "summary": _inert(shortened(title, 200)),
            "eventType": outcome,
            "additionalContext": {"task": task, "run_id": run.run_id, "outcome": outcome},
        },
    }


def _inert(text: str) -> str:
    """Take from a text what a chat would act on: mentions as <!channel>, links, and the end of a block of code."""
    return text.translate(
        str.maketrans(
            "<>`",
            "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}'",
        )
    )


def _sound(event: PipelineEvent) -> PipelineEvent:
    """Return an event of which every field can be shown: the names too, which somebody may have asked with."""
    run = event.detail
    sound = {
        "run_id": run.run_id if is_run_id(run.run_id) else "",
        "task": run.task if is_task_name(run.task) else NO_TASK,
        "summary": _plain(run.summary),
    }
    return event.model_copy(update={"detail": run.model_copy(update=sound)})


def _plain(found: Any) -> Any:
    """Put every text of a summary on one line, without characters that hide or reorder others."""
    match found:
        case str():
            return harmless(" ".join(found.split()))
        case dict():
            return {name: _plain(value) for name, value in found.items()}
        case list():
            return [_plain(value) for value in found]
    return found
