"""`promote`: a person makes a run live that its gates held, or that was live before."""

import argparse
from typing import Any

from local.commands.options import add_ports, command
from local.commands.request import add_request, follow_request, name_of
from signalbox.events import Asked
from signalbox.run import is_run_id


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "promote",
        help="make a run live that was held, or that was live before",
        description=(
            "Asks for a run to be made live: one that is HELD, one that was live and is not any more, or one\n"
            "that is EVALUATED and waits for what is live. The reason is kept with the run and mailed. It puts\n"
            "an event on the app's bus, as one AWS CLI call does (docs/promotion.md), and waits for the answer:\n"
            "exit 0 it is live, 6 refused."
        ),
        examples='promote video-search-0123456789ab --reason "the judge is wrong about sport" --by ada',
    )
    parser.add_argument("run_id", metavar="RUN", type=name_of("id of a run", is_run_id), help="id of a run")
    add_request(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, wait, and say what came of it."""
    return follow_request(options, Asked.PROMOTION, run_id=options.run_id)
