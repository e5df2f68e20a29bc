"""What people are told of a generation: before the teacher is paid, and how it ended."""

from typing import Any

from signalbox.events import Event
from signalbox.wording import Written, dollars, listed, number


def _started(summary: dict[str, Any]) -> Written:
    estimated = summary["estimate"]
    way = "a batch job, at half the price" if estimated["way"] == "batch" else "questions one by one"
    facts = [
        f"For: {summary['request']}",
        f"Asked by: {way}, {estimated['answers']:,} answers",
        _estimate(estimated),
    ]
    advice = (
        "nothing. A budget keeps it from beginning: labelling.budget_usd in a request, dataset.budget_usd in a task "
        "whose dropped datasets are labelled."
    )
    return f"{summary['queries']:,} queries go to {summary['teacher']}", ["\n".join(facts)], advice


def _completed(summary: dict[str, Any]) -> Written:
    counts = summary["counts"]
    made = [
        f"Queries: {counts['queries']:,} were to be labelled{_left_out(summary)}",
        f"Labels: {counts['labelled']:,} by {summary['teacher']}, {counts['without_answer']:,} queries without a "
        f"usable answer{_faults(summary)}",
        f"Records: {counts['records']:,} of {counts['wanted']:,} that were asked for",
    ]
    if summary.get("noise") is not None:
        made.append(
            f"Noise of the teacher: {number(summary['noise'], 4)} between two of its answers; "
            f"{counts['disagreeing']:,} queries dropped on which it disagrees with itself"
        )
    missed = summary.get("balance_reasons", [])
    advice = "nothing: the dataset has been dropped, and its run tells how it ends."
    if missed:
        advice += " If the balance matters, do what its reasons say and upload the request again."
    headline = f"{counts['records']:,} records" + (", balance missed" if missed else "")
    facts = ["\n".join(made), _balance(summary, missed), "\n".join(_costs(summary)), _dropped(summary)]
    return headline, facts, advice


def _rejected(summary: dict[str, Any]) -> Written:
    reasons = summary.get("reasons") or ["the request cannot be used"]
    advice = "correct the request and upload it again."
    return reasons[0], [listed(f"Why {summary['request']} cannot be done:", reasons)], advice


def _failed(summary: dict[str, Any]) -> Written:
    failure = summary["failure"]
    facts = [f"For: {summary['request']}", f"Why: {failure['reason']}"]
    if "estimate" in summary:
        facts.append(_estimate(summary["estimate"]))
    return f"in {failure['step']}", ["\n".join(facts)], failure["remedy"]


def _stalled(summary: dict[str, Any]) -> Written:
    facts = [f"For: {summary['request']}"]
    facts += [f"Waiting: {summary['waiting']}"] if summary.get("waiting") else []
    facts += [f"The last attempt broke off: {summary['trouble']}"] if summary.get("trouble") else []
    advice = (
        "look at the logs of generate, and at its batch job in the Bedrock console. It is nudged every minute, and "
        "fails by itself if it stays where it is."
    )
    return "it has been in one state for longer than expected", ["\n".join(facts)], advice


WRITERS = {
    Event.LABELLING_STARTED: _started,
    Event.GENERATION_COMPLETED: _completed,
    Event.GENERATION_REJECTED: _rejected,
    Event.GENERATION_FAILED: _failed,
    Event.GENERATION_STALLED: _stalled,
}


def _estimate(estimated: dict[str, Any]) -> str:
    if "unknown" in estimated:
        return f"Cost: not known, as {estimated['unknown']}"
    return (
        f"Cost: about {dollars(estimated['usd'])}, at most {dollars(estimated['at_most_usd'])} (prices of "
        f"{estimated['prices_of']}, {estimated['region']})"
    )


def _costs(summary: dict[str, Any]) -> list[str]:
    cost, estimated = summary.get("cost", {}), summary.get("estimate", {})
    tokens = f"{cost.get('tokens_read', 0):,} tokens read, {cost.get('tokens_written', 0):,} written"
    if "usd" not in cost:
        return [f"Cost: not known, as {cost.get('unknown', 'it was not counted')}; {tokens}"]
    before = f", estimated before at {dollars(estimated['usd'])}" if "usd" in estimated else ""
    return [f"Cost: {dollars(cost['usd'])}{before}; {tokens}"]


def _balance(summary: dict[str, Any], missed: list[str]) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in summary.get("shares", {}).items())
    led = f"Leading: {shares}" if shares else ""
    if missed:
        return "\n".join([led, listed("The balance is missed:", missed)])
    return led + ("\nThe balance is reached within two points." if summary.get("target") else "")


def _left_out(summary: dict[str, Any]) -> str:
    counted = summary.get("left_out", {}).items()
    words = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in counted)
    return f" (left out: {words})" if words else ""


def _faults(summary: dict[str, Any]) -> str:
    words = "; ".join(f"{reason} ({count:,})" for reason, count in summary.get("faults", {}).items())
    return f": {words}" if words else ""


def _dropped(summary: dict[str, Any]) -> str:
    return f"Dataset: {summary['dataset']}\nIts run: {summary['run']}" if summary.get("run") else ""
