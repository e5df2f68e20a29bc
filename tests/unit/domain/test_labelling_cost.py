"""What labels cost: by hand for one case, and in what order estimate and upper bound stand for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.generation_request import Labelling
from signalbox.labelling import Tokens, tokens_in
from signalbox.labelling_cost import counted, estimate, excess_of_labels, in_words
from signalbox.task import Task
from tests.builders import spec, task

REGION = "us-east-1"


def taught(teacher: str = "us.amazon.nova-pro-v1:0") -> Task:
    """Return a task whose teacher is asked with 400 characters, hence 100 tokens."""
    asked = {"teacher": teacher, "student": "amazon.nova-micro-v1:0:128k", "max_response_tokens": 200}
    return task(spec(customization=asked), teacher_prompt="x" * 400)


def test_a_batch_is_estimated_at_half_the_price() -> None:
    # Given 1,000 queries of 10 tokens, a prompt of 100, and answers of 50
    known = estimate(taught(), Labelling(), ["y" * 40], 1000, ["z" * 200], REGION)
    # Then it is 110,000 tokens read and 50,000 written, at 0.8 and 3.2 USD a million, halved
    assert (known["tokens_read"], known["tokens_written"], known["way"]) == (110_000, 50_000, "batch")
    assert known["usd"] == pytest.approx((110_000 * 0.8 + 50_000 * 3.2) / 2e6)
    # And at most everything is asked twice, and answered with 200 tokens
    assert known["at_most_usd"] == pytest.approx(2 * (110_000 * 0.8 + 200_000 * 3.2) / 2e6)
    assert in_words(known) == "estimate $0.124, at most $0.728"


@pytest.mark.parametrize("number", [100, 150, 197, 198, 199, 400])
def test_the_most_is_what_the_worst_second_round_comes_to(number: int) -> None:
    known = estimate(taught(), Labelling(), ["y" * 40], number, ["z" * 200], REGION)
    # Given that any number may be missing after the first round, of which fewer than 100 are asked at the full price
    once = (110 * 0.8 + 200 * 3.2) / 1e6
    seconds = [once * missing * (1 if missing < 100 else 0.5) for missing in range(number + 1)]
    assert known["at_most_usd"] == pytest.approx(number * once / 2 + max(seconds), abs=1e-4)


def test_few_are_asked_one_by_one_and_so_are_queries_thought_of_both_at_the_full_price() -> None:
    asked = estimate(taught(), Labelling(), ["y" * 40], 99, ["z" * 200], REGION)
    assert asked["way"] == "converse"
    assert asked["usd"] == pytest.approx(99 * (110 * 0.8 + 50 * 3.2) / 1e6, abs=1e-4)
    writing = (Tokens(1_000_000, 0), Tokens(0, 1_000_000))
    with_writing = estimate(taught(), Labelling(), ["y" * 40], 99, ["z" * 200], REGION, writing)
    assert with_writing["usd"] == pytest.approx(asked["usd"] + 0.8)
    assert with_writing["at_most_usd"] == pytest.approx(asked["at_most_usd"] + 3.2)


def test_a_price_that_is_not_known_keeps_within_no_budget_and_a_stand_in_within_any() -> None:
    unknown = estimate(taught("meta.llama3-1-405b-instruct-v1:0"), Labelling(), [], 500, [], REGION)
    assert "no price is known" in unknown["unknown"]
    beyond = excess_of_labels(taught("meta.llama3-1-405b-instruct-v1:0"), unknown, 1000.0)
    assert beyond is not None and "is not known" in beyond.reason
    local = estimate(taught("local.teacher"), Labelling(), [], 500, [], REGION)
    assert "stand-in" in local["unknown"]
    assert excess_of_labels(taught("local.teacher"), local, 0.01) is None
    assert excess_of_labels(taught("local.teacher"), local, 0.0) is not None


@given(
    st.integers(100, 15_000), st.integers(1, 3), st.integers(0, 800), st.sampled_from(["auto", "converse"])
)
def test_the_estimate_is_never_above_what_it_may_cost_and_a_budget_is_held_by_that(
    number: int, samples: int, length: int, mode: str
) -> None:
    labelling = Labelling(samples=samples, mode=mode)  # type: ignore[arg-type]
    answers = ["z" * length] if length else []
    known = estimate(taught(), labelling, ["swans"], number, answers, REGION)
    assert 0 < known["usd"] <= known["at_most_usd"]
    assert known["answers"] == number * samples
    assert excess_of_labels(taught(), known, known["at_most_usd"]) is None
    beyond = excess_of_labels(taught(), known, known["at_most_usd"] * 0.99)
    assert beyond is not None
    assert beyond.usd["at_most"] == known["at_most_usd"]


def test_what_was_read_and_written_is_priced_by_the_way_it_was_asked() -> None:
    parts = [(Tokens(1_000_000, 100_000), "batch"), (Tokens(10_000, 1_000), "converse")]
    found = counted(taught(), parts, REGION)  # type: ignore[arg-type]
    assert (found["tokens_read"], found["tokens_written"]) == (1_010_000, 101_000)
    assert found["usd"] == pytest.approx((0.8 + 0.32) / 2 + 0.008 + 0.0032)


@pytest.mark.parametrize("output", [None, "text", {}, {"usage": None}, {"usage": {"inputTokens": "many"}}])
def test_an_output_that_names_no_tokens_has_none(output: object) -> None:
    assert tokens_in(output) == Tokens(0, 0)
