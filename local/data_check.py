"""`data check`: what the pipeline would say of a dataset, before anything is uploaded.

The functions are those of `validate`. Without network and without what talks to AWS, whose import alone takes longer
than the check, since a commit may wait for it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from signalbox.dataset import Dataset
    from signalbox.records import Record
    from signalbox.task import Task

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_REGION = "us-east-1"
USABLE, USAGE_ERROR, REJECTED = 0, 2, 4
_CHUNK_BYTES = 1 << 20
_LISTED, _EXAMPLES = 20, 3
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}

DESCRIPTION = """\
Checks a dataset as the pipeline does when it is dropped: the same functions, and so the same verdict, findings and
warnings. Nothing is uploaded and nothing is asked. Exits 0 usable, 4 rejected, 2 the command line is wrong.
"""
EXAMPLES = """\
examples:
  python -m local data check examples/video-search.jsonl --task video-search
  python -m local data check my.jsonl --task my-tasks/my-task --json
"""


class CannotCheck(Exception):
    """The command line names what is not there or cannot be used; the message says what."""


def add(commands: Any) -> None:
    """Add the command to the command line."""
    data = commands.add_parser("data", help="`data check FILE`: what the pipeline would say of a dataset")
    actions = data.add_subparsers(dest="action", metavar="action", required=True)
    check = actions.add_parser(
        "check",
        help="check a dataset before it is uploaded",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="dataset, one record a line")
    check.add_argument(
        "--task",
        required=True,
        metavar="T",
        help="a folder with a task.yaml, or the name of one under tasks/",
    )
    check.add_argument("--json", action="store_true", help="print one JSON object a file instead of text")
    check.set_defaults(run=run)


def main(arguments: Sequence[str]) -> int:
    """Run the command alone, without loading the others."""
    parser = argparse.ArgumentParser(prog="python -m local")
    add(parser.add_subparsers(metavar="command", required=True))
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Check each file, print what was found, and return the exit code."""
    try:
        folder, task = _task(options.task)
        return max(_check(file, folder, task, options.json) for file in options.files)
    except CannotCheck as error:
        print(f"signalbox: {error}", file=sys.stderr)
        return USAGE_ERROR


def _task(named: str) -> "tuple[Path, Task]":
    from signalbox.spec import TaskError
    from signalbox.task import Task

    folders = [Path(named), Path("tasks") / named, PROJECT / "tasks" / named]
    folder = next((folder for folder in folders if (folder / "task.yaml").is_file()), None)
    if folder is None:
        raise CannotCheck(f"there is no task.yaml in {named} or in tasks/{named}")
    try:
        return folder, Task.from_yaml((folder / "task.yaml").read_bytes(), str(folder / "task.yaml"))
    except TaskError as error:
        raise CannotCheck("\n  ".join([f"{error.source} cannot be used:", *error.problems])) from error


def _check(file: Path, folder: Path, task: "Task", as_json: bool) -> int:
    if not file.is_file():
        raise CannotCheck(f"there is no file {file}")
    start = time.perf_counter()
    findings = check(file, task, folder / "golden.jsonl")
    if as_json:
        print(json.dumps({"file": str(file), "task": task.name, **findings}, ensure_ascii=False), flush=True)
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        for line in in_words(file, task, findings):
            print(_painted(line, colour))
        print(_painted(f"[dim]took {time.perf_counter() - start:.1f} s[/]\n", colour), flush=True)
    return USABLE if findings["accepted"] else REJECTED


def check(file: Path, task: "Task", golden: Path) -> dict[str, Any]:
    """Examine a dataset; return what would stand in validation.json but for the run's id.

    Parameters
    ----------
    golden : Path
        The task's golden set; it need not be there.
    """
    from signalbox.dataset import GoldenError, examine, too_large
    from signalbox.dataset_cost import add_cost

    held_out: list[Record] | None = None
    if reason := too_large(file.stat().st_size):
        return {"accepted": False, "reasons": [reason], "problems": []}
    try:
        if golden.is_file():
            held_out = _golden(golden, task)
    except GoldenError as error:
        return {"accepted": False, "reasons": [str(error)], "problems": []}
    dataset: Dataset = examine(_chunks(file), task, held_out, str(golden) if held_out is not None else "")
    add_cost(dataset, task, os.environ.get("AWS_REGION") or DEFAULT_REGION)
    return dataset.findings()


def _golden(file: Path, task: "Task") -> "list[Record]":
    from signalbox.dataset import read_golden

    return read_golden(_chunks(file), task, str(file))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            yield chunk


