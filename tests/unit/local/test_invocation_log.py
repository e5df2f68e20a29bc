"""Entries of invocation logs: what was asked, what was answered, for each operation and family of models."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.data.invocation_log import Call, Entry, NotAnEntry, Skipped, call_of, entries
from tests.invocation_logs import body, converse, converse_answer, exported, invoked, lines, subscribed

QUERY, ANSWER = "crowd cheering after a goal", '{"picture": 0.2, "sound": 0.7, "words": 0.1}'
MESSAGES = [{"role": "user", "content": [{"text": QUERY}]}]


def no_body(address: str) -> bytes:
    raise AssertionError(f"{address} was asked for")


def read(entry: dict[str, Any], with_answer: bool = True) -> Call:
    (found,) = entries(json.dumps(entry).encode())
    assert isinstance(found, Entry)
    return call_of(found, no_body, with_answer)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        # Nova
        ({"schemaVersion": "messages-v1", "messages": MESSAGES}, converse_answer(ANSWER)),
        # Claude, and one that thinks first; a system prompt and a mark of the cache are no question
        (
            {"system": "Weigh.", "messages": [{"role": "user", "content": QUERY}]},
            {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": ANSWER}]},
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": QUERY}, {"cachePoint": {}}]}
                ]
            },
            {"content": [{"type": "text", "text": ANSWER}]},
        ),
        ({"prompt": f"\n\nHuman: {QUERY}\n\nAssistant:"}, {"type": "completion", "completion": ANSWER}),
        # Llama, with its template and without
        (
            {
                "prompt": f"<|start_header_id|>user<|end_header_id|>\n{QUERY}<|eot_id|><|start_header_id|>assistant"
            },
            {"generation": ANSWER},
        ),
        ({"prompt": QUERY, "max_gen_len": 200}, {"generation": ANSWER}),
        # Mistral, Titan, Cohere, OpenAI
        ({"prompt": f"<s>[INST] {QUERY} [/INST]"}, {"outputs": [{"text": ANSWER}]}),
        ({"inputText": QUERY}, {"results": [{"outputText": ANSWER}]}),
        ({"message": QUERY}, {"text": ANSWER}),
        (
            {"messages": [{"role": "system", "content": "Weigh."}, {"role": "user", "content": QUERY}]},
            {"choices": [{"message": {"role": "assistant", "content": ANSWER}}]},
        ),
        # the body as a text
        (json.dumps({"prompt": QUERY}), json.dumps({"generation": ANSWER})),
    ],
)
def test_the_bodies_of_every_family_of_models_are_read(asked: Any, answered: Any) -> None:
    assert read(invoked(asked, answered)) == Call(QUERY, ANSWER)


@pytest.mark.parametrize(
    "events",
    [
        [{"messageStart": {"role": "assistant"}}]
        + [{"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}} for piece in ANSWER]
        + [{"messageStop": {"stopReason": "end_turn"}}],
        [{"type": "message_start"}]
        + [
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}}
            for piece in ANSWER
        ],
        [{"generation": piece} for piece in ANSWER],
        [{"choices": [{"delta": {"content": piece}}]} for piece in ANSWER],
    ],
)
def test_a_streamed_answer_is_put_together(events: list[Any]) -> None:
    entry = invoked({"messages": MESSAGES}, events, operation="InvokeModelWithResponseStream")
    assert read(entry) == Call(QUERY, ANSWER)


def test_an_answer_that_the_caller_had_begun_is_whole() -> None:
    begun = [*MESSAGES, {"role": "assistant", "content": [{"text": ANSWER[:1]}]}]
    assert read(invoked({"messages": begun}, converse_answer(ANSWER[1:]))) == Call(QUERY, ANSWER)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"errorCode": "ThrottlingException"}, "the call failed"),
        ({"input": body("input", {"messages": MESSAGES * 2})}, "not one question in one text"),
        ({"input": body("input", {"messages": []})}, "not one question in one text"),
        (
            {
                "input": body(
                    "input", {"messages": [{"role": "user", "content": [{"image": {}}, {"text": "x"}]}]}
                )
            },
            "not one question in one text",
        ),
        ({"input": body("input", {"message": "x", "chat_history": [{}]})}, "not one question in one text"),
        (
            {"input": body("input", {"prompt": "[INST] a [/INST] b [INST] c [/INST]"})},
            "not one question in one text",
        ),
        ({"input": body("input", "not JSON")}, "the body of the call is not JSON"),
        ({"input": None}, "the log has no body of the call"),
        ({"input": {"inputContentType": "application/json"}}, "the log has no body of the call"),
    ],
)
def test_what_is_not_one_question_is_left_out_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Skipped, match=reason):
        read(converse(QUERY, ANSWER, **changes))


def test_a_question_without_a_text_for_an_answer_is_still_one() -> None:
    assert read(converse(QUERY)) == Call(QUERY, None)
    assert read(converse(QUERY, output=body("output", {"output": {"message": {"content": []}}}))) == Call(
        QUERY, None
    )
    assert read(converse(QUERY, ANSWER), with_answer=False) == Call(QUERY, None)


def test_bodies_of_their_own_are_fetched_where_the_entry_says() -> None:
    entry = converse(
        QUERY,
        input={"inputBodyS3Path": "s3://logs/data/r_input.json.gz"},
        output={"outputBodyS3Path": "s3://logs/data/r_output.json.gz"},
    )
    there = {
        "s3://logs/data/r_input.json.gz": json.dumps({"messages": MESSAGES}).encode(),
        "s3://logs/data/r_output.json.gz": json.dumps(converse_answer(ANSWER)).encode(),
    }
    (found,) = entries(json.dumps(entry).encode())
    assert isinstance(found, Entry)
    assert call_of(found, there.__getitem__, True) == Call(QUERY, ANSWER)


def test_both_destinations_say_the_same() -> None:
    some = [converse(f"{QUERY} {number}", ANSWER) for number in range(3)]
    native = [entry for line in lines(*some).splitlines() for entry in entries(line)]
    assert len(native) == 3 and all(isinstance(entry, Entry) for entry in native)
    assert [entry for line in exported(*some).splitlines() for entry in entries(line)] == native
    assert list(entries(subscribed(*some))) == native
    assert list(entries(subscribed(*some, kind="CONTROL_MESSAGE"))) == []


@pytest.mark.parametrize(
    "line", [b"{", b"x", b'{"a": 1}', b"[1]", b'{"schemaType": "Other"}', b"\xff{}", b"[" * 9_999]
)
def test_a_line_that_is_no_entry_is_told(line: bytes) -> None:
    (found,) = entries(line)
    assert isinstance(found, NotAnEntry)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "role", "content", "text", "prompt", "output", "message", "choices", "delta"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(asked=JSON, answered=JSON)
def test_no_body_breaks_the_reading(asked: Any, answered: Any) -> None:
    try:
        call = read(invoked(asked, answered))
    except Skipped:
        return
    assert isinstance(call.prompt, str) and isinstance(call.answer, str | None)


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reading(line: bytes) -> None:
    assert all(isinstance(found, Entry | NotAnEntry) for found in entries(line))
