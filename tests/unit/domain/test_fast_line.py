"""The fast way to read a line: it takes what is sound, and nothing that the careful way would read otherwise."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.fast_line import LineReader
from signalbox.records import Problem, Record, read_records
from signalbox.records import _read as read_carefully
from tests.builders import LABELS, PROMPT, SIGNALS, conversation, labels_spec, line, task, weights_text

WEIGHTS = task()
KINDS = task(labels_spec())
ANSWER = weights_text(0.8, 0.1, 0.1)
SYSTEM = [{"text": PROMPT}]


def agree(content: bytes, of: object = WEIGHTS) -> None:
    """Read a line both ways: whatever the fast one takes, the careful one must read the same."""
    (entry,) = read_records([content], of)
    assert entry == read_carefully(1, content.removesuffix(b"\n"), of)
    # Equality of floats takes -0.0 for 0.0; what is written must be the same too.
    assert repr(entry) == repr(read_carefully(1, content.removesuffix(b"\n"), of))


texts = st.text(max_size=40) | st.text(st.characters(categories=["Cc", "Cs", "So", "Lo"]), max_size=5)
numbers = st.one_of(
    st.floats(0, 1).map(repr),
    st.sampled_from(["0", "1", "-0", "-0.0", "1.0", "0.5", "1e0", "10e-1", "1E-400", "1e400", "NaN", "Infinity"]),
    st.sampled_from(["-Infinity", "1" * 400, "0." + "3" * 400, "01", ".5", "5.", "+1", '"0.5"', "true", "null", "[]"]),
)  # fmt: skip
keys = st.sampled_from([*SIGNALS, "reasoning", "Picture", "p\\u0069cture", ""])


@st.composite
def answers(draw: st.DrawFn) -> str:
    """Draw an answer's text: often right, else with any number, key, space or text in any place."""
    weights = draw(st.sampled_from([("0.8", "0.1", "0.1"), ("1", "0", "0"), ("0.33", "0.33", "0.33")]))
    pairs = [f'"{name}": {weight}' for name, weight in zip(SIGNALS, weights, strict=True)]
    if draw(st.booleans()):
        pairs.append(f'"reasoning": {json.dumps(draw(texts), ensure_ascii=draw(st.booleans()))}')
    for _ in range(draw(st.integers(0, 2))):
        pairs.insert(draw(st.integers(0, len(pairs))), f'"{draw(keys)}": {draw(numbers)}')
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    around = draw(st.sampled_from(["", "", "", " ", "\n", "\t", "\x0c", "\ufeff", "\u00a0", "x", "[]"]))
    return around + "{" + ", ".join(pairs) + "}" + draw(st.sampled_from(["", "", "", " ", "\r", "}", "\x00"]))


lines = st.builds(
    lambda query, answer, changes, ascii_only: json.dumps(
        conversation(query, answer, **changes), ensure_ascii=ascii_only
    ).encode(errors="surrogatepass"),
    st.sampled_from(["a query", "Grüße, 世界!", "?!", " ", "x" * 512, "ü" * 513]) | texts,
    st.none() | st.just(ANSWER) | answers() | texts,
    st.sampled_from([{}, {"system": SYSTEM}, {"system": []}, {"system": [{"text": "other"}]}, {"id": 1}]),
    st.booleans(),
)
pieces = st.sampled_from(
    [b"\xef\xbb\xbf", b"\r", b" ", b"\\", b'"', b"\\ud800", b"\\u0000", b"\x00", b"\xff", b"\xed\xa0\x80", b"{", b"}",
     b",", b'"system":[],', b'"role":"user",', b'"type":"text",', b'"text":"b",', b'"schemaVersion":"x",', b"NaN"]
)  # fmt: skip


@settings(max_examples=1500)
@given(lines)
@example(line("a", ANSWER.replace("0.8", "-0.0").replace('"words": 0.1', '"words": 0.9')))
def test_both_ways_agree_on_every_line(content: bytes) -> None:
    agree(content)
    agree(content, KINDS)


