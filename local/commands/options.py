"""What the commands have in common: how they find the app, how they print, what they exit with."""

import argparse
import json
from typing import Any

from local.client import App, connect, connect_stack
from local.settings import API_PORT, PORT
from signalbox.run import State

USAGE_ERROR, REFUSED, LEFT = 2, 6, 7
EXIT_CODES = {State.PROMOTED: 0, State.HELD: 3, State.REJECTED: 4, State.FAILED: 5}


class UsageError(Exception):
    """The command cannot do what it was told; the message says what to tell it."""


def command(commands: Any, name: str, help: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Add a command with its help; `examples` is one command line a line."""
    lines = "\n".join(f"  python -m local {line.strip()}" for line in examples.strip().splitlines())
    return commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_ports(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where the app is."""
    parser.add_argument("--port", type=port, default=PORT, help="port for AWS clients (default: %(default)s)")
    parser.add_argument(
        "--api-port", type=port, default=API_PORT, help="port of the API (default: %(default)s)"
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where the app is: on this machine, or in an AWS account."""
    add_ports(parser)
    account = parser.add_argument_group("in an AWS account, with your own credentials")
    account.add_argument("--stack", metavar="NAME", help="name of the stack")
    account.add_argument("--region", help="its region (default: that of the profile)")
    account.add_argument("--profile", help="profile of the AWS CLI")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Let a command print JSON instead of text."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def port(text: str) -> int:
    """A TCP port from the command line."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def app_of(options: argparse.Namespace) -> App:
    """The app that the options point at."""
    if getattr(options, "stack", None):
        return connect_stack(options.stack, options.profile, options.region)
    return connect(options.port, options.api_port)


def print_json(content: Any) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(content, ensure_ascii=False, default=str), flush=True)
