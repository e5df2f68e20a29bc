"""What the commands print: a run's course, the candidates compared, the gates, a dataset's faults."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local.compare import Evaluated, cell, grades
from local.progress import Update, waits
from signalbox import measures
from signalbox.run import Run, State

COLOURS = {
    State.PROMOTED: "green",
    State.HELD: "yellow",
    State.REJECTED: "red",
    State.FAILED: "red",
}
STAND_IN_NOTE = (
    "Models named local.* are stand-ins that run on this machine; "
    "their figures say nothing about Amazon Bedrock's."
)
LISTED_PROBLEMS = 50


def console(stream: Any = None) -> Console:
    """A console that leaves long lines whole and takes a file for a wide terminal."""
    plain = Console(file=stream, highlight=False, soft_wrap=True)
    if not plain.is_terminal:
        plain.width = 120
    return plain


def update_line(update: Update, start: datetime) -> str:
    """One line of a run's course, with the time since its start."""
    elapsed = f"[dim]{_duration(update.at - start):>8}[/dim]"
    text = escape(update.text)
    if update.kind == "state" and update.state:
        colour = COLOURS.get(update.state, "cyan")
        return f"{elapsed}  [{colour}]{update.state:<10}[/{colour}]  {text}"
    label = "waiting" if update.kind == "waiting" else "Bedrock"
    return f"{elapsed}  [dim]{label:<10}[/dim]  {text}"


def comparison(metrics: Mapping[str, Any]) -> Table:
    """The candidates beside each other, as measured on the golden set: a column each."""
    candidates: Mapping[str, Mapping[str, Any]] = metrics.get("candidates", {})
    heading = f"{metrics.get('run_id')}: {metrics.get('golden', '?')} golden queries"
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in candidates:
        table.add_column(name, justify="right", overflow="fold")
    table.add_row("model", *(escape(str(candidate.get("model", ""))) for candidate in candidates.values()))
    for measure in measures.shown(candidates.values()):
        numbers = (measure.of(candidate) for candidate in candidates.values())
        table.add_row(measure.title, *map(measure.written, numbers))
    for key in ("input", "output"):
        counts = ((candidate.get("tokens") or {}).get(key) for candidate in candidates.values())
        table.add_row(f"{key} tokens", *(f"{count:,}" if count else measures.ABSENT for count in counts))
    return table


def side_by_side(own: Evaluated, rival: Evaluated) -> Table:
    """Two runs in a column each: the model that would answer first, its numbers, and the gates."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for run in (own, rival):
        table.add_column(run.run_id, justify="right", overflow="fold")
    runs = (own, rival)
    for title, key in (
        ("verdict", "verdict"),
        ("answers first", "served_first"),
        ("golden queries", "golden"),
    ):
        table.add_row(title, *(escape(str(run.metrics.get(key, measures.ABSENT))) for run in runs))
    table.add_row("model", *(escape(str(run.candidate.get("model", ""))) for run in runs), end_section=True)
    for measure in measures.shown(run.candidate for run in runs):
        table.add_row(measure.title, *(cell(measure, run.candidate) for run in runs))
    for name, cells in grades(own, rival).items():
        table.add_row(f"judge, of {escape(name)}", *cells)
    table.add_section()
    verdicts = [{gate["name"]: gate["passed"] for gate in run.metrics.get("gates", [])} for run in runs]
    words = {True: "[green]passed[/green]", False: "[red]failed[/red]", None: measures.ABSENT}
    for name in dict.fromkeys(name for gates_of in verdicts for name in gates_of):
        table.add_row(f"gate {escape(name)}", *(words[gates_of.get(name)] for gates_of in verdicts))
    return table


def gates(metrics: Mapping[str, Any]) -> Table:
    """What the model had to reach, and whether it did."""
    heading = f"gates: {metrics.get('verdict', 'not applied')}"
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("gate", "verdict", "why"):
        table.add_column(heading)
    for gate in metrics.get("gates", []):
        verdict = "[green]passed[/green]" if gate.get("passed") else "[red]failed[/red]"
        table.add_row(escape(str(gate.get("name"))), verdict, escape(str(gate.get("reason", ""))))
    return table


def warnings(findings: Mapping[str, Any]) -> Iterable[str]:
    """What is odd about a dataset, in sentences that quote no query."""
    for warning in findings.get("warnings", []):
        yield f"[yellow]to look at in the dataset[/yellow]: {escape(str(warning))}"


def rejection(findings: Mapping[str, Any]) -> Iterable[str]:
    """Why a dataset was rejected: the reasons, then line, field and reason of what is wrong in it."""
    for reason in findings.get("reasons", []):
        yield f"[red]rejected[/red]: {escape(str(reason))}"
    problems = findings.get("problems", [])
    for problem in problems[:LISTED_PROBLEMS]:
        where = f"line {problem.get('line')}"
        field = f", {problem['field']}" if problem.get("field") else ""
        yield f"  {escape(where + field)}: {escape(str(problem.get('reason', '')))}"
    total = (findings.get("counts") or {}).get("invalid", len(problems))
    if total > LISTED_PROBLEMS:
        yield f"  and {total - LISTED_PROBLEMS:,} more, all listed in validation.json"


def answer(answer: Mapping[str, Any]) -> str:
    """One routed query on one line: weights or label, then who answered, how fast."""
    if "weights" in answer:
        said = "  ".join(f"{signal} {weight:.4f}" for signal, weight in answer["weights"].items())
    else:
        said = f"{answer.get('label')} ({written(answer.get('confidence'), 'percent')})"
    cached = ", cached" if answer.get("cached") else ""
    source = f"{answer.get('source')} {answer.get('model') or ''}".strip()
    return (
        f"{escape(said)}  [dim]{escape(source)}, {written(answer.get('latency_ms'), 'time')} ms{cached}[/dim]"
    )


def runs_table(runs: Iterable[Run]) -> Table:
    """All runs, the newest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "state", "since", "dataset", ""):
        table.add_column(heading, overflow="fold")
    for run in runs:
        colour = COLOURS.get(run.state, "cyan")
        state = f"[{colour}]{run.state}[/{colour}]"
        remark = waits(run) or run.reason
        dataset = run.dataset.key.removeprefix(f"datasets/{run.task}/")
        table.add_row(run.id, state, f"{run.updated_at:%Y-%m-%d %H:%M:%S}", escape(dataset), escape(remark))
    return table


def written(value: Any, style: str) -> str:
    """A measured value; a dash where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return {
        "percent": f"{value:.1%}",
        "time": f"{value:.1f}",
    }[style]


def _duration(elapsed: timedelta) -> str:
    seconds = max(0.0, elapsed.total_seconds())
    return f"{seconds:.1f} s" if seconds < 120 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
