"""Labels from the teacher's answers: strictly read, averaged, and how far they disagree."""

import json
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

from signalbox.labelling import Answers, Question, labels, line_to_ask, noise, output_lines, questions
from tests.builders import labels_spec, task, weights_text


def output(question: Question, text: str, stop: str = "end_turn") -> dict[str, Any]:
    """Return a line of output as Bedrock writes it."""
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": stop}
    return {"recordId": question.record_id, "modelInput": {}, "modelOutput": answer}


def answers(*entries: dict[str, Any], kind: Any = None) -> Answers:
    """Return what is read of lines of output."""
    read = Answers()
    read.read(output_lines(entries), kind or task())
    return read


def test_the_teacher_is_asked_with_the_rich_prompt_in_the_shape_of_converse() -> None:
    # Given a task with two prompts
    asked = line_to_ask(Question(12, 1), "two swans", task(teacher_prompt="Weigh it well."), 0.7)
    # Then the record is one that Converse takes
    assert asked["recordId"] == "Q0000012S01"
    assert asked["modelInput"]["system"] == [{"text": "Weigh it well."}]
    shape = get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    validate_parameters({"modelId": "m", **asked["modelInput"]}, shape)


def test_a_task_without_a_rich_prompt_asks_with_its_own() -> None:
    assert line_to_ask(Question(0, 0), "q", task(), 0)["modelInput"]["system"] == [{"text": task().prompt}]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (output(Question(0, 0), "Sure! " + weights_text(1, 0, 0)), "not a JSON object and nothing else"),
        (output(Question(0, 0), '{"picture": 1}'), "sound: this signal has no weight"),
        (output(Question(0, 0), weights_text(0.5, 0.1, 0.1)), "the weights sum to 0.7"),
        (
            output(Question(0, 0), weights_text(1, 0, 0), "max_tokens"),
            "the answer was cut at customization.max_response_tokens",
        ),
        (
            {"recordId": "Q0000000S00", "error": {"errorCode": 400, "errorMessage": "no"}},
            "Bedrock answered with error 400",
        ),
        (
            {"recordId": "Q0000000S00", "modelOutput": []},
            "the output has not the shape of a Converse answer",
        ),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_fault_and_no_label(entry: dict[str, Any], reason: str) -> None:
    read = answers(entry)
    assert read.usable == {}
    assert read.reasons([Question(0, 0)]) == {reason: 1}


def test_an_answer_that_came_the_second_time_is_no_longer_a_fault() -> None:
    read = answers(output(Question(0, 0), "?"), output(Question(0, 0), weights_text(1, 0, 0)))
    assert read.faults == {} and read.missing(questions(1, 1)) == []


def test_a_question_that_nothing_came_for_is_missing() -> None:
    read = answers(output(Question(1, 0), weights_text(1, 0, 0)))
    assert read.missing(questions(3, 1)) == [Question(0, 0), Question(2, 0)]
    assert read.reasons(questions(3, 1)) == {"no answer came": 2}


@given(st.lists(st.binary(max_size=60)))
def test_lines_of_any_bytes_are_no_answers_and_no_crash(lines: list[bytes]) -> None:
    read = Answers()
    read.read(lines, task())
    assert read.usable == {}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["output", "message", "content", "text", "x"]), inner)
        ),
    )
)
def test_output_of_any_shape_is_a_fault_and_no_crash(body: Any) -> None:  # fmt: skip
    read = answers({"recordId": "Q0000000S00", "modelOutput": body})
    assert read.usable == {} and read.missing([Question(0, 0)]) == [Question(0, 0)]


def test_of_several_answers_the_mean_is_the_label_and_their_distance_the_noise() -> None:
    # Given two answers that differ by 0.2 in two of three weights
    read = answers(
        output(Question(0, 0), weights_text(0.6, 0.2, 0.2)),
        output(Question(0, 1), weights_text(0.8, 0.0, 0.2)),
    )
    # When they are put together
    (label,) = labels(read, samples=2)
    # Then the label is between them, and the noise is the mean difference of a weight
    assert label.answer.weights == {"picture": 0.7, "sound": 0.1, "words": 0.2}
    assert label.disagreement == pytest.approx(0.4 / 3)
    assert noise([label]) == pytest.approx(0.4 / 3)


def test_a_query_with_fewer_answers_than_samples_has_no_label() -> None:
    read = answers(output(Question(0, 0), weights_text(1, 0, 0)))
    assert labels(read, samples=2) == []


def test_labels_of_several_answers_are_the_most_frequent() -> None:
    said = ["watch", "watch", "read"]
    read = answers(*(output(Question(0, n), text) for n, text in enumerate(said)), kind=task(labels_spec()))
    (label,) = labels(read, samples=3)
    assert label.answer.label == "watch"
    assert label.disagreement == pytest.approx(2 / 3)


def test_one_answer_each_says_nothing_against_the_teacher() -> None:
    read = answers(output(Question(0, 0), weights_text(1, 0, 0)))
    assert noise(labels(read, samples=1)) == 0
    assert noise([]) is None


def test_a_line_of_output_is_json_on_one_line() -> None:
    (line,) = output_lines([output(Question(0, 0), "a\nb")])
    assert line.count(b"\n") == 1
    assert json.loads(line)["recordId"] == "Q0000000S00"
