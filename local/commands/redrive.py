"""`redrive`: what is in the dead letters, and its replay."""

import argparse
from typing import Any

from rich.markup import escape
from rich.table import Table

from local import render
from local.commands.options import LEFT, add_output, add_place, app_of, command, print_json
from local.dead_letters import DeadLetter, received, replay


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "redrive",
        help="show the events that could not be handled, and handle them again",
        description=(
            "Shows the dead letters: function, event, run, error, age. Without --list it sends each event to its\n"
            "function again, run by run and the oldest first, and removes it from the queue once the function\n"
            "has not failed. Mend the cause first (docs/runbook.md). Exit 0 if nothing is left, else 7."
        ),
        examples=(
            "redrive --list\nredrive\nredrive video-search-0123456789ab\n"
            "redrive --list --stack signalbox --region us-east-1 --profile ada"
        ),
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="only the dead letters of this run")
    parser.add_argument("--list", action="store_true", dest="list_only", help="show them and do nothing")
    add_output(parser)
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show, and replay."""
    app = app_of(options)
    with received(app) as found:
        letters = _by_run([one for one in found if options.run_id in (None, one.run_id)])
        outcomes = {} if options.list_only else {one.message_id: replay(app, one) for one in letters}
    left = [one for one in letters if outcomes.get(one.message_id, "in the queue")]
    if options.json:
        shown = [one.as_json() | _outcome(outcomes, one) for one in letters]
        print_json({"dead_letters": shown, "left": len(left)})
    else:
        console = render.console()
        console.print(_table(letters, outcomes) if letters else "no dead letters")
    return LEFT if left and not options.list_only else 0


def _by_run(letters: list[DeadLetter]) -> list[DeadLetter]:
    """The runs in the order of their oldest letter, each with its own together."""
    first: dict[str, int] = {}
    for place, letter in enumerate(letters):
        first.setdefault(letter.run_id, place)
    return sorted(letters, key=lambda letter: (first[letter.run_id], letter.sent_at))


def _outcome(outcomes: dict[str, str], letter: DeadLetter) -> dict[str, Any]:
    if letter.message_id not in outcomes:
        return {}
    reason = outcomes[letter.message_id]
    return {"replayed": not reason, "reason": reason}


def _table(letters: list[DeadLetter], outcomes: dict[str, str]) -> Table:
    table = Table("run", "function", "event", "age", "error", *(["outcome"] if outcomes else []))
    for one in letters:
        shown = one.as_json()
        row = [
            one.run_id or "-",
            one.function or "?",
            one.detail_type or "?",
            f"{shown['age_seconds'] / 60:.0f} min",
            f"{one.error_code} {one.error_message}".strip(),
        ]
        if outcomes:
            row.append(outcomes[one.message_id] or "done")
        table.add_row(*map(escape, row))
    return table
