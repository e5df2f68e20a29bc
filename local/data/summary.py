"""What was made of logs, for a person: numbers and reasons, and never a query."""

from collections.abc import Iterator, Mapping
from typing import Any

from local.data.terminal import painted, safe
from signalbox.task import Task

_LISTED = 20


def in_words(figures: Mapping[str, Any], task: Task, colour: bool) -> Iterator[str]:
    """Write the figures of a reading and of its sample, a line each."""
    yield from (painted(line, colour) for line in _lines(figures, task))


def _lines(figures: Mapping[str, Any], task: Task) -> Iterator[str]:
    out = safe(figures["out"])
    if figures["records"]:
        yield f"[green]wrote[/] [bold]{out}[/]  for task {task.name}"
    else:
        yield f"[red]nothing written[/]: no query for task {task.name} was found"
    yield ""
    yield from _facts(figures)
    for name, title in (
        ("skipped", "entries left out"),
        ("refused", "queries left out"),
        ("unlabelled", "answers left out"),
    ):
        yield from _reasons(title, figures.get(name, {}))
    yield from _faults(figures)
    if figures["records"]:
        yield ""
        yield f"  [dim]check it:[/] python -m local data check {out} --task {task.name}"


def _facts(figures: Mapping[str, Any]) -> Iterator[str]:
    unlabelled = figures["records"] - figures["labelled"]
    facts = [
        (
            "read",
            f"{figures['files']:,} files, {figures['entries']:,} entries, {figures['calls']:,} of them taken",
        ),
        ("queries", f"{figures['different_queries']:,} different ones"),
        (
            "records",
            f"{figures['records']:,}: {figures['labelled']:,} with an answer, {unlabelled:,} without"
            + (
                f", {figures['differing_answers']:,} answered differently at times"
                if figures["labelled"]
                else ""
            ),
        ),
        ("asked", ", ".join(f"{name}: {count:,}" for name, count in figures["asked"].items())),
        (
            "masked",
            ", ".join(f"{kind}: {count:,}" for kind, count in figures["masked"].items()) or "nothing found",
        ),
    ]
    yield from (f"  [dim]{name:<8}[/] {text}" for name, text in facts)


def _reasons(title: str, reasons: Mapping[str, int]) -> Iterator[str]:
    if reasons:
        yield ""
        yield f"  {title}"
    for reason, count in list(reasons.items())[:_LISTED]:
        yield f"    [dim]{count:>9,}[/] {safe(reason)}"
    if len(reasons) > _LISTED:
        yield f"    [dim]and {len(reasons) - _LISTED:,} reasons more; --json lists all[/]"


def _faults(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures["unreadable"]:
        yield ""
        yield f"  [yellow]![/] what could not be read: {figures['unreadable']:,}"
    for fault in figures["faults"][:_LISTED]:
        line = f" line {fault['line']:,}" if fault["line"] else ""
        yield f"    [dim]{safe(fault['file'])}{line}:[/] {safe(fault['reason'])}"
    if figures["unreadable"] > _LISTED:
        yield f"    [dim]and {figures['unreadable'] - _LISTED:,} more; --json lists up to 1,000[/]"
