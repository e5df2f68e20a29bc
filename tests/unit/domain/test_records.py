"""Records: one entry a line whatever the pieces, and a reason for every line that is no record."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.query import MAX_QUERY_CHARACTERS
from signalbox.records import MAX_LINE_BYTES, Problem, Record, read_records
from tests.builders import LABELS, PROMPT, conversation, labelled, labels_spec, line, task, weights_text

TASK = task()
ANSWER = weights_text(0.8, 0.1, 0.1)


def read(content: bytes) -> list[Record | Problem]:
    return list(read_records([content], TASK))


@given(
    st.lists(
        st.sampled_from([b"\n", b"\r\n", b"{", b"x" * 20_000, line("a", ANSWER), b"\xff", b"\xef\xbb\xbf"])
    ),
    st.data(),
)
def test_the_pieces_in_which_a_file_arrives_make_no_difference(
    parts: list[bytes], data: st.DataObject
) -> None:
    content = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    pieces = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert list(read_records(pieces, TASK)) == read(content)


def test_a_file_that_arrives_byte_by_byte_is_read_the_same() -> None:
    content = (
        labelled() + b"broken\n" + b"y" * (MAX_LINE_BYTES + 9) + b"\n" + line("last", ANSWER).rstrip(b"\n")
    )
    assert list(read_records((content[at : at + 1] for at in range(len(content))), TASK)) == read(content)


@given(st.binary())
def test_arbitrary_bytes_give_one_entry_a_line(content: bytes) -> None:
    entries = read(content)
    lines = content.split(b"\n")
    assert [entry.line for entry in entries] == list(range(1, len(lines) + bool(lines[-1])))
    assert all(entry.reason for entry in entries if isinstance(entry, Problem))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["schemaVersion", "messages", "system", "other"]), json_values)
def test_any_json_in_any_place_is_a_record_or_a_problem_that_can_be_written_down(
    key: str, value: object
) -> None:
    (entry,) = read(line("a query", ANSWER, **{key: value}))
    if isinstance(entry, Problem):
        (entry.field + entry.reason).encode()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=600), st.sampled_from([None, ANSWER]))
def test_a_record_written_for_a_run_is_read_back_as_it_was(query: str, answer: str | None) -> None:
    (entry,) = read(line(query, answer))
    if isinstance(entry, Record):
        assert read(entry.to_json(PROMPT)) == [entry]


def test_an_overlong_line_is_a_problem_and_takes_no_memory() -> None:
    # Given 200 MB without a line feed, in pieces of 64 KB, and a record after it
    def chunks() -> Iterator[bytes]:
        piece = b"x" * 65_536
        for _ in range(3_200):
            yield piece
        yield b"\n" + line("after", ANSWER)

    # When it is read
    tracemalloc.start()
    entries = list(read_records(chunks(), TASK))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Then it is one problem, the record is found, and memory stayed within a few pieces
    assert [type(entry) for entry in entries] == [Problem, Record]
    assert "16,384 bytes" in entries[0].reason
    assert peak < 1_000_000


@pytest.mark.parametrize("excess", [0, 1])
def test_the_longest_line_that_bedrock_takes_is_the_longest_that_is_taken(excess: int) -> None:
    def whole(padding: int) -> bytes:
        answer = weights_text(0.8, 0.1, 0.1, reasoning="r" * padding)
        return line("q", answer, system=[{"text": PROMPT}])

    padding = MAX_LINE_BYTES - len(whole(0).rstrip(b"\n")) + excess
    (entry,) = read(whole(padding))
    assert isinstance(entry, Problem if excess else Record)


@pytest.mark.parametrize("excess", [0, 1])
def test_a_line_is_as_long_as_it_will_be_written_with_the_prompt(excess: int) -> None:
    # Given a record without a system text
    def bare(padding: int) -> bytes:
        return line("q", weights_text(0.8, 0.1, 0.1, reasoning="r" * padding))

    (short,) = read(bare(0))
    padding = MAX_LINE_BYTES - len(short.to_json(PROMPT).rstrip(b"\n")) + excess
    # When only the prompt makes it too long
    assert len(bare(padding)) < MAX_LINE_BYTES
    (entry,) = read(bare(padding))
    # Then it is a problem
    assert isinstance(entry, Problem if excess else Record)
    assert not excess or "with the prompt of task clip-search the line has 16,385 bytes" in entry.reason


@pytest.mark.parametrize("excess", [0, 1])
def test_a_query_that_the_api_would_not_take_is_not_trained_on(excess: int) -> None:
    (entry,) = read(line("ü" * (MAX_QUERY_CHARACTERS + excess), ANSWER))
    assert isinstance(entry, Problem if excess else Record)
    assert not excess or (entry.field, entry.reason) == (
        "messages[0].content[0].text",
        "the query has 513 characters; the API takes at most 512",
    )


USER = {"role": "user", "content": [{"text": "a"}]}
ASSISTANT = {"role": "assistant", "content": [{"text": ANSWER}]}


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        (b"\n", "", "empty"),
        (b"  \t\n", "", "empty"),
        (b"not json\n", "", "not JSON"),
        (b"[]\n", "", "must be a JSON object"),
        (b"\xff{}\n", "", "not UTF-8: byte 1 of the line is 0xff"),
        (b"\xef\xbb\xbf" + line("a", ANSWER), "", "byte order mark"),
        (
            line("a", ANSWER, schemaVersion="bedrock-conversion-2024"),
            "schemaVersion",
            "must be 'bedrock-conversation-2024'",
        ),
        (line("a", ANSWER, metadata={}), '"metadata"', "unknown key"),
        (line("a", messages=[]), "messages", "is empty"),
        (line("a", messages=[USER, ASSISTANT, USER]), "messages", "has 3 entries; at most 2"),
        (line("a", messages=[ASSISTANT]), "messages[0].role", "must be user"),
        (line("a", messages=[USER, USER]), "messages[1].role", "must be assistant"),
        (line("a", messages=[USER | {"name": "x"}]), 'messages[0]."name"', "unknown key"),
        (line("a", messages=[{"role": "user", "content": []}]), "messages[0].content", "is empty"),
        (line("a", messages=[{"role": "user"}]), "messages[0].content", "is missing"),
        (line("a", messages=[{"role": "tool", "content": [{"text": "a"}]}]), "messages[0].role", "must be"),
        (line("", ANSWER), "messages[0].content[0].text", "is empty"),
        (line("  ", ANSWER), "messages[0].content[0].text", "the query is empty"),
        (
            line("a", ANSWER, system=[{"text": "Another prompt."}]),
            "system[0].text",
            "differs from the prompt of task",
        ),
        (line("a", ANSWER, system=[{"text": PROMPT}] * 2), "system", "has 2 entries; at most 1"),
        (line("a", "Sure!"), "messages[1].content[0].text", "not a JSON object"),
        (line("a", weights_text(0.8, 0.1, 0.2)), "messages[1].content[0].text", "sum to 1.1"),
        (line("a", '{"picture": 1, "sound": 0}'), "messages[1].content[0].text: words", "no weight"),
    ],
)
def test_a_line_that_is_no_record_is_named_with_field_and_reason(
    content: bytes, field: str, reason: str
) -> None:
    (problem,) = read(content)
    assert isinstance(problem, Problem)
    assert (problem.line, problem.field) == (1, field)
    assert reason in problem.reason


@pytest.mark.parametrize(
    "content",
    [
        line("a", ANSWER),
        line("a", ANSWER, system=[{"text": PROMPT}]),
        line("a", ANSWER, system=[]),
        line("a"),
        line("a", ANSWER).replace(b"\n", b"\r\n"),
        json.dumps(conversation("a", ANSWER)).encode(),
        line("a", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}, ASSISTANT]),
    ],
)
def test_a_sound_line_is_a_record(content: bytes) -> None:
    (record,) = read(content)
    assert isinstance(record, Record)
    assert record.query == "a"


def test_a_label_is_checked_against_those_of_the_task() -> None:
    entries = list(read_records([line("a", LABELS[0]), line("b", "smell")], task(labels_spec())))
    assert [type(entry) for entry in entries] == [Record, Problem]
