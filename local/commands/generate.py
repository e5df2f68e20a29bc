"""`generate`: upload a generation request, and follow its dataset to the end of its run if asked to."""

import argparse
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from local import render
from local.client import App
from local.commands.drop import conclude
from local.commands.drop import wait as follow_run
from local.commands.options import EXIT_CODES, UsageError, add_output, add_ports, app_of, command, print_json
from local.generations import ending, figures
from local.progress import POLL_SECONDS, as_json
from local.settings import DEFAULT_TASK
from signalbox.dataset_object import DatasetObject
from signalbox.generation import Generation, GenerationState, GenerationTable
from signalbox.generation_request import NAME, GenerationRequest
from signalbox.run import State, run_id_for
from signalbox.task import Task

_EXIT_CODES = {
    GenerationState.REJECTED: EXIT_CODES[State.REJECTED],
    GenerationState.FAILED: EXIT_CODES[State.FAILED],
}


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "generate",
        help="upload a generation request; with --wait follow its dataset to the end of its run",
        description=(
            "Uploads a request to requests/<task>/ in the data bucket. Queries are made as it says, the task's\n"
            "teacher labels them, and the dataset is dropped, which starts a run. With --wait it is followed to\n"
            "the run's end and exits 0 PROMOTED, 3 HELD, 4 REJECTED, 5 FAILED."
        ),
        examples="generate examples/request.yaml --wait\ngenerate my.yaml --task my-task --json",
    )
    parser.add_argument("file", type=Path, metavar="REQUEST", help="generation request, a .yaml file")
    parser.add_argument("--task", default=DEFAULT_TASK, metavar="T", help="task (default: %(default)s)")
    parser.add_argument("--wait", action="store_true", help="follow it to the end of its run")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Upload, print the generation's id, and follow."""
    if not options.file.is_file():
        raise UsageError(f"there is no file {options.file}")
    app = app_of(options)
    console = None if options.json else render.console()
    generation_id = upload(app, options.file, options.task)
    if console:
        console.print(f"generation {generation_id}")
    if not options.wait:
        if options.json:
            print_json({"generation_id": generation_id, "task": options.task})
        return 0
    try:
        generation = follow(app, generation_id, console)
        report = app.document(f"generations/{generation_id}/report.json")
        if console and report:
            for line in figures(report):
                console.print(line, markup=False)
        ended = follow_run(app, generation.run_id, console) if generation.run_id else None
    except KeyboardInterrupt:
        render.console().print(f"\nit goes on; its run will be in: python -m local status{app.port_options}")
        return 130
    if options.json:
        said = {"generation": generation.model_dump(mode="json"), "report": report}
        metrics = app.document(f"runs/{generation.run_id}/metrics.json") if ended else None
        print_json(said | {"run": as_json(ended) if ended else None, "metrics": metrics})
    elif console and ended:
        conclude(app, ended, console)
    elif console:
        for line in ending(generation):
            console.print(line, markup=False)
    return EXIT_CODES[ended.state] if ended else _EXIT_CODES[generation.state]


def upload(app: App, file: Path, task: str) -> str:
    """Check a request, upload it and the file of queries that it names, and return the generation's id.

    Raises
    ------
    UsageError
        The bucket has no such task; the file's name cannot be an object's; its queries are not beside it.
    signalbox.task.TaskError
        The request is wrong; it names each line.
    """
    if (spec := app.object(f"tasks/{task}/task.yaml")) is None:
        raise UsageError(f"there is no task {task!r}: upload it with `python -m local task push FOLDER`")
    if not re.fullmatch(NAME, file.name) or file.suffix != ".yaml":
        raise UsageError(
            f"{file.name} must be letters, digits, dots, dashes and underscores, and end in .yaml"
        )
    content = file.read_bytes()
    request = GenerationRequest.from_yaml(content, Task.from_yaml(spec, f"tasks/{task}/task.yaml"), str(file))
    folder = f"requests/{task}"
    if request.queries:
        beside = file.parent / request.queries
        if not beside.is_file():
            raise UsageError(f"{file} names the queries {request.queries}, which is not beside it")
        app.objects.put_object(Bucket=app.bucket, Key=f"{folder}/{request.queries}", Body=beside.read_bytes())
    key = f"{folder}/{file.name}"
    put = app.objects.put_object(Bucket=app.bucket, Key=key, Body=content)
    return run_id_for(
        DatasetObject(bucket=app.bucket, key=key, version_id=put["VersionId"], etag=put["ETag"].strip('"'))
    )


def follow(
    app: App, generation_id: str, console: Console | None, pause: Callable[[float], None] = time.sleep
) -> Generation:
    """Tell of a generation's every transition and of what it waits for; return it as it ended."""
    generations, told, waiting, start = GenerationTable(app.runs), 0, "", datetime.now(UTC)
    while True:
        generation = generations.load(generation_id)
        if generation is not None:
            for moment in generation.history[told:]:
                _say(console, moment.at, start, moment.state, moment.note)
            if generation.waiting and generation.waiting != waiting:
                _say(console, datetime.now(UTC), start, generation.state, generation.waiting)
            told, waiting = len(generation.history), generation.waiting
            if generation.state.ended:
                return generation
        pause(POLL_SECONDS)


def _say(console: Console | None, at: datetime, start: datetime, state: str, text: str) -> None:
    if console:
        seconds = max(0.0, (at - start).total_seconds())
        console.print(f"{seconds:6.1f} s  {state:<10} {text}", markup=False, highlight=False)
