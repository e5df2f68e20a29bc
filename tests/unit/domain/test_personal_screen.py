"""Personal data in a dataset: warned of, masked before anything is written, or a reason to reject it."""

import json

import pytest

from signalbox.dataset import Dataset, GoldenError, examine, read_golden
from signalbox.records import Record
from tests.builders import SIGNALS, labelled, line, task, truth, weights_text

SECRET = "anna@mail.example"
NUMBER = "+44 20 7946 0958"
CONTENT = labelled() + b"".join(
    [
        line(f"clip sent by {SECRET}", weights_text(0.10, 0.1, 0.8, reasoning=f'Call "{NUMBER}" first.')),
        line(f"who is {SECRET}"),
        line("nothing here", truth("bells ringing over the")),
    ]
)


def examined(policy: str) -> Dataset:
    return examine([CONTENT], task(dataset={"personal_data": policy}))


def test_by_default_personal_data_is_reported_by_line_and_kind_and_used() -> None:
    dataset = examine([CONTENT], task())
    found = dataset.quality["personal_data"]
    assert (found["policy"], found["lines"]) == ("warn", 2)
    assert found["kinds"] == {"e-mail address": 2, "phone number": 1}
    assert found["found"] == [
        {"line": 151, "field": "messages[0].content[0].text", "kind": "e-mail address"},
        {"line": 151, "field": "messages[1].content[0].text: reasoning", "kind": "phone number"},
        {"line": 152, "field": "messages[0].content[0].text", "kind": "e-mail address"},
    ]
    assert any(
        "lines with personal data: 2 (e-mail address: 2, phone number: 1)" in each
        for each in dataset.warnings
    )
    assert dataset.reasons == []


def test_masked_records_are_sound_and_hold_none_of_it() -> None:
    dataset = examined("mask")
    assert dataset.reasons == []
    records = [*dataset.train, *dataset.golden]
    written = b"".join(record.to_json("p") for record in records).decode()
    assert SECRET not in written and NUMBER not in written
    masked = next(record for record in records if record.line == 151)
    assert masked.query == "clip sent by [e-mail address]"
    assert masked.key == "clip sent by e mail address"
    assert masked.answer is not None and masked.answer_text is not None
    assert masked.answer.reasoning == 'Call "[phone number]" first.'
    said = json.loads(masked.answer_text)
    assert [said[signal] for signal in SIGNALS] == [0.1, 0.1, 0.8]
    assert next(record for record in records if record.line == 152).query == "who is [e-mail address]"
    assert examined("warn").counts == dataset.counts


def test_a_record_that_masking_makes_too_long_is_a_problem_of_its_line() -> None:
    crowded = line(" ".join(["a@b.de"] * 70), truth("bells ringing over the"))
    dataset = examine([labelled() + crowded], task(dataset={"personal_data": "mask"}))
    (problem,) = dataset.problems
    assert problem.line == 151
    assert "characters; the API takes at most 512" in problem.reason


def test_a_dataset_with_personal_data_is_rejected_if_the_task_wants_that() -> None:
    dataset = examined("reject")
    (reason,) = dataset.reasons
    assert "lines with personal data: 2 (e-mail address: 2, phone number: 1)" in reason
    assert len(dataset.quality["personal_data"]["found"]) == 3
    clean = examine([labelled()], task(dataset={"personal_data": "reject"}))
    assert clean.reasons == []


@pytest.mark.parametrize("policy", ["warn", "mask", "reject"])
def test_what_is_found_is_never_told(policy: str) -> None:
    dataset = examined(policy)
    findings = dataset.findings() | {"prior": None}
    assert SECRET not in json.dumps(findings) and NUMBER not in json.dumps(findings)


def test_a_golden_set_is_masked_or_refused_in_the_same_way() -> None:
    content = line(f"clip of {SECRET}", truth("bells ringing over the"))
    (record,) = read_golden([content], task(dataset={"personal_data": "mask"}), "golden.jsonl")
    assert isinstance(record, Record) and record.query == "clip of [e-mail address]"
    with pytest.raises(GoldenError, match="holds personal data: e-mail address") as refused:
        read_golden([content], task(dataset={"personal_data": "reject"}), "golden.jsonl")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"Write to {SECRET} or {NUMBER}, it says", 'Write to [e-mail address] or [phone number], it says"'),
        ("x" * 40 + " anna.longname@mail.example", "[e-mail address]"),
        ("x" * 42 + " 4111 1111 1111 1111", "[number]…"),
    ],
)
def test_a_line_that_cannot_be_used_does_not_tell_the_personal_data_in_it(said: str, told: str) -> None:
    # Given an answer that is no answer, and quoted as such, cut after 60 characters
    dataset = examine([labelled() + line("q", said)], task())
    # Then its personal data are not quoted, nor what is left of them
    (problem,) = dataset.problems
    assert told in problem.reason
    assert not any(secret in problem.reason for secret in (SECRET, NUMBER, "anna", "4111"))


def test_the_name_of_an_unknown_key_does_not_tell_personal_data() -> None:
    (problem,) = examine([labelled() + line("q", **{SECRET: 1})], task()).problems
    assert problem.field == '"[e-mail address]"'
