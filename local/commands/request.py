"""What `promote`, `rollback` and `release` have in common: a person's request, and its answer."""

import argparse
import getpass
from collections.abc import Callable

from rich.markup import escape

from local import render, requests
from local.commands.options import REFUSED, add_output, app_of, print_json
from signalbox.events import NAME_OF_PERSON_LENGTH, REASON_LENGTH, Asked
from signalbox.live import Live

_MOVES_POINTER = {Asked.PROMOTION, Asked.ROLLBACK}
_SHOWN = {"run_id", "model", "since", "how", "by", "reason"}


def add_request(parser: argparse.ArgumentParser, reason_required: bool = True) -> None:
    """Let a command carry a person's request."""
    parser.add_argument(
        "--reason", required=reason_required, metavar="TEXT", type=_text(REASON_LENGTH), help="why"
    )
    parser.add_argument(
        "--by", metavar="NAME", type=_text(NAME_OF_PERSON_LENGTH), help="who asks (default: the user's name)"
    )
    parser.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="wait for the answer (default)"
    )
    add_output(parser)


def follow_request(options: argparse.Namespace, asked: Asked, **subject: str) -> int:
    """Ask the app for something in the person's name, print its answer, and return the exit code."""
    app, console = app_of(options), render.console()
    request_id = requests.ask(app, asked, **subject, reason=options.reason or "", by=options.by or _user())
    if not options.wait:
        if options.json:
            print_json({"request_id": request_id, "asked": asked, **subject})
        else:
            console.print(f"asked, as request {request_id}")
        return 0
    if not options.json:
        console.print(f"asked, as request {request_id}; waiting for promote", style="dim")
    outcome = requests.outcome(app, request_id)
    run = app.runs.load(outcome.run_id)
    live = app.runs.live(run.task) if run and asked in _MOVES_POINTER else None
    if options.json:
        shown = live.model_dump(mode="json", include=_SHOWN) if live else None
        print_json({"refused": bool(outcome.said), "live": shown, **outcome.model_dump(mode="json")})
    elif outcome.said:
        console.print(f"[yellow]refused[/yellow]: {escape(outcome.said)}")
    elif live is None:
        done = "ended" if asked is Asked.END else "released, and goes on"
        console.print(f"[green]{outcome.run_id}[/green] is {done}")
    else:
        console.print(f"[green]{live.run_id}[/green] is live{_instead_of(live)}")
        console.print(f"report: s3://{app.bucket}/runs/{live.run_id}/report.html")
    return REFUSED if outcome.said else 0


def _instead_of(live: Live) -> str:
    if live.how == "rollback" and live.last_rollback:
        return f" again, {live.last_rollback.from_run_id} is withdrawn"
    return f", in place of {live.previous.run_id}" if live.previous else ""


def name_of(kind: str, fits: Callable[[str], bool]) -> Callable[[str], str]:
    """Return a parser of an argument that is a name."""

    def parsed(text: str) -> str:
        if not fits(text):
            raise argparse.ArgumentTypeError(f"this is not the {kind}")
        return text

    return parsed


def _text(longest: int) -> Callable[[str], str]:
    """Return a parser of an argument that says something, and not too much."""

    def parsed(text: str) -> str:
        if not text.strip() or len(text) > longest:
            raise argparse.ArgumentTypeError(f"a text of 1 to {longest:,} characters is expected")
        return text.strip()

    return parsed


def _user() -> str:
    """The name under which the person is logged in, "" where there is none."""
    try:
        return getpass.getuser()[:NAME_OF_PERSON_LENGTH]
    except (OSError, KeyError):
        return ""
