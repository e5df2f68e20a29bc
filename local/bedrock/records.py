"""Training records: `bedrock-conversation-2024` lines, and the limits that Bedrock documents for them.

Limits: distillation 100 to 15,000 prompts and 16 KB a line (docs.aws.amazon.com/general/latest/gr/bedrock.html);
fine-tuning 8 to 20,000 labelled records without reserved words (Amazon Nova user guide, "Fine-tuning Amazon Nova
models" and "Preparing data for fine-tuning understanding models"); of Nova 2 Lite 200 to 20,000, and reserved words in
upper and lower case (aws-samples/amazon-bedrock-samples, nova_ft_dataset_validator.py). AWS's own validator for
distillation drops invalid records (same repository, custom-models/dataset-validation); fine-tuning refuses them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local.bedrock.catalogue import STUDENT, STUDENT_2
from local.bedrock.errors import DatasetError

SCHEMA_VERSION = "bedrock-conversation-2024"
LONGEST_LINE = 16 * 1024
RECORD_LIMITS = {
    ("DISTILLATION", STUDENT): (100, 15_000),
    ("FINE_TUNING", STUDENT): (8, 20_000),
    ("FINE_TUNING", STUDENT_2): (200, 20_000),
}
RESERVED_WORDS = (
    *("User:", "Bot:", "Assistant:", "System:", "Thought:"),
    *("<image>", "<video>", "<unk>", "[EOS]"),
)


@dataclass(frozen=True)
class TrainingRecord:
    """One line: the system prompt (may be empty), the query, and the answer if the record is labelled."""

    prompt: str
    query: str
    answer: str | None


@dataclass(frozen=True)
class Problem:
    """Why a line is not a record."""

    line: int
    reason: str


def read_records(body: bytes) -> Iterator[TrainingRecord | Problem]:
    """Yield a record or a problem for every line that is not blank."""
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield _record(line)
        except _NotARecordError as problem:
            yield Problem(number, str(problem))


class _NotARecordError(Exception):
    pass


def _record(line: bytes) -> TrainingRecord:
    if len(line) > LONGEST_LINE:
        raise _NotARecordError(f"the line is longer than {LONGEST_LINE} bytes")
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _NotARecordError("the line is not a JSON object in UTF-8") from error
    record = _object(record, "the record", {"schemaVersion", "system", "messages"})
    if record.get("schemaVersion") != SCHEMA_VERSION:
        raise _NotARecordError(f"schemaVersion must be {SCHEMA_VERSION}")
    prompt = ""
    if record.get("system") is not None:
        prompt = _only_text(record["system"], "system")
    messages = record.get("messages")
    if not isinstance(messages, list) or len(messages) not in (1, 2):
        raise _NotARecordError("messages must hold a user message and at most one assistant message")
    texts = []
    for role, message in zip(("user", "assistant"), messages, strict=False):
        message = _object(message, f"the {role} message", {"role", "content"})
        if message.get("role") != role:
            raise _NotARecordError(f"messages must start with user and alternate; expected {role}")
        texts.append(_only_text(message.get("content"), f"the {role} message"))
    return TrainingRecord(prompt, texts[0], texts[1] if len(texts) == 2 else None)


def _object(value: Any, what: str, members: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _NotARecordError(f"{what} must be an object")
    unknown = sorted(set(value) - members)
    if unknown:
        raise _NotARecordError(f"{what} has unknown members: {', '.join(unknown)}")
    return value


def _only_text(value: Any, what: str) -> str:
    if not isinstance(value, list) or len(value) != 1:
        raise _NotARecordError(f"{what} must hold exactly one text")
    text = _object(value[0], what, {"text", "type"}).get("text")
    if not isinstance(text, str) or not text.strip():
        raise _NotARecordError(f"{what} must hold a text that is not blank")
    return text


def training_records(body: bytes, customization_type: str, student: str = STUDENT) -> list[TrainingRecord]:
    """Return the records of a training dataset.

    Raises
    ------
    DatasetError
        Too few or too many records; for fine-tuning also any line that is no labelled record or has a
        reserved word.
    """
    records, problems = [], []
    for item in read_records(body):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            records.append(item)
    if customization_type == "FINE_TUNING":
        if problems:
            raise DatasetError(f"Line {problems[0].line} of the dataset is invalid: {problems[0].reason}.")
        refuse_for_fine_tuning(records, "the dataset")
    minimum, maximum = RECORD_LIMITS[customization_type, student]
    if not minimum <= len(records) <= maximum:
        examples = "".join(f" Line {problem.line}: {problem.reason}." for problem in problems[:3])
        raise DatasetError(
            f"The training dataset has {len(records)} valid records; {customization_type} takes {minimum} to "
            f"{maximum}.{examples}"
        )
    return records


def refuse_too_many(customization_type: str, student: str, together: int) -> None:
    """Refuse more records than a job takes to train on and to validate with together.

    Raises
    ------
    DatasetError
    """
    _, maximum = RECORD_LIMITS[customization_type, student]
    if together > maximum:
        raise DatasetError(
            f"The training and validation datasets have {together} records together; {customization_type} takes at "
            f"most {maximum}."
        )


def refuse_for_fine_tuning(records: Iterable[TrainingRecord], source: str) -> None:
    """Refuse records without an answer, and reserved words anywhere in them.

    Raises
    ------
    DatasetError
    """
    for number, record in enumerate(records, 1):
        if record.answer is None:
            raise DatasetError(
                f"Record {number} of {source} has no assistant message; fine-tuning needs one."
            )
        text = f"{record.prompt} {record.query} {record.answer}"
        if reserved := reserved_word(text):
            raise DatasetError(f"Record {number} of {source} has the reserved word {reserved}.")


def reserved_word(text: str) -> str:
    """Return the reserved word that a text has, in upper or lower case, or "" if it has none."""
    lowered = text.lower()
    return next((word for word in RESERVED_WORDS if word.lower() in lowered), "")


def pairs_of(records: Iterable[dict[str, Any] | tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return (system prompt, query, answer) of every labelled record.

    Parameters
    ----------
    records
        `bedrock-conversation-2024` objects, or pairs of query and answer (whose system prompt is empty).
    """
    pairs = []
    for record in records:
        if isinstance(record, tuple):
            pairs.append(("", *record))
            continue
        texts = {message["role"]: message["content"][0]["text"] for message in record["messages"]}
        if "assistant" in texts:
            system = record.get("system") or [{"text": ""}]
            pairs.append((system[0]["text"], texts["user"], texts["assistant"]))
    return pairs
