"""Files that are no JSONL are named in one sentence, and JSONL is never taken for one of them."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.dataset import GoldenError, examine, read_golden
from signalbox.file_form import with_form
from tests.builders import QUERIES, conversation, labelled, line, task, truth

TASK = task()
CONTENT = labelled()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(CONTENT), "the file is gzip, whatever its name; unpack it"),
        (b"PK\x03\x04" + b"x" * 99, "the file is a zip archive"),
        (b"PAR1" + b"x" * 99, "the file is Parquet, not JSONL"),
        (CONTENT.decode().encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
        (CONTENT.decode().encode("utf-16-le"), "the file looks like UTF-16 or UTF-32"),
        (CONTENT.decode().encode("utf-16-be"), "the file looks like UTF-16 or UTF-32"),
        (CONTENT.decode().encode("utf-32"), "the file is UTF-32"),
        (bytes(range(256)) * 20, "the file is binary"),
        (b"[\n" + CONTENT, "the file is one JSON list"),
        (b'[{"a": 1},\n{"a": 2}]', "the file is one JSON list"),
        (b'{\n "schemaVersion": 1\n}', "JSON objects spread over several lines"),
    ],
)
def test_a_file_of_another_form_is_rejected_with_one_sentence(content: bytes, sentence: str) -> None:
    dataset = examine([content], TASK)
    (reason,), (problem,) = dataset.reasons, dataset.problems
    assert sentence in reason == problem.reason
    assert dataset.findings()["accepted"] is False
    with pytest.raises(GoldenError, match=sentence[:20]):
        read_golden([content], TASK, "golden.jsonl")


@pytest.mark.parametrize(
    "content",
    [CONTENT, b"\n" + CONTENT, b"[]\n" + CONTENT, b"\x00\n" + CONTENT, CONTENT.replace(b"\n", b"\r\n")],
)
def test_lines_are_read_as_lines(content: bytes) -> None:
    dataset = examine([content], TASK)
    assert dataset.counts["records"] == len(QUERIES)
    assert dataset.reasons == []


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_no_record_is_taken_for_another_form(query: str) -> None:
    assert with_form([line(query, truth(QUERIES[0]))])[0] == ""
    assert with_form([json.dumps(conversation(query), ensure_ascii=False).encode()])[0] == ""


@given(st.lists(st.binary(max_size=9)))
def test_the_file_is_handed_on_from_its_beginning(pieces: list[bytes]) -> None:
    assert b"".join(with_form(pieces)[1]) == b"".join(pieces)
