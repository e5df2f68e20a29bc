"""What queries cost that the teacher thinks of: never more than is said before, whatever it answers."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.generation_request import GenerationRequest
from signalbox.query_writing import expense, write
from signalbox.synthetic_queries import Selection
from tests.builders import spec, task

TASK = task(spec())


class Teacher:
    """A teacher that writes so many queries of each answer, as long as it may."""

    def __init__(self, useful: int) -> None:
        self.asked, self._useful = 0, useful

    def converse(self, model_id: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        texts = [f"{self.asked * 7919:x} {number * 104729:x}" for number in range(self._useful)]
        return {"output": {"message": {"content": [{"text": json.dumps(texts)}]}}}


def written_by(teacher: Teacher, request: GenerationRequest, wanted: int) -> Selection:
    """Have a teacher write queries of which none is kept from before."""
    nothing = lambda *_, **__: None  # noqa: E731
    work: Any = SimpleNamespace(
        pipeline=SimpleNamespace(bedrock=teacher),
        store=SimpleNamespace(get=nothing),
        generation=SimpleNamespace(id="first"),
        put=nothing,
        wait=nothing,
    )
    selection = Selection([])
    write(work, request, TASK, selection, wanted)
    return selection


@settings(max_examples=20, deadline=None)
@given(st.integers(100, 260), st.sampled_from([0, 1, 5, 25]), st.integers(0, 12))
def test_the_teacher_is_asked_no_more_often_than_at_most_is_paid_for(
    wanted: int, useful: int, levels: int
) -> None:
    kinds = [f"level {number}" for number in range(levels)]
    request = GenerationRequest(count=wanted, description="clips", levels=kinds)
    expected, most = expense(request, TASK, wanted)
    teacher = Teacher(useful)
    selection = written_by(teacher, request, wanted)
    assert teacher.asked * 2000 <= most.written
    assert expected.read <= most.read and expected.written <= most.written
    assert len(selection.kept) <= wanted


def test_a_teacher_of_whose_queries_all_can_be_used_is_asked_as_often_as_was_expected() -> None:
    request = GenerationRequest(count=150, description="clips")
    expected, most = expense(request, TASK, 150)
    teacher = Teacher(25)
    assert len(written_by(teacher, request, 150).kept) == 150
    assert teacher.asked == 8
    assert most.read == pytest.approx(expected.read * most.written / 2000 / teacher.asked)


def test_where_nothing_lacks_nothing_is_paid_for() -> None:
    expected, most = expense(GenerationRequest(count=100, description="clips"), TASK, 0)
    assert expected == most
    assert (most.read, most.written) == (0, 0)
