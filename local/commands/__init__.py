"""The command line of the app on one machine: one module for each command."""

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError

from local.client import ApiError, NotReachable
from local.commands import drop, route, run, status, task, up
from local.commands.options import USAGE_ERROR, UsageError
from local.server import CannotStart
from local.state import StateInUse
from local.tasks import TaskFolderError
from signalbox.task import TaskError

EPILOG = """
exit codes:
  0  done; with a run: PROMOTED      1  the app cannot be reached, or cannot start
  2  the command line is wrong       3  the run was HELD
  4  the dataset was REJECTED        5  the run FAILED

example:
  python -m local up &
  python -m local drop examples/video-search.jsonl --task video-search --wait
  python -m local route "crowd cheering after a goal"
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="python -m local",
        description="Signalbox on one machine: drop a dataset into S3, get a query router behind an API.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for command in (up, drop, route, status, task, run):
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (NotReachable, CannotStart, StateInUse, ApiError) as error:
        print(f"signalbox: {error}", file=sys.stderr)
        return 1
    except (UsageError, TaskFolderError) as error:
        print(f"signalbox: {error}", file=sys.stderr)
        return USAGE_ERROR
    except TaskError as error:
        print(f"signalbox: {error.source} cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return USAGE_ERROR
    except BotoCoreError as error:
        print(f"signalbox: the app has gone away: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
