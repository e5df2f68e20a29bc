"""Records of reinforcement fine-tuning: the documented format, and a reference that comes back as it was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.answer import parse_answer
from signalbox.failure import PermanentFailure
from signalbox.records import Record, read_records
from signalbox.reinforcement import UnlabelledError, reinforcement_line, write_reinforcement_records
from signalbox.reward import rewards
from signalbox.store import REINFORCEMENT, TRAIN, RunStore
from tests.builders import BUCKET, LABELS, PROMPT, QUERIES, labels_spec, line, task, truth, weights_text
from tests.fakes import FakeS3

TASK, LABELS_TASK = task(), task(labels_spec())

weights_answers = (
    st.lists(st.integers(0, 1000), min_size=3, max_size=3)
    .filter(any)
    .flatmap(
        lambda shares: st.builds(
            lambda reasoning: weights_text(*(share / sum(shares) for share in shares), reasoning=reasoning),
            st.text(),
        )
    )
)
queries = st.text(min_size=1, max_size=60).filter(str.strip)


def record(query: str, text: str, of: Any = TASK) -> Record:
    """Return a labelled record."""
    return Record(1, query, query, parse_answer(text, of.output), text)


def as_sampled(written: bytes, answer: str) -> dict[str, Any]:
    """Return what the job sends to the reward function for an answer to a written record."""
    body = json.loads(written)
    messages = [*body.pop("messages"), {"role": "assistant", "content": answer}]
    return {"id": "1", "messages": messages, "metadata": body}


@given(queries, weights_answers)
def test_a_record_comes_back_with_its_prompt_query_and_answer(query: str, text: str) -> None:
    original = record(query, text)
    written = reinforcement_line(original, TASK.prompt)
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    body = json.loads(written)
    assert set(body) == {"messages", "reference_answer"}
    assert body["messages"] == [{"role": "system", "content": PROMPT}, {"role": "user", "content": query}]
    assert body["reference_answer"] == {"weights": original.answer.weights}  # to the last bit


@given(weights_answers, weights_answers)
def test_the_records_own_answer_earns_the_full_reward(text: str, other: str) -> None:
    written = reinforcement_line(record("ships", text), TASK.prompt)
    own, another = rewards([as_sampled(written, text), as_sampled(written, other)])
    assert own["aggregate_reward_score"] == 1.0
    assert another["aggregate_reward_score"] <= 1.0


@pytest.mark.parametrize("label", LABELS)
def test_a_label_comes_back_and_earns_the_full_reward(label: str) -> None:
    written = reinforcement_line(record("ships", label, LABELS_TASK), LABELS_TASK.prompt)
    given_rewards = rewards([as_sampled(written, each) for each in LABELS])
    assert [each["aggregate_reward_score"] for each in given_rewards] == [
        float(each == label) for each in LABELS
    ]


def test_a_record_without_an_answer_is_refused() -> None:
    with pytest.raises(UnlabelledError, match="line 7 has no answer"):
        reinforcement_line(Record(7, "ships", "ships", None, None), PROMPT)


@pytest.fixture
def store() -> RunStore:
    """A run's store in an empty bucket."""
    return RunStore(FakeS3(), BUCKET)


def written_records(store: RunStore) -> list[dict[str, Any]]:
    """Return what was written for the job."""
    return [json.loads(each) for each in store.lines("run-1", f"{REINFORCEMENT}{TRAIN}")]


def test_the_records_of_a_run_are_written_line_by_line_in_their_order(store: RunStore) -> None:
    records = [entry for entry in read_records([b"".join(line(each, truth(each)) for each in QUERIES)], TASK)]
    store.put("run-1", TRAIN, b"".join(each.to_json(PROMPT) for each in records))
    assert write_reinforcement_records(store, "run-1", TRAIN, TASK) == "reinforcement/train.jsonl"
    assert [each["messages"][1]["content"] for each in written_records(store)] == QUERIES


def test_a_run_with_a_record_that_has_no_answer_fails_for_good(store: RunStore) -> None:
    store.put("run-1", TRAIN, line(QUERIES[0], truth(QUERIES[0])) + line(QUERIES[1]))
    with pytest.raises(PermanentFailure) as raised:
        write_reinforcement_records(store, "run-1", TRAIN, TASK)
    assert raised.value.failure.reason.startswith("train.jsonl, line 2 has no answer")
    assert not store.has("run-1", f"{REINFORCEMENT}{TRAIN}")


def test_a_file_that_is_not_what_was_validated_is_an_error(store: RunStore) -> None:
    store.put("run-1", TRAIN, b"{}\n")
    with pytest.raises(ValueError, match="line 1"):
        write_reinforcement_records(store, "run-1", TRAIN, TASK)