def in_words(file: Path, task: "Task", findings: dict[str, Any]) -> Iterator[str]:
    """Write findings for a person, a line each; [bold] and so on until [/] is for `_painted`."""
    verdict = "[green]usable[/]" if findings["accepted"] else "[red]rejected[/]"
    yield f"{verdict}  [bold]{_safe(str(file))}[/]  for task {task.name}"
    for reason in findings["reasons"]:
        yield f"  [red]✗[/] {_safe(reason)}"
    if findings.get("counts", {}).get("records"):
        yield ""
        width = max(len(name) for name, _ in _facts(findings))
        yield from (f"  [dim]{name:<{width}}[/]  {_safe(fact)}" for name, fact in _facts(findings))
    yield from _problems(findings)
    if findings.get("warnings"):
        yield ""
    yield from (f"  [yellow]![/] {_safe(warning)}" for warning in findings.get("warnings", []))
    for name, title in (("near_leakage", "nearly golden"), ("beyond_noise", "answers apart")):
        for example in findings.get(name, {}).get("examples", [])[:_EXAMPLES]:
            lines = " and ".join(str(line or "golden.jsonl") for line in example["lines"])
            yield f"    [dim]{title}, lines {lines}:[/] {_safe(' / '.join(example['queries']))}"
    if findings["accepted"] is False and findings.get("counts", {}).get("labelled") == 0:
        yield "  [dim]prompts alone are accepted if a run of the task is live: its golden set is used then[/]"


def _facts(findings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counts = findings["counts"]
    yield (
        "records",
        f"{counts['records']:,} of {counts['lines']:,} lines, {counts['prompt_only']:,} without an answer",
    )
    yield (
        "for training",
        f"{counts['train']:,}, golden set of {counts['golden']:,} {findings['golden_source']}",
    )
    yield (
        "queries",
        f"{counts['queries']:,} different ones, {counts['duplicates']:,} repetitions, "
        f"{counts['contradictions']:,} with differing answers",
    )
    near = findings["near_duplicates"]
    yield (
        "nearly alike",
        f"{near['queries']:,} queries in {near['groups']:,} groups, the largest of {near['largest']:,}",
    )
    leading = sorted(findings["balance"].items(), key=lambda entry: -entry[1])
    yield (
        "balance",
        ", ".join(f"{name} {share:.0%}" for name, share in leading[:8]) + (" …" if leading[8:] else ""),
    )
    noise = findings["teacher_noise"]
    if noise["repeated_queries"]:
        yield (
            "noise",
            f"{noise['mean_difference']:.3f} between answers to one query ({noise['repeated_queries']:,} repeated)",
        )
    if (findings.get("grid") or {}).get("step"):
        yield "steps", f"weights in steps of {findings['grid']['step']:g}"
    yield "scripts", ", ".join(f"{name} {share:.1%}" for name, share in findings["scripts"]["shares"].items())
    kinds = findings["personal_data"]["kinds"]
    yield "personal data", ", ".join(f"{kind}: {count:,}" for kind, count in kinds.items()) or "none found"
    cost = findings.get("cost", {})
    if "training_usd" in cost:
        yield (
            "Bedrock job",
            f"about {cost['training_usd']:.2f} USD, at most {cost['at_most_usd']:.2f} ({cost['region']}, prices of "
            f"{cost['prices_of']})",
        )
    elif cost:
        yield "Bedrock job", f"cost unknown: {cost['unknown']}"


def _problems(findings: dict[str, Any]) -> Iterator[str]:
    problems = findings["problems"]
    if problems:
        yield ""
    for problem in problems[:_LISTED]:
        field = f" {problem['field']}" if problem["field"] else ""
        yield f"  [dim]line {problem['line']}{_safe(field)}:[/] {_safe(problem['reason'])}"
    invalid = max(findings.get("counts", {}).get("invalid", 0), len(problems))
    if invalid > _LISTED:
        yield f"  [dim]and {invalid - _LISTED:,} lines more; --json lists up to 1,000[/]"


def _safe(text: str) -> str:
    """Make what comes out of a file harmless to a terminal, and to `_painted`."""
    return "".join(character if character.isprintable() else "�" for character in text).replace(
        "[", "[\u200b"
    )


def _painted(line: str, colour: bool) -> str:
    for name, code in _COLOURS.items():
        line = line.replace(f"[{name}]", f"\x1b[{code}m" if colour else "")
    return line.replace("[/]", "\x1b[0m" if colour else "").replace("[\u200b", "[")
