"""What is odd about a dataset that can be used: each oddity is found where it is, and not where it is not."""

import json
import math
from typing import Any

import pytest

from signalbox.cost import tokens_of
from signalbox.dataset import Dataset, examine, read_golden
from signalbox.dataset_cost import add_cost
from signalbox.dataset_quality import EXAMPLES
from tests.builders import (
    PROMPT,
    QUERIES,
    embedded_spec,
    labelled,
    labels_spec,
    line,
    prompts,
    reinforced_spec,
    spec,
    task,
    true_label,
    truth,
    weights_text,
)

SOUND = labelled()
CALM = "a documentary about the restoration of the old cathedral"


def examined(*more: bytes, **changes: Any) -> Dataset:
    return examine([SOUND, *more], task(**changes))


def test_a_sound_dataset_has_findings_of_every_kind_and_rejects_nothing() -> None:
    dataset = examined()
    assert set(dataset.quality) == {
        "problem_kinds", "prompt_drift", "personal_data", "near_duplicates", "near_leakage", "teacher_noise",
        "beyond_noise", "grid", "constant_answers", "prior_rubric", "scripts", "lengths", "repetitions", "languages",
        "difficulty", "long_answers",
    }  # fmt: skip
    assert dataset.quality["scripts"]["shares"] == {"Latin": 1.0}
    noise = dataset.quality["teacher_noise"]
    assert (noise["repeated_queries"], noise["mean_difference"], noise["p95_difference"]) == (0, None, None)
    assert set(dataset.quality) < set(dataset.findings())
    json.dumps(dataset.findings(), allow_nan=False)


def test_queries_that_nearly_repeat_another_one_are_counted_with_examples() -> None:
    # Given one query that stands a third and a fourth time but for a word at its end
    before = examined().quality["near_duplicates"]
    found = examined(*(line(f"{CALM} {end}", truth(QUERIES[0])) for end in ("", "again", "today"))).quality
    # Then they are one more group of three queries, and their lines are named
    after = found["near_duplicates"]
    assert (after["queries"], after["groups"]) == (before["queries"] + 3, before["groups"] + 1)
    assert len(after["examples"]) <= EXAMPLES
    assert any(set(example["lines"]) <= {151, 152, 153} for example in after["examples"])


def test_a_golden_query_that_nearly_stands_in_the_training_data_is_a_leak() -> None:
    golden = read_golden([line(CALM, truth(QUERIES[0])) + labelled(QUERIES[:20])], task(), "golden.jsonl")
    found = examine(
        [labelled(QUERIES[20:]), line(f"{CALM} again", truth(QUERIES[0]))], task(), golden
    ).quality
    example = next(each for each in found["near_leakage"]["examples"] if CALM in each["queries"])
    assert example["lines"] == [None, 131]
    assert found["near_leakage"]["golden_queries"] >= 1
    # Removed from training because it is the same, a query is no near leak.
    same = examine([SOUND, line(CALM, truth(QUERIES[0]))], task(), golden).quality["near_leakage"]
    assert not any(CALM in each["queries"] for each in same["examples"])


def test_answers_to_one_query_that_differ_by_more_than_the_teachers_noise_are_named() -> None:
    # Given 30 queries answered twice with a little noise, and one answered twice quite differently
    noisy = b"".join(line(query, weights_text(0.82, 0.09, 0.09)) for query in QUERIES[:30])
    dataset = examined(noisy, line(QUERIES[40], weights_text(0.1, 0.1, 0.8)))
    # Then the noise is what the 30 have, and only the one is beyond it
    assert dataset.quality["teacher_noise"]["repeated_queries"] == 31
    assert 0.005 < dataset.quality["teacher_noise"]["mean_difference"] < 0.05
    beyond = dataset.quality["beyond_noise"]
    assert beyond["queries"] == 1
    assert beyond["examples"] == [
        {"lines": [41, 181], "queries": [QUERIES[40]], "difference": pytest.approx(0.4667)}
    ]
    assert any("more than the teacher's noise: 1" in warning for warning in dataset.warnings)
    assert dataset.reasons == []


