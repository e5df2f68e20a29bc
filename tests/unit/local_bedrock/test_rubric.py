"""The judge's arithmetic, grade by grade."""

import json

import pytest

from local.bedrock.rubric import judge

REFERENCE = {"visual": 0.5, "audio": 0.3, "speech": 0.2}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ({"visual": 0.5, "audio": 0.3, "speech": 0.2}, 5),
        ({"visual": 0.55, "audio": 0.25, "speech": 0.2, "reasoning": "text is not compared"}, 5),
        ({"visual": 0.4, "audio": 0.4, "speech": 0.2}, 4),
        ({"visual": 0.7, "audio": 0.2, "speech": 0.1}, 3),
        ({"visual": 0.3, "audio": 0.5, "speech": 0.2}, 2),
        ({"visual": 0.8, "audio": 0.0, "speech": 0.2}, 2),
        ({"visual": 0.0, "audio": 0.0, "speech": 1.0}, 1),
        ({"visual": 0.5, "audio": 0.5}, 1),
        ({"visual": 0.5, "audio": 0.3, "speech": "0.2"}, 1),
    ],
)
def test_weights_are_graded_by_their_errors(answer: dict, score: int) -> None:
    verdict = judge(json.dumps(REFERENCE), json.dumps(answer))
    assert verdict.score == score
    assert verdict.explanation.endswith(f"{score}.")


def test_the_explanation_says_what_was_computed() -> None:
    verdict = judge(json.dumps(REFERENCE), json.dumps({"visual": 0.42, "audio": 0.36, "speech": 0.22}))
    assert (
        "largest error 0.080 (visual), mean error 0.053, dominant signal visual agrees" in verdict.explanation
    )


def test_a_tie_in_the_reference_accepts_either_as_dominant() -> None:
    reference = json.dumps({"a": 0.4, "b": 0.4, "c": 0.2})
    assert judge(reference, json.dumps({"a": 0.2, "b": 0.6, "c": 0.2})).score == 3
    assert judge(reference, json.dumps({"a": 0.6, "b": 0.2, "c": 0.2})).score == 3


@pytest.mark.parametrize(
    "answer", ["", "```json\n{}\n```", 'Sure: {"visual": 0.5}', "[1]", '{"visual": NaN}']
)
def test_an_unreadable_answer_is_one(answer: str) -> None:
    assert judge(json.dumps(REFERENCE), answer).score == 1


@pytest.mark.parametrize("reference", ["", "{", '{"visual": "much"}', "[0.5]"])
def test_an_unreadable_reference_gives_no_result(reference: str) -> None:
    assert judge(reference, json.dumps(REFERENCE)).score is None


@pytest.mark.parametrize(
    ("answer", "score"), [("flight", 5), (" flight\n", 5), ("Flight", 1), ("airfare", 1)]
)
def test_a_label_is_right_or_wrong(answer: str, score: int) -> None:
    assert judge("flight", answer).score == score
