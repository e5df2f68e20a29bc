"""`run`: the whole story once, from an empty app to routed queries; what `make run` calls."""

import argparse
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from local import render
from local.client import App, NotReachable, connect
from local.commands.drop import conclude, upload, wait
from local.commands.options import EXIT_CODES, add_output, add_ports, command, print_json
from local.settings import API_PORT, DEFAULT_TASK, HOST, PORT, STATE_FOLDER
from local.state import PROJECT
from signalbox.run import State

EXAMPLE = PROJECT / "examples" / "video-search.jsonl"
QUERIES = (
    "crowd cheering after a goal",
    "the speech where she announces the merger",
    "red sports car on a coastal road",
)
START_SECONDS = 60


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "run",
        help="the whole story once: up, drop the example, compare, route three queries, down",
        description=(
            "Brings a fresh app up, drops the example dataset, follows its run, prints the comparison of\n"
            "the candidates, routes three queries over HTTP and shuts the app down. Exits 0 only if the run\n"
            "was PROMOTED. Takes other ports if the usual ones are in use."
        ),
        examples="run\nrun --state /tmp/demo",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=PROJECT / STATE_FOLDER / "demo",
        help="state folder, emptied first (default: %(default)s)",
    )
    add_output(parser)
    add_ports(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Tell the story."""
    console = render.console(sys.stderr if options.json else None)
    start = time.monotonic()
    port, api_port = _usable(options.port, PORT, console), _usable(options.api_port, API_PORT, console)
    with app_up(port, api_port, options.state) as app:
        console.print(f"app is up at {app.endpoint} after {time.monotonic() - start:.1f} s; API at {app.api}")
        console.print(f"console: {app.console}")
        dataset, run_id = upload(app, EXAMPLE, DEFAULT_TASK)
        console.print(f"dropped {EXAMPLE.relative_to(PROJECT)} as s3://{dataset.bucket}/{dataset.key}")
        ended = wait(app, run_id, console)
        conclude(app, ended, console)
        report = _keep_report(app, run_id, options.state)
        if report:
            console.print(f"kept as {report}")
        answers = _routed(app, console) if ended.state == State.PROMOTED else []
        metrics = app.document(f"runs/{run_id}/metrics.json")
    if options.json:
        print_json({"run_id": run_id, "state": ended.state, "metrics": metrics, "answers": answers})
    else:
        console.print(f"{ended.state} in {time.monotonic() - start:.1f} s; the app is down again")
    return EXIT_CODES[ended.state]


@contextmanager
def app_up(port: int, api_port: int, state: Path) -> Iterator[App]:
    """A fresh app in a process of its own, ended afterwards.

    Raises
    ------
    NotReachable
        It did not come up; the message has what it said.
    """
    arguments = ["up", "--port", str(port), "--api-port", str(api_port), "--state", str(state), "--reset"]
    process = subprocess.Popen(
        [sys.executable, "-m", "local", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        said = process.stdout.readline()
        if not said.startswith("ready "):
            raise NotReachable(f"the app did not come up: {said}{process.stdout.read()}".strip())
        yield connect(port, api_port)
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        signal.signal(signal.SIGTERM, previous)


def _routed(app: App, console: Console) -> list[dict[str, Any]]:
    """Route a few queries over HTTP and show the answers."""
    console.print()
    answers = []
    for query in QUERIES:
        answer = app.route(query, DEFAULT_TASK)
        console.print(f"POST {app.api}/route  {query!r}", markup=False)
        console.print("  " + render.answer(answer))
        answers.append({"query": query, **answer})
    return answers


def _keep_report(app: App, run_id: str, state: Path) -> Path | None:
    """Copy the report to where it stays when the app is gone."""
    content = app.object(f"runs/{run_id}/report.html")
    if content is None:
        return None
    target = state / "report.html"
    target.write_bytes(content)
    try:
        return target.relative_to(Path.cwd())
    except ValueError:
        return target


def _usable(port: int, usual: int, console: Console) -> int:
    """The port if it is free; a free one in place of a usual one that is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return port
        except OSError:
            if port != usual:
                return port  # asked for by name: `up` says that it is taken
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    console.print(f"port {port} is in use; taking {free} instead")
    return free
