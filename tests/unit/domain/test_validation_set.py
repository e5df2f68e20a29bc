"""What a fine-tuning job takes, and the validation set that is kept back for it."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.customization import LIMITS, RESERVED_WORDS
from signalbox.dataset import Dataset, GoldenError, examine, read_golden, read_validation_set
from signalbox.records import Record
from tests.builders import (
    OPENINGS,
    QUERIES,
    labelled,
    line,
    prompts,
    reinforced_spec,
    task,
    truth,
    tuned_spec,
)

TASK = task(tuned_spec())
TWENTY = [f"bells ringing over the {number} hills" for number in range(20)]
GOLDEN = read_golden([labelled(TWENTY)], TASK, "golden.jsonl")


def examined(content: bytes, golden: list[Record] | None = None, **changes: object) -> Dataset:
    return examine([content], task(tuned_spec(**changes)), golden)


def keys(records: list[Record]) -> set[str]:
    return {record.key for record in records}


def test_a_tenth_is_kept_back_and_stands_in_no_other_set() -> None:
    dataset = examined(labelled())
    assert dataset.reasons == []
    assert (len(dataset.golden), len(dataset.validation), len(dataset.train)) == (22, 13, 115)
    assert dataset.counts["validation"] == 13
    assert dataset.findings()["validation_source"] == "split off this dataset"
    sets = (dataset.golden, dataset.validation, dataset.train)
    assert len(set().union(*map(keys, sets))) == sum(map(len, sets)) == len(QUERIES)


def test_it_has_its_part_of_each_dominant_signal() -> None:
    led = Counter(
        next(opening for opening in OPENINGS if record.query.startswith(opening))
        for record in examined(labelled()).validation
    )
    assert sorted(led.values()) == [4, 4, 5]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_it_is_the_same_whatever_the_order_and_repetitions_stay_together(seed: int) -> None:
    lines = [line(query, truth(query)) for query in QUERIES] + [
        line(f"{query.upper()}!", truth(query)) for query in QUERIES[:60]
    ]
    shuffled = random.Random(seed).sample(lines, len(lines))
    first, second = examined(b"".join(lines)), examined(b"".join(shuffled))
    assert keys(first.validation) == keys(second.validation)
    assert not keys(second.validation) & (keys(second.train) | keys(second.golden))


@pytest.mark.parametrize(
    ("share", "validation"), [(0.0, 0), (0.1, 13), (0.5, 64)], ids=["none", "a tenth", "half"]
)
def test_the_task_says_how_much(share: float, validation: int) -> None:
    customization = tuned_spec()["customization"] | {"validation_share": share}
    assert len(examined(labelled(), customization=customization).validation) == validation


def test_as_many_are_left_to_train_on_as_the_job_needs() -> None:
    dataset = examined(labelled(QUERIES[:9]), GOLDEN)
    assert dataset.reasons == []
    assert (len(dataset.train), len(dataset.validation)) == (8, 1)


@settings(max_examples=40)
@given(
    repeated=st.lists(st.integers(1, 12), min_size=9, max_size=60),
    share=st.sampled_from([0.02, 0.1, 0.5]),
)
def test_of_repeated_queries_as_many_are_kept_back_as_can_be_spared(
    repeated: list[int], share: float
) -> None:
    content = b"".join(
        line(query, truth(query)) * times for query, times in zip(QUERIES, repeated, strict=False)
    )
    customization = tuned_spec()["customization"] | {"validation_share": share}
    dataset = examined(content, GOLDEN, customization=customization)
    assert len(dataset.train) >= LIMITS["FINE_TUNING"].least
    assert len(dataset.validation) <= round(share * len(repeated))
    times = dict(zip((query.lower() for query in QUERIES), repeated, strict=False))
    assert len(dataset.train) == sum(repeated) - sum(times[record.key] for record in dataset.validation)
    if sum(repeated) - sum(sorted(repeated)[-round(share * len(repeated)) :]) >= LIMITS["FINE_TUNING"].least:
        assert len(dataset.validation) == round(share * len(repeated))


def test_few_queries_with_many_records_have_a_validation_set() -> None:
    dataset = examined(labelled(QUERIES[:6]) * 20, GOLDEN)
    assert (len(dataset.validation), len(dataset.train)) == (1, 100)
    assert not any("validation set" in warning for warning in dataset.warnings)


def test_a_validation_set_that_was_asked_for_and_is_not_there_is_warned_of() -> None:
    short = examined(labelled(QUERIES[:8]), GOLDEN)
    assert short.reasons == [] and short.validation == []
    (warning,) = [each for each in short.warnings if "validation set" in each]
    assert warning.startswith("no validation set: 10% of 8 queries cannot be kept back")
    same = examine(
        [labelled()], TASK, GOLDEN, "golden.jsonl", GOLDEN[:5], "tasks/clip-search/validation.jsonl"
    )
    assert (
        "no validation set: each query of tasks/clip-search/validation.jsonl is golden, too" in same.warnings
    )
    customization = tuned_spec()["customization"] | {"validation_share": 0}
    unasked = examined(labelled(QUERIES[:8]), GOLDEN, customization=customization)
    assert not any("validation set" in warning for warning in unasked.warnings)


def test_a_given_one_is_used_without_what_is_golden_and_leaves_training() -> None:
    content = labelled([*QUERIES[:5], *TWENTY[:3]])
    given_set = read_validation_set([content], TASK, "validation.jsonl")
    dataset = examine(
        [labelled()], TASK, GOLDEN, "golden.jsonl", given_set, "tasks/clip-search/validation.jsonl"
    )
    assert dataset.reasons == []
    assert keys(dataset.validation) == {query.lower() for query in QUERIES[:5]}
    assert len(dataset.train) == len(QUERIES) - 5
    assert dataset.validation_source == "tasks/clip-search/validation.jsonl"


def test_a_given_one_has_answers_and_no_reserved_words() -> None:
    with pytest.raises(GoldenError, match=r"line 2, messages: a validation record needs"):
        read_validation_set([labelled(QUERIES[:1]) + prompts(QUERIES[1:2])], TASK, "validation.jsonl")
    with pytest.raises(GoldenError, match=r"1 lines of .*; line 1, .*: has the reserved word \[EOS\]"):
        read_validation_set([line("ships [EOS]", truth(QUERIES[0]))], TASK, "validation.jsonl")


def test_no_other_job_has_one() -> None:
    dataset = examine([labelled()], task())
    assert dataset.validation == []
    assert "validation" not in dataset.counts
    assert "validation_source" not in dataset.findings()


@pytest.mark.parametrize("word", [*RESERVED_WORDS, *map(str.upper, RESERVED_WORDS), "the user:", "sUSER:"])
def test_a_reserved_word_is_a_fault_of_its_line_and_field(word: str) -> None:
    dataset = examined(labelled() + line(f"what {word} said", truth(QUERIES[0])))
    (problem,) = dataset.problems
    assert (problem.line, problem.field) == (151, "messages[0].content[0].text")
    reserved = next(each for each in RESERVED_WORDS if each.lower() in word.lower())
    assert problem.reason.startswith(
        f"has the reserved word {reserved}, on which the job would fail: AWS refuses it anywhere in a text"
    )
    assert "nova_ft_dataset_validator.py" in problem.reason
    assert dataset.reasons == []  # one line in 150 is within the share that the task allows


def test_reserved_words_in_an_answer_and_too_many_of_them_reject_the_dataset() -> None:
    reasoned = truth(QUERIES[0])[:-1] + ', "reasoning": "Assistant: pictures"}'
    dataset = examined(labelled() + line("another ship", reasoned) * 4)
    assert {problem.field for problem in dataset.problems} == {"messages[1].content[0].text"}
    assert dataset.reasons[0].startswith("4 of 154 lines cannot be used")


def test_reserved_words_are_nothing_to_a_distillation() -> None:
    dataset = examine([labelled() + line("User: ships turning", truth(QUERIES[0]))], task())
    assert dataset.problems == []


def test_reinforcement_takes_no_reserved_word_in_a_query_but_its_answers_are_no_texts() -> None:
    reasoned = truth(QUERIES[0])[:-1] + ', "reasoning": "Assistant: pictures"}'
    content = labelled() + line("the user: a clip", truth(QUERIES[0])) + line("another ship", reasoned)
    (problem,) = examine([content], task(reinforced_spec())).problems
    assert (problem.line, problem.field) == (151, "messages[0].content[0].text")


def test_of_reinforcement_nothing_is_kept_back_unless_the_task_asks_for_it() -> None:
    assert examine([labelled()], task(reinforced_spec())).validation == []
    customization = reinforced_spec()["customization"] | {"validation_share": 0.1}
    assert len(examine([labelled()], task(reinforced_spec(customization=customization))).validation) == 13


TO_NOVA_2 = {"type": "FINE_TUNING", "student": "amazon.nova-2-lite-v1:0:256k"}
MANY = [f"{list(OPENINGS)[number % 3]} in the {number} bay" for number in range(200)]


def test_nova_2_lite_is_fine_tuned_on_200_records_and_without_a_validation_set() -> None:
    enough = examined(labelled(MANY), GOLDEN, customization=TO_NOVA_2)
    assert (enough.reasons, len(enough.train), enough.validation) == ([], 200, [])
    few = examined(labelled(MANY[:199]), GOLDEN, customization=TO_NOVA_2)
    assert few.reasons[0].startswith("199 usable records; at least 200 are needed (aws-samples/")


def test_a_validation_set_given_to_nova_2_lite_is_refused_with_the_source() -> None:
    with pytest.raises(
        GoldenError, match=r"takes no validation set \(aws-samples/.*nova_ft_dataset_validator"
    ):
        read_validation_set(
            [labelled(MANY[:9])], task(tuned_spec(customization=TO_NOVA_2)), "validation.jsonl"
        )


def test_the_teacher_is_asked_nothing_that_stands_in_a_given_validation_set() -> None:
    customization = tuned_spec()["customization"] | {"teacher": "us.amazon.nova-pro-v1:0"}
    labelling = task(tuned_spec(customization=customization, dataset={"label": True}))
    given_set = read_validation_set([labelled(QUERIES[:20])], labelling, "validation.jsonl")
    dataset = examine([prompts(QUERIES)], labelling, GOLDEN, "golden.jsonl", given_set, "validation.jsonl")
    assert keys(dataset.to_label) == keys(read_golden([labelled(QUERIES[20:])], labelling, ""))


def test_that_reinforcement_needs_answers_is_said_to_be_this_app_s_own_demand() -> None:
    dataset = examine([labelled() + prompts([f"unlabelled {n}" for n in range(10)])], task(reinforced_spec()))
    assert "trains on answers alone (this app's own demand: " in dataset.reasons[0]


def test_records_without_an_answer_are_left_out_and_many_of_them_reject_the_dataset() -> None:
    few = examined(labelled() + prompts(["one more", "and another"]))
    assert few.reasons == []
    assert len(few.train) + len(few.validation) + len(few.golden) == len(QUERIES)
    many = examined(labelled() + prompts([f"unlabelled {number}" for number in range(10)]))
    (reason,) = many.reasons
    assert reason.startswith(
        "10 of 160 records have no answer, and FINE_TUNING trains on answers alone "
        f"({LIMITS['FINE_TUNING'].source}); label them"
    )


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        (7, "7 usable records; at least 8 are needed (Amazon Nova user guide"),
        (20_001, "the dataset has more than 20,000 usable records, the most that Bedrock takes (Amazon Nova"),
    ],
)
def test_too_few_and_too_many_records_are_refused_with_the_source_of_the_bound(
    queries: int, reason: str
) -> None:
    content = labelled([f"ships turning in the {number} bay" for number in range(queries)])
    assert examined(content, GOLDEN).reasons[0].startswith(reason)


def test_what_the_sets_leave_must_be_enough() -> None:
    dataset = examined(labelled(TWENTY[:8]), GOLDEN)
    assert dataset.reasons[0].startswith(
        "0 records are left for training once the golden set of 20 queries is set aside; at least 8 are needed"
    )
