"""How good a candidate is: its answers to the golden set, in numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import BaseModel

from signalbox.answer import Answer, AnswerError, parse_answer
from signalbox.task import Labels, Weights

_CLOSE = 1e-9
"""Slack for comparisons of weights in hundredths, which binary fractions miss by a hair."""


class Prediction(BaseModel):
    """What a candidate said to one golden query; a line of predictions/<candidate>.jsonl.

    Attributes
    ----------
    reference : str
        The golden answer, as its record has it.
    text : str
        The candidate's answer to the letter; "" if it gave none.
    error : str
        Why there is no usable answer; "" if there is one.
    latency_ms : float
        From asking to answer, measured by the evaluation; 0 if none came, or only after botocore's own retries.
    """

    query: str
    reference: str
    text: str = ""
    error: str = ""
    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def answer(self, output: Weights | Labels) -> Answer | None:
        """Return the candidate's answer if it is usable."""
        if self.error:
            return None
        try:
            return parse_answer(self.text, output)
        except AnswerError:
            return None


def score(predictions: Sequence[Prediction], output: Weights | Labels) -> dict[str, Any]:
    """Measure one candidate.

    Parameters
    ----------
    predictions : Sequence[Prediction]
        One a golden query; not empty.

    Returns
    -------
    dict
        valid_share; for weights mae, within_005, within_010, dominant_share, rubric (1 to 5); for labels accuracy,
        macro_f1; latency_ms {mean, p50, p95} over the answers, usable or not, that came at once; tokens {input,
        output} in all; errors {reason: count}. An unusable answer counts as 1 on the rubric and as wrong in every
        share, but has no error to put into mae, which is over the usable answers (None if there are none).
    """
    references = [parse_answer(prediction.reference, output) for prediction in predictions]
    answers = [prediction.answer(output) for prediction in predictions]
    measure = _label_scores if isinstance(output, Labels) else _weight_scores
    answered = sorted(prediction.latency_ms for prediction in predictions if prediction.latency_ms)
    return {
        "valid_share": fmean(answer is not None for answer in answers),
        **measure(references, answers),
        "latency_ms": {
            "mean": fmean(answered) if answered else None,
            "p50": _percentile(answered, 0.50),
            "p95": _percentile(answered, 0.95),
        },
        "tokens": {
            "input": sum(prediction.input_tokens for prediction in predictions),
            "output": sum(prediction.output_tokens for prediction in predictions),
        },
        "errors": dict(Counter(prediction.error for prediction in predictions if prediction.error)),
    }


def rubric(reference: Answer, answer: Answer | None) -> int:
    """Grade weights from 1 to 5, as the published comparison's judge is told to.

    5: every weight within 0.05; 4: within 0.10; 3: dominant signal right and mean error under 0.15; 2: mean
    error up to 0.30; 1: unusable or worse.
    """
    if answer is None:
        return 1
    errors = absolute_errors(reference, answer)
    if max(errors) <= 0.05 + _CLOSE:
        return 5
    if max(errors) <= 0.10 + _CLOSE:
        return 4
    if fmean(errors) < 0.15 - _CLOSE and agrees_on_dominant(reference, answer):
        return 3
    return 2 if fmean(errors) <= 0.30 + _CLOSE else 1


def absolute_errors(reference: Answer, answer: Answer) -> list[float]:
    """Return how far each weight is from the reference, in the order of the signals."""
    wanted, given = reference.weights or {}, answer.weights or {}
    return [abs(weight - given[signal]) for signal, weight in wanted.items()]


def agrees_on_dominant(reference: Answer, answer: Answer) -> bool:
    """Return whether every greatest weight of the answer (several may tie) is one of the reference's greatest."""
    return set(answer.dominant()) <= set(reference.dominant())


def _weight_scores(references: Sequence[Answer], answers: Sequence[Answer | None]) -> dict[str, Any]:
    pairs = list(zip(references, answers, strict=True))
    errors = [absolute_errors(reference, answer) for reference, answer in pairs if answer]
    return {
        "mae": fmean(fmean(row) for row in errors) if errors else None,
        "within_005": sum(max(row) <= 0.05 + _CLOSE for row in errors) / len(pairs),
        "within_010": sum(max(row) <= 0.10 + _CLOSE for row in errors) / len(pairs),
        "dominant_share": fmean(
            bool(answer and agrees_on_dominant(reference, answer)) for reference, answer in pairs
        ),
        "rubric": fmean(rubric(reference, answer) for reference, answer in pairs),
    }


def _label_scores(references: Sequence[Answer], answers: Sequence[Answer | None]) -> dict[str, Any]:
    wanted = [reference.label for reference in references]
    given = [answer.label if answer else None for answer in answers]
    right = Counter(label for label, other in zip(wanted, given, strict=True) if label == other)
    in_reference, in_answers = Counter(wanted), Counter(given)
    # F1 of a label is 2 * right / (times wanted + times given); the mean goes over the labels of the golden set.
    return {
        "accuracy": sum(right.values()) / len(wanted),
        "macro_f1": fmean(
            2 * right[label] / (count + in_answers[label]) for label, count in in_reference.items()
        ),
    }


@dataclass(frozen=True)
class Comparison:
    """Two candidates on the queries that can be compared.

    Attributes
    ----------
    queries : int
        How many queries the rival gave a usable answer to.
    own, rival : float | None
        Mean absolute error, or accuracy for labels, over those of them that both answered; None if there are none.
    worse_by : float | None
        By how much the candidate is worse than its rival; negative if it is better.
    """

    queries: int
    own: float | None = None
    rival: float | None = None
    worse_by: float | None = None


def compare(own: Sequence[Prediction], rival: Sequence[Prediction], output: Weights | Labels) -> Comparison:
    """Compare a candidate with a rival; the predictions are those of the same queries in the same order."""
    answered = [pair for pair in zip(own, rival, strict=True) if pair[1].answer(output)]
    both = [pair for pair in answered if pair[0].answer(output)]
    if not both:
        return Comparison(len(answered))
    measure = "accuracy" if isinstance(output, Labels) else "mae"
    mine, others = (score(predictions, output)[measure] for predictions in zip(*both, strict=True))
    worse_by = others - mine if measure == "accuracy" else mine - others
    return Comparison(len(answered), mine, others, worse_by)


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of values in ascending order."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
