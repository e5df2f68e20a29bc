"""Queries from templates: all different, none near a golden query, the same for the same request."""

from collections import Counter
from typing import Any

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
    assert selection.left_out["golden"] == 1


def test_what_is_nearly_a_golden_query_is_left_out() -> None:
    selection = Selection(["an old lighthouse keeper talks about the storm of the year 1953"])
    selection.add([Query("an old lighthouse keeper talks about the storm of the year 1954", "file")])
    assert selection.kept == []
    assert selection.left_out == {"nearly_golden": 1}


def test_templates_are_made_use_of_as_the_balance_asks() -> None:
    # Given a template of each of two signals
    seen, heard = ("{thing}, {deed}", "picture"), ("hear {deed} {thing}", "sound")
    templates = [{"text": text, "leads": leads} for text, leads in (seen, heard)]
    asked = request(templates=templates, balance={"picture": 0.75, "sound": 0.25})
    # Then a quarter of the queries is of the one
    leads = Counter(query.leads for query in made(asked, 24).kept)
    assert leads == {"picture": 18, "sound": 6}


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
