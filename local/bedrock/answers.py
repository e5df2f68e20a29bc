"""The textual form of a task's answers, found out from examples: a JSON object of numbers, or a label.

Nothing here knows a task: the names of the signals, their order, the field for reasoning, the grid on which
the numbers lie and the total to which they sum are all read off the texts.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from local.bedrock.errors import DatasetError

MAXIMUM_LABELS = 150
SHARE_OF_ONE_FORM = 0.9
_GRID_STEPS = (0.5, 0.25, 0.2, 0.1, 0.05, 0.025, 0.02, 0.01)
_SHARE_ON_GRID = 0.99


@dataclass(frozen=True)
class WeightsForm:
    """Answers such as `{"picture": 0.2, "sound": 0.8, "reasoning": "..."}`.

    `members` are all keys in their order, of which `keys` hold numbers and `text_key`, if any, holds words.
    `total` is what the numbers sum to (None: anything); `step` is the grid on which they lie (None: no grid).
    """

    members: tuple[str, ...]
    keys: tuple[str, ...]
    text_key: str | None
    total: float | None
    step: float | None

    def vector(self, answer: str) -> np.ndarray | None:
        """Return the numbers of an answer in the order of `keys`; None when it is not of this form."""
        numbers = _numbers(answer)
        if numbers is None or set(numbers) != set(self.keys):
            return None
        return np.array([numbers[key] for key in self.keys])

    def settle(self, scores: np.ndarray) -> np.ndarray:
        """Return `scores` as an answer's numbers: not negative, on the grid, summing to the total."""
        values = np.clip(scores, 0.0, None)
        if self.total is not None:
            values = (
                values * (self.total / values.sum())
                if values.sum() > 0
                else values + self.total / len(values)
            )
        step = self.step or 1e-4
        units = values / step
        whole = np.floor(units + 1e-9)
        if self.total is None:
            return np.round(np.round(units) * step, 4)
        missing = round(self.total / step) - int(whole.sum())
        for index in np.argsort(whole - units, kind="stable")[:missing]:
            whole[index] += 1
        return np.round(whole * step, 4)

    def write(self, scores: np.ndarray, reasoning: str) -> str:
        """Return the answer for `scores`."""
        numbers = dict(zip(self.keys, (float(value) for value in self.settle(scores)), strict=True))
        return json.dumps({key: numbers.get(key, reasoning) for key in self.members}, ensure_ascii=False)

    def strongest(self, scores: np.ndarray) -> int:
        """Return the index of the signal with most weight."""
        return int(np.argmax(scores))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs: the signals."""
        return self.keys


@dataclass(frozen=True)
class LabelsForm:
    """Answers that are one of a few texts."""

    labels: tuple[str, ...]

    def vector(self, answer: str) -> np.ndarray | None:
        """Return 1 for the answer's label and 0 for the others; None when it is no known label."""
        label = answer.strip()
        if label not in self.labels:
            return None
        return np.array([float(label == known) for known in self.labels])

    def write(self, scores: np.ndarray, reasoning: str) -> str:
        """Return the label with the highest score."""
        return self.labels[self.strongest(scores)]

    def strongest(self, scores: np.ndarray) -> int:
        """Return the index of the label with the highest score."""
        return int(np.argmax(scores))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs: the labels."""
        return self.labels


Form = WeightsForm | LabelsForm


def learn_form(answers: Sequence[str], prompt: str = "") -> Form:
    """Return the form that most of `answers` have.

    Parameters
    ----------
    answers
        Assistant texts.
    prompt
        The system prompt: when it asks for `reasoning` and no answer shows any, answers carry that field all
        the same.

    Raises
    ------
    DatasetError
        The answers are neither of one JSON form nor of at most 150 labels.
    """
    if not answers:
        raise DatasetError("There is no answer to learn from.")
    parsed = [_numbers(answer) for answer in answers]
    usual = Counter(frozenset(numbers) for numbers in parsed if numbers)
    keys, count = usual.most_common(1)[0] if usual else (frozenset(), 0)
    if count >= SHARE_OF_ONE_FORM * len(answers):
        return _weights_form(answers, parsed, keys, prompt)
    labels = Counter(answer.strip() for answer in answers)
    if len(labels) > MAXIMUM_LABELS or (len(answers) > 20 and len(labels) > len(answers) / 2):
        raise DatasetError(
            "The local student learns answers that are JSON objects with the same numeric keys, or at most "
            f"{MAXIMUM_LABELS} labels; {len(answers)} answers hold {len(labels)} different texts."
        )
    return LabelsForm(tuple(label for label, _ in labels.most_common()))


def _weights_form(
    answers: Sequence[str], parsed: Sequence[dict[str, float] | None], keys: frozenset[str], prompt: str
) -> WeightsForm:
    orders = Counter(
        tuple(json.loads(answer))
        for answer, numbers in zip(answers, parsed, strict=True)
        if numbers and set(numbers) == keys
    )
    # The fullest order is preferred: an answer with reasoning is a complete one, an answer without merely a
    # short one.
    members = max(orders, key=lambda order: (len(order), orders[order]))
    text_keys = [key for key in members if key not in keys][:1]
    members = tuple(key for key in members if key in keys or key in text_keys)
    if not text_keys and re.search(r"\breasoning\b", prompt, re.IGNORECASE):
        text_keys = ["reasoning"]
        members = (*members, "reasoning")
    ordered = tuple(key for key in members if key in keys)
    table = np.array(
        [[numbers[key] for key in ordered] for numbers in parsed if numbers and set(numbers) == keys]
    )
    sums = table.sum(axis=1)
    total = float(np.median(sums))
    fixed = total > 0 and float(np.mean(np.abs(sums - total) <= 0.011)) >= SHARE_OF_ONE_FORM
    total = round(total, 2)
    return WeightsForm(
        members, ordered, text_keys[0] if text_keys else None, total if fixed else None, _grid(table)
    )


def _grid(table: np.ndarray) -> float | None:
    for step in _GRID_STEPS:
        units = table / step
        if float(np.mean(np.abs(units - np.round(units)) < 1e-6)) >= _SHARE_ON_GRID:
            return step
    return None


def _numbers(answer: str) -> dict[str, float] | None:
    """Return the numeric members of a JSON object whose other members are texts; None for anything else."""
    if not answer.lstrip().startswith("{"):
        return None
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    numbers = {key: value for key, value in members.items() if not isinstance(value, str)}
    if len(numbers) < 2 or not all(_is_number(value) for value in numbers.values()):
        return None
    return {key: float(value) for key, value in numbers.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def named_in(prompt: str) -> Form:
    """Return the form that a prompt's own words ask for: used by a model that was shown no example.

    The longest comma-separated list of words in the prompt names the signals (when the prompt asks for JSON)
    or the labels; a prompt without one gets the single label `unknown`.
    """
    lists = re.findall(r"[\w+./-]+(?:,\s*(?:and\s+)?[\w+./-]+)+(?:,?\s+and\s+[\w+./-]+)?", prompt)
    names: list[str] = []
    for found in lists:
        candidate = [name.strip(".") for name in re.split(r",\s*(?:and\s+)?|\s+and\s+", found)]
        names = candidate if len(candidate) > len(names) else names
    names = list(dict.fromkeys(name for name in names if name))
    if len(names) < 2:
        return LabelsForm(tuple(names) or ("unknown",))
    if not re.search(r"\bjson\b", prompt, re.IGNORECASE):
        return LabelsForm(tuple(names))
    reasoning = "reasoning" if re.search(r"\breasoning\b", prompt, re.IGNORECASE) else None
    members = (*names, reasoning) if reasoning else tuple(names)
    return WeightsForm(members, tuple(names), reasoning, 1.0, None)


def mentioned(form: Form, prompt: str) -> float:
    """Return the share of a form's signals or labels that `prompt` mentions."""
    words = prompt.casefold()
    return sum(name.casefold() in words for name in form.classes) / len(form.classes)


def average(form: Form, answers: Iterable[str]) -> np.ndarray:
    """Return the mean of the answers' vectors; equal shares when no answer is of this form."""
    vectors = [vector for vector in map(form.vector, answers) if vector is not None]
    return np.mean(vectors, axis=0) if vectors else np.full(len(form.classes), 1.0 / len(form.classes))
