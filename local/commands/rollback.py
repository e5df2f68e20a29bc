"""`rollback`: a person takes the live model of a task back, and the one before it is live again."""

import argparse
from typing import Any

from local.commands.options import add_ports, app_of, command
from local.commands.request import add_request, follow_request, name_of
from signalbox.events import Asked
from signalbox.task import is_task_name


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "rollback",
        help="make the model live again that was live before",
        description=(
            "Asks for what is live for a task to be withdrawn, so that the model before is live again. The\n"
            "reason is kept with the run that is withdrawn and mailed. It puts an event on the app's bus, as\n"
            "one AWS CLI call does (docs/promotion.md), and waits for the answer: exit 0 the model before is\n"
            "live, 6 refused."
        ),
        examples='rollback video-search --reason "worse on sport since this morning" --by ada',
    )
    parser.add_argument(
        "task", metavar="TASK", type=name_of("name of a task", is_task_name), help="name of a task"
    )
    add_request(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for what is live at this moment to be withdrawn, wait, and say what came of it."""
    live = app_of(options).runs.live(options.task)
    withdrawn = {"run_id": live.run_id} if live else {}
    return follow_request(options, Asked.ROLLBACK, task=options.task, **withdrawn)
