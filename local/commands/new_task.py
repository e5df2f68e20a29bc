"""`new-task`: write a task to start from."""

import argparse
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from local import render
from local.commands.options import UsageError, add_output, command, print_json
from local.new_task import NewTask, PromptTooLong, TaskExists, write
from signalbox.task import NAME_LENGTH, Labels, Weights, is_task_name

_DEFAULT = Weights(weights=("title", "description", "reviews"))


def add(commands: Any) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "new-task",
        help="write a task.yaml and an example dataset to start from",
        description=(
            "Writes tasks/NAME/task.yaml, with a comment for every key, and examples/NAME.jsonl, a dataset of\n"
            "placeholders in the task's form, so that all of it can be run before anything is replaced. What is\n"
            "there already is never overwritten."
        ),
        examples=(
            "new-task product-search --weights title,description,reviews\n"
            "new-task ticket-topics --labels billing,delivery,returns,other"
        ),
    )
    parser.add_argument(
        "name", metavar="NAME", type=_task_name, help="lower-case letters, digits, single dashes"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--weights",
        metavar="A,B,...",
        type=_output(Weights, "weights"),
        help=f"answers are weights of these signals (default: {','.join(_DEFAULT.signals)})",
    )
    kind.add_argument(
        "--labels", metavar="A,B,...", type=_output(Labels, "labels"), help="answers are one of these labels"
    )
    parser.add_argument(
        "--in",
        dest="root",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where tasks/ and examples/ are (default: here)",
    )
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files, and say what to do with them."""
    try:
        made = write(options.name, options.labels or options.weights or _DEFAULT, options.root)
    except (TaskExists, PromptTooLong) as error:
        raise UsageError(str(error)) from error
    if options.json:
        print_json({"task": made.name, "spec": made.spec, "example": made.example, "records": made.records})
        return 0
    console = render.console()
    for line in _said(made):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _said(made: NewTask) -> list[str]:
    run = "python -m local"
    return [
        f"wrote {made.spec}",
        f"wrote {made.example}: {made.records:,} placeholders, to be replaced",
        "",
        "See it work on this machine:",
        f"  {run} data check {made.example} --task {made.spec.parent}",
        f"  {run} up &",
        f"  {run} task push {made.spec.parent}",
        f"  {run} drop {made.example} --task {made.name} --wait",
        f'  {run} route "anything" --task {made.name}',
        "",
        f"Then make it yours: the prompt and the gates in {made.spec},",
        "and queries of your users with the answers that they should get. docs/customize.md leads through it.",
    ]


def _task_name(text: str) -> str:
    if not is_task_name(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot name a task: lower-case letters and digits, single dashes between them, at most "
            f"{NAME_LENGTH}"
        )
    return text


def _output(kind: type[Weights | Labels], key: str) -> Any:
    """Return a parser of names, separated by commas."""

    def parsed(text: str) -> Weights | Labels:
        try:
            return kind.model_validate({key: [name.strip() for name in text.split(",")]})
        except ValidationError as error:
            raise argparse.ArgumentTypeError(
                "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
            ) from error

    return parsed
