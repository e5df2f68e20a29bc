"""What the student answers, and why."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.answer import Answer
from signalbox.features import MOST_QUERIES
from signalbox.student import _ODDS

STRANGE = {
    "empty": "",
    "white space": " \t\n",
    "punctuation": "?!...",
    "emoji": "😀😀🎉",
    "Cyrillic": "привет мир, где река",
    "Japanese": "日本語の質問",
    "lone surrogate": "\ud800 lone surrogate",
    "control characters": "\x00\x01",
    "noise": "z9 q" * 128,
    "far too long": "a" * 5000,
    "growing under NFKC": "\ufdfa" * 512,
}


def assert_sane(answer: Answer) -> None:
    if answer.weights is not None:
        assert all(math.isfinite(weight) and 0 <= weight <= 1 for weight in answer.weights.values())
        assert math.fsum(answer.weights.values()) == pytest.approx(1, abs=1e-6)
    else:
        assert answer.confidence is not None
        assert 0 <= answer.confidence <= 1
    assert answer.reasoning


@pytest.mark.parametrize(
    ("query", "weights"),
    [
        ("Ships turning in the lagoon!", (0.8, 0.1, 0.1)),
        ("bells ringing over the desert", (0.2, 0.7, 0.1)),
        ("a speech about the desert at noon", (0.1, 0.2, 0.7)),
    ],
)
def test_the_rule_carries_over_to_queries_never_seen(taught_weights, query, weights) -> None:
    assert tuple(taught_weights.student.answer(query).weights.values()) == pytest.approx(weights)


def test_a_label_is_given_with_its_confidence(taught_labels) -> None:
    answer = taught_labels.student.answer("bells ringing over the desert")
    assert (answer.label, answer.weights) == ("listen", None)
    assert answer.confidence > 0.8


def test_a_label_that_training_never_showed_is_never_given(taught_labels) -> None:
    assert {taught_labels.student.answer(query).label for query in STRANGE.values()} <= {
        "watch",
        "listen",
        "read",
    }


@pytest.mark.parametrize("query", STRANGE.values(), ids=STRANGE.keys())
def test_strange_queries_have_sane_answers(taught_weights, taught_labels, query) -> None:
    for taught in (taught_weights, taught_labels):
        opinion = taught.student.opinion(query)
        assert_sane(opinion.answer)
        assert 0 <= opinion.familiarity < 0.05


@given(query=st.text(max_size=520))
def test_any_text_has_a_sane_answer(taught_weights, taught_labels, query) -> None:
    assert_sane(taught_weights.student.answer(query))
    assert_sane(taught_labels.student.answer(query))


@given(query=st.text(max_size=40))
def test_the_answer_depends_on_the_normalised_query_only(taught_weights, query) -> None:
    student = taught_weights.student
    assert student.opinion(f"  {query.upper().lower()}! ") == student.opinion(query.upper().lower())


TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["ships", "bells", "speech", "the", "a", "of", "harbour", "desert", "at", "night", "turning"]
        )
    ).map(" ".join),
)


@given(queries=st.lists(TEXTS, max_size=2 * MOST_QUERIES + 1))
def test_a_batch_is_answered_to_the_last_bit_as_each_query_alone(
    taught_weights, taught_labels, queries
) -> None:
    for student in (taught_weights.student, taught_labels.student):
        assert student.opinions(queries) == [student.opinion(query) for query in queries]


def test_a_batch_of_strange_queries_is_answered_as_each_alone(taught_weights, taught_labels) -> None:
    for taught in (taught_weights, taught_labels):
        queries = [query for query, _ in taught.examples[::7]] + list(STRANGE.values())
        assert taught.student.answers(queries) == [taught.student.answer(query) for query in queries]
        assert taught.student.answers([]) == []


def test_odds_do_not_hang_on_the_last_bit_of_an_exponential() -> None:
    """The table is rounded; no entry is so near a half that another library's rounding could change it."""
    exact = [math.exp(-step / 256) * 2**24 for step in range(16 * 256)]
    assert min(abs(value % 1 - 0.5) / value for value in exact) > 1e-13
    assert _ODDS.tolist() == [round(value) for value in exact]


def test_the_prior_is_the_mean_of_the_training_labels(taught_weights, taught_labels) -> None:
    expected = {"picture": 2.3 / 6, "sound": 2.0 / 6, "words": 1.7 / 6}
    assert taught_weights.student.prior.weights == pytest.approx(expected)
    assert taught_labels.student.prior.confidence == pytest.approx(1 / 3, abs=0.01)


def test_reasoning_names_the_words_that_moved_the_answer(taught_weights) -> None:
    reasoning = taught_weights.student.answer("an interview with people of the desert").reasoning
    assert reasoning.startswith("words because of ")
    assert "interview" in reasoning


def certainty(answer: Answer, of: str) -> float:
    """Return how much an answer gives to a signal or to a label."""
    if answer.weights is not None:
        return answer.weights[of]
    return answer.confidence if answer.label == of else 0.0


@pytest.mark.parametrize("kind", ["weights", "labels"])
def test_reasoning_is_true_to_the_model(taught_weights, taught_labels, kind) -> None:
    """Taking away the words named costs the answer much more than taking away the others."""
    taught = taught_weights if kind == "weights" else taught_labels
    cost_of_named = cost_of_others = 0.0
    for query, _ in taught.examples[::5]:
        answer = taught.student.answer(query)
        subject, _, _ = answer.reasoning.partition(" because of ")
        named = {word for phrase in re.findall("'(.*?)'", answer.reasoning) for word in phrase.split()}
        without_named = " ".join(word for word in query.split() if word not in named)
        without_others = " ".join(word for word in query.split() if word in named)
        before = certainty(answer, subject)
        cost_of_named += before - certainty(taught.student.answer(without_named), subject)
        cost_of_others += before - certainty(taught.student.answer(without_others), subject)
    assert cost_of_named > 0
    assert cost_of_named > 3 * cost_of_others


def test_what_is_unlike_the_training_data_is_unfamiliar(taught_weights) -> None:
    student = taught_weights.student
    ordinary = [student.familiarity(query) for query, _ in taught_weights.examples]
    assert sorted(ordinary)[len(ordinary) // 10] > 0.3
    assert student.familiarity("cheap flights from denver to boston") < 0.05
