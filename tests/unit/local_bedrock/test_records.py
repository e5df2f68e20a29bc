"""Training records and their limits."""

import json

import pytest

from local.bedrock.errors import DatasetError
from local.bedrock.records import Problem, TrainingRecord, pairs_of, read_records, training_records


def lines(records: list) -> bytes:
    return b"\n".join(json.dumps(item).encode() for item in records)


def test_records_with_and_without_prompt_and_label(record) -> None:
    body = lines([record("q", "a"), record("q", None, prompt=None)]) + b"\n\n"
    assert list(read_records(body))[1:] == [TrainingRecord("", "q", None)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"[]", "must be an object"),
        (b'{"schemaVersion": "bedrock-conversion-2024"}', "schemaVersion must be"),
        (b'{"schemaVersion": "bedrock-conversation-2024", "id": 1}', "unknown members: id"),
        (b'{"schemaVersion": "bedrock-conversation-2024"}', "messages must hold"),
        (b'"' + b"x" * 17_000 + b'"', "longer than 16384 bytes"),
        (b"[" * 9_000, "not a JSON object"),
    ],
)
def test_a_line_that_is_no_record_is_a_problem_with_its_number(line: bytes, reason: str) -> None:
    (problem,) = read_records(b"\n" + line)
    assert isinstance(problem, Problem)
    assert problem.line == 2
    assert reason in problem.reason


def test_distillation_drops_invalid_lines_but_needs_a_hundred(record) -> None:
    valid = [record(f"query {number}", None) for number in range(100)]
    assert len(training_records(lines(valid) + b"\nnonsense", "DISTILLATION")) == 100
    with pytest.raises(DatasetError, match=r"99 valid records; DISTILLATION takes 100 to 15000\. Line 100: "):
        training_records(lines(valid[:99]) + b"\nnonsense", "DISTILLATION")


def test_distillation_takes_at_most_fifteen_thousand(record) -> None:
    with pytest.raises(DatasetError, match="15001 valid records"):
        training_records(lines([record("q", None)] * 15_001), "DISTILLATION")


def test_fine_tuning_takes_eight_labelled_records(record) -> None:
    assert len(training_records(lines([record("q", "a")] * 8), "FINE_TUNING")) == 8
    with pytest.raises(DatasetError, match="7 valid records"):
        training_records(lines([record("q", "a")] * 7), "FINE_TUNING")
    with pytest.raises(DatasetError, match=r"Record 3 .* no assistant message"):
        training_records(lines([record("q", "a")] * 2 + [record("q", None)] * 8), "FINE_TUNING")
    with pytest.raises(DatasetError, match=r"Record 9 .* reserved word \[EOS\]"):
        training_records(lines([record("q", "a")] * 8 + [record("q [EOS]", "a")]), "FINE_TUNING")
    with pytest.raises(DatasetError, match="Line 9 "):
        training_records(lines([record("q", "a")] * 8) + b"\nnonsense", "FINE_TUNING")


def test_fine_tuning_what_stands_for_nova_2_lite_takes_two_hundred(record) -> None:
    assert len(training_records(lines([record("q", "a")] * 200), "FINE_TUNING", "local.student-2")) == 200
    with pytest.raises(DatasetError, match="199 valid records; FINE_TUNING takes 200 to 20000"):
        training_records(lines([record("q", "a")] * 199), "FINE_TUNING", "local.student-2")


@pytest.mark.parametrize("query", ["the user: a clip", "SYSTEM: on", "about <UNK>", "what thought: said"])
def test_fine_tuning_refuses_reserved_words_in_upper_and_lower_case(record, query: str) -> None:
    with pytest.raises(DatasetError, match="Record 9 of the dataset has the reserved word "):
        training_records(lines([record("q", "a")] * 8 + [record(query, "a")]), "FINE_TUNING")


def test_pairs_come_from_records_and_from_pairs(record) -> None:
    given = [record("q", "a", prompt="p"), record("unlabelled", None), ("q2", "a2")]
    assert pairs_of(given) == [("p", "q", "a"), ("", "q2", "a2")]
