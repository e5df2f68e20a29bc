"""An answer to a query: parsing what a model said, strictly, and writing what the router says."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pydantic is no part of an answer: whoever only makes answers starts without it
    from signalbox.task import Labels, Weights

SUM_TOLERANCE = 0.01
REASONING = "reasoning"
_DECIMALS = 4
_QUOTATION = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|$)', re.DOTALL)
"""A text in double quotes as JSON writes it, or the beginning of one that was cut."""


class AnswerError(ValueError):
    """What a model or a record says is not an answer to the task.

    Attributes
    ----------
    field : str
        The offending key of the answer, or "" when the answer as a whole is unusable.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """Weights by signal (each in [0, 1], sum 1), or a label with a confidence in [0, 1]; and why."""

    weights: dict[str, float] | None = None
    label: str | None = None
    confidence: float | None = None
    reasoning: str = ""

    def dominant(self) -> tuple[str, ...]:
        """Return the signals of the greatest weight (several if they tie), or the label."""
        if self.weights is None:
            return (self.label,) if self.label is not None else ()
        top = max(self.weights.values())
        return tuple(
            signal for signal, weight in self.weights.items() if math.isclose(weight, top, abs_tol=1e-6)
        )

    def text(self) -> str:
        """Write the answer as a model is expected to write it."""
        if self.weights is None:
            return self.label or ""
        body: dict[str, Any] = serialisable_weights(self.weights)
        return json.dumps(body | ({REASONING: self.reasoning} if self.reasoning else {}), ensure_ascii=False)


def parse_answer(text: str, output: "Weights | Labels") -> Answer:
    """Read a model's answer, accepting nothing but the answer.

    Parameters
    ----------
    text : str
        A JSON object with one number a signal and, if the model likes, a `reasoning` text; or one label.
    output : Weights | Labels
        What the task asks for.

    Raises
    ------
    AnswerError
        Text around the JSON, a missing or unknown signal, a weight that is no finite number in [0, 1],
        weights that miss a sum of 1 by more than 0.01, an unknown label.
    """
    if hasattr(output, "labels"):
        return _parse_label(text, output)
    return _parse_weights(text, output)


def _parse_label(text: str, output: "Labels") -> Answer:
    label = text.strip()
    if label not in output.labels:
        raise AnswerError("", f"{quotation(label)} is not one of the task's {len(output.labels)} labels")
    return Answer(label=label)


def _parse_weights(text: str, output: "Weights") -> Answer:
    try:
        body = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except AnswerError:
        raise
    except (ValueError, RecursionError) as error:
        raise AnswerError("", f"not a JSON object and nothing else: {quotation(text)}") from error
    if not isinstance(body, dict):
        raise AnswerError("", f"a JSON object is expected, this is {quotation(text)}")
    reasoning = body.pop(REASONING, "")
    if not isinstance(reasoning, str) or not _is_unicode(reasoning):
        raise AnswerError(REASONING, "must be a text")
    for signal in output.signals:
        if signal not in body:
            raise AnswerError(signal, "this signal has no weight")
    for key, value in body.items():
        if key not in output.signals:
            raise AnswerError(quotation(key), f"unknown signal; the task has {', '.join(output.signals)}")
        # A bool is an int to Python, and an integer of 400 digits would overflow a float.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise AnswerError(key, f"must be a number from 0 to 1, not {quotation(value)}")
    total = math.fsum(body.values())
    if abs(total - 1) > SUM_TOLERANCE + 1e-9:
        raise AnswerError("", f"the weights sum to {total:.4g}, not to 1 within {SUM_TOLERANCE}")
    return Answer(weights={signal: body[signal] / total for signal in output.signals}, reasoning=reasoning)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        raise AnswerError("", "a key stands twice in the JSON object")
    return body


def _refuse_constant(name: str) -> float:
    raise AnswerError("", f"{name} is not a number that JSON knows")


def _is_unicode(text: str) -> bool:
    # JSON's escapes can write half of a surrogate pair, which no UTF-8 can hold: it could not be stored or sent on.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def quotation(value: Any, length: int = 60) -> str:
    """Return a value of a record as a reason quotes it: JSON, a text in double quotes, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return text if len(text) <= length else text[:length] + "…"


def without_quotations(reason: str) -> str:
    """Return a reason without what it quotes, to go where no record may: into an event, hence a mail."""
    return _QUOTATION.sub('"…"', reason)


def serialisable_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Round weights to four decimals so that, as serialised, they sum to exactly 1 (largest remainder).

    Parameters
    ----------
    weights : Mapping[str, float]
        Finite, not negative, with a positive sum.
    """
    units = 10**_DECIMALS
    total = math.fsum(weights.values())
    exact = {signal: weight / total * units for signal, weight in weights.items()}
    floors = {signal: math.floor(share) for signal, share in exact.items()}
    missing = units - sum(floors.values())
    by_remainder = sorted(exact, key=lambda signal: floors[signal] - exact[signal])
    for signal in by_remainder[:missing]:
        floors[signal] += 1
    return {signal: count / units for signal, count in floors.items()}
