"""The local teacher as a writer of queries."""

import json

import pytest

from local.bedrock.variations import wish, write


def test_queries_are_crossed_from_what_is_known_and_from_the_examples() -> None:
    message = json.dumps({"queries": 30, "examples": ["red kites at noon"]})
    asked = wish(message)
    assert asked is not None
    texts = json.loads(write(message, asked, ["a slow train whistling"]))
    assert len(texts) == 30
    assert set(texts) == {
        "red kites at noon",
        "red kites train whistling",
        "a slow at noon",
        "a slow train whistling",
    }
    assert write(message, asked, ["a slow train whistling"]) == json.dumps(texts)


def test_who_knows_nothing_writes_nothing() -> None:
    assert write("{}", {"queries": 3}, []) == "[]"


@pytest.mark.parametrize("message", ["two swans", "7", '{"queries": 0}', '{"queries": "3"}', "[" * 99_999])
def test_anything_else_is_a_query_to_answer(message: str) -> None:
    assert wish(message) is None
