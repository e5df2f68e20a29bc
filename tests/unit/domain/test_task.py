"""A task spec is accepted whole, or refused with the line, the field and what to do."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.spec import TaskError
from signalbox.task import Task
from tests.builders import embedded_spec, labels_spec, spec, task, task_yaml

SHIPPED = Path(__file__).parents[3] / "tasks"


@pytest.mark.parametrize("content", [spec(), labels_spec(), embedded_spec()])
def test_a_task_is_read_back_from_a_run_as_it_was_uploaded(content: dict) -> None:
    uploaded = Task.from_yaml(task_yaml(content))
    assert Task.model_validate_json(uploaded.to_json()) == uploaded


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/task.yaml")), ids=lambda path: path.parent.name)
def test_a_task_of_this_repository_is_sound_and_named_as_its_folder(path: Path) -> None:
    assert Task.from_yaml(path.read_bytes()).name == path.parent.name


@given(st.binary() | st.text())
@example("name: 2024-99-99")
@example("name: !!int x")
@example("a: &a [*a]")
@example("? [a]\n: b")
@example(b"\xff\xfe")
@example("[" * 500 + "]" * 500)
@example("- a")
@example("output: {weights: [1, 2]}")
@example("serve: {order: {}}")
def test_any_text_is_a_task_or_a_task_error(text: str | bytes) -> None:
    with pytest.raises(TaskError) as refused:
        Task.from_yaml(text)
    assert refused.value.problems


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Clip_Search"}, "line 1: name: 'Clip_Search' must be lower-case"),
        ({"name": "a--b"}, "name: 'a--b' must be lower-case"),
        ({"name": "a" * 25}, "name: String should have at most 24 characters"),
        ({"output": {"weights": ["a", "a"]}}, "output.weights: a named more than once"),
        ({"output": {"weights": ["only"]}}, "output.weights: "),
        ({"output": {"weights": ["a", "reasoning"]}}, "output.weights: 'reasoning' cannot name a signal"),
        ({"output": {"labels": ["a", " b"]}}, "output.labels: ' b' cannot be a label"),
        ({"output": {"weights": ["a", "b"], "labels": ["a", "b"]}}, "output: must be either"),
        ({"output": None}, "output: must be either"),
        ({"prompt": ""}, "prompt: "),
        ({"promt": "x"}, "promt: unknown key; check its spelling"),
        ({"candidates": []}, "candidates: name at least one of embedded, bedrock"),
        ({"candidates": ["embedded", "embedded"]}, "candidates: embedded named more than once"),
        (
            {"customization": None},
            "candidates has bedrock, so customization must say which student Bedrock makes, and how",
        ),
        ({"serve": {"order": ["bedrock"]}}, "serve.order: must end with 'prior'"),
        ({"serve": {"order": ["baseline", "prior"]}}, "serve.order must name one of the candidates"),
        ({"serve": {"order": ["baseline", "bedrock", "prior"]}}, "and before the baseline"),
        ({"gates": {"accuracy": 0.9}}, "gates.accuracy does not apply to a task whose output is weights"),
        ({"gates": {"mae": 2}}, "gates.mae: "),
        ({"customization": {"teacher": "t"}}, "customization.student: is missing"),
        (
            {"patience": {"release_hours": 24, "release_end_hours": 24}},
            "patience.release_end_hours (24) must be more than patience.release_hours (24)",
        ),
        (
            {"patience": {"release_hours": 400}},
            "patience.release_end_hours (336) must be more than patience.release_hours (400)",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_its_field_and_what_to_do(changes: dict, problem: str) -> None:
    with pytest.raises(TaskError) as refused:
        Task.from_yaml(task_yaml(spec(**changes)))
    assert any(problem in found for found in refused.value.problems), refused.value.problems


def test_the_line_is_that_of_the_offending_key() -> None:
    text = "name: a\nprompt: b\noutput:\n  weights:\n  - one\n  - two\nserve:\n  budget_ms: 5\n"
    with pytest.raises(TaskError, match=r"line 8: serve\.budget_ms"):
        Task.from_yaml(text)


def test_an_end_before_the_reminder_is_a_fault_on_its_line_but_what_was_accepted_with_it_is_still_read() -> (
    None
):
    text = b"patience:\n  release_hours: 48\n  release_end_hours: 2\n" + task_yaml(embedded_spec())
    with pytest.raises(TaskError, match=r"task\.yaml: line 3: patience\.release_end_hours \(2\)"):
        Task.from_yaml(text)
    kept = Task.model_validate(embedded_spec(patience={"release_hours": 48, "release_end_hours": 2}))
    assert Task.model_validate_json(kept.to_json()) == kept


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(TaskError) as refused:
        Task.from_yaml("name: A\n")
    assert len(refused.value.problems) == 3  # name, output, prompt


@pytest.mark.parametrize(
    ("candidates", "order", "first"),
    [
        (["embedded", "bedrock"], ["bedrock", "embedded", "prior"], "bedrock"),
        (["embedded", "bedrock"], ["embedded", "baseline", "bedrock", "prior"], "embedded"),
        (["embedded"], ["bedrock", "embedded", "prior"], "embedded"),
    ],
)
def test_the_gates_look_at_the_candidate_that_answers_first(
    candidates: list, order: list, first: str
) -> None:
    assert task(candidates=candidates, serve={"order": order}).first_served == first


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in itertools.pairwise("abcdefghijklmnop")
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "line 2: a spec may have no aliases"),
        ("name: &self [*self]", "line 1: a spec may have no aliases"),
        ("output: {labels: [" + "a, " * 10_000 + "]}", "10,000 keys and values"),
        ("name: " + "x" * 300_000, "has 300,006 bytes; at most 262,144"),
    ],
    ids=["bomb", "endless", "too many", "too long"],
)
def test_a_spec_that_unfolds_beyond_reason_is_refused_before_it_does(text: str, problem: str) -> None:
    with pytest.raises(TaskError, match=re.escape(problem)):
        Task.from_yaml(text)
