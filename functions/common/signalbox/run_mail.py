"""What people are told of a run: how it ended, what it waits for, and what became of what they asked for."""

import json
from typing import Any

from signalbox.events import OPERATOR_SOURCE, Asked, Event
from signalbox.measures import grades_in_words, mattering
from signalbox.release import Expense
from signalbox.wording import Written, difference, listed


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
    reasons = listed("Gates that failed:", [f"{gate['name']}: {gate['reason']}" for gate in failed])
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
    faults = listed("The first lines at fault (all are in validation.json):", lines) if lines else ""
    advice = "mend the dataset and drop it again. Nothing was trained and nothing was spent."
    return reasons[0], [listed("Why:", reasons), faults], advice


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


def commands_to_answer(run_id: str, bus: str) -> list[str]:
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


WRITERS = {
    Event.MODEL_PROMOTED: _promoted,
    Event.MODEL_HELD: _held,
    Event.DATASET_REJECTED: _rejected,
    Event.RUN_FAILED: _failed,
    Event.RUN_STALLED: _stalled,
    Event.RELEASE_AWAITED: _awaited,
    Event.MODEL_ROLLED_BACK: _rolled_back,
    Event.REQUEST_REFUSED: _refused,
}


def _warnings(summary: dict[str, Any]) -> str:
    """List what is odd about the dataset; the sentences quote no query."""
    warnings = summary.get("warnings") or []
    return listed("To look at in the dataset:", warnings) if warnings else ""


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
