"""Queries from templates: all different, none near a golden query, the same for the same request."""

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.generation_request import GenerationRequest
from signalbox.near_duplicates import near_duplicates
from signalbox.query import normalise
from signalbox.synthetic_queries import Query, Selection, from_templates

SLOTS = {
    "thing": ["a lighthouse", "two foxes", "an orange kayak", "the old mill", "seven drummers", "a glacier"],
    "deed": ["turning round", "in heavy snow", "seen from above", "at a wedding", "without a sound", "upside down"],
}  # fmt: skip


def request(**changes: Any) -> GenerationRequest:
    """Return a request with 36 combinations, of each signal."""
    content = {"count": 100, "templates": ["{thing} {deed}"], "slots": SLOTS} | changes
    return GenerationRequest.model_validate(content)


def made(asked: GenerationRequest, wanted: int, golden: list[str] | None = None) -> Selection:
    """Return what is made of a request's templates."""
    selection = Selection(golden or [])
    from_templates(asked, selection, wanted)
    return selection


def test_every_combination_is_made_once_if_so_many_are_wanted() -> None:
    selection = made(request(), 1000)
    assert len({query.text for query in selection.kept}) == len(selection.kept)
    assert len(selection.kept) + selection.left_out.total() == 36


def test_no_more_are_made_than_wanted() -> None:
    assert len(made(request(), 10).kept) == 10


def test_the_same_request_makes_the_same_queries_and_another_seed_makes_others() -> None:
    assert made(request(), 15).kept == made(request(), 15).kept
    assert made(request(), 15).kept != made(request(seed=2), 15).kept


def test_a_golden_query_is_never_made_however_it_is_written() -> None:
    selection = made(request(), 1000, golden=["  A LIGHTHOUSE upside-down "])
    assert "a lighthouse upside down" not in {query.text for query in selection.kept}
    assert selection.left_out["held_out"] == 1


def test_what_is_nearly_a_golden_query_is_left_out() -> None:
    selection = Selection(["an old lighthouse keeper talks about the storm of the year 1953"])
    selection.add([Query("an old lighthouse keeper talks about the storm of the year 1954", "file")])
    assert selection.kept == []
    assert selection.left_out == {"nearly_held_out": 1}


def test_templates_are_made_use_of_as_the_balance_asks() -> None:
    # Given a template of each of two signals
    seen, heard = ("{thing}, {deed}", "picture"), ("hear {deed} {thing}", "sound")
    templates = [{"text": text, "leads": leads} for text, leads in (seen, heard)]
    asked = request(templates=templates, balance={"picture": 0.75, "sound": 0.25})
    # Then a quarter of the queries is of the one
    leads = Counter(query.leads for query in made(asked, 24).kept)
    assert leads == {"picture": 18, "sound": 6}


def made_by_another_process(hash_seed: str) -> str:
    """Return what a request with three signals gives in a process with a hash seed of its own."""
    program = (
        "from signalbox.generation_request import GenerationRequest as Request\n"
        "from signalbox.synthetic_queries import Selection, from_templates\n"
        "phrases = ['a fox', 'two elms', 'the old quay', 'no snow', 'rooks', 'his bicycle', 'jam', 'dusk', 'paint']\n"
        "leading = [{'text': f'{leads} of {{a}} {{b}}', 'leads': leads} for leads in ('picture', 'sound', 'words')]\n"
        "asked = Request(count=100, templates=[*leading, '{a} and {b}'], slots={'a': phrases, 'b': phrases})\n"
        "selection = Selection()\n"
        "from_templates(asked, selection, 60)\n"
        "print([query.text for query in selection.kept])\n"
    )
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_the_same_request_makes_the_same_queries_in_another_process() -> None:
    assert len({made_by_another_process(hash_seed) for hash_seed in ("1", "2", "3", "4")}) == 1


def test_templates_that_name_a_signal_go_on_when_those_that_name_none_run_dry() -> None:
    words = ["fox", "elm", "quay", "snow", "rook", "bike", "jam", "dusk", "paint", "oak", "moor", "gull"]
    templates = ["only one", "just two", {"text": "{a} {b} {c}", "leads": "picture"}]
    asked = request(templates=templates, slots=dict.fromkeys("abc", words))
    assert len(made(asked, 500).kept) == 500


def test_a_signal_that_runs_dry_at_once_leaves_its_places_to_the_others() -> None:
    # Given a signal whose only query stands there already
    templates = [{"text": "{thing}, {deed}", "leads": "picture"}, {"text": "just silence", "leads": "sound"}]
    selection = Selection()
    selection.add([Query("just silence", "file")])
    from_templates(request(templates=templates), selection, 25)
    assert len(selection.kept) == 25


NUMBERS = {slot: [str(digit) for digit in range(10)] for slot in "abcdef"}
"""Slots of a million combinations."""


ALIKE = "a very long video about something that nobody has ever seen with number {a}{b}{c}{d}{e}{f}"


@pytest.mark.parametrize(
    ("padding", "reason"), [("", "nearly_repeated"), ("so " * 40, "unusable")], ids=["alike", "too long"]
)
def test_templates_whose_queries_are_of_no_use_are_given_up(padding: str, reason: str) -> None:
    slots = {slot: [padding + digit for digit in digits] for slot, digits in NUMBERS.items()}
    selection, rounds = Selection(), Counter[str]()
    from_templates(request(templates=[ALIKE], slots=slots), selection, 100, lambda: rounds.update(["made"]))
    # The report can say why there are so few
    assert len(selection.kept) < 100
    assert 500 < selection.left_out[reason] <= 600
    assert selection.left_out.total() + len(selection.kept) == 10**6
    assert selection.left_out["not_tried"] > 999_000
    assert 1 < rounds["made"] <= 10


def test_the_last_few_queries_are_not_looked_for_one_by_one() -> None:
    selection, rounds = Selection(), Counter[str]()
    selection.add([Query(f"{number * 7919:x} {number * 104729:x}", "file") for number in range(1, 200)])
    wanted = len(selection.kept) + 20
    from_templates(
        request(templates=[ALIKE], slots=NUMBERS), selection, wanted, lambda: rounds.update(["made"])
    )
    assert selection.left_out["not_tried"] > 0
    assert rounds["made"] <= 100


def test_a_template_that_runs_dry_leaves_its_places_to_others() -> None:
    templates = [{"text": "{thing}, {deed}", "leads": "picture"}, {"text": "just silence", "leads": "sound"}]
    assert len(made(request(templates=templates), 20).kept) == 20


def test_an_unusable_query_is_counted_and_left_out() -> None:
    selection = Selection()
    assert selection.add([Query("  ", "file"), Query("x" * 5000, "file"), Query("a swan", "file")]) == 1
    assert selection.left_out == {"unusable": 2}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(alphabet="abc é", max_size=12), max_size=30), st.lists(st.text(max_size=12), max_size=5)
)
def test_no_two_that_are_kept_are_nearly_the_same(texts: list[str], golden: list[str]) -> None:  # fmt: skip
    selection = Selection([text for text in golden if normalise(text)])
    selection.add(Query(text, "file") for text in texts)
    selection.add(Query(text, "file") for text in texts)
    kept = [normalise(query.text) for query in selection.kept]
    held_out = {normalise(text) for text in golden if normalise(text)}
    assert near_duplicates(kept) == []
    assert len(set(kept)) == len(kept)
    assert not held_out & set(kept)
    assert len(kept) + selection.left_out.total() == 2 * len(texts)
