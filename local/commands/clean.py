"""`clean`: delete a run, a task or everything; lists before it deletes."""

import argparse
from typing import Any

from rich.markup import escape
from rich.table import Table

from local import render
from local.clean import remove
from local.commands.options import LEFT, UsageError, add_output, add_place, app_of, command, print_json
from local.inventory import Holding, Inventory, take_inventory


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "clean",
        help="delete a run, a generation, a task or everything it made; lists first",
        description=(
            "Lists a run or a generation, all of a task, or everything: deployments, custom models, judge's jobs,\n"
            "all versions of objects, items of the table; with --yes it deletes them. What is live, and what was\n"
            "live before it, is left unless its task is named by --with-live. A run under way is ended and its jobs\n"
            "are stopped at once; the rest of it goes a quarter of an hour later, when no step can be at work on it\n"
            "any more: call it again then, or --wait. It can be called again at any time: exit 0 if nothing is left\n"
            "of what it was to delete, else 7 (docs/cleanup.md)."
        ),
        examples=(
            "clean video-search-0123456789ab\nclean --task video-search --yes\n"
            "clean --everything --with-live video-search --yes --wait\n"
            "clean --everything --stack signalbox --region us-east-1 --profile ada"
        ),
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("run_id", nargs="?", metavar="RUN", help="one run, or one generation")
    what.add_argument("--task", metavar="T", help="all runs of a task, its spec and its datasets")
    what.add_argument("--everything", action="store_true", help="all tasks, and whatever else the app keeps")
    parser.add_argument(
        "--with-live",
        action="append",
        default=[],
        metavar="T",
        help="delete what is live for this task, too; may be given again",
    )
    parser.add_argument("--yes", action="store_true", help="delete; without it nothing is deleted")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait, for a quarter of an hour at most, until no step can be at work on what was under way",
    )
    add_output(parser)
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List, and delete."""
    app, console = app_of(options), render.console()
    scope = {"run_id": options.run_id or "", "task": options.task or "", "with_live": options.with_live}
    inventory, kept = take_inventory(app, **scope)
    if options.run_id and inventory.is_empty and not (kept or inventory.left):
        raise UsageError(f"there is no run or generation {options.run_id!r}: see `python -m local status`")
    if not options.json:
        console.print(_table(inventory, kept))
    left: list[str] = []
    if options.yes:
        say = (lambda line: None) if options.json else (lambda line: console.print(line, markup=False))
        left = remove(app, inventory, say, wait=options.wait)
        after, _ = take_inventory(app, **scope)
        left = left or ([] if after.is_empty else ["something came meanwhile: call this again"])
    if options.json:
        kept_ids = [holding.id for holding in kept]
        print_json(inventory.as_json() | {"kept": kept_ids, "deleted": options.yes, "left": left})
    elif not options.yes:
        console.print("\n".join([*inventory.left, "nothing was deleted: add --yes"]), markup=False)
    else:
        console.print("\n".join(["left:", *left]) if left else "nothing is left of it", markup=False)
    return LEFT if left else 0


def _table(inventory: Inventory, kept: list[Holding]) -> Table:
    table = Table("run", "state", "live", "deployment", "model", "objects", "MB", "")
    for holding in (*inventory.holdings, *kept):
        shown = holding.as_json()
        note = "kept: name its task with --with-live" if holding in kept else ""
        has = ["yes" if shown[part] else "" for part in ("deployment", "model")]
        size = f"{shown['bytes'] / 1e6:.1f}"
        row = [holding.id, shown["state"], holding.live, *has, str(shown["objects"]), size, note]
        table.add_row(*map(escape, row))
    for making in inventory.makings:
        shown = making.as_json()
        row = [
            making.id,
            shown["state"],
            "",
            "",
            "",
            str(shown["objects"]),
            f"{shown['bytes'] / 1e6:.1f}",
        ]
        table.add_row(*map(escape, [*row, "generation"]))
    shown = inventory.as_json()
    if inventory.versions or inventory.items:
        others = f"{len(inventory.items)} items of no run" if inventory.items else ""
        size = f"{shown['other_bytes'] / 1e6:.1f}"
        table.add_row("objects of no run", "", "", "", "", str(len(inventory.versions)), size, others)
    return table