def test_one_contradiction_is_found_though_nothing_else_tells_the_noise() -> None:
    dataset = examined(line(QUERIES[0], weights_text(0.1, 0.1, 0.8)))
    assert dataset.quality["beyond_noise"]["queries"] == 1


def test_labels_that_differ_for_one_query_are_beyond_noise_and_labels_without_queries_are_named() -> None:
    content = b"".join(line(query, "watch") for query in QUERIES) + line(QUERIES[0], "listen")
    quality = examine([content], task(labels_spec())).quality
    assert quality["beyond_noise"]["queries"] == 1
    assert quality["constant_answers"]["unused"] == ["read"]
    assert "grid" not in quality


def test_the_steps_of_weights_are_found_and_the_answers_that_leave_them() -> None:
    dataset = examined(line("odd one out", weights_text(0.813, 0.1, 0.087)))
    assert dataset.quality["grid"] == {"step": 0.1, "off_grid": 1, "lines": [151]}
    free = b"".join(line(f"free {n}", weights_text(0.5 + n / 997, 0.25, 0.25 - n / 997)) for n in range(150))
    assert examined(free).quality["grid"]["step"] is None


def test_answers_that_are_nearly_always_the_same_are_suspicious() -> None:
    same = b"".join(
        line(f"query number {n}", weights_text(0.4, 0.3, 0.3, reasoning="As usual.")) for n in range(300)
    )
    dataset = examined(same)
    constant = dataset.quality["constant_answers"]
    assert (constant["share"], constant["reasoning_share"]) == (pytest.approx(0.6667), pytest.approx(0.6667))
    assert json.loads(constant["answer"]) == {"picture": 0.4, "sound": 0.3, "words": 0.3}
    assert len(constant["lines"]) == EXAMPLES
    assert sum("67%" in warning for warning in dataset.warnings) == 2


def explained(words: int) -> str:
    """Return an answer whose reasoning has so many words of four characters, blank included."""
    return weights_text(0.5, 0.3, 0.2, reasoning="why " * words)


def test_answers_that_the_served_student_could_not_finish_are_warned_of() -> None:
    # Given three answers that are longer than the 200 tokens that the task allows
    dataset = examined(*(line(f"{CALM} {n}", explained(250 + n)) for n in (1, 3, 2)))
    # Then they are counted, the longest first, and a warning names its line and the key to raise
    longest = tokens_of([explained(253)])
    assert dataset.quality["long_answers"] == {
        "most": 200,
        "answers": 153,
        "longest": longest,
        "longer": 3,
        "lines": [152, 153, 151],
    }
    (warning,) = [each for each in dataset.warnings if "max_response_tokens" in each]
    assert warning == (
        "answers longer than customization.max_response_tokens (200): 3 of 153; the longest, line 152, has about "
        f"{longest} tokens. The served student is cut off there, and an answer that is cut is none: raise it to "
        f"{math.ceil(1.5 * longest)}, as numbers have more tokens than the estimate, or shorten them"
    )
    assert dataset.reasons == []


def test_answers_that_fit_are_not_warned_of() -> None:
    dataset = examined()
    assert dataset.quality["long_answers"]["longer"] == 0
    assert 0 < dataset.quality["long_answers"]["longest"] < 200
    assert not any("max_response_tokens" in warning for warning in dataset.warnings)


@pytest.mark.parametrize(("longer", "is_rejected"), [(149, False), (150, True)])
def test_a_dataset_of_which_half_of_the_answers_would_be_cut_is_rejected(
    longer: int, is_rejected: bool
) -> None:
    long = b"".join(line(f"{CALM} {n}", explained(250)) for n in range(longer))
    dataset = examined(long)
    assert bool(dataset.reasons) == is_rejected
    if is_rejected:
        (reason,) = dataset.reasons
        longest = tokens_of([explained(250)])
        assert reason == (
            "150 of the 300 answers are longer than customization.max_response_tokens (200) of the task, where the "
            "served student is cut off, so most of what it learns to say could not be used; raise it to "
            f"{math.ceil(1.5 * longest)} (the longest, line 151, has about {longest} tokens), or shorten the answers"
        )


