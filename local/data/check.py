"""`data check`: what the pipeline would say of a dataset, before anything is uploaded.

The functions are those of `validate`. Without network and without what talks to AWS, whose import alone takes longer
than the check, since a commit may wait for it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.data.command import CannotUse
from local.data.task_folder import task_at
from local.data.terminal import painted, safe

if TYPE_CHECKING:
    from signalbox.dataset import Dataset
    from signalbox.records import Record
    from signalbox.task import Task

    Reader = Callable[[Iterator[bytes], Task, str], list[Record]]

DEFAULT_REGION = "us-east-1"
USABLE, REJECTED = 0, 4
_CHUNK_BYTES = 1 << 20
_LISTED, _EXAMPLES = 20, 3


def run(options: argparse.Namespace) -> int:
    """Check each file, print what was found, and return the exit code."""
    folder, task = task_at(options.task)
    return max(_check(file, folder, task, options.json) for file in options.files)


def _check(file: Path, folder: Path, task: "Task", as_json: bool) -> int:
    if not file.is_file():
        raise CannotUse(f"there is no file {file}")
    start = time.perf_counter()
    findings = check(file, task, folder)
    if as_json:
        print(json.dumps({"file": str(file), "task": task.name, **findings}, ensure_ascii=False), flush=True)
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        for line in in_words(file, task, findings):
            print(painted(line, colour))
        print(painted(f"[dim]took {time.perf_counter() - start:.1f} s[/]\n", colour), flush=True)
    return USABLE if findings["accepted"] else REJECTED


def check(file: Path, task: "Task", folder: Path) -> dict[str, Any]:
    """Examine a dataset; return what would stand in validation.json but for the run's id.

    Parameters
    ----------
    folder : Path
        The task's folder; a golden set, or a validation set for fine-tuning, need not be there.
    """
    from signalbox.customization import Tuning
    from signalbox.dataset import GoldenError, examine, read_golden, read_validation_set, too_large
    from signalbox.dataset_cost import add_cost

    if reason := too_large(file.stat().st_size):
        return {"accepted": False, "reasons": [reason], "problems": []}
    try:
        golden = _beside(folder / "golden.jsonl", task, read_golden)
        validation: tuple[list[Record] | None, str] = (None, "")
        if isinstance(task.job, Tuning):
            validation = _beside(folder / "validation.jsonl", task, read_validation_set)
    except GoldenError as error:
        return {"accepted": False, "reasons": [str(error)], "problems": []}
    dataset: Dataset = examine(_chunks(file), task, *golden, *validation)
    region = os.environ.get("AWS_REGION") or DEFAULT_REGION
    add_cost(dataset, task, region)
    if dataset.to_label:
        _expect_labels(dataset, task, region)
    return dataset.findings()


def _expect_labels(dataset: "Dataset", task: "Task", region: str) -> None:
    """Leave out what the dataset lacks only until the teacher has answered, and say what that costs."""
    from signalbox.labelling_cost import estimate_of, excess_of_labels, in_words

    estimated = estimate_of(dataset.train, dataset.to_label, task, region)
    dataset.quality["labelling"] = {"estimate": estimated}
    dataset.reasons = []
    dataset.warnings.append(
        f"the teacher is asked {len(dataset.to_label):,} queries that have no answer before the run goes on, "
        f"{in_words(estimated)}; what is said here is without its answers"
    )
    if beyond := excess_of_labels(task, estimated, task.dataset.budget_usd):
        dataset.warnings.append(f"the run would wait for a person's release before that: {beyond.reason}")


def _beside(file: Path, task: "Task", read: "Reader") -> "tuple[list[Record] | None, str]":
    """Read a set of records that lies beside the task, if there is one; return it and its source in words."""
    return (read(_chunks(file), task, str(file)), str(file)) if file.is_file() else (None, "")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            yield chunk


def in_words(file: Path, task: "Task", findings: dict[str, Any]) -> Iterator[str]:
    """Write findings for a person, a line each; [bold] and so on until [/] is for `painted`."""
    verdict = "[green]usable[/]" if findings["accepted"] else "[red]rejected[/]"
    yield f"{verdict}  [bold]{safe(str(file))}[/]  for task {task.name}"
    for reason in findings["reasons"]:
        yield f"  [red]✗[/] {safe(reason)}"
    if findings.get("counts", {}).get("records"):
        yield ""
        width = max(len(name) for name, _ in _facts(findings))
        yield from (f"  [dim]{name:<{width}}[/]  {safe(fact)}" for name, fact in _facts(findings))
    yield from _problems(findings)
    if findings.get("warnings"):
        yield ""
    yield from (f"  [yellow]![/] {safe(warning)}" for warning in findings.get("warnings", []))
    for name, title in (("near_leakage", "nearly golden"), ("beyond_noise", "answers apart")):
        for example in findings.get(name, {}).get("examples", [])[:_EXAMPLES]:
            lines = " and ".join(str(line or "golden.jsonl") for line in example["lines"])
            yield f"    [dim]{title}, lines {lines}:[/] {safe(' / '.join(example['queries']))}"
    if not findings["accepted"] and _may_be_lent_a_golden_set(findings.get("counts", {}), task):
        yield "  [dim]prompts alone are accepted if a run of the task is live: its golden set is used then[/]"


def _may_be_lent_a_golden_set(counts: dict[str, int], task: "Task") -> bool:
    """Whether these are prompts alone, from which the task's job can learn, and nothing to measure it on."""
    learns_from_prompts = task.job is not None and not task.limits.labelled
    return learns_from_prompts and counts.get("prompt_only", 0) > 0 and counts["golden"] == 0


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
    if "validation" in counts:
        yield "for validation", f"{counts['validation']:,} {findings['validation_source']}"
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
    lengths = findings["lengths"]
    yield (
        "length",
        f"{lengths['median']} characters and {lengths['words']} words in the middle, {lengths['p95']} in 19 of 20, "
        f"at most {lengths['most']}",
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
    if findings["difficulty"]["shares"]:
        yield (
            "difficulty",
            _shares(findings["difficulty"]["shares"]) + f", by the {findings['difficulty']['measure']}",
        )
    yield "scripts", _shares(findings["scripts"]["shares"])
    yield "languages", _shares(findings["languages"]["shares"]) + ", as far as a few words tell"
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


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def _problems(findings: dict[str, Any]) -> Iterator[str]:
    problems = findings["problems"]
    if problems:
        yield ""
    for problem in problems[:_LISTED]:
        field = f" {problem['field']}" if problem["field"] else ""
        yield f"  [dim]line {problem['line']}{safe(field)}:[/] {safe(problem['reason'])}"
    invalid = max(findings.get("counts", {}).get("invalid", 0), len(problems))
    if invalid > _LISTED:
        yield f"  [dim]and {invalid - _LISTED:,} lines more; --json lists up to 1,000[/]"
