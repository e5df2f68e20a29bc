"""`new-task`: what it writes can be pushed and dropped as it is, and it overwrites nothing."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.commands import main
from local.new_task import MOST_RECORDS, TaskExists, write
from local.tasks import push_task
from signalbox.dataset import examine
from signalbox.task import Labels, Task, Weights
from tests.builders import BUCKET
from tests.fakes import FakeS3

SIGNAL = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,39}", fullmatch=True).filter(
    lambda name: name != "reasoning"
)
LABEL = st.text(
    st.characters(categories=("L", "N", "P", "Zs"), exclude_characters=","), min_size=1, max_size=30
)
NAMES = {
    "weights": st.lists(SIGNAL, min_size=2, max_size=50, unique=True),
    "labels": st.lists(LABEL.map(str.strip).filter(bool), min_size=2, max_size=30, unique=True),
}
OUTPUTS = st.one_of(
    NAMES["weights"].map(lambda names: Weights(weights=names)),
    NAMES["labels"].map(lambda names: Labels(labels=names)),
)


def new_task(folder: Path, *arguments: str) -> int:
    return main(["new-task", *arguments, "--in", str(folder)])


def checked(folder: Path, name: str) -> Any:
    """What validation says of the example that was written for a task."""
    task = Task.from_yaml((folder / "tasks" / name / "task.yaml").read_bytes())
    return examine([(folder / "examples" / f"{name}.jsonl").read_bytes()], task)


@settings(max_examples=40, deadline=None)
@given(output=OUTPUTS)
def test_whatever_the_names_the_example_fits_the_task(
    tmp_path_factory: pytest.TempPathFactory, output: Weights | Labels
) -> None:
    folder = tmp_path_factory.mktemp("new")
    made = write("made-up", output, folder)
    assert Task.from_yaml(made.spec.read_bytes()).output == output
    found = checked(folder, "made-up")
    assert found.reasons == []
    assert found.problems == []
    assert found.counts["records"] == made.records
    assert set(found.balance) == set(output.signals if isinstance(output, Weights) else output.labels)
    assert min(found.balance.values()) > 0


@pytest.mark.parametrize("name", ["2026", "null", "on", "2026-01-01"])
def test_a_name_that_yaml_takes_for_something_else_is_a_name(tmp_path: Path, name: str) -> None:
    assert new_task(tmp_path, name) == 0
    assert checked(tmp_path, name).reasons == []


@pytest.mark.parametrize(
    "arguments", [(), ("--weights", "colour,shape"), ("--labels", "billing,returns + refunds,other")]
)
def test_what_is_written_can_be_pushed_and_is_accepted(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert new_task(tmp_path, "my-task", *arguments) == 0
    s3 = FakeS3()
    pushed = push_task(tmp_path / "tasks" / "my-task", BUCKET, _Plain(s3), local=True)
    assert pushed.keys == ("tasks/my-task/task.yaml",)
    assert {swap.stand_in for swap in pushed.swapped} >= {
        "local.student",
        "local.judge",
        "local.base",
        "local.baseline",
    }
    command = ["data", "check", str(tmp_path / "examples" / "my-task.jsonl")]
    assert main([*command, "--task", str(tmp_path / "tasks" / "my-task")]) == 0


class _Plain:
    """An S3 client that is given no content type."""

    def __init__(self, s3: FakeS3) -> None:
        self._s3 = s3

    def put_object(self, **what: Any) -> None:
        self._s3.put_object(**what, ContentType="application/octet-stream")


def test_every_section_of_a_spec_is_written_with_a_comment(tmp_path: Path) -> None:
    new_task(tmp_path, "my-task")
    lines = (tmp_path / "tasks" / "my-task" / "task.yaml").read_text().splitlines()
    for key in set(Task.model_fields) - {"name"}:
        (place,) = [
            number for number, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{key}:")
        ]
        assert lines[place - 1].startswith("#"), key


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_task(tmp_path, "my-task") == 0
    spec = tmp_path / "tasks" / "my-task" / "task.yaml"
    spec.write_text("mine")
    assert new_task(tmp_path, "my-task", "--labels", "a,b") == 2
    assert "is there already" in capsys.readouterr().err
    assert spec.read_text() == "mine"


def test_an_example_that_is_there_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "my-task.jsonl").write_text("mine")
    with pytest.raises(TaskExists, match=r"my-task\.jsonl"):
        write("my-task", Weights(weights=("a", "b")), tmp_path)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("My-Task",),
        ("a--b",),
        ("x" * 25,),
        ("../escape",),
        ("my-task", "--weights", "one"),
        ("my-task", "--weights", "a,a"),
        ("my-task", "--weights", "a,reasoning"),
        ("my-task", "--labels", "a,,b"),
        ("my-task", "--labels", "a,b", "--weights", "a,b"),
    ],
)
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as refused:
        new_task(tmp_path, *arguments)
    assert refused.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_that_would_be_too_long_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ",".join(f"label number {number}" for number in range(600))
    assert new_task(tmp_path, "my-task", "--labels", labels) == 2
    said = capsys.readouterr().err
    assert "the prompt would name 600 labels" in said
    assert "a prompt has at most 8,000: give fewer or shorter labels" in said
    assert str(tmp_path) not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("signals", "needs_more"), [(4, False), (30, True), (50, True)])
def test_an_answer_may_have_as_many_tokens_as_all_of_its_signals_need(
    tmp_path: Path, signals: int, needs_more: bool
) -> None:
    names = [f"signal_number_{number}" for number in range(signals)]
    assert new_task(tmp_path, "my-task", "--weights", ",".join(names)) == 0
    task = Task.from_yaml((tmp_path / "tasks" / "my-task" / "task.yaml").read_bytes())
    assert task.customization is not None
    longest = checked(tmp_path, "my-task").quality["long_answers"]["longest"]
    assert task.customization.max_response_tokens == max(200, math.ceil(1.5 * longest))
    assert (task.customization.max_response_tokens > 200) == needs_more


def test_of_many_labels_each_is_learnt_and_asked(tmp_path: Path) -> None:
    labels = [f"l{number}" for number in range(900)]
    made = write("my-task", Labels(labels=labels), tmp_path)
    assert 900 * 12 <= made.records <= MOST_RECORDS
    found = checked(tmp_path, "my-task")
    assert found.reasons == []
    assert {record.answer.label for record in found.train} == set(labels)


def test_the_output_as_json_names_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new_task(tmp_path, "my-task", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["task"] == "my-task"
    assert Path(said["spec"]).is_file()
    assert len(Path(said["example"]).read_text().splitlines()) == said["records"]
