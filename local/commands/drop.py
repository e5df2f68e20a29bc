"""`drop`: upload a dataset, and follow its run if asked to."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local import render
from local.client import App, NotReachable
from local.commands.options import EXIT_CODES, UsageError, add_output, add_ports, app_of, command, print_json
from local.progress import as_json, follow, waits
from local.settings import DEFAULT_TASK
from signalbox.dataset_object import DatasetObject
from signalbox.run import Run, State, run_id_for
from signalbox.task import is_task_name


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "drop",
        help="upload a dataset; with --wait follow its run to the end",
        description=(
            "Uploads a dataset to datasets/<task>/ in the data bucket, which starts a run. With --wait it\n"
            "follows the run to its end and exits 0 PROMOTED, 3 HELD, 4 REJECTED, 5 FAILED."
        ),
        examples="drop examples/video-search.jsonl --wait\ndrop my.jsonl --task my-task --wait --json",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="dataset, one record a line")
    parser.add_argument(
        "--task",
        metavar="T",
        help=f"task (default: what the file is called, or {DEFAULT_TASK} if no task is)",
    )
    parser.add_argument("--wait", action="store_true", help="follow the run to its end")
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Upload, print the run's id, and follow."""
    if not options.file.is_file():
        raise UsageError(f"there is no file {options.file}")
    app = app_of(options)
    console = render.console()
    task = options.task or _task_called_like(options.file, app)
    dataset, run_id = upload(app, options.file, task)
    if not options.json:
        console.print(f"dropped s3://{dataset.bucket}/{dataset.key}")
        console.print(f"run {run_id}")
    if not options.wait:
        if options.json:
            print_json({"run_id": run_id, "task": task, **dataset.model_dump()})
        else:
            console.print(f"follow it with: python -m local status {run_id}{app.port_options}")
        return 0
    try:
        ended = wait(app, run_id, None if options.json else console)
    except KeyboardInterrupt:
        again = f"python -m local status {run_id}{app.port_options}"
        console.print(f"\nthe run goes on; see how far it is: {again}")
        return 130
    except (BotoCoreError, ClientError) as error:
        again = f"python -m local status {run_id}{app.port_options}"
        raise NotReachable(
            f"the app has gone away while {run_id} was under way ({error}); the run goes on where it was once the "
            f"app is up again: {again}"
        ) from error
    if options.json:
        findings = app.document(f"runs/{run_id}/validation.json")
        metrics = app.document(f"runs/{run_id}/metrics.json")
        print_json({"run_id": run_id, "run": as_json(ended), "validation": findings, "metrics": metrics})
    else:
        conclude(app, ended, console)
    return EXIT_CODES[ended.state]


def _task_called_like(file: Path, app: App) -> str:
    """Return the uploaded task that a file is named after, or else the one that comes with the project."""
    named = is_task_name(file.stem) and app.object(f"tasks/{file.stem}/task.yaml") is not None
    return file.stem if named else DEFAULT_TASK


def upload(app: App, file: Path, task: str) -> tuple[DatasetObject, str]:
    """Upload a dataset through the S3 API; return the object version and the id of the run that it starts.

    Raises
    ------
    UsageError
        The bucket has no such task.
    """
    if app.object(f"tasks/{task}/task.yaml") is None:
        raise UsageError(f"there is no task {task!r}: upload it with `python -m local task push FOLDER`")
    key = f"datasets/{task}/{file.name}"
    with file.open("rb") as content:
        put = app.objects.put_object(Bucket=app.bucket, Key=key, Body=content)
    dataset = DatasetObject(
        bucket=app.bucket,
        key=key,
        version_id=put.get("VersionId"),
        etag=put["ETag"].strip('"'),
        size=file.stat().st_size,
    )
    return dataset, run_id_for(dataset)


def wait(app: App, run_id: str, console: Console | None) -> Run:
    """Follow a run to its end, printing its course, and return it as it ended."""
    start, ended = datetime.now(UTC), None
    status = console.status("waiting for validate to take it up") if console and console.is_terminal else None
    if status:
        status.start()
    try:
        for update in follow(app, run_id):
            ended = update.run or ended
            start = min(start, update.run.created_at) if update.run else start
            if console:
                console.print(render.update_line(update, start))
            if status and update.run:
                status.update(f"{update.run.state} {waits(update.run) or update.text}"[: console.width - 4])
    finally:
        if status:
            status.stop()
    assert ended is not None
    return ended


def conclude(app: App, run: Run, console: Console) -> None:
    """Print what came of a run, and where to read more."""
    prefix = f"runs/{run.id}"
    findings = app.document(f"{prefix}/validation.json") or {"reasons": [run.reason]}
    if run.state in (State.PROMOTED, State.HELD):
        metrics = app.document(f"{prefix}/metrics.json") or {}
        console.print()
        console.print(render.comparison(metrics))
        console.print(f"[dim]{render.STAND_IN_NOTE}[/dim]")
        console.print(render.gates(metrics))
        for line in render.warnings(findings):
            console.print(line)
        console.print(f"report: s3://{app.bucket}/{prefix}/report.html")
    elif run.state == State.REJECTED:
        for line in render.rejection(findings):
            console.print(line)
        console.print(f"all of it: s3://{app.bucket}/{prefix}/validation.json")
    elif run.failure:
        console.print(f"[red]failed in {run.failure.step}[/red]: {run.failure.reason}")
        console.print(f"what to do: {run.failure.remedy}")
