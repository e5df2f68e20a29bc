"""`compare`: two runs side by side."""

import argparse
from typing import Any

from local import compare, render
from local.commands.options import UsageError, add_output, add_ports, app_of, command, print_json


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "compare",
        help="two runs side by side",
        description=(
            "Prints the numbers of two evaluated runs side by side, each of the model that would answer\n"
            "first, with their 95 % intervals, and the gates. Where the golden sets share queries, it says in\n"
            "words whether the first run is better or worse on these than the second."
        ),
        examples="compare video-search-0123456789ab video-search-ba9876543210",
    )
    parser.add_argument("run_id", metavar="RUN", help="id of a run")
    parser.add_argument("rival", metavar="RUN", help="id of the run to compare it with")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print."""
    app = app_of(options)
    try:
        own, rival = (compare.evaluated(app, run_id) for run_id in (options.run_id, options.rival))
    except compare.NotComparable as reason:
        raise UsageError(str(reason)) from reason
    found = compare.paired(own, rival)
    if options.json:
        print_json(compare.as_document(own, rival, found))
        return 0
    console = render.console()
    console.print(render.side_by_side(own, rival))
    console.print(compare.in_words(own, rival, found), markup=False)
    return 0
