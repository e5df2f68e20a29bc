"""Answers: accepted only if they are one, and written so that weights sum to exactly 1."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.answer import (
    Answer,
    AnswerError,
    parse_answer,
    quotation,
    serialisable_weights,
    without_quotations,
)
from signalbox.task import Labels, Weights
from tests.builders import SIGNALS, weights_text

WEIGHTS = Weights(signals=SIGNALS)
LABELS = Labels(labels=("watch", "listen", "read"))

weightings = st.dictionaries(
    st.text(min_size=1), st.floats(min_value=0, max_value=1e6, allow_subnormal=False), min_size=1, max_size=50
).filter(lambda weights: sum(weights.values()) > 1e-6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(SIGNALS) | st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(weightings)
@example({"a": 1, "b": 1, "c": 1})
@example({"a": 1e-9, "b": 1})
def test_serialised_weights_sum_to_exactly_one(weights: dict[str, float]) -> None:
    # When weights are written and read as decimal numbers
    written = json.loads(json.dumps(serialisable_weights(weights)), parse_float=Decimal, parse_int=Decimal)
    # Then they sum to 1 without any rounding, none is negative, and each is within a unit of what it was
    assert sum(written.values()) == 1
    assert all(weight >= 0 for weight in written.values())
    total = math.fsum(weights.values())
    assert all(abs(float(written[name]) - weight / total) <= 1.0001e-4 for name, weight in weights.items())
    assert list(written) == list(weights)


@given(
    st.lists(st.integers(0, 10_000), min_size=3, max_size=3).filter(any),
    st.text(st.characters(codec="utf-8")),
)
def test_an_answer_is_read_as_it_was_written(shares: list[int], reasoning: str) -> None:
    answer = Answer(
        weights={signal: share / sum(shares) for signal, share in zip(SIGNALS, shares, strict=True)},
        reasoning=reasoning,
    )
    read = parse_answer(answer.text(), WEIGHTS)
    assert read.reasoning == reasoning
    assert read.weights == pytest.approx(answer.weights, abs=1e-4)
    assert math.fsum(read.weights.values()) == pytest.approx(1, abs=1e-12)


@given(st.text() | json_values.map(json.dumps))
@example("[" * 100_000)
@example('{"picture": ' + "[" * 900 + "]" * 900 + ', "sound": 0, "words": 0}')
@example('{"picture": ' + "9" * 5_000 + "}")
@example(r'{"picture": 1, "sound": 0, "words": 0, "\ud800": 1}')
@example(r'{"picture": 1, "sound": 0, "words": "\ud800"}')
@example(r'{"picture": 1, "sound": 0, "words": 0, "reasoning": "\ud800"}')
def test_any_text_is_an_answer_or_an_answer_error_and_either_can_be_written_down(text: str) -> None:
    for output in (WEIGHTS, LABELS):
        try:
            said = parse_answer(text, output).text()
        except AnswerError as error:
            said = error.field + error.reason + str(error)
        said.encode()


@given(
    st.dictionaries(st.sampled_from((*SIGNALS, "smell")), st.floats() | st.integers(-1, 2) | st.booleans())
)
def test_weights_are_accepted_only_if_each_rule_holds(body: dict[str, float]) -> None:
    sound = (
        set(body) == set(SIGNALS)
        and not any(isinstance(weight, bool) for weight in body.values())
        and all(math.isfinite(weight) and 0 <= weight <= 1 for weight in body.values())
        and abs(math.fsum(body.values()) - 1) <= 0.01 + 1e-9
    )
    try:
        parse_answer(json.dumps(body), WEIGHTS)
    except AnswerError:
        accepted = False
    else:
        accepted = True
    assert accepted == sound


@pytest.mark.parametrize("total", [0.99, 1.01])
def test_weights_that_miss_the_sum_by_a_hundredth_are_scaled_to_it(total: float) -> None:
    answer = parse_answer(weights_text(round(total - 0.5, 2), 0.3, 0.2), WEIGHTS)
    assert math.fsum(answer.weights.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('Sure! {"picture": 1, "sound": 0, "words": 0}', ""),
        ('```json\n{"picture": 1, "sound": 0, "words": 0}\n```', ""),
        ('{"picture": 1, "sound": 0, "words": 0} I hope this helps', ""),
        ('[{"picture": 1, "sound": 0, "words": 0}]', ""),
        ('{"picture": 0.5, "picture": 0.5, "sound": 0.5, "words": 0}', ""),
        ('{"picture": NaN, "sound": 0.5, "words": 0.5}', ""),
        ('{"picture": 0.6, "sound": 0.6, "words": 0}', ""),
        ('{"picture": 1, "sound": 0}', "words"),
        ('{"picture": 1, "sound": 0, "words": "0"}', "words"),
        ('{"picture": 1, "sound": 0, "words": null}', "words"),
        ('{"picture": true, "sound": 0, "words": 0}', "picture"),
        ('{"picture": 1.2, "sound": -0.2, "words": 0}', "picture"),
        ('{"picture": 1, "sound": 0, "words": 0, "smell": 0}', '"smell"'),
        ('{"picture": 1, "sound": 0, "words": 0, "reasoning": 3}', "reasoning"),
        ("", ""),
    ],
)
def test_what_is_no_answer_is_refused_and_the_field_named(text: str, field: str) -> None:
    with pytest.raises(AnswerError) as refused:
        parse_answer(text, WEIGHTS)
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["listen", " listen\n"])
def test_a_label_of_the_task_is_an_answer(text: str) -> None:
    assert parse_answer(text, LABELS).label == "listen"


@pytest.mark.parametrize("text", ["Listen", "listen.", "", "smell", '"listen"'])
def test_any_other_label_is_refused(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(text, LABELS)


@pytest.mark.parametrize(
    ("answer", "dominant"),
    [
        (Answer(weights={"a": 0.5, "b": 0.3, "c": 0.2}), ("a",)),
        (Answer(weights={"a": 0.4, "b": 0.4, "c": 0.2}), ("a", "b")),
        (Answer(label="read"), ("read",)),
    ],
)
def test_the_dominant_signals_are_those_of_the_greatest_weight(
    answer: Answer, dominant: tuple[str, ...]
) -> None:
    assert answer.dominant() == dominant


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("plain", True),
        ('with "quotes" and \\ backslashes', True),
        ("long " * 40, True),
        ("cut in an escape " + '"' * 60, True),
        (["in a list", {"key": "and below"}], True),
        (1.7, False),
        (None, False),
    ],
)
@pytest.mark.parametrize("template", ["{} is none of the labels", "not JSON: {}", "must be a number, not {}"])
def test_a_reason_without_its_quotations_holds_no_text_of_the_record(
    template: str, value: Any, kept: bool
) -> None:
    reason = without_quotations(template.format(quotation(value)))
    assert ('"…"' in reason) is kept
    for word in ("plain", "quotes", "backslashes", "long", "escape", "list", "key", "below"):
        assert word not in reason
