"""The fast way to read a line of a dataset: it accepts what is certainly a record and says nothing of the rest.

msgspec decodes a line into the types that the format and the task allow, in C. Whatever it does not take goes the
careful way of `records`, which finds the words for what is wrong; both agree on every line (a property of the tests).
"""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from signalbox.answer import REASONING, SUM_TOLERANCE, Answer
from signalbox.query import MAX_QUERY_CHARACTERS
from signalbox.task import Task, Weights


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: Annotated[str, Meta(min_length=1)]
    type: Literal["text"] | UnsetType = UNSET


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: Annotated[list[_Content], Meta(min_length=1, max_length=1)]


class _Conversation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    schemaVersion: Literal["bedrock-conversation-2024"]  # noqa: N815 (the format's own key)
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=2)]
    system: Annotated[list[_Content], Meta(max_length=1)] | UnsetType = UNSET


class LineReader:
    """Reads the lines of a task's datasets.

    Parameters
    ----------
    task : Task
        Gives the prompt and what an answer looks like.
    """

    def __init__(self, task: Task) -> None:
        self._prompt = task.prompt
        self._conversation = msgspec.json.Decoder(_Conversation)
        self._weights = _WeightsReader(task.output) if isinstance(task.output, Weights) else None
        self._answers = {} if self._weights else {label: Answer(label=label) for label in task.output.labels}

    def read(self, line: bytes) -> tuple[str, str | None, Answer | None] | None:
        """Return the query, the assistant's text and the answer, or None if the careful way must decide.

        Without the checks of what the query becomes when it is normalised, and of how long the line is.
        """
        try:
            conversation = self._conversation.decode(line)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as are those of UTF-8
            return None
        if _quotes(line) != _quotes_of(conversation):
            return None
        if conversation.system and conversation.system[0].text != self._prompt:
            return None
        user, *reply = conversation.messages
        query = user.content[0].text
        if user.role != "user" or len(query) > MAX_QUERY_CHARACTERS:
            return None
        if not reply:
            return query, None, None
        text = reply[0].content[0].text
        answer = self._weights.read(text) if self._weights else self._answers.get(text.strip())
        return None if answer is None or reply[0].role != "assistant" else (query, text, answer)


class _WeightsReader:
    def __init__(self, output: Weights) -> None:
        weight = Annotated[float, Meta(ge=0, le=1)]
        # A signal need not be a Python name (a-b, class), so the fields are numbered and renamed.
        fields = {f"signal_{place}": signal for place, signal in enumerate(output.signals)}
        self._signals = output.signals
        self._decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "Weights",
                [*((field, weight) for field in fields), ("reasoning", str | UnsetType, UNSET)],
                rename=fields | {"reasoning": REASONING},
                forbid_unknown_fields=True,
                gc=False,
            )
        )

    def read(self, text: str) -> Answer | None:
        # CPython keeps the UTF-8 that msgspec asks of a text that is not ASCII for as long as the text lives.
        encoded = text.encode()
        try:
            *weights, reasoning = msgspec.structs.astuple(self._decoder.decode(encoded))
        except (ValueError, RecursionError):
            return None
        said = reasoning is not UNSET
        if _quotes(encoded) != 2 * len(weights) + 4 * said:
            return None
        total = math.fsum(weights)
        if abs(total - 1) > SUM_TOLERANCE + 1e-9:
            return None
        shares = {signal: weight / total for signal, weight in zip(self._signals, weights, strict=True)}
        return Answer(weights=shares, reasoning=reasoning if said else "")


def _quotes(text: bytes) -> int:
    """Count the quotation marks that are not escaped: two a string.

    More of them than the decoded object needs means that a key stands twice, of which msgspec takes the last.
    """
    if b"\\\\" in text:
        text = text.replace(b"\\\\", b"")
    return text.count(b'"') - text.count(b'\\"')


def _quotes_of(conversation: _Conversation) -> int:
    """Count the quotation marks that a conversation takes: keys and texts, each thing once."""
    contents = [message.content[0] for message in conversation.messages]
    count = 6 + 10 * len(
        contents
    )  # "schemaVersion": "...", "messages"; "role": "...", "content", "text": "..."
    if conversation.system is not UNSET:
        count += 2 + 4 * len(conversation.system)
        contents += conversation.system
    return count + 4 * sum(content.type is not UNSET for content in contents)
