"""`status`: all runs and generations, or one of them in full."""

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape

from local import generations, render
from local.client import App
from local.commands.drop import conclude
from local.commands.options import UsageError, add_output, add_ports, app_of, command, print_json
from local.progress import as_json, release_commands, transition, waits
from signalbox.generation import FOLDER, PREFIX, Generation, GenerationTable
from signalbox.run import Run


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "status",
        help="all runs and generations, or one of them in full",
        description=(
            "Lists the runs, the newest first, and the generations of datasets; or shows one run with its course,\n"
            "numbers and gates, or one generation with its course, counts, balance and cost."
        ),
        examples="status\nstatus video-search-0123456789ab\nstatus --json",
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="id of a run, or of a generation")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print."""
    app = app_of(options)
    console = render.console()
    if options.run_id is None:
        runs = all_runs(app)
        if options.json:
            made = [generation.model_dump(mode="json") for generation in all_generations(app)]
            print_json(
                {"runs": [as_json(each) for each in runs], "generations": made, "console": app.console}
            )
        else:
            console.print(render.runs_table(runs) if runs else "no run yet: drop a dataset")
            if made := all_generations(app):
                console.print(generations.table(made))
            console.print(f"console: {app.console}")
        return 0
    found = app.runs.load(options.run_id)
    if found is None:
        return _show_generation(app, options, console)
    if options.json:
        print_json({"run": as_json(found), "metrics": app.document(f"runs/{found.id}/metrics.json")})
        return 0
    console.print(f"{found.id}: [bold]{found.state}[/bold]", escape(waits(found)))
    if found.awaits:
        console.print(f"release or end it: {release_commands(app, found.id)}")
    for moment in found.history:
        console.print(render.update_line(transition(found, moment), found.created_at))
    if found.state.ended:
        conclude(app, found, console)
    return 0


def _show_generation(app: App, options: argparse.Namespace, console: Console) -> int:
    found = GenerationTable(app.runs).load(options.run_id)
    if found is None:
        raise UsageError(f"there is no run or generation {options.run_id!r}: see `python -m local status`")
    report = app.document(f"{FOLDER}/{found.id}/report.json")
    if options.json:
        print_json({"generation": found.model_dump(mode="json"), "report": report})
        return 0
    console.print(f"{found.id}: [bold]{found.state}[/bold]")
    for line in (
        *generations.course(found),
        *generations.figures(report or found.summary),
        *generations.ending(found),
    ):
        console.print(line, markup=False)
    return 0


def all_runs(app: App) -> list[Run]:
    """Every run in the table, the newest first."""
    runs = [run for run in map(app.runs.load, _ids(app)) if run]
    return sorted(runs, key=lambda run: run.created_at, reverse=True)


def all_generations(app: App) -> list[Generation]:
    """Every generation in the table, the newest first."""
    table = GenerationTable(app.runs)
    ids = [key.removeprefix(PREFIX) for key in _ids(app) if key.startswith(PREFIX)]
    return sorted(filter(None, map(table.load, ids)), key=lambda one: one.created_at, reverse=True)


def _ids(app: App) -> list[str]:
    arguments: dict[str, Any] = {}
    ids: list[str] = []
    while True:
        page = app.run_items.scan(ProjectionExpression="id", **arguments)
        ids += [item["id"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return ids
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
