"""`route`: ask the API one query."""

import argparse
from typing import Any

from local import render
from local.commands.options import add_output, add_ports, app_of, command, print_json
from local.settings import DEFAULT_TASK


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "route",
        help="ask the API one query",
        description="Asks the API one query, over HTTP, and prints its answer.",
        examples='route "crowd cheering after a goal"\nroute "cheapest flight to Oslo" --task atis --json',
    )
    parser.add_argument("query", metavar="QUERY")
    parser.add_argument("--task", default=DEFAULT_TASK, metavar="T", help="task (default: %(default)s)")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask and print."""
    app = app_of(options)
    answer = app.route(options.query, options.task)
    if options.json:
        print_json(answer)
    else:
        console = render.console()
        console.print(render.answer(answer))
        if answer.get("reasoning"):
            console.print(answer["reasoning"], style="dim", markup=False)
    return 0
