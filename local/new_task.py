"""Writes a task to start from: a commented task.yaml, and an example dataset of placeholders in its form."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from string import Template

from signalbox.cost import room_for, tokens_of
from signalbox.task import MAX_PROMPT, Labels, Task, Weights

LEAST_RECORDS, RECORDS_A_NAME, MOST_RECORDS = 240, 12, 12_000
"""Enough for 100 records to train on and 20 golden queries, and for every name to be learnt and asked."""

_ADJECTIVES = (
    "amber", "brisk", "calm", "dusty", "early", "faint", "grand", "hollow", "idle", "jolly", "keen", "late", "mellow",
    "narrow", "open", "plain", "quiet", "rapid", "silver", "tidy", "upper", "vivid", "wide", "young", "zesty",
)  # fmt: skip
_NOUNS = (
    "anchor", "basket", "candle", "drawer", "engine", "feather", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "mirror", "needle", "orchard", "pillow", "quarry", "ribbon", "saddle", "ticket", "umbrella", "valley",
    "window", "yard", "zipper",
)  # fmt: skip
_LEAD, _TRACE = 600, 100
"""Thousandths: what the signal that a placeholder names first gets, and what those share that it does not name."""


class TaskExists(Exception):
    """A file that would be written is there already; the message names it."""


class PromptTooLong(Exception):
    """So many names, or so long ones, do not fit a prompt; the message says what to do."""


@dataclass(frozen=True)
class NewTask:
    """What was written."""

    name: str
    spec: Path
    example: Path
    records: int


def write(name: str, output: Weights | Labels, root: Path) -> NewTask:
    """Write tasks/<name>/task.yaml and examples/<name>.jsonl below a folder.

    Raises
    ------
    TaskExists
        One of them is there; nothing is written then.
    PromptTooLong
        The prompt would be, with all the names in it; nothing is written then.
    signalbox.spec.TaskError
        The task could not be used: its name is too long.
    """
    folder, example = root / "tasks" / name, root / "examples" / f"{name}.jsonl"
    for path in (folder, example):
        if path.exists():
            raise TaskExists(f"{path} is there already, and nothing is overwritten; choose another name")
    spec = spec_of(name, output, example.relative_to(root))
    task = Task.from_yaml(spec, str(folder / "task.yaml"))
    lines = list(placeholders(task))
    folder.mkdir(parents=True)
    example.parent.mkdir(exist_ok=True)
    (folder / "task.yaml").write_text(spec, encoding="utf-8")
    example.write_text("".join(lines), encoding="utf-8")
    return NewTask(name, folder / "task.yaml", example, len(lines))


def spec_of(name: str, output: Weights | Labels, example: Path) -> str:
    """Return the text of a task.yaml, its comments with it.

    Raises
    ------
    PromptTooLong
    """
    template = Template(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    if isinstance(output, Weights):
        names, kind, least, measure = output.signals, "signal", 200, ", in mean absolute error"
        prompt = f"Return JSON with {', '.join(names)} weights (sum=1.0) and reasoning for the given query."
        gates = {
            "mae: 0.06": "mean absolute error of a weight, at most",
            "dominant_share: 0.85": "share of queries whose leading signal is right",
        }
    else:
        names, kind, least, measure = output.labels, "label", 50, ", in accuracy"
        prompt = (
            f"Classify the query. Choose one label from this list: {', '.join(names)}\n\n"
            "Respond with only the label, nothing else."
        )
        gates = {
            "accuracy: 0.9": "share of queries whose label is right",
            "macro_f1: 0.6": "mean F1 of the labels, in which a rare label counts as much as a frequent one",
        }
    if len(prompt) > MAX_PROMPT:
        raise PromptTooLong(
            f"the prompt would name {len(names):,} {kind}s, and have {len(prompt):,} characters; a prompt has at most "
            f"{MAX_PROMPT:,}: give fewer or shorter {kind}s, and add the others in task.yaml afterwards, with a prompt "
            "that does not list them"
        )
    return template.substitute(
        name=_yaml(name),
        output=f"{{{kind}s: {_yaml(list(names))}}}"
        if kind == "label"
        else f"{{weights: {_yaml(list(names))}}}",
        prompt=_yaml(prompt),
        kind=kind,
        tokens=f"{max(least, room_for(_longest(output))):<7}",
        gates="\n".join(f"  {gate:<42}# {meaning}" for gate, meaning in gates.items()),
        measure=measure,
        example=example.as_posix(),
    )


def _longest(output: Weights | Labels) -> int:
    """Return the tokens, by estimate, of the longest answer among the placeholders."""
    return max(tokens_of([answer]) for _, answer in _pairs(output))


def _yaml(value: object) -> str:
    """Write a text or a list of texts on one line: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def placeholders(task: Task) -> Iterator[str]:
    """Write records of the task's form, each with a query that says what its answer is and that it is a placeholder."""
    for query, answer in _pairs(task.output):
        messages = [
            {"role": "user", "content": [{"text": query}]},
            {"role": "assistant", "content": [{"text": answer}]},
        ]
        record = {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": task.prompt}],
            "messages": messages,
        }
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _pairs(output: Weights | Labels) -> Iterator[tuple[str, str]]:
    """Return queries with their answers; every name leads as often as any other, to within one."""
    names = output.signals if isinstance(output, Weights) else output.labels
    count = min(MOST_RECORDS, max(LEAST_RECORDS, RECORDS_A_NAME * len(names)))
    things = list(product(_ADJECTIVES, _NOUNS))
    for number in range(count):
        place, turn = number % len(names), number // len(names)
        # A step that has no divisor in common with their number: all things come before one comes again.
        adjective, noun = things[(number * 137) % len(things)]
        thing = f"placeholder {adjective} {noun}" + (f" {turn}" if number >= len(things) else "")
        if isinstance(output, Labels):
            yield f"{thing} about {names[place]}", names[place]
        else:
            other = (place + 1 + turn % (len(names) - 1)) % len(names)
            yield f"{thing} by {names[place]}, then {names[other]}", _weights(names, place, other)


def _weights(names: Sequence[str], lead: int, second: int) -> str:
    """Write weights that sum to exactly 1: most for the lead, the rest of the places a trace each."""
    others = len(names) - 2
    trace = _TRACE // others if others else 0
    thousandths = dict.fromkeys(names, trace)
    thousandths[names[lead]] = _LEAD
    thousandths[names[second]] = 1000 - _LEAD - trace * others
    reasoning = f"A placeholder: it names {names[lead]} first and {names[second]} second."
    return json.dumps(
        {name: share / 1000 for name, share in thousandths.items()} | {"reasoning": reasoning},
        ensure_ascii=False,
    )
