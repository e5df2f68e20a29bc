"""`data check`: the pipeline's verdict without the pipeline, for people, programs and commits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.commands import parser
from local.data.command import main
from local.data.task_folder import PROJECT
from signalbox.dataset import examine
from signalbox.dataset_cost import add_cost
from tests.builders import (
    QUERIES,
    embedded_spec,
    labelled,
    line,
    prompts,
    reinforced_spec,
    spec,
    task,
    task_yaml,
    truth,
    tuned_spec,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip-search").mkdir()
    (tmp_path / "clip-search" / "task.yaml").write_bytes(task_yaml(spec()))
    return tmp_path / "clip-search"


def check(folder: Path, content: bytes, *more: str) -> int:
    (folder / "drop.jsonl").write_bytes(content)
    return main(["data", "check", str(folder / "drop.jsonl"), "--task", str(folder), *more])


@pytest.mark.parametrize(("content", "code"), [(labelled(), 0), (labelled() + b"x\n" * 9, 4), (b"", 4)])
def test_the_verdict_and_the_findings_are_those_of_the_pipeline(
    folder: Path,
    content: bytes,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert check(folder, content, "--json") == code
    dataset = examine([content], task())
    add_cost(dataset, task(), "us-west-2")
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(dataset.findings())) | {
        "file": str(folder / "drop.jsonl"), "task": "clip-search"
    }  # fmt: skip


def test_a_person_is_told_the_verdict_the_reasons_and_the_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, labelled() + b"x\n" * 30) == 4
    said = capsys.readouterr().out
    assert said.startswith("rejected  ")
    assert "30 of 180 lines cannot be used" in said
    assert "line 151: not JSON: expected value at column 1" in said
    assert "and 10 lines more" in said
    assert "150 of 180 lines" in said
    assert "\x1b" not in said


def test_nothing_in_a_file_reaches_the_terminal_as_a_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;title\x07 [red]the restoration of the old cathedral[/]"
    again = [line(evil, truth(QUERIES[0])), line(evil, truth("a speech about the"))]
    assert check(folder, labelled() + b"".join(again) + line("q", **{"\x1b[2J": 1})) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\x07" not in said
    assert "[red]the restoration of the old cathedral[/]" in said


def test_a_golden_set_beside_the_task_is_used_and_must_be_usable(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, prompts()) == 4
    assert "a run of the task is live" in capsys.readouterr().out
    (folder / "golden.jsonl").write_bytes(labelled(QUERIES[:20]))
    assert check(folder, prompts()) == 0
    (folder / "golden.jsonl").write_bytes(b"x\n")
    assert check(folder, labelled()) == 4
    assert "golden.jsonl cannot be used; line 1" in capsys.readouterr().out


def test_several_files_are_checked_and_the_worst_decides(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.jsonl").write_bytes(b"\x1f\x8b\x08")
    (folder / "good.jsonl").write_bytes(labelled())
    files = [str(folder / name) for name in ("good.jsonl", "bad.jsonl", "good.jsonl")]
    assert main(["data", "check", *files, "--task", str(folder), "--json"]) == 4
    verdicts = [json.loads(text)["accepted"] for text in capsys.readouterr().out.splitlines()]
    assert verdicts == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl", "--task", "video-search"], "there is no file missing.jsonl"),
        (["missing.jsonl", "--task", "no-such-task"], "there is no task.yaml in no-such-task"),
    ],
)
def test_what_is_not_there_is_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_task_that_cannot_be_used_is_named_with_its_faults(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "task.yaml").write_bytes(task_yaml(spec(promt="x")))
    assert check(folder, labelled()) == 2
    assert "promt: unknown key" in capsys.readouterr().err


def test_the_command_is_among_the_others_and_starts_without_them() -> None:
    # Given the whole command line, which knows the command
    assert parser().parse_args(["data", "check", "f", "--task", "t"]).action == "check"
    # When it is called from the shell
    command = ["local", "data", "check", "examples/video-search.jsonl", "--task", "video-search"]
    code = (
        f"import runpy, sys; sys.argv = {command}\n"
        "try: runpy.run_module('local', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "  print(end.code, sorted({'boto3', 'botocore.session', 'rich', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    # Then it ends well and has loaded none of what takes time
    assert ran.stdout.endswith("0 []\n"), ran.stdout + ran.stderr


def test_a_validation_set_beside_a_task_that_is_fine_tuned_is_used_and_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "task.yaml").write_bytes(task_yaml(tuned_spec()))
    assert check(folder, labelled()) == 0
    assert "for validation  13 split off this dataset" in capsys.readouterr().out
    (folder / "validation.jsonl").write_bytes(labelled(QUERIES[:10]))
    assert check(folder, labelled(), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["validation_source"] == str(folder / "validation.jsonl")
    (folder / "validation.jsonl").write_bytes(prompts(QUERIES[:1]))
    assert check(folder, labelled()) == 4
    assert "a validation record needs the assistant's answer" in capsys.readouterr().out


def test_prompts_that_the_teacher_will_label_are_usable_and_what_that_costs_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "task.yaml").write_bytes(task_yaml(spec(candidates=["embedded"], dataset={"label": "auto"})))
    assert check(folder, prompts()) == 0
    said = capsys.readouterr().out
    assert (
        "the teacher is asked 150 queries that have no answer before the run goes on, estimate $0.0" in said
    )
    assert check(folder, prompts() + b"x\n" * 30) == 4


@pytest.mark.parametrize(
    ("content", "hinted"),
    [(spec(), True), (tuned_spec(), False), (reinforced_spec(), False), (embedded_spec(), False)],
)
def test_a_golden_set_of_the_live_run_is_hinted_at_only_where_prompts_alone_are_learnt_from(
    folder: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], hinted: bool
) -> None:
    (folder / "task.yaml").write_bytes(task_yaml(content))
    assert check(folder, prompts()) == 4
    assert ("prompts alone are accepted if a run of the task is live" in capsys.readouterr().out) is hinted


@pytest.mark.parametrize(("budget", "held"), [(0.01, True), (0, True), (1000, False), (None, False)])
def test_labels_that_the_budget_would_hold_are_said_to_wait_for_a_person(
    folder: Path, capsys: pytest.CaptureFixture[str], budget: float | None, held: bool
) -> None:
    labelling = {"label": "auto", "budget_usd": budget}
    (folder / "task.yaml").write_bytes(task_yaml(spec(candidates=["embedded"], dataset=labelling)))
    assert check(folder, prompts()) == 0
    said = capsys.readouterr().out
    assert ("the run would wait for a person's release before that: 150 answers of" in said) is held
