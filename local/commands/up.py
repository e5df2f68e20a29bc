"""`up`: serve the app until it is told to stop."""

import argparse
import json
from pathlib import Path
from typing import Any

from local.commands.options import add_ports, command
from local.server import Options
from local.server import up as serve
from local.settings import STATE_FOLDER, WATCH_SECONDS, WORKERS_PER_FUNCTION
from local.state import PROJECT


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "up",
        help="serve the app until Ctrl-C or SIGTERM",
        description=(
            "Serves the app until Ctrl-C or SIGTERM. Prints one line, `ready ` and a JSON object with\n"
            "endpoint, api and bucket, when it can be used. Everything it keeps is in the state folder; a\n"
            "killed app goes on where it was.\n\n"
            f"While it is up it calls `watch` every {WATCH_SECONDS:.0f} seconds: EventBridge has no\n"
            "schedule below a minute. Warnings go to up.log in the state folder, what the functions log to\n"
            "CloudWatch Logs: aws logs filter-log-events --log-group-name /aws/lambda/signalbox-validate"
        ),
        examples="up\nup --port 4666 --api-port 3100 --state /tmp/other --reset",
    )
    add_ports(parser)
    parser.add_argument(
        "--state", type=Path, default=PROJECT / STATE_FOLDER, help="state folder (default: %(default)s)"
    )
    parser.add_argument("--reset", action="store_true", help="forget what the state folder holds")
    parser.add_argument(
        "--workers",
        type=int,
        default=WORKERS_PER_FUNCTION,
        choices=range(1, 17),
        metavar="N",
        help="processes that a function may have at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--query-log-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the queries that the router keeps, masked, for `data from-query-log` (default: none)",
    )
    parser.add_argument("--json", action="store_true", help="`ready` is followed by JSON in any case")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve."""
    serve(
        Options(
            port=options.port,
            api_port=options.api_port,
            state=options.state,
            reset=options.reset,
            workers=options.workers,
            query_log_share=options.query_log_share,
        ),
        announce=lambda app: print("ready", json.dumps(app), flush=True),
    )
    return 0
