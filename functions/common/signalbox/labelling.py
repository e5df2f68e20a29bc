"""Labelling queries: what the teacher is asked, what is made of its answers, and how far it agrees with itself.

A line to ask and a line that is answered have the shape of Bedrock's batch inference with Converse (Amazon Bedrock
user guide, "Format and upload your batch inference data" and "View the results of a batch inference job"), by
whichever way the teacher is asked.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import Any

from signalbox.answer import Answer, AnswerError, parse_answer, serialisable_weights
from signalbox.golden_set import majority, mean_weights
from signalbox.task import Task

_RECORD_ID = re.compile(r"Q(\d{7})S(\d{2})")
_LISTED_REASONS = 20


@dataclass(frozen=True, slots=True, order=True)
class Question:
    """The one of a query's samples that is to be answered: the query's place, and the sample's, from 0."""

    place: int
    sample: int

    @property
    def record_id(self) -> str:
        """Eleven letters and digits, as Bedrock recommends."""
        return f"Q{self.place:07d}S{self.sample:02d}"


def questions(queries: int, samples: int) -> list[Question]:
    """Return every question of so many queries."""
    return [Question(place, sample) for place in range(queries) for sample in range(samples)]


def teacher_of(task: Task) -> str:
    """Return the model that is asked; a request, and a task that wants labels, have been checked to name one."""
    assert task.customization is not None and task.customization.teacher is not None
    return task.customization.teacher


def line_to_ask(question: Question, query: str, task: Task, temperature: float) -> dict[str, Any]:
    """Return the record that asks the teacher one question with the task's rich prompt."""
    assert task.customization is not None
    return {
        "recordId": question.record_id,
        "modelInput": {
            "system": [{"text": task.teacher_prompt or task.prompt}],
            "messages": [{"role": "user", "content": [{"text": query}]}],
            "inferenceConfig": {
                "maxTokens": task.customization.max_response_tokens,
                "temperature": temperature,
            },
        },
    }


@dataclass(frozen=True, slots=True)
class Tokens:
    """How many tokens models have read and written; they can be added."""

    read: float = 0
    written: float = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.written + other.written)


def tokens_in(output: Any) -> Tokens:
    """Return the tokens that the output of Converse names in its `usage`; none where it has none."""
    usage = output.get("usage") if isinstance(output, dict) else None
    counts = [usage.get(name) if isinstance(usage, dict) else 0 for name in ("inputTokens", "outputTokens")]
    return Tokens(*(count if isinstance(count, int) else 0 for count in counts))


@dataclass
class Answers:
    """What the teacher has answered, by question, and why other questions have no answer that can be used.

    Attributes
    ----------
    usable : dict[Question, Answer]
        A question answered more than once keeps its first usable answer.
    faults : dict[Question, str]
        The last reason of each question without one; it quotes nothing of the answer.
    """

    usable: dict[Question, Answer] = field(default_factory=dict)
    faults: dict[Question, str] = field(default_factory=dict)

    def read(self, lines: Iterable[bytes], task: Task) -> Tokens:
        """Take in lines of output, of which any may be malformed, cut or of another job; return their tokens."""
        tokens = Tokens()
        for line in lines:
            if (entry := _entry(line)) is None or (question := _question(entry)) is None:
                continue
            tokens += tokens_in(entry.get("modelOutput"))
            if question in self.usable:
                continue
            try:
                self.usable[question] = _answer(entry, task)
                self.faults.pop(question, None)
            except AnswerError as error:
                self.faults[question] = f"{error.field}: {_kind(error)}" if error.field else _kind(error)
        return tokens

    def has(self, question: Question) -> bool:
        """Tell whether a question was answered, of use or not."""
        return question in self.usable or question in self.faults

    def missing(self, asked: Iterable[Question]) -> list[Question]:
        """Return those questions that have no usable answer."""
        return [question for question in asked if question not in self.usable]

    def reasons(self, asked: Iterable[Question]) -> dict[str, int]:
        """Count why questions have no usable answer, the most frequent reason first."""
        counted = Counter(self.faults.get(question, "no answer came") for question in self.missing(asked))
        return dict(counted.most_common(_LISTED_REASONS))


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _question(entry: dict[str, Any]) -> Question | None:
    found = _RECORD_ID.fullmatch(str(entry.get("recordId")))
    return Question(int(found[1]), int(found[2])) if found else None


def _answer(entry: dict[str, Any], task: Task) -> Answer:
    if error := entry.get("error"):
        code = error.get("errorCode") if isinstance(error, dict) else ""
        raise AnswerError("", f"Bedrock answered with error {code}")
    try:
        contents = entry["modelOutput"]["output"]["message"]["content"]
        text = "".join(content.get("text", "") for content in contents)
        cut = entry["modelOutput"].get("stopReason") == "max_tokens"
    except (KeyError, TypeError, AttributeError) as error:
        raise AnswerError("", "the output has not the shape of a Converse answer") from error
    if cut:
        raise AnswerError("", "the answer was cut at customization.max_response_tokens")
    return parse_answer(text.strip(), task.output)


def _kind(error: AnswerError) -> str:
    """Return a reason without what it quotes, so that equal faults count as one."""
    return re.split(r'[:,] |, not |"', error.reason, maxsplit=1)[0].strip()


@dataclass(frozen=True, slots=True)
class Label:
    """What a query's answers come to, and how far they are from each other (0 for one answer)."""

    place: int
    answer: Answer
    disagreement: float


def labels(answers: Answers, samples: int) -> list[Label]:
    """Return the label of each query that has an answer to each of its samples, in the order of the queries."""
    by_place: dict[int, list[Answer]] = defaultdict(list)
    for question, answer in sorted(answers.usable.items(), key=lambda entry: entry[0]):
        by_place[question.place].append(answer)
    return [
        Label(place, _agreed(given), disagreement(given))
        for place, given in sorted(by_place.items())
        if len(given) == samples
    ]


def _agreed(given: Sequence[Answer]) -> Answer:
    """Return the mean of several answers, with the words of the one nearest to it; or the most frequent label."""
    if len(given) == 1:
        return given[0]
    if given[0].weights is None:
        label, count = majority(given)
        return Answer(label=label, confidence=count / len(given))
    mean = mean_weights(given)
    nearest = min(given, key=lambda answer: _distance(answer, Answer(weights=mean)))
    return Answer(weights=serialisable_weights(mean), reasoning=nearest.reasoning)


def disagreement(given: Sequence[Answer]) -> float:
    """Return how far answers to one query are from each other: the mean over all pairs of them.

    Of weights it is the mean absolute difference of a weight, of labels the share of pairs that differ. So it is on
    the scale on which a student's error is measured.
    """
    pairs = list(combinations(given, 2))
    return fmean(_distance(one, other) for one, other in pairs) if pairs else 0.0


def _distance(one: Answer, other: Answer) -> float:
    if one.weights is None or other.weights is None:
        return float(one.label != other.label)
    return math.fsum(abs(weight - other.weights[signal]) for signal, weight in one.weights.items()) / len(
        one.weights
    )


def noise(labelled: Iterable[Label]) -> float | None:
    """Return the teacher's own noise: the mean disagreement over all its queries, the dropped ones included.

    No student is shown to be better than this by the teacher's answers: it is what the teacher, asked again, would
    be measured at.
    """
    values = [label.disagreement for label in labelled]
    return fmean(values) if values else None


def output_lines(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Write entries as the lines of a file."""
    for entry in entries:
        yield json.dumps(entry, ensure_ascii=False).encode() + b"\n"
