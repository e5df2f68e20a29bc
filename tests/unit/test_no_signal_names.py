"""Nothing in the code knows a signal's name: what the tasks of this repository weigh is theirs alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.task import Task, Weights

PROJECT = Path(__file__).parents[2]
WHERE = ("functions", "local", "template.yaml")
SOURCES = {".py", ".yaml", ".jinja", ".json", ".txt", ".mk", ""}
ELSEWHERE = {
    "functions/common/signalbox/notify.py": "AWS Chatbot's custom notifications have a part of this name",
    "functions/common/signalbox/reward.py": "samples of a reinforcement fine-tuning job have a field of this name",
    "functions/common/signalbox/charts.py": "an element of SVG, and an argument of Matplotlib's",
    "local/bedrock/reinforcement.py": "samples of a reinforcement fine-tuning job have a field of this name",
    "local/bedrock/shapes.py": "an attribute of botocore's shapes",
    "local/bedrock/wire.py": "an attribute of botocore's shapes",
    "local/data/from_logs.py": "Bedrock's request metadata",
    "local/data/invocation_log.py": "Bedrock's request metadata",
    "local/data/command.py": "an option for Bedrock's request metadata",
}
"""By file, why `metadata` stands there, which is a word of AWS's as well as a signal of a task."""


def signals() -> set[str]:
    """The signals of all tasks of this repository."""
    tasks = (Task.from_yaml(spec.read_bytes()) for spec in PROJECT.glob("tasks/*/task.yaml"))
    return {signal for task in tasks if isinstance(task.output, Weights) for signal in task.output.signals}


def sources() -> Iterator[Path]:
    for where in WHERE:
        found = PROJECT / where
        files = [found] if found.is_file() else sorted(found.rglob("*"))
        yield from (
            file
            for file in files
            if file.is_file() and file.suffix in SOURCES and "__pycache__" not in file.parts
        )


def test_there_are_signals_and_sources_to_look_for() -> None:
    assert len(signals()) >= 4
    assert len(list(sources())) > 100


@pytest.mark.parametrize("signal", sorted(signals()))
def test_no_source_names_a_signal_of_a_task(signal: str) -> None:
    named = {
        source.relative_to(PROJECT).as_posix()
        for source in sources()
        if re.search(rf"(?<![A-Za-z]){re.escape(signal)}(?![A-Za-z])", source.read_text(encoding="utf-8"))
    }
    assert named - (set(ELSEWHERE) if signal == "metadata" else set()) == set()


def test_no_exception_has_outlived_its_reason() -> None:
    assert [file for file in ELSEWHERE if "metadata" not in (PROJECT / file).read_text()] == []
