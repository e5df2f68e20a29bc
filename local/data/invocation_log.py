"""Entries of Bedrock's model invocation logs: who was asked what, and what was answered.

The entry: Bedrock User Guide, "Monitor model invocation using CloudWatch Logs and Amazon S3", "Log entry format"; the
same for both destinations. In S3 they are lines of gzip files. From CloudWatch Logs they come as an export task writes
them, with a time before each (CloudWatch Logs User Guide, "Export log data to Amazon S3"), or in the envelopes of a
subscription ("Real-time processing of log data with subscriptions").

The bodies are those of the operation: Converse's, or what InvokeModel takes for each family of models (User Guide,
"Inference request parameters and response fields for foundation models"). Not documented, but seen in logs that others
have published: `inputBodyS3Path` and `outputBodyS3Path` for bodies in objects of their own, and a list of events as
the body of a streamed answer.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

SCHEMA = "ModelInvocationLog"
_TIME_BEFORE = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+Z?\s+(?=\{)")
_TEMPLATES = (
    re.compile(r"<\|start_header_id\|>user<\|end_header_id\|>\s*(.*?)\s*<\|eot_id\|>", re.DOTALL),
    re.compile(r"\[INST\]\s*(.*?)\s*\[/INST\]", re.DOTALL),
    re.compile(r"\n\nHuman:\s*(.*?)\s*(?=\n\nAssistant:)", re.DOTALL),
)
"""How Llama, Mistral and the older Claude models have a prompt written."""


class NotAnEntry(ValueError):
    """A line is no entry of an invocation log; the message says why and quotes nothing."""


class Skipped(Exception):
    """An entry has nothing that could become a record; the message says why and quotes nothing."""


class _Input(msgspec.Struct):
    body: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="inputBodyJson")
    path: str | None = msgspec.field(default=None, name="inputBodyS3Path")


class _Output(msgspec.Struct):
    body: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="outputBodyJson")
    path: str | None = msgspec.field(default=None, name="outputBodyS3Path")


class Entry(msgspec.Struct):
    """One call of a model, its bodies not yet taken apart."""

    kind: str = msgspec.field(name="schemaType")
    timestamp: str = ""
    model: str = msgspec.field(default="", name="modelId")
    metadata: dict[str, str] | None = msgspec.field(default=None, name="requestMetadata")
    error: str | None = msgspec.field(default=None, name="errorCode")
    asked: _Input | None = msgspec.field(default=None, name="input")
    answered: _Output | None = msgspec.field(default=None, name="output")

    @property
    def at(self) -> datetime | None:
        """When the call was made; None if the entry does not say it in ISO 8601."""
        try:
            moment = datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _LogEvent(msgspec.Struct):
    message: str


class _Envelope(msgspec.Struct):
    kind: str = msgspec.field(name="messageType")
    events: list[_LogEvent] = msgspec.field(default=[], name="logEvents")


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, and what was answered; None where the log has no usable text of it."""

    prompt: str
    answer: str | None


_entry = msgspec.json.Decoder(Entry)
_envelope = msgspec.json.Decoder(_Envelope)


def entries(line: bytes) -> Iterator[Entry | NotAnEntry]:
    """Read a line: one entry as a rule, several in a subscription's envelope, none in its control messages."""
    line = line.strip()
    if before := _TIME_BEFORE.match(line):
        line = line[before.end() :]
    if b'"messageType"' in line and (envelope := _read_envelope(line)):
        messages = envelope.events if envelope.kind == "DATA_MESSAGE" else []
        yield from (_read(event.message.encode(errors="replace")) for event in messages)
    else:
        yield _read(line)


def _read_envelope(line: bytes) -> _Envelope | None:
    try:
        return _envelope.decode(line)
    except (ValueError, RecursionError):
        return None


def _read(text: bytes) -> Entry | NotAnEntry:
    try:
        entry = _entry.decode(text)
    except msgspec.ValidationError:
        return NotAnEntry("no entry of a model invocation log")
    except (ValueError, RecursionError):
        return NotAnEntry("not JSON")
    return entry if entry.kind == SCHEMA else NotAnEntry("no entry of a model invocation log")


