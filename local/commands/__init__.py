"""The command line of the app on one machine: one module for each command."""

import argparse
import json
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from local.client import ApiError, NotReachable
from local.commands import (
    clean,
    compare,
    drop,
    generate,
    new_task,
    promote,
    redrive,
    release,
    rollback,
    route,
    run,
    status,
    task,
    up,
)
from local.commands.options import USAGE_ERROR, UsageError
from local.data import command as data
from local.requests import NotAnswered
from local.server import CannotStart
from local.state import StateInUse
from local.tasks import TaskFolderError
from signalbox.spec import TaskError

EPILOG = """
exit codes:
  0  done; with a run: PROMOTED      1  the app cannot be reached, or cannot start
  2  the command line is wrong       3  the run was HELD
  4  the dataset was REJECTED        5  the run FAILED
  6  a promotion, a rollback or a release was refused
  7  something is left that could not be handled again, or not be deleted

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
    for command in (
        up,
        generate,
        drop,
        route,
        status,
        compare,
        promote,
        rollback,
        release,
        redrive,
        clean,
        new_task,
        task,
        data,
        run,
    ):
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except _FAILURES as error:
        code, message, problems = _in_words(error)
        if getattr(options, "json", False):
            print(
                json.dumps(
                    {"error": message} | ({"problems": problems} if problems else {}), ensure_ascii=False
                )
            )
        print(f"signalbox: {message}", *problems, sep="\n  ", file=sys.stderr)
        return code


_FAILURES = (
    NotReachable,
    CannotStart,
    StateInUse,
    ApiError,
    UsageError,
    TaskFolderError,
    TaskError,
    BotoCoreError,
    ClientError,
    NotAnswered,
)


def _in_words(error: Exception) -> tuple[int, str, list[str]]:
    """Say what an error means: exit code, message, and what is wrong in particular."""
    match error:
        case TaskError():
            return USAGE_ERROR, f"{error.source} cannot be used:", list(error.problems)
        case UsageError() | TaskFolderError():
            return USAGE_ERROR, str(error), []
        case BotoCoreError():
            return 1, f"the app has gone away: {error}", []
    return 1, str(error), []
