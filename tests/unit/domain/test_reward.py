"""The reward of reinforcement fine-tuning: documented shapes, the evaluation's own grades, no sample that breaks it."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.answer import Answer, parse_answer
from signalbox.reward import reference_answer, rewards
from signalbox.scoring import Prediction, score
from signalbox.task import Labels, Weights
from tests.builders import LABELS, SIGNALS, weights_text

WEIGHTS = Weights(signals=SIGNALS)
REFERENCE = weights_text(0.8, 0.1, 0.1)


def sample(text: str, reference: Any, *, beside: bool = False, **changes: Any) -> dict[str, Any]:
    """Return a sample as a reinforcement fine-tuning job sends it, by either guide."""
    carried = {"reference_answer": reference}
    return {
        "id": "sample-7",
        "messages": [
            {"role": "system", "content": "Return JSON."},
            {"role": "user", "content": "ships turning in the harbour"},
            {"role": "assistant", "content": text},
        ],
        **(carried if beside else {"metadata": carried}),
    } | changes


def of_weights(text: str, reference: str = REFERENCE, **changes: Any) -> dict[str, Any]:
    """Return the reward of an answer of weights."""
    (reward,) = rewards([sample(text, reference_answer(parse_answer(reference, WEIGHTS)), **changes)])
    return reward


def metrics(reward: dict[str, Any]) -> dict[str, float]:
    """Return what a reward says for whoever watches."""
    return {each["name"]: each["value"] for each in reward["metrics_list"] if each["type"] == "Metric"}


@pytest.mark.parametrize("beside", [False, True], ids=["in metadata", "beside the messages"])
def test_the_reply_has_the_documented_shape(beside: bool) -> None:
    assert of_weights(weights_text(0.7, 0.2, 0.1), beside=beside) == {
        "id": "sample-7",
        "aggregate_reward_score": 0.75,
        "metrics_list": [
            {"name": "grade", "value": 0.75, "type": "Reward"},
            {"name": "gradable", "value": 1.0, "type": "Metric"},
            {"name": "valid", "value": 1.0, "type": "Metric"},
            {"name": "mae", "value": pytest.approx(0.2 / 3), "type": "Metric"},
            {"name": "dominant", "value": 1.0, "type": "Metric"},
        ],
    }


@pytest.mark.parametrize("role", ["assistant", "nova_assistant"])
@pytest.mark.parametrize("parts", [False, True], ids=["a text", "a list of one text"])
def test_an_answer_comes_in_each_documented_shape(role: str, parts: bool) -> None:
    content = [{"type": "text", "text": REFERENCE}] if parts else REFERENCE
    reward = of_weights("", messages=[{"role": role, "content": content}])
    assert reward["aggregate_reward_score"] == 1.0


@pytest.mark.parametrize("identifier", ["a-7", "", 7, 0, None, 1.5, ["a"]])
def test_an_id_comes_back_as_it_was(identifier: Any) -> None:
    returned = of_weights(REFERENCE, id=identifier)["id"]
    assert (returned, type(returned)) == (identifier, type(identifier))


def test_a_sample_without_an_id_gets_an_empty_one() -> None:
    assert [each["id"] for each in rewards([{}, None, []])] == ["", "", ""]


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ((0.8, 0.1, 0.1), 1.0),
        ((0.75, 0.15, 0.1), 1.0),
        ((0.7, 0.2, 0.1), 0.75),
        ((0.6, 0.2, 0.2), 0.5),
        ((0.4, 0.5, 0.1), 0.25),
        ((0.0, 0.1, 0.9), 0.0),
    ],
)
def test_a_grade_is_a_share_of_the_way_from_the_worst_to_the_best(
    answer: tuple[float, ...], reward: float
) -> None:
    assert of_weights(weights_text(*answer))["aggregate_reward_score"] == reward


@pytest.mark.parametrize(
    "text",
    [
        f"Here you are: {REFERENCE}",
        f"```json\n{REFERENCE}\n```",
        "",
        "null",
        weights_text(0.8, 0.1, 0.2),
        json.dumps({"picture": 0.9, "sound": 0.1}),
        json.dumps({"picture": 0.8, "sound": 0.1, "words": 0.1, "smell": 0.0}),
        '{"picture": NaN, "sound": 0.5, "words": 0.5}',
        '{"picture": 1e999, "sound": 0.5, "words": 0.5}',
        '{"picture": 0.8, "picture": 0.8, "sound": 0.1, "words": 0.1}',
        "[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_worth_nothing(text: str) -> None:
    reward = of_weights(text)
    assert reward["aggregate_reward_score"] == 0.0
    assert metrics(reward) == {"gradable": 1.0, "valid": 0.0}


@pytest.mark.parametrize(
    ("text", "reward"), [("listen", 1.0), (" listen\n", 1.0), ("read", 0.0), ("Listen.", 0.0)]
)
def test_a_label_is_right_or_wrong(text: str, reward: float) -> None:
    (graded,) = rewards([sample(text, reference_answer(Answer(label="listen")))])
    assert graded["aggregate_reward_score"] == reward
    assert metrics(graded) == {"gradable": 1.0}


weights = (
    st.lists(st.integers(0, 100), min_size=3, max_size=3)
    .filter(any)
    .map(lambda shares: weights_text(*(share / sum(shares) for share in shares)))
)
answers = weights | st.text() | weights.map(lambda text: f"Sure! {text}")


@given(st.lists(st.tuples(weights, answers), min_size=1, max_size=8))
def test_the_mean_reward_is_the_rubric_of_the_evaluation(pairs: list[tuple[str, str]]) -> None:
    evaluated = score([Prediction(query="", reference=one, text=other) for one, other in pairs], WEIGHTS)
    given = [of_weights(answer, reference)["aggregate_reward_score"] for reference, answer in pairs]
    assert 1 + 4 * math.fsum(given) / len(given) == pytest.approx(evaluated["rubric"])


@given(
    st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS) | st.text()), min_size=1, max_size=8)
)
def test_the_mean_reward_is_the_accuracy_of_the_evaluation(pairs: list[tuple[str, str]]) -> None:
    evaluated = score(
        [Prediction(query="", reference=one, text=other) for one, other in pairs], Labels(labels=LABELS)
    )
    given = rewards([sample(answer, reference_answer(Answer(label=one))) for one, answer in pairs])
    mean = math.fsum(each["aggregate_reward_score"] for each in given) / len(given)
    assert mean == pytest.approx(evaluated["accuracy"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "messages": json_values
        | st.lists(st.fixed_dictionaries({"role": json_values, "content": json_values})),
        "metadata": json_values | st.fixed_dictionaries({"reference_answer": json_values}),
        "reference_answer": json_values
        | st.fixed_dictionaries({"weights": st.dictionaries(st.text(max_size=8), json_values, max_size=4)})
        | st.fixed_dictionaries({"label": json_values}),
    },
)


@given(st.lists(json_values | parts | st.builds(sample, st.text(), json_values), max_size=5))
@example([sample("a", {"weights": {"a": 10**400, "b": 0.5}})])
@example([sample("a", {"weights": {"a": math.inf, "b": 0.5}})])
@example([sample("a", {"label": ""})])
def test_whatever_comes_each_sample_gets_a_finite_reward(samples: list[Any]) -> None:
    graded = rewards(samples)
    assert len(graded) == len(samples)
    for reward in graded:
        assert set(reward) == {"id", "aggregate_reward_score", "metrics_list"}
        assert 0 <= reward["aggregate_reward_score"] <= 1
        json.dumps(reward | {"id": ""}, allow_nan=False)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        sample(REFERENCE, None),
        sample(REFERENCE, REFERENCE),
        sample(REFERENCE, {"weights": {"picture": 0.8, "sound": 0.8}}),
        sample(REFERENCE, {"weights": {"picture": 1.0}}),
        sample(REFERENCE, {"label": "listen", "weights": {}}),
        sample(REFERENCE, {"label": "listen"}, messages=[]),
        sample(REFERENCE, {"label": "listen"}, messages=[{"role": "user", "content": "listen"}]),
        sample(REFERENCE, {"label": "listen"}, messages=[{"role": "assistant", "content": None}]),
        *(
            sample(REFERENCE, {"label": "listen"}, messages=[{"role": "assistant", "content": parts}])
            for parts in (
                [],
                [{"text": "listen"}],
                [{"type": "text", "text": None}],
                [{"type": "image", "text": "listen"}],
                [{"type": "text", "text": "listen"}, {"type": "text", "text": "listen"}],
            )
        ),
    ],
)
def test_a_sample_that_cannot_be_graded_says_so_and_spoils_no_other(broken: Any) -> None:
    good = sample("listen", {"label": "listen"})
    first, bad, last = rewards([good, broken, good])
    assert first == last
    assert first["aggregate_reward_score"] == 1.0
    assert bad["aggregate_reward_score"] == 0.0
    assert metrics(bad) == {"gradable": 0.0}


@pytest.mark.parametrize("event", [{}, None, "[]", sample(REFERENCE, {"label": "listen"})])
def test_an_event_that_is_no_list_of_samples_is_an_error(event: Any) -> None:
    with pytest.raises(TypeError, match="called with a list of samples"):
        rewards(event)


def test_samples_that_cannot_be_graded_are_counted_for_the_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    def counted() -> list[int]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
        return [count for line in lines for count in line["UngradableSamples"]]

    rewards([sample("listen", {"label": "listen"}), sample("no answer", {"label": "listen"})])
    assert counted() == []
    rewards([None, sample("listen", {"label": "listen"}), {}])
    assert counted() == [2]


def test_the_log_counts_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rewards([sample("a secret", {"label": "listen"}), sample("listen", {"label": "listen"}), None])
    (entry,) = caplog.records
    assert (entry.samples, entry.mean_reward, entry.invalid, entry.ungradable) == (
        3,
        pytest.approx(1 / 3),
        0,
        1,
    )
    assert "secret" not in str(vars(entry))