def call_of(entry: Entry, body: Callable[[str], bytes], with_answer: bool) -> Call:
    """Take an entry's bodies apart.

    Parameters
    ----------
    body : Callable
        Returns a body that lies in an object of its own.

    Raises
    ------
    Skipped
        The call failed, or was not one question in one text.
    """
    if entry.error:
        raise Skipped("the call failed")
    prompt, begun = _question(_body(entry.asked, body))
    if not with_answer:
        return Call(prompt, None)
    try:
        said = _said(_body(entry.answered, body))
    except Skipped:
        return Call(prompt, None)
    return Call(prompt, begun + said)


def _body(part: _Input | _Output | None, body: Callable[[str], bytes]) -> Any:
    if part is None:
        raise Skipped("the log has no body of the call")
    content = bytes(part.body)
    if content == b"null" and part.path:
        content = body(part.path)
    try:
        decoded = msgspec.json.decode(content)
        return msgspec.json.decode(decoded) if isinstance(decoded, str) else decoded
    except (ValueError, RecursionError) as error:
        raise Skipped("the body of the call is not JSON") from error


def _question(body: Any) -> tuple[str, str]:
    """Return what a request asks, and the beginning of the answer if the request gives one."""
    match body:
        case {"messages": [*messages]}:
            return _conversation([m for m in messages if _role(m) not in ("system", "developer")])
        case {"prompt": str(prompt)}:
            return _without_template(prompt), ""
        case {"inputText": str(prompt)} | {"input": str(prompt)}:
            return prompt, ""
        case {"message": str(prompt)} if not body.get("chat_history"):
            return prompt, ""
    raise Skipped("the log has no body of the call" if body is None else "not one question in one text")


def _conversation(messages: list[Any]) -> tuple[str, str]:
    """Take one question apart, after which the caller may have begun the answer."""
    match [_role(message) for message in messages]:
        case ["user"]:
            return _one_text(messages[0].get("content")), ""
        case ["user", "assistant"]:
            return _one_text(messages[0].get("content")), _one_text(messages[1].get("content"))
    raise Skipped("not one question in one text")


def _role(message: Any) -> str:
    return str(message.get("role")) if isinstance(message, dict) else ""


def _without_template(prompt: str) -> str:
    for template in _TEMPLATES:
        if found := template.findall(prompt):
            if len(found) > 1:
                raise Skipped("not one question in one text")
            return found[0]
    return prompt


def _one_text(content: Any) -> str:
    """Return the only text of a message; what a model thought before it, and marks of a cache, are none."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [
        block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)
    ]
    others = [block for block in blocks if not (isinstance(block, dict) and _is_silent(block))]
    if len(texts) != 1 or others:
        raise Skipped("not one question in one text")
    return texts[0]


def _is_silent(block: dict[str, Any]) -> bool:
    kinds = {"text", "reasoningContent", "cachePoint", "thinking", "redacted_thinking"}
    return bool(kinds & block.keys()) or block.get("type") in kinds


def _said(body: Any) -> str:
    """Return the text that a model answered."""
    match body:
        case list():
            return "".join(_delta(event) for event in body)
        case {"output": {"message": {"content": content}}} | {"content": content}:
            return _one_text(content)
        case {"choices": [{"message": {"content": str(text)}}, *_]} | {"choices": [{"text": str(text)}, *_]}:
            return text
        case (
            {"results": [{"outputText": str(text)}, *_]}
            | {"outputs": [{"text": str(text)}, *_]}
            | {"generations": [{"text": str(text)}, *_]}
        ):
            return text
        case (
            {"generation": str(text)}
            | {"completion": str(text)}
            | {"outputText": str(text)}
            | {"text": str(text)}
        ):
            return text
    raise Skipped("the log has no text that was answered")


def _delta(event: Any) -> str:
    """Return the piece of text in one event of a streamed answer."""
    match event:
        case {"contentBlockDelta": {"delta": {"text": str(text)}}}:
            return text
        case {"type": "content_block_delta", "delta": {"text": str(text)}}:
            return text
        case {"choices": [{"delta": {"content": str(text)}}, *_]}:
            return text
        case {"outputs": [{"text": str(text)}, *_]}:
            return text
        case {"generation": str(text)} | {"completion": str(text)} | {"outputText": str(text)}:
            return text
        case {"event_type": "text-generation", "text": str(text)}:
            return text
    return ""
