"""Training on what real data looks like at its edges."""

import math

import pytest

from signalbox.answer import Answer
from signalbox.task import Labels, Weights
from signalbox.training import TrainingError, train

WEIGHTS = Weights(signals=("left", "right"))
LABELS = Labels(labels=("yes", "no"))


def learn(examples, output=WEIGHTS):
    return train(examples, output, task="edges", run_id="edges-0123456789ab").student


def weighing(left: float) -> Answer:
    return Answer(weights={"left": left, "right": 1 - left})


def test_twenty_records_are_enough_for_an_answer() -> None:
    student = learn(
        [(f"turn left at the house number {i}", weighing(0.9)) for i in range(10)]
        + [(f"turn right at the house number {i}", weighing(0.2)) for i in range(10)]
    )
    assert student.answer("turn left at the corner").weights["left"] == pytest.approx(0.9)
    assert student.answer("turn right at the corner").weights["left"] == pytest.approx(0.2)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_constant_answers_are_given_constantly(count) -> None:
    student = learn([(f"query number {i}", weighing(0.3)) for i in range(count)])
    for query in ("query number 3", "something else", ""):
        assert student.answer(query).weights == pytest.approx({"left": 0.3, "right": 0.7}, abs=1e-6)


def test_a_single_label_is_given_always() -> None:
    student = learn([(f"query number {i}", Answer(label="no")) for i in range(30)], LABELS)
    answer = student.answer("query number 5")
    assert answer.label == "no"
    assert answer.confidence > 0.9


def test_repeated_and_contradicting_records_are_weighed() -> None:
    contradicting = [("left or right", weighing(0.8))] * 3 + [("left or right", weighing(0.2))]
    others = [(f"something about number {i}", weighing(0.5)) for i in range(30)]
    assert learn(contradicting + others).answer("left or right").weights["left"] == pytest.approx(0.8)


def test_weights_without_a_grid_are_answered_by_regression() -> None:
    student = learn(
        [(f"turn right at number {i}", weighing(0.1 + i / 1000)) for i in range(0, 150, 2)]
        + [(f"turn left at number {i}", weighing(0.8 + i / 1000)) for i in range(1, 150, 2)]
    )
    assert len(student.model.patterns) == 0
    assert student.answer("turn left at the corner").weights["left"] > 0.65
    assert student.answer("turn right at the corner").weights["left"] < 0.35
    assert "left" in student.answer("turn left at the corner").reasoning


def test_empty_queries_and_emoji_can_be_learned_from() -> None:
    student = learn([("", weighing(0.5)), ("🎉", weighing(0.5)), ("🎉🎉", weighing(0.5))])
    assert student.answer("🎉").weights == pytest.approx({"left": 0.5, "right": 0.5})


def test_only_empty_queries_leave_the_prior() -> None:
    assert learn([("", weighing(0.4))] * 30).answer("anything").weights["left"] == pytest.approx(0.4)


@pytest.mark.parametrize("signals", [2, 12, 50])
def test_any_number_of_signals(signals) -> None:
    output = Weights(signals=tuple(f"signal{i}" for i in range(signals)))
    one = {signal: float(i == 1) for i, signal in enumerate(output.signals)}
    even = dict.fromkeys(output.signals, 1 / signals)
    examples = [(f"only one of {i}", Answer(weights=one)) for i in range(20)]
    student = learn(examples + [(f"all the same {i}", Answer(weights=even)) for i in range(20)], output)
    assert student.answer("all the same again").weights == pytest.approx(even, abs=0.001)
    assert student.answer("only one of them").weights == pytest.approx(one)


def test_the_curve_shows_training_and_validation_loss() -> None:
    said: list[str] = []
    examples = [
        (f"turn {'left' * (i % 2) or 'right'} at {i}", weighing(0.2 + 0.6 * (i % 2))) for i in range(200)
    ]
    trained = train(examples, WEIGHTS, task="edges", run_id="edges-0123456789ab", progress=said.append)
    assert [row["step"] for row in trained.curve] == list(range(1, len(trained.curve) + 1))
    assert trained.curve[-1]["training_loss"] < trained.curve[0]["training_loss"]
    assert math.isfinite(trained.curve[-1]["validation_loss"])
    assert any("200 records" in message for message in said)


@pytest.mark.parametrize(
    ("examples", "output", "message"),
    [
        ([], WEIGHTS, "nothing to learn from"),
        ([("a query", Answer(label="yes"))], WEIGHTS, "each signal"),
        ([("a query", Answer(weights={"left": 1.0}))], WEIGHTS, "each signal"),
        ([("a query", Answer(label="perhaps"))], LABELS, "'perhaps'"),
    ],
)
def test_examples_that_do_not_fit_the_task_are_refused(examples, output, message) -> None:
    with pytest.raises(TrainingError, match=message):
        learn(examples, output)
