"""The numbers by which candidates are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.answer import Answer
from signalbox.grading import rubric
from signalbox.scoring import Comparison, Prediction, compare, score
from signalbox.task import Labels, Weights
from tests.builders import SIGNALS, weights_text

WEIGHTS = Weights(signals=SIGNALS)
LABELS = Labels(labels=("watch", "listen", "read"))

hundredths = (
    st.lists(st.integers(0, 100), min_size=2, max_size=2)
    .map(sorted)
    .map(lambda cuts: (cuts[0] / 100, (cuts[1] - cuts[0]) / 100, (100 - cuts[1]) / 100))
)


def weights(*values: float) -> Answer:
    return Answer(weights=dict(zip(SIGNALS, values, strict=True)))


def predictions(*texts: str, reference: str = weights_text(0.8, 0.1, 0.1)) -> list[Prediction]:
    return [Prediction(query="q", reference=reference, text=text, latency_ms=1) for text in texts]


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        (weights(0.8, 0.1, 0.1), 5),
        (weights(0.75, 0.15, 0.1), 5),
        (weights(0.74, 0.16, 0.1), 4),
        (weights(0.7, 0.2, 0.1), 4),
        (weights(0.69, 0.21, 0.1), 3),
        (weights(0.58, 0.32, 0.1), 3),  # mean error 0.1467
        (weights(0.57, 0.33, 0.1), 2),  # mean error 0.1533
        (weights(0.35, 0.55, 0.1), 2),  # mean error 0.3
        (weights(0.34, 0.56, 0.1), 1),
        (None, 1),
    ],
)
def test_the_rubric_grades_as_published(answer: Answer | None, grade: int) -> None:
    assert rubric(weights(0.8, 0.1, 0.1), answer) == grade


def test_a_small_error_on_the_wrong_side_of_a_tie_break_is_graded_two() -> None:
    assert rubric(weights(0.5, 0.4, 0.1), weights(0.38, 0.52, 0.1)) == 2


@given(hundredths, hundredths)
def test_the_rubric_is_symmetric_and_full_marks_are_for_what_is_close(one: tuple, other: tuple) -> None:
    grade = rubric(weights(*one), weights(*other))
    assert grade == rubric(weights(*other), weights(*one))
    worst = max(abs(round(a * 100) - round(b * 100)) for a, b in zip(one, other, strict=True))
    assert (grade == 5) == (worst <= 5)
    assert (grade >= 4) == (worst <= 10)


def test_weights_are_measured_over_all_queries_and_errors_over_usable_answers() -> None:
    said = predictions(
        weights_text(0.8, 0.1, 0.1),
        weights_text(0.7, 0.2, 0.1),
        weights_text(0.1, 0.8, 0.1),
        "Sure, pictures!",
    )
    measured = score(said, WEIGHTS)
    assert measured["valid_share"] == 0.75
    assert measured["mae"] == pytest.approx((0 + 0.2 / 3 + 1.4 / 3) / 3)
    assert (measured["within_005"], measured["within_010"], measured["dominant_share"]) == (0.25, 0.5, 0.5)
    assert measured["rubric"] == pytest.approx((5 + 4 + 1 + 1) / 4)


def test_without_one_usable_answer_there_is_no_error_to_measure() -> None:
    measured = score(predictions("no", "never"), WEIGHTS)
    assert measured["mae"] is None
    assert (measured["valid_share"], measured["dominant_share"], measured["rubric"]) == (0, 0, 1)


def test_a_tie_in_the_reference_agrees_with_either_signal() -> None:
    said = predictions(
        weights_text(0.6, 0.3, 0.1), weights_text(0.3, 0.6, 0.1), reference=weights_text(0.45, 0.45, 0.1)
    )
    assert score(said, WEIGHTS)["dominant_share"] == 1


def test_an_answer_that_says_everything_at_once_agrees_with_nothing() -> None:
    assert score(predictions(weights_text(1 / 3, 1 / 3, 1 / 3)), WEIGHTS)["dominant_share"] == 0


def test_candidates_are_compared_where_both_answered() -> None:
    right, near, wrong, none = (
        weights_text(0.8, 0.1, 0.1), weights_text(0.7, 0.2, 0.1), weights_text(0.1, 0.8, 0.1), "sorry"
    )  # fmt: skip
    compared = compare(predictions(near, none, right), predictions(right, right, none), WEIGHTS)
    assert (compared.answered, compared.queries) == (2, 1)
    assert (compared.own, compared.rival) == (pytest.approx(0.2 / 3), pytest.approx(0, abs=1e-9))
    assert compared.worse_by == pytest.approx(0.2 / 3)
    assert compare(predictions(near), predictions(wrong), WEIGHTS).worse_by < 0
    assert compare(predictions(none), predictions(right), WEIGHTS) == Comparison(1)
    assert compare([], [], WEIGHTS) == Comparison(0)


def test_labels_are_compared_by_their_accuracy() -> None:
    own, rival = (
        [Prediction(query="q", reference="read", text=text) for text in texts]
        for texts in (("read", "watch", "read"), ("read", "read", "no label"))
    )
    compared = compare(own, rival, LABELS)
    assert (compared.answered, compared.queries) == (2, 2)
    assert (compared.own, compared.rival, compared.worse_by) == (0.5, 1, 0.5)


def test_labels_are_measured_by_accuracy_and_macro_f1() -> None:
    pairs = [
        ("watch", "watch"),
        ("watch", "watch"),
        ("watch", "read"),
        ("read", "read"),
        ("listen", "no label"),
    ]
    said = [Prediction(query="q", reference=wanted, text=given, latency_ms=1) for wanted, given in pairs]
    measured = score(said, LABELS)
    assert measured["accuracy"] == 0.6
    assert measured["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert measured["valid_share"] == 0.8


def test_latency_and_tokens_are_of_the_answers_that_came() -> None:
    said = [
        Prediction(
            query="q",
            reference="read",
            text="read",
            latency_ms=ms,
            input_tokens=20,
            output_tokens=3,
            alone=True,
        )
        for ms in range(1, 21)
    ]
    said.append(Prediction(query="q", reference="read", error="ThrottlingException"))
    measured = score(said, LABELS)
    assert measured["latency_ms"] == {
        "mean": 10.5,
        "p50": 10,
        "p95": 19,
        "p99": 20,
        "queries": 20,
        "concurrency": 1,
    }
    assert measured["tokens"] == {"input": 400, "output": 60}
    assert measured["errors"] == {"ThrottlingException": 1}


def test_a_candidate_that_never_answered_has_no_latency() -> None:
    measured = score([Prediction(query="q", reference="read", error="x")], LABELS)
    assert measured["latency_ms"] == {
        "mean": None,
        "p50": None,
        "p95": None,
        "p99": None,
        "queries": 0,
        "concurrency": 1,
    }


def test_errors_are_shown_by_signal() -> None:
    measured = score(predictions(weights_text(0.7, 0.2, 0.1), weights_text(0.8, 0.1, 0.1), "no"), WEIGHTS)
    assert measured["per_signal"] == {
        "picture": pytest.approx(0.05),
        "sound": pytest.approx(0.05),
        "words": pytest.approx(0, abs=1e-9),
    }
    assert score(predictions("no"), WEIGHTS)["per_signal"] == {"picture": None, "sound": None, "words": None}


def test_labels_are_shown_as_a_confusion_matrix_and_a_table() -> None:
    pairs = [
        ("watch", "watch"),
        ("watch", "watch"),
        ("watch", "read"),
        ("read", "read"),
        ("read", "no label"),
    ]
    said = [Prediction(query="q", reference=wanted, text=given) for wanted, given in pairs]
    measured = score([*said, Prediction(query="q", reference="read", error="x")], LABELS)
    assert measured["confusion"] == {"watch": {"watch": 2, "read": 1}, "read": {"read": 1, "": 2}}
    assert measured["per_label"] == {
        "read": {"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5, "support": 3},
        "watch": {"precision": 1, "recall": 2 / 3, "f1": 4 / 5, "support": 3},
    }


def test_a_label_that_was_only_answered_has_no_recall_and_does_not_count_in_macro_f1() -> None:
    measured = score([Prediction(query="q", reference="read", text="listen")] * 2, LABELS)
    assert measured["per_label"] == {
        "listen": {"precision": 0, "recall": None, "f1": 0, "support": 0},
        "read": {"precision": None, "recall": 0, "f1": 0, "support": 2},
    }
    right = [Prediction(query="q", reference="watch", text="watch")]
    assert score([*right, Prediction(query="q", reference="read", text="listen")], LABELS)["macro_f1"] == 0.5


def test_every_headline_number_has_an_interval_around_it() -> None:
    said = predictions(
        *[weights_text(0.8, 0.1, 0.1), weights_text(0.7, 0.2, 0.1), weights_text(0.2, 0.7, 0.1)] * 9
    )
    measured = score(said, WEIGHTS)
    assert set(measured["intervals"]) == {
        "valid_share", "mae", "within_005", "within_010", "dominant_share", "rubric",
    }  # fmt: skip
    for name, (low, high) in measured["intervals"].items():
        assert low < measured[name] < high or name == "valid_share"
    assert measured["intervals"]["valid_share"] == (pytest.approx(0.025 ** (1 / 27)), 1)
    timed = [each.model_copy(update={"alone": True, "latency_ms": ms}) for ms, each in enumerate(said, 1)]
    latency = {name for name in score(timed, WEIGHTS)["intervals"] if name.startswith("latency")}
    assert latency == {"latency_mean_ms", "latency_p50_ms", "latency_p95_ms"}
    assert set(score([Prediction(query="q", reference="read", text="read")] * 2, LABELS)["intervals"]) == {
        "valid_share", "accuracy", "macro_f1",
    }  # fmt: skip


def test_latency_is_of_the_queries_that_were_asked_alone_and_answered_at_once() -> None:
    said = [
        Prediction(query="q", reference="read", text="read", latency_ms=ms, alone=alone)
        for ms, alone in [(10, True), (900, False), (0, True), (20, True)]
    ]
    latency = score(said, LABELS)["latency_ms"]
    assert (latency["mean"], latency["p99"], latency["queries"]) == (15, 20, 2)


@pytest.mark.parametrize(
    ("own", "rival", "verdict"),
    [
        ((0.8, 0.1, 0.1), (0.6, 0.3, 0.1), "better"),
        ((0.6, 0.3, 0.1), (0.8, 0.1, 0.1), "worse"),
        ((0.7, 0.2, 0.1), (0.7, 0.2, 0.1), "no difference shown"),
    ],
)
def test_a_difference_on_every_query_is_shown(own: tuple, rival: tuple, verdict: str) -> None:
    mine, theirs = (predictions(*[weights_text(*values)] * 5) for values in (own, rival))
    assert compare(mine, theirs, WEIGHTS).verdict == verdict


def test_pairing_shows_a_small_difference_that_lies_within_each_ones_interval() -> None:
    # Given queries that differ much in difficulty, and a rival that is a little better on each of them
    steps = [0.01 * step for step in range(40)]
    own = predictions(*[weights_text(0.8 - each - 0.01, 0.1 + each + 0.01, 0.1) for each in steps])
    rival = predictions(*[weights_text(0.8 - each, 0.1 + each, 0.1) for each in steps])
    compared = compare(own, rival, WEIGHTS)
    low, high = score(own, WEIGHTS)["intervals"]["mae"]
    # Then the intervals overlap, and yet the difference is shown
    assert low < compared.rival < high
    assert compared.verdict == "worse"
    assert (compared.low, compared.high) == (pytest.approx(0.02 / 3), pytest.approx(0.02 / 3))


def test_one_query_in_common_shows_no_difference() -> None:
    compared = compare(
        predictions(weights_text(0.8, 0.1, 0.1)), predictions(weights_text(0.1, 0.8, 0.1)), WEIGHTS
    )
    assert (compared.queries, compared.low, compared.high) == (1, None, None)
    assert (compared.worse_by < 0, compared.verdict) == (True, "no difference shown")
