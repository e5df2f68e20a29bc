"""A generation request: what can be asked for, and how each fault is told."""

from typing import Any

import pytest
import yaml

from signalbox.generation_request import GenerationRequest
from signalbox.spec import TaskError
from tests.builders import SIGNALS, labels_spec, spec, task, tuned_spec
from tests.unit.template.stack import PROJECT


def read(content: dict[str, Any]) -> GenerationRequest:
    """Read a request of the tests' task."""
    return GenerationRequest.from_yaml(yaml.safe_dump(content, sort_keys=False), task(), "request.yaml")


def faults(**content: Any) -> str:
    """Return what is said of a request that cannot be used."""
    with pytest.raises(TaskError) as raised:
        read({"count": 100, "templates": ["{a} ships"], "slots": {"a": ["two"]}} | content)
    return "; ".join(raised.value.problems)


def test_a_template_is_a_text_or_a_text_with_what_leads() -> None:
    request = read(
        {"count": 100, "templates": ["{a} ships", {"text": "{a}", "leads": "sound"}], "slots": {"a": ["x"]}}
    )
    assert [template.leads for template in request.templates] == ["", "sound"]
    assert request.templates[0].slots == ("a",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"count": 99}, "line 1: count: must be 100 to 15,000 (AWS general reference"),
        ({"slot": {}}, "line 7: slot: unknown key"),
        ({"slots": {"a": ["x", 7]}}, "line 7: slots.a.1: Input should be a valid string"),
        ({"slots": {}}, "slots has no phrases for a"),
        ({"slots": {"a": ["x"], "b": ["y"]}}, "no template has the slots b"),
        ({"templates": ["{a"]}, "expected '}'"),
        ({"templates": ["{a.__class__}"]}, "a slot is a name of lower-case letters"),
        ({"templates": ["{a!r}"]}, "a slot is a name of lower-case letters"),
        ({"templates": [{"text": "{a}", "leads": "smell"}]}, "templates.0.leads: 'smell' is no signal"),
        ({"templates": [], "slots": {}}, "name at least one source of queries"),
        ({"levels": ["easy"]}, "levels, edge_cases and languages are for the teacher"),
        ({"queries": "../../secret.txt"}, "must name a .txt or .jsonl file that lies beside the request"),
        ({"balance": {"picture": 0.5}}, "the shares sum to 0.5, not to 1"),
        ({"balance": {"smell": 1}}, "balance: 'smell': no signal or label"),
        ({"labelling": {"samples": 0}}, "labelling.samples"),
    ],
)
def test_a_fault_is_told_with_its_place(content: dict[str, Any], said: str) -> None:
    assert said in faults(**content)


def test_a_task_without_a_teacher_cannot_be_generated_for() -> None:
    alone = task(spec(candidates=["embedded"], customization=None))
    with pytest.raises(TaskError, match="which names the teacher"):
        GenerationRequest.from_yaml("count: 100\ndescription: ships", alone, "request.yaml")


@pytest.mark.parametrize(("count", "taken"), [(7, False), (8, True), (20_000, True), (20_001, False)])
def test_how_many_records_can_be_asked_for_is_up_to_the_tasks_job(count: int, taken: bool) -> None:
    tuned = tuned_spec()
    tuned["customization"]["teacher"] = "us.amazon.nova-pro-v1:0"
    content = f"description: ships\ncount: {count}"
    if taken:
        assert GenerationRequest.from_yaml(content, task(tuned), "request.yaml").count == count
    else:
        with pytest.raises(TaskError, match=r"line 2: count: must be 8 to 20,000 \(.*\), not "):
            GenerationRequest.from_yaml(content, task(tuned), "request.yaml")


def test_an_even_balance_has_a_share_for_each_signal_or_label() -> None:
    request = GenerationRequest(count=100, description="ships", balance="even")
    assert request.target(task()) == dict.fromkeys(SIGNALS, 1 / 3)
    assert set(request.target(task(labels_spec()))) == {"watch", "listen", "read"}


def test_answers_that_are_to_be_compared_are_asked_for_at_a_temperature() -> None:
    def asked_at(**labelling: Any) -> float:
        return read({"count": 100, "description": "x", "labelling": labelling}).labelling.asked_at

    assert (asked_at(), asked_at(samples=3), asked_at(samples=3, temperature=1)) == (0.0, 0.7, 1.0)


def test_the_example_fits_the_task_that_the_repository_ships_with() -> None:
    from signalbox.task import Task

    shipped = Task.from_yaml((PROJECT / "tasks/video-search/task.yaml").read_bytes())
    request = GenerationRequest.from_yaml(
        (PROJECT / "examples/request.yaml").read_bytes(), shipped, "request"
    )
    assert request.count == 2000
