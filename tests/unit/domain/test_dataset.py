"""A dataset as a whole: what is counted, what is held out, and why one is rejected."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox import dataset as module
from signalbox.dataset import Dataset, GoldenError, examine, read_golden
from signalbox.golden_set import MIN_GOLDEN
from signalbox.records import Record
from tests.builders import (
    LABELS,
    QUERIES,
    embedded_spec,
    labelled,
    labels_spec,
    line,
    prompts,
    task,
    truth,
    weights_text,
)

TASK = task()
KINDS = task(labels_spec(output={"labels": [f"label-{number}" for number in range(40)]}))


def golden_of(dataset: Dataset) -> list[tuple[str, str | None]]:
    return [(record.query, record.answer_text) for record in dataset.golden]


def examined(content: bytes, **changes: object) -> Dataset:
    return examine([content], task(**changes))


ANSWERS = [weights_text(*weights) for weights in ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.4, 0.4, 0.2))]

# A whole dataset is drawn from one seed: hypothesis would take minutes to shrink one drawn line by line.
seeds = st.builds(random.Random, st.integers(0, 2**32))


def any_lines(seed: random.Random) -> list[bytes]:
    """Draw 110 to 160 lines with duplicates (some written otherwise), contradictions and prompts."""
    spellings, said = ("query {}", "Query {}?", " query  {}"), (None, *ANSWERS)
    return [
        line(seed.choice(spellings).format(seed.randint(0, 120)), seed.choice(said))
        for _ in range(seed.randint(110, 160))
    ]


def kinds(seed: random.Random) -> list[bytes]:
    """Draw 110 to 160 labelled lines with labels as uneven as real ones, and some second opinions."""
    most = seed.randint(1, 40)
    labels = [f"label-{min(most - 1, int(seed.expovariate(0.2)))}" for _ in range(seed.randint(110, 160))]
    return [
        line(seed.choice(("query {}", "Query {}!")).format(place - seed.randint(0, 1)), label)
        for place, label in enumerate(labels)
    ]


@settings(max_examples=40)
@given(seeds)
def test_golden_set_is_apart_from_training_and_the_same_whatever_the_order(seed: random.Random) -> None:
    # Given a dataset, and the same lines in another order
    lines = any_lines(seed)
    other = seed.sample(lines, len(lines))
    # When both are examined
    one, two = examined(b"".join(lines)), examined(b"".join(other))
    # Then no query stands on both sides, every golden record is labelled, and the golden sets are equal
    golden, train = {record.key for record in one.golden}, {record.key for record in one.train}
    assert not golden & train
    assert len(golden) == len(one.golden)
    assert all(record.answer for record in one.golden)
    assert golden | train == {record.key for record in [*one.golden, *one.train]}
    assert golden_of(one) == golden_of(two)
    assert one.counts == two.counts | {"contradictions": one.counts["contradictions"]}
    assert one.prior == two.prior


@settings(max_examples=40)
@given(seeds)
def test_labels_are_split_the_same_whatever_the_order(seed: random.Random) -> None:
    lines = kinds(seed)
    other = seed.sample(lines, len(lines))
    one, two = examine([b"".join(lines)], KINDS), examine([b"".join(other)], KINDS)
    assert golden_of(one) == golden_of(two)
    assert one.prior == two.prior


@settings(max_examples=60)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=40), st.integers(60, 120))
@example(list(range(1, 40)), 90)
def test_each_stratum_has_its_share_of_the_golden_set_to_within_one_record(
    rare: list[int], common: int
) -> None:
    # Given one label that is frequent and others that are rare
    labels = [0] * common + rare + [0] * (110 - common)
    dataset = examine([line(f"query {place}", f"label-{label}") for place, label in enumerate(labels)], KINDS)
    # Then each has its share, as exactly as whole records allow
    held_out = Counter(record.answer.label for record in dataset.golden)
    for label, count in Counter(labels).items():
        assert abs(held_out[f"label-{label}"] - len(dataset.golden) * count / len(labels)) < 1


@pytest.mark.parametrize(
    ("size", "share", "most", "golden"),
    [(150, 0.15, 200, 22), (150, 0.01, 200, 20), (150, 0.3, 30, 30), (150, 0.5, 200, 75)],
)
def test_the_golden_set_has_the_size_that_the_task_asks_for(
    size: int, share: float, most: int, golden: int
) -> None:
    dataset = examined(labelled(QUERIES[:size]), dataset={"golden_share": share, "max_golden": most})
    assert len(dataset.golden) == golden
    assert len(dataset.train) == size - golden


def test_a_dataset_that_grows_keeps_most_of_its_golden_set() -> None:
    before = {query for query, _ in golden_of(examined(labelled(QUERIES[:120])))}
    after = {query for query, _ in golden_of(examined(labelled()))}
    assert len(before & after) >= 0.7 * len(before)


def test_a_sound_dataset_is_accepted_and_counted() -> None:
    dataset = examined(labelled())
    assert dataset.reasons == []
    assert dataset.counts == {
        "lines": 150,
        "invalid": 0,
        "records": 150,
        "labelled": 150,
        "prompt_only": 0,
        "queries": 150,
        "duplicates": 0,
        "contradictions": 0,
        "leaked": 0,
        "golden": 22,
        "train": 128,
    }
    assert dataset.balance == {"picture": 0.3333, "sound": 0.3333, "words": 0.3333}
    assert dataset.golden_source == "split off this dataset"


def test_duplicates_and_contradictions_are_counted_and_kept_for_training() -> None:
    # Given a query that stands four times: with the same answer, one within a hundredth, and another one
    asked = "same thing"
    again = [weights_text(0.8, 0.1, 0.1), weights_text(0.795, 0.105, 0.1), weights_text(0.1, 0.8, 0.1)]
    content = labelled() + b"".join(
        line(query, answer) for query, answer in zip([asked, "Same  thing!", asked], again, strict=True)
    )
    # When the dataset is examined
    dataset = examined(content)
    # Then two records are duplicates and one query is contradictory
    assert (dataset.counts["duplicates"], dataset.counts["contradictions"]) == (2, 1)
    assert dataset.counts["records"] == 153


def test_the_golden_answer_of_a_contradictory_query_is_the_one_nearest_to_the_mean() -> None:
    lines = [
        line("q", weights_text(0.8, 0.1, 0.1)),
        line("q", weights_text(0.1, 0.8, 0.1)),
        line("q", weights_text(0.7, 0.2, 0.1)),
    ]
    (record,) = read_golden(lines, TASK, "golden.jsonl")
    assert record.answer_text == weights_text(0.7, 0.2, 0.1)


def test_the_golden_label_of_a_contradictory_query_is_that_of_the_majority() -> None:
    lines = [line("q", "read"), line("q", "watch"), line("q", "watch")]
    (record,) = read_golden(lines, task(labels_spec()), "golden.jsonl")
    assert record.answer_text == "watch"


def test_records_that_leak_into_a_given_golden_set_are_taken_out_of_training_and_counted() -> None:
    golden = read_golden([labelled(QUERIES[:25])], TASK, "golden.jsonl")
    dataset = examine([labelled()], TASK, golden, "tasks/clip-search/golden.jsonl")
    assert (dataset.counts["leaked"], dataset.counts["train"], dataset.counts["golden"]) == (25, 125, 25)
    assert not {record.key for record in dataset.train} & {record.key for record in golden}
    assert dataset.golden_source == "tasks/clip-search/golden.jsonl"


def test_prompts_are_accepted_if_a_golden_set_is_given() -> None:
    golden = read_golden([labelled(QUERIES[:20])], TASK, "golden.jsonl")
    dataset = examine([prompts()], TASK, golden, "golden.jsonl")
    assert dataset.reasons == []
    assert dataset.counts["prompt_only"] == 150
    # The prior is then that of the golden set, which alone is labelled.
    assert dataset.prior["weights"] == {"picture": 0.8, "sound": 0.1, "words": 0.1}


def test_the_prior_is_the_mean_of_the_labelled_training_records() -> None:
    dataset = examined(labelled(QUERIES[:100] + QUERIES[100:]))
    shares = [
        [record.answer.weights[name] for record in dataset.train] for name in ("picture", "sound", "words")
    ]
    assert list(dataset.prior["weights"].values()) == pytest.approx(
        [sum(s) / len(s) for s in shares], abs=1e-4
    )


def test_the_prior_of_labels_is_the_most_frequent_one_with_its_share() -> None:
    content = b"".join(
        line(query, LABELS[0] if place % 3 else LABELS[1]) for place, query in enumerate(QUERIES)
    )
    prior = examine([content], task(labels_spec())).prior
    assert prior["label"] == LABELS[0]
    assert prior["confidence"] == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize(
    ("content", "changes", "reason"),
    [
        (b"", {}, "the dataset is empty"),
        (labelled(QUERIES[:99]), {}, "99 usable records; at least 100 are needed"),
        (labelled(QUERIES[:110]), {}, "90 records are left for training once the golden set of 20 queries"),
        (labelled() + b"x\n" * 4, {}, "4 of 154 lines cannot be used, more than the 2.0%"),
        (prompts(), {}, "the golden set would have 0 queries, at least 20 are needed"),
        (labelled(QUERIES[:19]) + prompts(QUERIES[19:]), {}, "the golden set would have 19 queries"),
        (labelled(QUERIES[:60]) + prompts(QUERIES[60:]), embedded_spec(), "40 records are left for training"),
    ],
)  # fmt: skip
def test_a_dataset_is_rejected_with_the_reason(content: bytes, changes: dict, reason: str) -> None:
    dataset = examined(content, **changes)
    assert not dataset.findings()["accepted"]
    assert any(reason in found for found in dataset.reasons), dataset.reasons


def test_invalid_lines_up_to_the_share_are_dropped_and_listed() -> None:
    dataset = examined(labelled() + b"x\n" * 3)
    assert dataset.reasons == []
    assert [problem["line"] for problem in dataset.findings()["problems"]] == [151, 152, 153]


def test_of_very_many_invalid_lines_the_first_are_listed_and_all_are_counted() -> None:
    content = b"x\n" * (module.LISTED_PROBLEMS + 5)
    dataset = examined(content, dataset={"max_invalid_share": 0.5})
    assert len(dataset.problems) == module.LISTED_PROBLEMS
    assert dataset.counts["invalid"] == module.LISTED_PROBLEMS + 5


@pytest.mark.parametrize("excess", [0, 1])
def test_as_many_records_as_bedrock_takes_are_accepted_and_no_more(excess: int) -> None:
    content = b"".join(
        line(f"{QUERIES[number % 150]} {number}", truth(QUERIES[number % 150]))
        for number in range(15_000 + excess)
    )
    reasons = examined(content).reasons
    assert bool(reasons) == bool(excess)
    assert not reasons or "more than 15,000 usable records" in reasons[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", (1, "", "the file is empty")),
        (labelled(QUERIES[:3]) + b"x\n", (4, "", "not JSON")),
        (labelled(QUERIES[:3]) + prompts(QUERIES[3:4]), (4, "messages", "needs the assistant's answer")),
    ],
)
def test_a_golden_set_with_an_unusable_line_is_refused(content: bytes, problem: tuple[int, str, str]) -> None:
    with pytest.raises(GoldenError) as refused:
        read_golden([content], TASK, "golden.jsonl")
    found = refused.value.problems[0]
    assert (found.line, found.field) == problem[:2]
    assert problem[2] in found.reason


def test_a_golden_set_has_one_record_a_query() -> None:
    golden = read_golden([labelled(QUERIES[:30]) + labelled(QUERIES[:10])], TASK, "golden.jsonl")
    assert len(golden) == 30 >= MIN_GOLDEN
    assert all(isinstance(record, Record) for record in golden)


@pytest.mark.parametrize(("share", "most"), [(0.0, 1), (0.02, 307), (0.5, 15_001)])
def test_reading_stops_where_nothing_that_may_come_could_outweigh_the_invalid_lines(
    share: float, most: int
) -> None:
    # Given junk without an end
    read = 0

    def junk() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"{}\n"

    # When it is examined
    dataset = examine(junk(), task(dataset={"max_invalid_share": share}))
    # Then it is rejected after the fewest lines that settle it
    assert read == dataset.counts["lines"] == dataset.counts["invalid"] == most
    (reason,) = dataset.reasons
    assert f"{most:,} of the first {most:,} lines cannot be used" in reason


def test_the_largest_dataset_may_have_its_share_of_invalid_lines() -> None:
    content = prompts(f"query {number}" for number in range(15_000)) + b"{}\n" * 306
    dataset = examined(content)
    assert (dataset.counts["records"], dataset.counts["invalid"]) == (15_000, 306)
    assert not any("cannot be used" in reason for reason in dataset.reasons)


CONSTANT = weights_text(0.2, 0.3, 0.5)


@pytest.mark.parametrize(("others", "accepted"), [(0, False), (7, False), (8, True)])
def test_a_dataset_that_answers_always_the_same_is_rejected(others: int, accepted: bool) -> None:
    answers = {query: truth(query) for query in QUERIES[:others]}
    found = examine([labelled(answer=lambda query: answers.get(query, CONSTANT))], task())
    assert (found.reasons == []) is accepted
    if not accepted:
        (reason,) = found.reasons
        assert (
            f"{(150 - others) / 150:.1%} of the 150 labelled records have one and the same answer" in reason
        )
        assert "label them again" in reason


def test_a_task_may_allow_more_of_one_answer() -> None:
    content = labels_spec(dataset={"max_constant_share": 1.0})
    assert examine([labelled(answer=lambda query: "watch")], task(content)).reasons == []


def test_few_labels_beside_prompts_may_be_alike() -> None:
    golden = read_golden([labelled(QUERIES[:30])], task(), "golden.jsonl")
    content = prompts(QUERIES[35:]) + labelled(QUERIES[30:35], lambda query: CONSTANT)
    assert examine([content], task(), golden, "golden.jsonl").reasons == []


def constant(answered: int) -> bytes:
    return labelled(QUERIES[:answered], lambda query: CONSTANT) + prompts(QUERIES[answered:])


def long(answered: int) -> bytes:
    explained = weights_text(0.4, 0.3, 0.3, reasoning="why " * 250)
    return labelled(QUERIES[:answered], lambda query: explained) + prompts(QUERIES[answered:])


@pytest.mark.parametrize(
    ("asked", "lost", "reason"),
    [
        (constant(90), constant(91), "91 labelled records have one and the same answer"),
        (long(74), long(75), "75 of the 75 answers are longer"),
        (prompts(QUERIES[:120]), prompts(QUERIES[:119]), "99 records at most would be left for training"),
    ],
)
def test_the_teacher_is_asked_nothing_where_none_of_its_answers_could_save_the_dataset(
    asked: bytes, lost: bytes, reason: str
) -> None:
    asking = {"label": True, "max_constant_share": 0.6}
    assert examined(asked, dataset=asking).to_label
    dataset = examined(lost, dataset=asking)
    assert dataset.to_label == []
    (said,) = dataset.reasons
    assert reason in said


def test_of_a_given_golden_set_only_what_leaks_is_lacking_however_much_is_labelled() -> None:
    golden = read_golden([labelled(QUERIES[:30])], task(), "golden.jsonl")
    asking = task(dataset={"label": True})
    assert examine([prompts(QUERIES[:130])], asking, golden, "golden.jsonl").to_label
    lost = examine([prompts(QUERIES[:129])], asking, golden, "golden.jsonl")
    assert (lost.to_label, len(lost.reasons)) == ([], 1)
