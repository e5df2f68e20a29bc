"""`task push`: check a task and upload it."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local import render
from local.commands.options import add_output, add_ports, app_of, command, print_json
from local.tasks import push_task


def add(commands: Any) -> None:
    """Add the command to the command line."""
    tasks = commands.add_parser("task", help="`task push FOLDER`: check a task and upload it")
    actions = tasks.add_subparsers(dest="action", metavar="action", required=True)
    parser = command(
        actions,
        "push",
        help="check a task's folder and upload it",
        description=(
            "Checks FOLDER/task.yaml and uploads it, with golden.jsonl if there is one, to tasks/<task>/ in\n"
            "the data bucket. Runs that exist keep the task they began with. On this machine the task's\n"
            "model ids are swapped for those of the Bedrock stand-in."
        ),
        examples="task push tasks/video-search",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, upload, say what was done."""
    app = app_of(options)
    pushed = push_task(options.folder, app.bucket, app.objects, local=True)
    if options.json:
        print_json(asdict(pushed))
        return 0
    console = render.console()
    for key in pushed.keys:
        console.print(f"s3://{pushed.bucket}/{key}")
    for swap in pushed.swapped:
        console.print(f"  {swap.key}: {swap.model} -> {swap.stand_in}", style="dim", markup=False)
    return 0
