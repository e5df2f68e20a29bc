"""The teacher at work through the front door: queries labelled several times, and prompts labelled on their way."""

import itertools
import json
from pathlib import Path

import pytest

from tests.e2e.harness import SMALL_PROMPT, LocalApp, labelled

TASK = f"""
name: in-doubt
output: {{weights: [visual, audio]}}
prompt: {SMALL_PROMPT}
teacher_prompt: Say how much visual and how much audio the query needs, in JSON, with reasoning.
customization:
  teacher: us.amazon.nova-pro-v1:0
  student: amazon.nova-micro-v1:0:128k
candidates: [embedded]
serve: {{order: [embedded, prior]}}
dataset: {{label: auto}}
gates: {{valid_share: 0.5}}
"""
KINDS = ("picture", "colour", "melody", "voice")


@pytest.fixture(scope="module")
def taught(app: LocalApp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task, and a teacher that knows four kinds of query, apart from each other."""
    folder = tmp_path_factory.mktemp("in-doubt")
    (folder / "task.yaml").write_text(TASK)
    (folder / "known.jsonl").write_bytes(labelled("brooks"))
    assert app.command("task", "push", str(folder)).returncode == 0
    dropped = app.command("drop", str(folder / "known.jsonl"), "--task", "in-doubt", "--wait", "--json")
    assert json.loads(dropped.stdout)["run"]["state"] == "PROMOTED", dropped.stdout
    return folder


def words(number: int) -> str:
    """Return words that tell queries apart, so that none counts for nearly the same as another."""
    return f"{(number + 1) * 7919:x} {(number + 1) * 104729:x}"


def test_a_teacher_in_doubt_is_measured_and_its_doubts_are_left_out(app: LocalApp, taught: Path) -> None:
    # Given queries of one kind, and others that are half of one kind and half of another
    clear = [f"{kind} of {words(number)}" for kind in KINDS for number in range(40)]
    torn = [
        f"{one} of {other} {words(number + 40)}"
        for one, other in itertools.permutations(KINDS, 2)
        for number in range(5)
    ]
    (taught / "real.txt").write_text("\n".join([*clear, *torn]))
    (taught / "real.yaml").write_text("count: 150\nqueries: real.txt\nlabelling: {samples: 3}\n")
    # When they are labelled three times each
    made = app.command("generate", str(taught / "real.yaml"), "--task", "in-doubt", "--wait", "--json")
    said = json.loads(made.stdout)
    assert said["generation"]["state"] == "COMPLETED", said["generation"]
    # Then the teacher differs with itself somewhere, and what it differs on most is no part of the dataset
    assert said["report"]["samples"] == 3
    assert 0 < said["report"]["noise"] < 0.2
    assert said["report"]["counts"]["disagreeing"] > 0
    assert said["report"]["counts"]["records"] > 100
    # And status tells of it
    shown = app.command("status", said["generation"]["id"])
    assert "noise of the teacher: 0." in shown.stdout


def test_a_dataset_of_prompts_is_labelled_on_its_way(app: LocalApp, taught: Path) -> None:
    records = [json.loads(line) for line in labelled("meadows").splitlines()]
    prompts = [record | {"messages": record["messages"][:1]} for record in records]
    (taught / "prompts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in prompts))
    dropped = app.command("drop", str(taught / "prompts.jsonl"), "--task", "in-doubt", "--wait", "--json")
    run = json.loads(dropped.stdout)["run"]
    assert [moment["state"] for moment in run["history"]][:3] == ["RECEIVED", "LABELLING", "ACCEPTED"]
    assert run["state"] in ("PROMOTED", "HELD")
