"""What a dataset is like: lengths, repetitions, languages and difficulty, each with the lines to look at."""

from typing import Any

import pytest

from signalbox.answer import Answer
from signalbox.dataset import Dataset, examine
from signalbox.dataset_profile import GRADES, grade
from signalbox.languages import language_of
from signalbox.query import normalise
from tests.builders import LABELS, QUERIES, labels_spec, line, spec, task, truth, weights_text


def examined(*lines: bytes, asked: dict[str, Any] | None = None) -> Dataset:
    base = [line(query, truth(query)) for query in QUERIES] if asked is None else []
    return examine([b"".join([*base, *lines])], task(asked or spec()))


def test_lengths_are_those_of_the_different_queries() -> None:
    long = "x" * 300
    found = examined(line(long), line(long), line("y")).quality["lengths"]
    assert (found["most"], found["longest"][0]) == (300, 151)
    assert sum(found["counts"]) == len(QUERIES) + 2
    assert (found["counts"][0], found["counts"][-1], found["bin"]) == (1, 1, 10)
    assert 20 < found["median"] < 40 and found["p95"] < 60 and 3 <= found["words"] <= 8


def test_the_queries_that_stand_most_often_are_named() -> None:
    again = [line(QUERIES[3].upper()) for _ in range(7)] + [line(QUERIES[5])]
    found = examined(*again).quality["repetitions"]
    assert (found["queries"], found["most"]) == (2, 8)
    assert found["examples"] == [
        {"times": 8, "lines": [4, 151, 152, 153, 154], "query": QUERIES[3]},
        {"times": 2, "lines": [6, 158], "query": QUERIES[5]},
    ]


def test_personal_data_is_masked_where_a_query_is_quoted() -> None:
    again = [line("films of jane@example.com")] * 2
    assert examined(*again).quality["repetitions"]["examples"][0]["query"] == "films of [e-mail address]"


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("the crowd after a goal", "English"),
        ("interview with the president", "English"),
        ("ein Hund und eine Katze im Garten", "German"),
        ("un chien dans la rue avec des enfants", "French"),
        ("el perro y los niños en la calle", "Spanish"),
        ("il cane con la palla nella piscina", "Italian"),
        ("o cachorro com as crianças na praia", "Portuguese"),
        ("een hond op het strand", "Dutch"),
        ("çok güzel bir film ve gol için", "Turkish"),
        ("собака на улице", "Cyrillic"),
        ("大会のゴール", "Han"),
        ("crowd cheering", "unclear"),
        ("la la land", "unclear"),
        ("", "unclear"),
        ("!!!", "unclear"),
    ],
)
def test_a_language_is_told_by_the_words_that_hold_a_sentence_together(query: str, language: str) -> None:
    assert language_of(normalise(query)) == language


def test_queries_in_another_language_are_listed_by_line() -> None:
    found = examined(line("ein Hund und eine Katze im Garten"), line("собака на улице")).quality["languages"]
    assert found["others"] == {"German": [151], "Cyrillic": [152]}
    assert found["shares"]["German"] == pytest.approx(1 / 152, abs=1e-4)
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0.6, 0.3, 0.1), "clear"),
        ((0.5, 0.3, 0.2), "leading"),
        ((0.4, 0.3, 0.3), "leading"),
        ((0.38, 0.32, 0.3), "close"),
        ((0.4, 0.4, 0.2), "close"),
    ],
)
def test_weights_are_hard_where_none_leads(weights: tuple[float, ...], said: str) -> None:
    assert grade(Answer(weights=dict(zip("abc", weights, strict=True))), {}) == said
    assert said in GRADES["weights"]


def test_labels_are_hard_where_they_are_rare() -> None:
    balance = {"often": 0.9, "now and then": 0.02, "hardly": 0.005}
    assert [grade(Answer(label=label), balance) for label in [*balance, "never"]] == [
        "frequent label", "common label", "rare label", "rare label"
    ]  # fmt: skip


def test_the_hardest_records_are_listed_by_line() -> None:
    found = examined(line("a"), line("b", weights_text(0.4, 0.4, 0.2))).quality["difficulty"]
    assert (found["measure"], found["hardest"]) == ("lead of the greatest weight", [152])
    assert found["shares"] == {"clear": round(150 / 151, 4), "leading": 0.0, "close": round(1 / 151, 4)}
    labels = [line(f"{query} {number}", LABELS[0]) for number, query in enumerate(QUERIES)] + [
        line("rare", LABELS[1])
    ]
    found = examined(*labels, asked=labels_spec()).quality["difficulty"]
    assert found["hardest"] == [151]


def test_other_prompts_are_told_apart() -> None:
    lines = [line(f"q {place}", system=[{"text": f"old prompt {place % 2}"}]) for place in range(3)]
    dataset = examined(*lines)
    drift = dataset.quality["prompt_drift"]
    assert (drift["lines"], sorted(drift["prompts"].values()), drift["examples"]) == (
        3,
        [1, 2],
        [151, 152, 153],
    )
    assert "3, with 2 different ones" in next(iter(dataset.warnings))
    assert {problem["prompt"] for problem in dataset.findings()["problems"]} == set(drift["prompts"])


def test_a_dataset_without_anything_has_a_profile_too() -> None:
    quality = examined(asked=spec()).quality
    assert (quality["lengths"]["median"], quality["difficulty"]["shares"]) == (None, {})
    assert (quality["repetitions"]["queries"], quality["languages"]["shares"]) == (0, {})
