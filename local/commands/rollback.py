"""`rollback`: a person takes the live model of a task back, and the one before it is live again."""

import argparse
from typing import Any

from local.commands.options import add_ports, command
from local.commands.request import add_request, follow_request
from signalbox.events import Asked


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "rollback",
        help="make the model live again that was live before",
        description=(
            "Asks for the live pointer of a task to go back to the model before. The reason is kept with the\n"
            "run that is withdrawn and mailed. It puts an event on the app's bus, as one AWS CLI call does\n"
            "(docs/promotion.md), and waits for the answer: exit 0 the model before is live, 6 refused."
        ),
        examples='rollback video-search --reason "worse on sport since this morning" --by ada',
    )
    parser.add_argument("task", metavar="TASK", help="name of a task")
    add_request(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, wait, and say what came of it."""
    return follow_request(options, Asked.ROLLBACK, task=options.task)
