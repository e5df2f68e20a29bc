"""Records in the bedrock-conversation-2024 format, read line by line, and what is wrong with the others."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalbox.answer import Answer, AnswerError, parse_answer, quotation
from signalbox.customization import RESERVED_WORDS_SOURCE, Limits
from signalbox.fast_line import LineReader
from signalbox.personal_data import mask_excerpt
from signalbox.query import MAX_QUERY_CHARACTERS, normalise
from signalbox.task import Task

SCHEMA_VERSION = "bedrock-conversation-2024"
MAX_LINE_BYTES = 16 * 1024
"""Bedrock's quota for a line of distillation input (general reference, Amazon Bedrock quotas)."""

MAX_TEXT = 300
"""The longest field or reason of a problem: five of them go into an event and a mail."""

QUERY_FIELD = "messages[0].content[0].text"
ANSWER_FIELD = "messages[1].content[0].text"


@dataclass(frozen=True, slots=True)
class Record:
    """One usable line: a query and, unless it is a prompt only, the teacher's answer.

    Attributes
    ----------
    line : int
        Counted from 1.
    query : str
        As written.
    key : str
        The normalised query; records of one key ask the same thing.
    answer : Answer | None
        None for a prompt-only record.
    answer_text : str | None
        The assistant's text to the letter, which is what a model is trained on.
    """

    line: int
    query: str
    key: str
    answer: Answer | None
    answer_text: str | None

    def to_json(self, prompt: str) -> bytes:
        """Write the record as one line, with the task's prompt whether or not the original had one."""
        messages = [{"role": "user", "content": [{"text": self.query}]}]
        if self.answer_text is not None:
            messages.append({"role": "assistant", "content": [{"text": self.answer_text}]})
        body = {"schemaVersion": SCHEMA_VERSION, "system": [{"text": prompt}], "messages": messages}
        return json.dumps(body, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line cannot be used: the line (counted from 1), the field in it ("" if all of it) and the reason."""

    line: int
    field: str
    reason: str

    def __post_init__(self) -> None:
        # The name of an unknown key, say, may be as long as the line, and an answer that is none may be a letter.
        object.__setattr__(self, "field", shortened(mask_excerpt(self.field[:MAX_LINE_BYTES])))
        object.__setattr__(self, "reason", shortened(mask_excerpt(self.reason[:MAX_LINE_BYTES])))


@dataclass(frozen=True, slots=True)
class OtherPrompt(Problem):
    """The system text is not the task's prompt; `prompt` tells one such text from another (SHA-256, 12 hex digits)."""

    prompt: str


def shortened(text: str) -> str:
    """Return a text of at most 300 characters, with an ellipsis where it was cut."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Content(_Strict):
    text: Annotated[str, Field(min_length=1)]
    type: Literal["text"] = "text"


class _Message(_Strict):
    role: Literal["user", "assistant"]
    content: Annotated[list[_Content], Field(min_length=1, max_length=1)]


class _Conversation(_Strict):
    schemaVersion: Literal["bedrock-conversation-2024"]  # noqa: N815 (the format's own key)
    system: Annotated[list[_Content], Field(max_length=1)] = []
    messages: Annotated[list[_Message], Field(min_length=1, max_length=2)]


_KEYS = frozenset({*_Conversation.model_fields, *_Message.model_fields, *_Content.model_fields})


def read_records(chunks: Iterable[bytes], task: Task) -> Iterator[Record | Problem]:
    """Read a dataset of a task line by line, in memory bounded by one chunk and one line.

    Parameters
    ----------
    chunks : Iterable[bytes]
        The file in pieces of any size.
    task : Task
        Gives the prompt that a system text must equal, and what an answer looks like.

    Yields
    ------
    Record | Problem
        One for each line, in order. A line feed at the end of the file starts no further line.
    """
    reader = RecordReader(task)
    for number, line in enumerate(lines_of(chunks), start=1):
        yield reader.read(number, line)


class RecordReader:
    """Reads the lines of a task's datasets one by one.

    Quickly what is certainly a record; the rest is for `_read`, which is slower and has words for what is wrong.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._read = LineReader(task).read
        self._room = MAX_LINE_BYTES - len(Record(0, "", "", None, "").to_json(task.prompt))

    def read(self, number: int, line: bytes) -> Record | Problem:
        """Read one line, without its line feed, as `read_records` does."""
        return self._quickly(number, line) or _read(number, line, self._task)

    def _quickly(self, number: int, line: bytes) -> Record | None:
        if len(line) > MAX_LINE_BYTES or (found := self._read(line)) is None:
            return None
        query, answer_text, answer = found
        # No character takes more bytes than a control character: \\u001f.
        if 6 * (len(query) + len(answer_text or "")) > self._room or not (key := normalise(query)):
            return None
        return Record(number, query, key, answer, answer_text)


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split at line feeds; of an overlong line, yield only so much that it is recognised as such."""
    pending = b""
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield pending + line
            pending = b""
        pending = (pending + rest)[: MAX_LINE_BYTES + 1]
    if pending:
        yield pending


def _read(number: int, line: bytes, task: Task) -> Record | Problem:
    if len(line) > MAX_LINE_BYTES:
        return Problem(
            number, "", f"the line is longer than {MAX_LINE_BYTES:,} bytes, the most that Bedrock takes"
        )
    if not line.strip():
        return Problem(number, "", "the line is empty")
    if line.startswith(b"\xef\xbb\xbf"):
        return Problem(number, "", "the file starts with a byte order mark; save it as UTF-8 without one")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return Problem(
            number, "", f"not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
        )
    try:
        conversation = _Conversation.model_validate_json(line)
    except ValidationError as error:
        fault: Any = error.errors(include_url=False)[0]
        return Problem(number, _field(fault["loc"]), _reason(fault))
    if repeated := _repeated_key(line):
        return Problem(number, repeated, "this key stands twice in one object, so the record says two things")
    return _interpret(number, conversation, task)


def _repeated_key(line: bytes) -> str:
    """Return a key that an object of the line has twice, or ""; pydantic takes the last one and says nothing."""
    repeated: list[str] = []

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated.extend(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    json.loads(line, object_pairs_hook=count)
    return _named(repeated[0]) if repeated else ""


def _interpret(number: int, conversation: _Conversation, task: Task) -> Record | Problem:
    if conversation.system and conversation.system[0].text != task.prompt:
        return OtherPrompt(
            number,
            "system[0].text",
            f"differs from the prompt of task {task.name}, which it must equal",
            hashlib.sha256(conversation.system[0].text.encode(errors="replace")).hexdigest()[:12],
        )
    user, *reply = conversation.messages
    if user.role != "user":
        return Problem(
            number, "messages[0].role", "must be user: a record is one question and at most one answer"
        )
    query = user.content[0].text
    if not normalise(query):
        return Problem(number, QUERY_FIELD, "the query is empty")
    if len(query) > MAX_QUERY_CHARACTERS:
        return Problem(
            number,
            QUERY_FIELD,
            f"the query has {len(query):,} characters; the API takes at most {MAX_QUERY_CHARACTERS}",
        )
    if not reply:
        return _writable(Record(number, query, normalise(query), None, None), task)
    if reply[0].role != "assistant":
        return Problem(
            number, "messages[1].role", "must be assistant: a record is one question and one answer"
        )
    answer_text = reply[0].content[0].text
    try:
        answer = parse_answer(answer_text, task.output)
    except AnswerError as error:
        return Problem(number, ANSWER_FIELD + (f": {error.field}" if error.field else ""), error.reason)
    return _writable(Record(number, query, normalise(query), answer, answer_text), task)


def refused_word(record: Record, limits: Limits) -> Problem | None:
    """Say which reserved word a record has, if it has one, on which the customization job would fail."""
    texts = {QUERY_FIELD: record.query}
    if limits.answers_are_text:
        texts[ANSWER_FIELD] = record.answer_text or ""
    for field, text in texts.items():
        if word := limits.reserved_word(text):
            reason = (
                f"has the reserved word {word}, on which the job would fail: AWS refuses it anywhere in a text, in "
                f"upper and lower case ({RESERVED_WORDS_SOURCE})"
            )
            return Problem(record.line, field, reason)
    return None


def _writable(record: Record, task: Task) -> Record | Problem:
    """Return a record that Bedrock takes as the run writes it: with the task's prompt."""
    length = len(record.to_json(task.prompt).rstrip(b"\n"))
    if length > MAX_LINE_BYTES:
        return Problem(
            record.line,
            "",
            f"with the prompt of task {task.name} the line has {length:,} bytes; Bedrock takes {MAX_LINE_BYTES:,}",
        )
    return record


def _field(location: tuple[str | int, ...]) -> str:
    """Write pydantic's location as a path into the record: messages[0].content[0].text.

    A key that is not the format's is quoted, as all that is the record's own.
    """
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{_named(part)}" if path else _named(part)
    return path


def _named(key: str) -> str:
    return (
        key if key in _KEYS else quotation(key, MAX_LINE_BYTES)
    )  # personal data in it are masked whole, or not


def _reason(fault: Any) -> str:
    """Say what pydantic found in words that tell what to change."""
    context = fault.get("ctx", {})
    match fault["type"]:
        case "json_invalid":
            return f"not JSON: {context['error'].replace(' at line 1 column', ' at column')}"
        case "extra_forbidden":
            return "unknown key; Bedrock refuses a record with any key that the format does not have"
        case "missing":
            return "is missing"
        case "literal_error":
            return f"must be {context['expected']}, not {quotation(fault['input'])}"
        case "too_long":
            return f"has {context['actual_length']} entries; at most {context['max_length']} can be used"
        case "too_short" | "string_too_short":
            return "is empty"
        case "model_type":
            return "must be a JSON object"
        case _:
            return fault["msg"]
