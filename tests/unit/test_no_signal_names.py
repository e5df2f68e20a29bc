"""Nothing in the code knows a signal's name: what the tasks of this repository weigh is theirs alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.task import Task, Weights
from tests.builders import SEVEN_SIGNALS

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
    "local/settings.py": "an environment variable of AWS's SDKs has it in its name",
    "local/stack.py": "CloudFormation's resources have a key of this name",
    "template.yaml": "CloudFormation's templates and resources have a key of this name",
}
"""By file, why `metadata` stands there, which is a word of AWS's as well as a signal of a task."""


def signals() -> set[str]:
    """The signals of all tasks of this repository, and of the one that is made in the tests."""
    tasks = (Task.from_yaml(spec.read_bytes()) for spec in PROJECT.glob("tasks/*/task.yaml"))
    named = {signal for task in tasks if isinstance(task.output, Weights) for signal in task.output.signals}
    return named | set(SEVEN_SIGNALS)


def names(text: str, signal: str) -> bool:
    """Tell whether a text names a signal: in a constant's capitals, too, and joined by a dash, a blank or nothing."""
    joined = r"[ _-]?".join(map(re.escape, signal.split("_")))
    return re.search(rf"(?<![a-z]){joined}(?![a-z])", text, re.IGNORECASE) is not None


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
    assert signals() > {"visual", "audio"} | {"camera_angle", "mood", "licensing_window"}
    assert len(list(sources())) > 100


@pytest.mark.parametrize("signal", sorted(signals()))
def test_no_source_names_a_signal_of_a_task(signal: str) -> None:
    named = {
        source.relative_to(PROJECT).as_posix()
        for source in sources()
        if names(source.read_text(encoding="utf-8"), signal)
    }
    assert named - (set(ELSEWHERE) if signal == "metadata" else set()) == set()


def test_no_exception_has_outlived_its_reason() -> None:
    assert [file for file in ELSEWHERE if not names((PROJECT / file).read_text(), "metadata")] == []


@pytest.mark.parametrize(
    "text", ["camera_angle", "CAMERA_ANGLE = 3", "Camera angle", "x.cameraAngle", "--camera-angle"]
)
def test_a_name_is_found_however_it_is_written(text: str) -> None:
    assert names(text, "camera_angle")
    assert not names(text, "angle_camera")
    assert not names("moody", "mood")
