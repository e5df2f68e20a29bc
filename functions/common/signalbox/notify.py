"""notify: a message that a person can act on, for every outcome of a run, as a mail and for a chat."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.config import Config

from signalbox.dataset_object import NO_TASK
from signalbox.events import OPERATOR_SOURCE, Asked, Event, PipelineEvent
from signalbox.generation import FOLDER
from signalbox.generation_mail import WRITERS as OF_GENERATIONS
from signalbox.measures import grades_in_words, mattering
from signalbox.release import Expense
from signalbox.run import is_run_id
from signalbox.store import REPORT
from signalbox.task import is_task_name
from signalbox.wording import difference, harmless, shortened

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
_LISTED = 25


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
        paragraphs = [*paragraphs, *_commands(run.run_id, bus)]
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


Written = tuple[str, list[str], str]
"""The headline, what was found out in paragraphs, and what to do."""


def _promoted(summary: dict[str, Any]) -> Written:
    by = summary.get("promoted_by")
    person = f"Promoted by {by.get('by') or 'a person'}: {by.get('reason')}" if by else ""
    if by and by.get("replaces"):
        person += f"\nIn place of: {by['replaces']}"
    advice = "nothing; the router answers with it within half a minute. The report compares all candidates."
    paragraphs = [person, _numbers(summary), _throughput(summary), _warnings(summary)]
    return f"{summary['model']} is live", paragraphs, advice


def _held(summary: dict[str, Any]) -> Written:
    failed = [gate for gate in summary["gates"] if not gate["passed"]]
    reasons = _listed("Gates that failed:", [f"{gate['name']}: {gate['reason']}" for gate in failed])
    advice = (
        "look at the report; add records where the model is wrong, or change the task's gates, and drop the dataset "
        "again. Or promote it all the same, with a reason. What was live stays live."
    )
    return (
        ", ".join(gate["name"] for gate in failed),
        [reasons, _numbers(summary), _throughput(summary), _warnings(summary)],
        advice,
    )


def _rejected(summary: dict[str, Any]) -> Written:
    reasons = summary.get("reasons") or [summary.get("reason", "")]
    lines = [
        f"line {problem['line']}, {problem['field'] or 'all of it'}: {problem['reason']}"
        for problem in summary.get("problems", [])
    ]
    faults = _listed("The first lines at fault (all are in validation.json):", lines) if lines else ""
    advice = "mend the dataset and drop it again. Nothing was trained and nothing was spent."
    return reasons[0], [_listed("Why:", reasons), faults], advice


def _failed(summary: dict[str, Any]) -> Written:
    failure = summary["failure"]
    return f"in {failure['step']}", [f"Why: {failure['reason']}"], failure["remedy"]


def _stalled(summary: dict[str, Any]) -> Written:
    reason = summary.get("reason", "it has been in one state for longer than expected")
    advice = (
        "look at the logs of that step and at its job in the Bedrock console. The run is nudged every minute. If it "
        "waits for something, it goes on waiting (a job that is stopped there ends it); otherwise, or if it has "
        "provisioned throughput, it fails by itself if it stays where it is. For a quota, ask for more in Service "
        "Quotas, or make room: of custom models, keep fewer by the task's retention, or delete runs (docs/cleanup.md)."
    )
    return reason, [f"Why: {reason}"], advice


def _awaited(summary: dict[str, Any]) -> Written:
    awaited = summary["awaits"]
    since = _minute(awaited["since"])
    reminder = f"This is a reminder: it has waited since {since}." if awaited["reminded"] else ""
    until = f", on {_minute(awaited['until'])}" if "until" in awaited else ""
    holds = "nothing that costs"
    if awaited["of"] == Expense.THROUGHPUT:
        holds = "its custom model, which Bedrock charges for by the month, used or not (docs/costs.md)"
    advice = (
        f"release it, or end it, by one of the commands above. It ends by itself if nobody does{until}. Until then "
        f"nothing is bought, and it holds {holds}."
    )
    return f"a person has to release the {awaited['of']}", [f"Why: {awaited['reason']}", reminder], advice


def _minute(moment: str) -> str:
    """Write a moment of an event (UTC) to the minute."""
    return f"{moment[:16].replace('T', ' ')} UTC"


def _commands(run_id: str, bus: str) -> list[str]:
    """Write the commands with which a person answers a run that awaits a release."""

    def command(asked: Asked, **detail: str) -> str:
        entry = {"EventBusName": bus, "Source": OPERATOR_SOURCE, "DetailType": asked.value}
        entry["Detail"] = json.dumps({"run_id": run_id, **detail, "by": "YOUR NAME"})
        return f"aws events put-events --entries '[{json.dumps(entry)}]'"

    return [
        f"To release it:\n  {command(Asked.RELEASE)}",
        f"To end it:\n  {command(Asked.END, reason='WHY')}",
        f"On one machine:\n  python -m local release {run_id}\n  python -m local release {run_id} --end --reason WHY",
    ]


def _rolled_back(summary: dict[str, Any]) -> Written:
    back = summary["rolled_back"]
    alarm = back["how"] == "alarm"
    by = f"{back['by']}, without a person" if alarm else back["by"] or "a person"
    facts = [
        f"Withdrawn: {summary.get('model', 'the model')} of {back['from_run_id']}",
        f"Live again: {back['to_model']} of {back['to_run_id']}",
        f"By: {by}",
        f"Why: {back['reason']}",
    ]
    advice = (
        "find out what went wrong before the next drop; the report is of the model that was withdrawn. It can be "
        "promoted again by a person until its deployment is retired."
    )
    return f"{back['to_model']} is live again", ["\n".join(facts)], advice


def _refused(summary: dict[str, Any]) -> Written:
    asked = {
        Asked.PROMOTION: "a promotion",
        Asked.ROLLBACK: "a rollback",
        Asked.RELEASE: "a release",
        Asked.END: "the end of a run that awaits a release",
    }
    by = f" by {summary['by']}" if summary.get("by") else ""
    what = asked.get(summary.get("asked", ""), "something")
    facts = f"Asked for{by}: {what}\nWhy it cannot be done: {summary['reason']}"
    return summary["reason"], [facts], "what the reason says, then ask again. Nothing has changed."


_WRITERS = {
    Event.MODEL_PROMOTED: _promoted,
    Event.MODEL_HELD: _held,
    Event.DATASET_REJECTED: _rejected,
    Event.RUN_FAILED: _failed,
    Event.RUN_STALLED: _stalled,
    Event.RELEASE_AWAITED: _awaited,
    Event.MODEL_ROLLED_BACK: _rolled_back,
    Event.REQUEST_REFUSED: _refused,
    **OF_GENERATIONS,
}


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


def _listed(title: str, entries: list[str]) -> str:
    more = [f"and {len(entries) - _LISTED} more"] if len(entries) > _LISTED else []
    return "\n".join([title, *(f"  - {shortened(entry)}" for entry in entries[:_LISTED] + more)])


def _warnings(summary: dict[str, Any]) -> str:
    """List what is odd about the dataset; the sentences quote no query."""
    warnings = summary.get("warnings") or []
    return _listed("To look at in the dataset:", warnings) if warnings else ""


def _throughput(summary: dict[str, Any]) -> str:
    """Say what provisioned throughput goes on costing, of a model that has it."""
    said = summary.get("throughput")
    return f"Provisioned throughput, until it is retired: {said}." if said else ""


def _numbers(summary: dict[str, Any]) -> str:
    """Set the numbers that matter beside those of the model that was live when they were measured."""
    own, live = summary["metrics"], summary.get("live") or {}
    heading = ["", "this model", *(["live when measured"] if live else [])]
    rows = [
        [
            measure.title,
            measure.written(own[measure.name]),
            *([measure.written(live["metrics"].get(measure.name))] if live else []),
        ]
        for measure in mattering(own)
    ]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    table = [
        f"  {title:<{widths[0]}}"
        + "".join(f"  {value:>{width}}" for value, width in zip(values, widths[1:], strict=True))
        for title, *values in (heading, *rows)
    ]
    judged = grades_in_words(summary.get("grades", {}))
    if judged:
        table.append(f"  Judge, mean (standard deviation): {judged}.")
    verdict = []
    if compared := summary.get("compared_with_live"):
        verdict = [f"  Against {live.get('run_id', 'what is live')}: {difference(compared)}."]
    if compared := summary.get("compared_on_live_golden"):
        verdict.append(f"  On the golden set of {compared.get('run_id')}: {difference(compared)}.")
    return "\n".join(
        [f"Measured on {summary['golden']} golden queries ({summary['model']}):", *table, *verdict]
    )
