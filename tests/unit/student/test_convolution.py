"""The convolution over words: what a plain loop would find, and what it can learn that bags of words cannot."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox import convolution_training
from signalbox.answer import Answer
from signalbox.convolution import Convolution, Response
from signalbox.features import word_hashes
from signalbox.lookup import MOST_REMEMBERED
from signalbox.student import Student
from signalbox.task import Labels
from signalbox.training import train

KNOWN = ("alpha", "beta", "gamma", "delta")
FILTERS, LABELS = 6, 3
RANDOM = np.random.default_rng(5)
ORDER = np.argsort(word_hashes(KNOWN))
TAPS = RANDOM.integers(-127, 128, (len(KNOWN) + 2, 3, FILTERS)).astype(np.int8)
OFFSET = RANDOM.integers(-150, 50, FILTERS).astype(np.int16)
VOTES = RANDOM.integers(-(2**15) + 1, 2**15, (FILTERS, LABELS)).astype(np.int16)
CONVOLUTION_WORDS = word_hashes(KNOWN)[ORDER]
CONVOLUTION = Convolution(CONVOLUTION_WORDS, TAPS, OFFSET, VOTES)
QUERY = st.lists(st.sampled_from([*KNOWN, "unknown", "strange"]), min_size=1, max_size=9)
DIRECTION = st.lists(st.integers(-5, 5), min_size=LABELS, max_size=LABELS)


def added_by(word: str) -> np.ndarray:
    """Return (3, filters) what a word adds, looked up the obvious way."""
    if word not in KNOWN:
        return np.zeros((3, FILTERS), dtype=int)
    return TAPS[[KNOWN[place] for place in ORDER].index(word)].astype(int)


def peaks_of(words: list[str]) -> list[int]:
    """Return the strongest response of each filter, the slow and obvious way."""
    added = [TAPS[-2].astype(int), *map(added_by, words), TAPS[-1].astype(int)]
    places = range(len(words))
    return [
        max(
            0,
            max(sum(added[place + at][at, each] for at in range(3)) for place in places) + int(OFFSET[each]),
        )
        for each in range(FILTERS)
    ]


def respond(*queries: list[str], convolution: Convolution = CONVOLUTION) -> Response:
    begin, end = np.split(convolution.ends, 2, axis=1)
    taps = [part for words in queries for part in (begin, convolution.taps(word_hashes(words)), end)]
    every = np.concatenate(taps, axis=1)
    starts = [sum(len(words) + 2 for words in queries[:place]) for place in range(len(queries))]
    windows = [slice(start, start + len(words)) for start, words in zip(starts, queries, strict=True)]
    return convolution.respond(every, np.arange(every.shape[1]), windows)


def credit_of(words: list[str], direction: list[int]) -> list[int]:
    """Return what each word did for a direction, the slow and obvious way."""
    added = [TAPS[-2].astype(int), *map(added_by, words), TAPS[-1].astype(int)]
    done = np.zeros(len(added), dtype=int)
    for each, peak in enumerate(peaks_of(words)):
        responses = [sum(added[place + at][at, each] for at in range(3)) for place in range(len(words))]
        first = responses.index(max(responses))
        for at in range(3):
            done[first + at] += (
                added[first + at][at, each] * (peak > 0) * (VOTES[each].astype(int) @ direction)
            )
    return done[1:-1].tolist()


@given(QUERY)
def test_it_responds_as_a_plain_loop_does(words) -> None:
    response = respond(words)
    assert response.peaks.tolist() == [peaks_of(words)]
    assert CONVOLUTION.votes(response).tolist() == [(np.array(peaks_of(words)) @ VOTES.astype(int)).tolist()]


@given(QUERY, DIRECTION)
def test_credit_is_what_a_plain_loop_finds(words, direction) -> None:
    (credit,) = CONVOLUTION.credit(respond(words), np.array([direction], dtype=np.float64))
    assert credit.tolist() == credit_of(words, direction)


@given(st.lists(QUERY, min_size=1, max_size=12), DIRECTION)
def test_several_queries_are_heard_as_each_alone(queries, direction) -> None:
    """More than 64 words in all are counted in another way than fewer."""
    together = respond(*queries, *queries)
    alone = [respond(words) for words in [*queries, *queries]]
    directions = np.array([direction], dtype=np.float64)
    assert together.peaks.tolist() == [response.peaks[0].tolist() for response in alone]
    credit = CONVOLUTION.credit(together, directions.repeat(len(alone), axis=0))
    assert [each.tolist() for each in credit] == [
        CONVOLUTION.credit(response, directions)[0].tolist() for response in alone
    ]


@pytest.mark.parametrize("length", [62, 63, 64, 65, 66, 512])
def test_a_query_may_be_long(length) -> None:
    words = [KNOWN[place * place % 7 % 4] for place in range(length)]
    (credit,) = CONVOLUTION.credit(respond(words), np.ones((1, LABELS)))
    assert respond(words).peaks.tolist() == [peaks_of(words)]
    assert credit.tolist() == credit_of(words, [1] * LABELS)


def test_taps_as_large_as_they_can_be_do_not_run_over() -> None:
    for extreme in (127, -128):
        taps = np.full_like(TAPS, extreme)
        convolution = Convolution(CONVOLUTION_WORDS, taps, np.full_like(OFFSET, 2**14), VOTES)
        peaks = respond(["alpha"] * 64, convolution=convolution).peaks
        assert peaks.tolist() == [[3 * extreme + 2**14] * FILTERS]


def test_what_is_unknown_gets_no_credit() -> None:
    (credit,) = CONVOLUTION.credit(respond(["unknown", "alpha", "beta"]), np.ones((1, LABELS)))
    assert credit[0] == 0


@pytest.fixture(scope="module")
def orders() -> list[tuple[str, str]]:
    """Return queries whose label hangs on which of two kinds of word comes directly before the other."""
    people, things = ("anna", "ben", "carla", "dora"), ("lamp", "table", "chair", "book")
    pairs = [(person, thing) for person in people for thing in things]
    said = [(f"{fill} {person} {thing} today", "owner") for person, thing in pairs for fill in ("so", "well")]
    return said + [
        (f"{fill} {thing} {person} today", "thing") for person, thing in pairs for fill in ("so", "well")
    ]


def shares_of(labels: list[str], names: tuple[str, ...]) -> np.ndarray:
    return np.array([[label == name for name in names] for label in labels], dtype=np.float32)


def test_training_finds_an_order_of_words(orders) -> None:
    names = ("owner", "thing")
    held_out = [(query, label) for query, label in orders if {"carla", "chair"} <= set(query.split())]
    learned = [example for example in orders if example not in held_out]
    queries = sorted(query for query, _ in learned)
    shares = shares_of([dict(learned)[query] for query in queries], names)
    fitted = convolution_training.fit(queries, shares, np.ones(len(queries)))
    scores = fitted.scores([query for query, _ in held_out])
    assert [names[best] for best in scores.argmax(axis=1)] == [label for _, label in held_out]


def test_whole_numbers_say_what_was_learned(orders) -> None:
    queries = sorted(query for query, _ in orders)
    shares = shares_of([dict(orders)[query] for query in queries], ("owner", "thing"))
    fitted = convolution_training.fit(queries, shares, np.ones(len(queries)))
    taps, offset, votes, unit = fitted.whole_numbers()
    convolution = Convolution(fitted.words, taps, offset, votes)
    tested = [*queries, "nothing known", "so anna"]
    said = [convolution.votes(respond(query.split(), convolution=convolution))[0] * unit for query in tested]
    exact = fitted.scores(tested) - fitted.bias
    assert np.abs(np.array(said) - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("queries", [["", "", "a"], ["word"], ["same same same"] * 2])
def test_there_is_always_something_to_fit(queries) -> None:
    fitted = convolution_training.fit(
        queries, np.ones((len(queries), 1), dtype=np.float32), np.ones(len(queries))
    )
    assert np.isfinite(fitted.scores([*queries, "other", ""])).all()
    assert all(np.isfinite(part).all() for part in fitted.whole_numbers())


def test_labels_may_be_learned_from_words_that_no_two_queries_share() -> None:
    examples = [(chr(0x4E00 + place), Answer(label="ab"[place % 2])) for place in range(30)]
    student = train(examples, Labels(labels=("a", "b")), task="apart", run_id="apart-0123456789ab").student
    assert len(student.model.words) == 0
    assert student.answer("\u4e00 \u4e01").label in {"a", "b"}


def test_weights_have_no_convolution(taught_weights, taught_labels) -> None:
    assert taught_weights.student.model.taps.size == 0
    assert taught_labels.student.model.taps.size > 0


def test_the_convolution_has_a_voice_in_the_answer(taught_labels) -> None:
    student = taught_labels.student
    silent = dataclasses.replace(
        student, model=dataclasses.replace(student.model, votes=student.model.votes * 0)
    )
    queries = [query for query, _ in taught_labels.examples]
    confident, alone = ([answer.confidence for answer in some.answers(queries)] for some in (student, silent))
    assert sum(confident) > sum(alone)


def fresh(student: Student) -> Student:
    """Return a student that remembers nothing."""
    return Student.from_bytes(student.to_bytes())


@pytest.mark.parametrize("kind", ["weights", "labels"])
def test_what_is_remembered_changes_no_answer(taught_weights, taught_labels, kind) -> None:
    taught = taught_weights if kind == "weights" else taught_labels
    queries = [query for query, _ in taught.examples[::7]] + ["never heard of", "harbour harbour"]
    warm = fresh(taught.student)
    first = [warm.opinion(query) for query in queries]
    assert [warm.opinion(query) for query in queries] == first
    assert [fresh(taught.student).opinion(query) for query in queries] == first
    assert fresh(taught.student).opinions(queries[::-1])[::-1] == first


def test_memory_is_bounded(taught_labels) -> None:
    student = fresh(taught_labels.student)
    expected = student.opinion("bells ringing over the desert")
    for start in range(0, 3 * MOST_REMEMBERED, 200):
        student.answers([words_from(start)])
        assert len(student._lookup._memory.rows) <= MOST_REMEMBERED
    assert student.opinion("bells ringing over the desert") == expected


def words_from(start: int) -> str:
    return " ".join(f"w{number}" for number in range(start, start + 200))


def test_a_batch_may_have_more_words_than_are_remembered(taught_labels) -> None:
    queries = [words_from(start) for start in range(0, 2 * MOST_REMEMBERED, 200)]
    assert fresh(taught_labels.student).opinions(queries) == [
        fresh(taught_labels.student).opinion(query) for query in queries
    ]


def test_threads_that_learn_and_forget_words_do_not_disturb_each_other(taught_labels) -> None:
    student = fresh(taught_labels.student)
    queries = [f"bells ringing {words_from(start)}" for start in range(0, 3 * MOST_REMEMBERED, 200)]
    expected = [fresh(taught_labels.student).opinion(query) for query in queries]
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(student.opinion, queries * 4))
    assert said == expected * 4


def test_labels_that_hang_on_order_are_answered_and_explained(orders) -> None:
    examples = [(query, Answer(label=label)) for query, label in orders]
    student = train(
        examples, Labels(labels=("owner", "thing")), task="order", run_id="order-0123456789ab"
    ).student
    answer = student.answer("so anna lamp today")
    assert answer.label == "owner"
    assert "anna" in answer.reasoning or "lamp" in answer.reasoning
