"""`release`: a person lets a run begin what costs money, or ends it instead."""

import argparse
from typing import Any

from local.commands.options import UsageError, add_place, command
from local.commands.request import add_request, follow_request, name_of
from signalbox.events import Asked
from signalbox.run import is_run_id


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "release",
        help="let a run go on that waits for a person, or end it",
        description=(
            "Releases what a run awaits a person's word for: a teacher's labels or a customization job that may\n"
            "cost more than the task's budget, or provisioned throughput, which costs while idle. With --end the\n"
            "run is ended instead, and FAILED. Who and why are kept with the run. It puts an event on the app's\n"
            "bus, as one AWS CLI call does (docs/promotion.md), and waits for the answer: exit 0 done, 6 refused."
        ),
        examples=(
            "release video-search-0123456789ab --by ada\n"
            'release video-search-0123456789ab --end --reason "too dear" --by ada\n'
            "release video-search-0123456789ab --stack signalbox --region us-east-1 --profile ada"
        ),
    )
    parser.add_argument("run_id", metavar="RUN", type=name_of("id of a run", is_run_id), help="id of a run")
    parser.add_argument("--end", action="store_true", help="end the run instead; needs --reason")
    add_request(parser, reason_required=False)
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, wait, and say what came of it."""
    if options.end and not options.reason:
        raise UsageError("--end needs --reason: whoever is told that the run failed wants to know why")
    asked = Asked.END if options.end else Asked.RELEASE
    return follow_request(options, asked, run_id=options.run_id)