@settings(max_examples=1500)
@given(lines, st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 3), pieces), min_size=1, max_size=3))
def test_both_ways_agree_on_every_line_that_was_damaged(
    content: bytes, damage: list[tuple[int, int, bytes]]
) -> None:
    for place, lost, piece in damage:
        at = place % (len(content) + 1)
        content = content[:at] + piece + content[at + lost :]
    agree(content.replace(b"\n", b" "))


@pytest.mark.parametrize("seed", range(200))
def test_both_ways_agree_where_any_part_stands_twice(seed: int) -> None:
    # Given a sound line in which one of its keys stands again, there or elsewhere, with its own value or another
    draw = random.Random(seed)
    content = line("a", ANSWER, system=SYSTEM).decode()
    pairs = ['"system": []', '"text": "b"', '"role": "user"', '"type": "text"', '"content": [{"text": "c"}]']
    pairs += ['"schemaVersion": "bedrock-conversation-2024"', '"messages": []', '\\"sound\\": 0.1']
    openings = [at + 1 for at, character in enumerate(content) if character == "{"]
    at = draw.choice(openings)
    content = content[:at] + draw.choice(pairs) + ", " + content[at:]
    # Then it is refused both ways, or read as the same record
    agree(content.encode())


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (line("a", ANSWER).replace(b'"messages"', b'"messages": [], "messages"'), "messages"),
        (line("a", ANSWER).replace(b'"text": "a"', b'"text": "b", "te\\u0078t": "a"'), "text"),
        (line("a", ANSWER).replace(b'{"role": "user"', b'{"role": "assistant", "role": "user"'), "role"),
    ],
)
def test_a_key_that_stands_twice_in_a_record_is_refused(content: bytes, field: str) -> None:
    (problem,) = read_records([content], WEIGHTS)
    assert isinstance(problem, Problem)
    assert (problem.field, "stands twice" in problem.reason) == (field, True)


def test_quotation_marks_written_by_their_number_hide_no_key_that_stands_twice() -> None:
    # Given a record with a key twice, and as many marks written by their number as the key has
    record = line("a", ANSWER).replace(b'"text": "a"', b'"text": "a\\u0022\\u0022\\u0022\\u0022"')
    record = record.replace(b'"role": "user"', b'"role": "assistant", "role": "user"')
    # And an answer of the same kind
    answer = ANSWER.replace("}", ', "sound": 0.1, "reasoning": "\\u0022\\u0022"}')
    # Then both are refused, whichever way they are read
    hidden = line("a", answer).replace(b"\\\\u0022", b"\\u005cu0022")
    for content in (record, line("a", answer), hidden):
        agree(content)
        (problem,) = read_records([content], WEIGHTS)
        assert isinstance(problem, Problem)
        assert "stands twice" in problem.reason


@pytest.mark.parametrize(
    ("content", "of"),
    [
        (line("a", ANSWER), WEIGHTS),
        (line("a", ANSWER, system=SYSTEM).replace(b"\n", b"\r"), WEIGHTS),
        (line("a", weights_text(1, 0, 0, reasoning='it "says" \\ so, in 世界')), WEIGHTS),
        (line("a"), WEIGHTS),
        (line("a", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}]), WEIGHTS),
        (line("a", LABELS[0]), KINDS),
    ],
)
def test_a_sound_line_is_read_the_fast_way(content: bytes, of: object) -> None:
    assert LineReader(of).read(content.rstrip(b"\n")) is not None


def test_signals_that_are_no_names_in_python_are_read() -> None:
    of = task(output={"weights": ["class", "a-b", "text"]})
    (record,) = read_records([line("a", '{"class": 0.5, "a-b": 0.25, "text": 0.25}')], of)
    assert isinstance(record, Record)
    assert record.answer.weights == {"class": 0.5, "a-b": 0.25, "text": 0.25}
    agree(line("a", '{"class": 0.5, "a-b": 0.25, "text": 0.25}'), of)
