"""What the commands print of generations: all of them, or one with its course, its figures and why it ended."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from signalbox.generation import Generation, GenerationState
from signalbox.wording import dollars, number

_COLOURS = {
    GenerationState.COMPLETED: "green",
    GenerationState.REJECTED: "red",
    GenerationState.FAILED: "red",
}


def table(generations: Iterable[Generation]) -> Table:
    """All generations, in the order given."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("generation", "state", "since", "request", ""):
        shown.add_column(heading, overflow="fold")
    for generation in generations:
        colour = _COLOURS.get(generation.state, "cyan")
        state = f"[{colour}]{generation.state}[/{colour}]" + (" (stalled)" if generation.stalled else "")
        request = generation.request.key.removeprefix(f"requests/{generation.task}/")
        since = f"{generation.history[-1].at:%Y-%m-%d %H:%M:%S}"
        shown.add_row(generation.id, state, since, escape(request), escape(_remark(generation)))
    return shown


def _remark(generation: Generation) -> str:
    return generation.waiting or generation.trouble or generation.history[-1].note


def course(generation: Generation) -> Iterator[str]:
    """Tell of a generation's states, each with the seconds since its beginning."""
    for moment in generation.history:
        seconds = (moment.at - generation.created_at).total_seconds()
        yield f"{seconds:6.1f} s  {moment.state:<10} {moment.note}"
    if generation.waiting:
        yield f"waiting: {generation.waiting}"


def figures(report: Mapping[str, Any]) -> list[str]:
    """Put a report into a few lines; of one that is not finished what there is."""
    counts = report.get("counts", {})
    if not counts:
        return [_costs(report)] if report.get("estimate") else []
    left_out = ", ".join(f"{n:,} {why.replace('_', ' ')}" for why, n in report.get("left_out", {}).items())
    lines = [
        f"queries: {counts['queries']:,} to be labelled" + (f" ({left_out} left out)" if left_out else ""),
        f"labels: {counts['labelled']:,} by {report['teacher']}, {counts['without_answer']:,} without a usable answer, "
        f"{counts['disagreeing']:,} dropped for disagreement",
    ]
    if shares := report.get("shares"):
        lines.append("leads: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    if report.get("noise") is not None:
        lines.append(f"noise of the teacher: {number(report['noise'], 4)}")
    return [*lines, _costs(report), *(f"balance: {reason}" for reason in report.get("balance_reasons", []))]


def ending(generation: Generation) -> Iterator[str]:
    """Say why there is no dataset."""
    yield from generation.reasons
    if generation.failure:
        yield f"failed in {generation.failure.step}: {generation.failure.reason}"
        yield f"what to do: {generation.failure.remedy}"


def _costs(report: Mapping[str, Any]) -> str:
    estimated, counted = report.get("estimate", {}), report.get("cost", {})
    before = (
        f"estimated at {dollars(estimated['usd'])}, at most {dollars(estimated['at_most_usd'])}"
        if "usd" in estimated
        else f"not known: {estimated.get('unknown', 'not estimated')}"
    )
    if not counted:
        return f"cost: {before}"
    tokens = f"{counted['tokens_read']:,} tokens read, {counted['tokens_written']:,} written"
    return f"cost: {dollars(counted['usd']) + ', ' if 'usd' in counted else ''}{before}; {tokens}"