def test_long_answers_of_a_given_golden_set_are_warned_of_and_reject_nothing() -> None:
    # Given a golden set whose answers are longer than the task allows, and answers that are not
    long = b"".join(line(f"{CALM} {n}", explained(250)) for n in range(300))
    golden = read_golden([long], task(), "golden.jsonl")
    for content in (prompts(), SOUND):
        dataset = examine([content], task(), golden, "golden.jsonl")
        # Then they are counted apart, as nobody learns from them
        found, longest = dataset.quality["long_answers"], tokens_of([explained(250)])
        assert found["longer"] == 0
        assert found["golden"] == {
            "answers": 300,
            "longest": longest,
            "longer": 300,
            "lines": list(range(1, EXAMPLES + 1)),
        }
        assert dataset.reasons == []
        (warning,) = [each for each in dataset.warnings if "max_response_tokens" in each]
        assert warning.startswith(
            "answers of the golden set longer than customization.max_response_tokens (200): 300 of 300; the longest, "
            f"line 1, has about {longest} tokens"
        )


def test_of_reinforcement_an_answer_is_as_long_as_its_reference() -> None:
    # Given answers that are long by their reasoning alone, which the reward is not told
    content = b"".join(line(f"{CALM} {n}", explained(250)) for n in range(150))
    dataset = examine([content, SOUND], task(reinforced_spec()))
    found = dataset.quality["long_answers"]
    assert (found["answers"], found["longer"]) == (300, 0)
    assert not any("max_response_tokens" in said for said in (*dataset.warnings, *dataset.reasons))
    # When the weights themselves do not fit, then it is rejected as every other
    content = reinforced_spec()
    short = content | {"customization": content["customization"] | {"max_response_tokens": 5}}
    (reason,) = examine([SOUND], task(short)).reasons
    assert "longer than customization.max_response_tokens (5)" in reason


def test_labels_are_too_short_to_reject_them_by_an_estimate() -> None:
    # Given labels of a token each, by estimate of two
    content = labels_spec()
    short = content | {"customization": content["customization"] | {"max_response_tokens": 1}}
    dataset = examine([labelled(answer=true_label)], task(short))
    assert dataset.quality["long_answers"]["longer"] > 75
    assert any("max_response_tokens" in warning for warning in dataset.warnings)
    assert dataset.reasons == []


def test_a_task_that_serves_no_model_of_bedrocks_cuts_no_answer() -> None:
    content = b"".join(line(f"{CALM} {n}", explained(250)) for n in range(400))
    dataset = examine([SOUND, content], task(embedded_spec()))
    assert "long_answers" not in dataset.quality
    assert not any("max_response_tokens" in said for said in (*dataset.warnings, *dataset.reasons))


def test_answers_so_near_to_their_mean_that_a_constant_one_earns_a_high_rubric_are_warned_of() -> None:
    # Given different answers to 150 queries, each nearly even
    near = b"".join(
        line(query, weights_text(0.3 + n % 7 / 100, 0.35, 0.35 - n % 7 / 100))
        for n, query in enumerate(QUERIES)
    )
    dataset = examine([near], task())
    # Then the mean of them is within 0.05 of each, and what learns nothing would look good
    assert dataset.quality["prior_rubric"] == 5.0
    (warning,) = [each for each in dataset.warnings if "rubric" in each]
    assert warning.startswith(
        "one and the same answer to every query, the mean of all, would have a rubric of 5.0 of 5 (a reward of 1.00)"
    )
    assert dataset.reasons == []


