"""`status`: all runs, or one in full."""

import argparse
from typing import Any

from local import render
from local.client import App
from local.commands.drop import conclude, port_options
from local.commands.options import UsageError, add_output, add_ports, app_of, command, print_json
from local.progress import as_json, transition
from signalbox.run import Run


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "status",
        help="all runs, or one run in full",
        description="Lists the runs, the newest first; or shows one with its course, numbers and gates.",
        examples="status\nstatus video-search-0123456789ab\nstatus --json",
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="id of a run")
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
            print_json({"runs": [as_json(each) for each in runs], "console": app.console})
        else:
            console.print(render.runs_table(runs) if runs else "no run yet: drop a dataset")
            console.print(f"console: {app.console}")
        return 0
    found = app.runs.load(options.run_id)
    if found is None:
        raise UsageError(f"there is no run {options.run_id!r}: see `python -m local status`")
    if options.json:
        print_json({"run": as_json(found), "metrics": app.document(f"runs/{found.id}/metrics.json")})
        return 0
    console.print(f"{found.id}: [bold]{found.state}[/bold]", found.waiting)
    if found.awaits:
        console.print(f"release or end it: python -m local release {found.id}{port_options(options)}")
    for moment in found.history:
        console.print(render.update_line(transition(found, moment), found.created_at))
    if found.state.ended:
        conclude(app, found, console)
    return 0


def all_runs(app: App) -> list[Run]:
    """Every run in the table, the newest first."""
    arguments: dict[str, Any] = {}
    ids: list[str] = []
    while True:
        page = app.run_items.scan(ProjectionExpression="id", **arguments)
        ids += [item["id"] for item in page["Items"] if not item["id"].startswith("LIVE#")]
        if "LastEvaluatedKey" not in page:
            break
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    runs = [run for run in map(app.runs.load, ids) if run]
    return sorted(runs, key=lambda run: run.created_at, reverse=True)
