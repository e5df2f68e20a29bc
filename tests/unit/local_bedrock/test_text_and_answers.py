"""The form of a task's answers is found out from examples, whatever its signals are called."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.bedrock.answers import LabelsForm, WeightsForm, learn_form, mentioned, named_in
from local.bedrock.errors import DatasetError
from local.bedrock.text import bucket, count_tokens, first_tokens, normalise

SEVEN = ("camera angle", "mood", "visual", "audio", "transcription", "metadata", "licence")


def test_weights_keep_their_order_grid_total_and_text_field() -> None:
    answers = ['{"b": 0.2, "a": 0.8}'] * 9 + ['{"b": 0.3, "a": 0.7, "why": "Because."}']
    form = learn_form(answers)
    assert form == WeightsForm(("b", "a", "why"), ("b", "a"), "why", 1.0, 0.1)
    assert form.write(np.array([0.34, 0.66]), "So.") == '{"b": 0.3, "a": 0.7, "why": "So."}'


def test_any_number_of_signals_with_any_names() -> None:
    answers = [json.dumps(dict.fromkeys(SEVEN, round(1 / 7, 4)) | {"mood": 0.1432}) for _ in range(12)]
    form = learn_form(answers, "Return JSON with reasoning.")
    assert isinstance(form, WeightsForm)
    assert form.keys == SEVEN
    assert form.text_key == "reasoning"
    answer = json.loads(form.write(np.linspace(0.0, 0.3, 7), "x"))
    assert list(answer) == [*SEVEN, "reasoning"]
    assert sum(answer[key] for key in SEVEN) == pytest.approx(1.0, abs=1e-9)


def test_numbers_that_do_not_share_a_total_are_not_made_to() -> None:
    form = learn_form([json.dumps({"a": n / 100, "b": n / 50}) for n in range(30)])
    assert isinstance(form, WeightsForm)
    assert form.total is None
    assert form.write(np.array([0.114, 0.9]), "") == '{"a": 0.11, "b": 0.9}'


@given(
    st.lists(st.floats(-2, 2), min_size=2, max_size=9),
    st.sampled_from([None, 0.5, 0.25, 0.2, 0.1, 0.05, 0.01]),
)
def test_settled_weights_sum_to_the_total_and_lie_on_the_grid(
    scores: list[float], step: float | None
) -> None:
    keys = tuple(f"signal {index}" for index in range(len(scores)))
    settled = WeightsForm(keys, keys, None, 1.0, step).settle(np.array(scores))
    assert (settled >= 0).all()
    assert settled.sum() == pytest.approx(1.0, abs=1e-9)
    units = settled / (step or 1e-4)
    assert np.abs(units - np.round(units)).max() < 1e-6
    if (np.array(scores) > 0).sum() == 1:
        assert settled[np.argmax(scores)] == 1.0


def test_labels_are_bare_and_only_known_ones() -> None:
    form = learn_form(["flight"] * 5 + [" fare\n"] * 3)
    assert form == LabelsForm(("flight", "fare"))
    assert form.write(np.array([0.1, 0.2]), "ignored") == "fare"
    assert form.vector("else") is None


def test_an_unusual_answer_is_not_of_the_form() -> None:
    form = learn_form(['{"a": 0.5, "b": 0.5}'] * 10)
    for text in (
        '{"a": 0.5}',
        "a",
        '{"a": 0.5, "b": "x"}',
        '{"a": 0.5, "b": NaN}',
        '{"a": true, "b": 1}',
        "[1, 2]",
    ):
        assert form.vector(text) is None


def test_free_texts_are_refused() -> None:
    with pytest.raises(DatasetError, match="40 answers hold 40 different texts"):
        learn_form([f"A sentence of its own, number {number}." for number in range(40)])


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Return JSON with visual, audio, transcription, metadata weights (sum=1.0).", SEVEN[2:6]),
        ("Return JSON with mood and visual.", ("unknown",)),
        (
            "Choose one of: flight, air+fare, ground_service, and meal",
            ("flight", "air+fare", "ground_service", "meal"),
        ),
        ("Hello.", ("unknown",)),
    ],
)
def test_names_are_read_off_a_prompt(prompt: str, names: tuple[str, ...]) -> None:
    assert named_in(prompt).classes == names


def test_mentioned_is_the_share_of_names_in_a_prompt() -> None:
    assert mentioned(LabelsForm(("flight", "fare")), "A FLIGHT or a hotel") == 0.5


def test_normalisation_and_hash_ignore_case_width_and_punctuation() -> None:
    assert normalise("  \uff23rowd,\tcheering!! ") == "crowd cheering"
    assert bucket("Crowd, cheering", 1000) == bucket("crowd cheering", 1000)


@given(st.text(max_size=200), st.integers(1, 40))
def test_the_first_tokens_are_a_prefix_with_that_many_tokens(text: str, count: int) -> None:
    start = first_tokens(text, count)
    assert text.startswith(start)
    assert count_tokens(start) == min(count, count_tokens(text))


def test_tokens_are_counted_by_the_documented_rule() -> None:
    assert count_tokens("weightings 2026!") == 2 + 2 + 1