def test_answers_that_differ_leave_a_constant_one_a_low_rubric() -> None:
    dataset = examined()
    assert 1 <= dataset.quality["prior_rubric"] <= 2
    assert not any("rubric" in warning for warning in dataset.warnings)


def test_labels_and_unanswered_queries_have_no_rubric() -> None:
    answered_by_label = b"".join(line(query, "watch") for query in QUERIES)
    assert "prior_rubric" not in examine([answered_by_label], task(labels_spec())).quality
    assert examine([prompts()], task()).quality["prior_rubric"] is None


def test_lines_with_another_prompt_are_counted_by_kind() -> None:
    drifted = b"".join(
        line(f"drift {n}", truth(QUERIES[0]), system=[{"text": "An older prompt."}]) for n in range(3)
    )
    dataset = examined(drifted)
    drift = dataset.quality["prompt_drift"]
    assert (drift["lines"], list(drift["prompts"].values()), drift["examples"]) == (3, [3], [151, 152, 153])
    (kind,) = dataset.quality["problem_kinds"]
    assert (kind["field"], kind["lines"]) == ("system[0].text", 3)


def test_scripts_of_few_queries_are_named() -> None:
    dataset = examined(line("кошка на крыше", truth(QUERIES[0])))
    assert dataset.quality["scripts"]["shares"] == {"Latin": 0.9934, "Cyrillic": 0.0066}
    assert dataset.quality["scripts"]["rare"] == {"Cyrillic": [151]}
    assert any("Cyrillic" in warning for warning in dataset.warnings)


def test_examples_and_warnings_tell_no_personal_data() -> None:
    written = "the lecture of anna@mail.example on the restoration of the cathedral"
    dataset = examined(
        line(written, truth(QUERIES[0])), line(f"{written} again", weights_text(0.1, 0.1, 0.8))
    )
    findings = json.dumps(dataset.findings())
    assert "[e-mail address]" in findings
    assert "anna@" not in findings


def test_the_cost_of_the_job_is_estimated_before_it_starts() -> None:
    dataset = examined()
    add_cost(dataset, task(), "us-east-1")
    cost = dataset.quality["cost"]
    assert 0 < cost["training_usd"] < cost["at_most_usd"]
    assert (cost["budget_usd"], cost["within_budget"]) == (None, None)
    tokens = dataset.quality["tokens"]
    assert tokens["records"] == len(dataset.train)
    assert tokens["read_by_record"] > len(PROMPT) / 5
    assert dataset.warnings == examined().warnings


@pytest.mark.parametrize(("budget", "within"), [(0.01, False), (10_000, True)])
def test_a_budget_that_the_job_may_exceed_is_warned_of_and_rejects_nothing(
    budget: float, within: bool
) -> None:
    of = task(dataset={"budget_usd": budget})
    dataset = examine([SOUND], of)
    add_cost(dataset, of, "us-east-1")
    assert dataset.quality["cost"]["within_budget"] is within
    assert any("dataset.budget_usd" in warning for warning in dataset.warnings) is not within
    assert dataset.reasons == []


def test_a_job_without_a_price_costs_nobody_knows_what_and_no_job_costs_nothing() -> None:
    unknown = task(
        customization=spec()["customization"] | {"teacher": "local.teacher", "student": "local.student"}
    )
    dataset = examine([SOUND], unknown)
    add_cost(dataset, unknown, "us-east-1")
    assert "unknown" in dataset.quality["cost"]
    alone = examine([SOUND], task(embedded_spec()))
    add_cost(alone, task(embedded_spec()), "us-east-1")
    assert "cost" not in alone.quality
    prompts_only = examine([prompts()], task(), read_golden([labelled(QUERIES[:20])], task(), "golden.jsonl"))
    add_cost(prompts_only, task(), "us-east-1")
    assert prompts_only.quality["tokens"]["written_by_record"] is None
    assert prompts_only.quality["cost"]["training_usd"] > 0
