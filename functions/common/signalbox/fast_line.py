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

_QUOTE_BY_NUMBER = b"\\u0022"


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
        if conversation.system and conversation.system[0].text != self._prompt:
            return None
        user, *reply = conversation.messages
        query, text = user.content[0].text, reply[0].content[0].text if reply else ""
        if user.role != "user" or len(query) > MAX_QUERY_CHARACTERS:
            return None
        quotes = text.count('"')
        said = quotes + query.count('"') + (self._prompt.count('"') if conversation.system else 0)
        if _repeats_a_key(line, _quotes_of(conversation) + said):
            return None
        if not reply:
            return query, None, None
        answer = self._weights.read(text, quotes) if self._weights else self._answers.get(text.strip())
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

    def read(self, text: str, quotes: int) -> Answer | None:
        """Return the answer in a text with so many quotation marks, or None."""
        # CPython keeps the UTF-8 that msgspec asks of a text that is not ASCII for as long as the text lives.
        encoded = text.encode()
        try:
            *weights, reasoning = msgspec.structs.astuple(self._decoder.decode(encoded))
        except (ValueError, RecursionError):
            return None
        said = "" if reasoning is UNSET else reasoning
        needed = 2 * len(weights) + (0 if reasoning is UNSET else 4 + said.count('"'))
        if quotes != needed or _QUOTE_BY_NUMBER in encoded:
            return None
        total = math.fsum(weights)
        if abs(total - 1) > SUM_TOLERANCE + 1e-9:
            return None
        if total != 1:
            weights = [weight / total for weight in weights]
        return Answer(weights=dict(zip(self._signals, weights, strict=True)), reasoning=said)


def _repeats_a_key(line: bytes, quotes: int) -> bool:
    """Tell whether a line has more quotation marks than its keys and texts need, each thing standing once.

    Then a key stands twice, of which msgspec takes the last. A mark may also be written by its number; whether such
    a line repeats a key is for the careful way.
    """
    return line.count(b'"') != quotes or _QUOTE_BY_NUMBER in line


def _quotes_of(conversation: _Conversation) -> int:
    """Count the quotation marks around a conversation's keys and texts, each thing standing once."""
    count = 6  # "schemaVersion": "...", "messages"
    if conversation.system is not UNSET:
        count += 2
        for content in conversation.system:
            count += 4 if content.type is UNSET else 8  # "text": "...", "type": "text"
    for message in conversation.messages:
        count += 10 if message.content[0].type is UNSET else 14  # and "role": "...", "content"
    return count
