"""How good a candidate is: its answers to the golden set, in numbers, and how sure each number is."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import BaseModel

from signalbox import uncertainty
from signalbox.answer import Answer, AnswerError, parse_answer
from signalbox.grading import CLOSE, absolute_errors, agrees_on_dominant, rubric
from signalbox.task import Labels, Weights


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
    alone : bool
        Whether the query belongs to the sample that was asked with nothing else in flight.
    """

    query: str
    reference: str
    text: str = ""
    error: str = ""
    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    alone: bool = False

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
        A candidate's measures as docs/metrics.schema.json describes them: valid_share; for weights mae, per_signal,
        within_005, within_010, dominant_share, rubric (1 to 5); for labels accuracy, macro_f1, confusion, per_label;
        latency_ms over the answers, usable or not, to the queries that were asked alone and came at once; tokens
        {input, output} in all; errors {reason: count}; intervals {measure: (low, high)}, without the measures that
        have too few values for one. An unusable answer counts as 1 on the rubric and as wrong in every share, but has
        no error to put into mae, which is over the usable answers (None if there are none).
    """
    references = [parse_answer(prediction.reference, output) for prediction in predictions]
    answers = [prediction.answer(output) for prediction in predictions]
    usable = np.array([answer is not None for answer in answers])
    if isinstance(output, Labels):
        measures, intervals = _label_scores(references, answers)
    else:
        measures, intervals = _weight_scores(references, answers, output)
    latency, latency_intervals = _latency(predictions)
    intervals = {"valid_share": uncertainty.of_share(usable)} | intervals | latency_intervals
    return {
        "valid_share": float(usable.mean()),
        **measures,
        "intervals": {name: interval for name, interval in intervals.items() if interval is not None},
        "latency_ms": latency,
        "tokens": {
            "input": sum(prediction.input_tokens for prediction in predictions),
            "output": sum(prediction.output_tokens for prediction in predictions),
        },
        "errors": dict(Counter(prediction.error for prediction in predictions if prediction.error)),
    }


_Intervals = dict[str, uncertainty.Interval | None]


def _weight_scores(
    references: Sequence[Answer], answers: Sequence[Answer | None], output: Weights
) -> tuple[dict[str, Any], _Intervals]:
    pairs = list(zip(references, answers, strict=True))
    nothing = [math.nan] * len(output.signals)
    errors = np.array(
        [absolute_errors(reference, answer) if answer else nothing for reference, answer in pairs]
    )
    of_query, greatest = errors.mean(axis=1), errors.max(axis=1)
    grades = np.array([rubric(reference, answer) for reference, answer in pairs], dtype=float)
    shares = {
        "within_005": greatest <= 0.05 + CLOSE,  # NaN, of an unusable answer, is within nothing
        "within_010": greatest <= 0.10 + CLOSE,
        "dominant_share": np.array(
            [bool(answer and agrees_on_dominant(reference, answer)) for reference, answer in pairs]
        ),
    }
    measures = {
        "mae": _mean(of_query),
        "per_signal": {signal: _mean(errors[:, column]) for column, signal in enumerate(output.signals)},
        **{name: float(hits.mean()) for name, hits in shares.items()},
        "rubric": float(grades.mean()),
    }
    intervals = {name: uncertainty.of_share(hits) for name, hits in shares.items()}
    means = {"mae": uncertainty.of_mean(of_query), "rubric": uncertainty.of_mean(grades)}
    return measures, intervals | means


def _label_scores(
    references: Sequence[Answer], answers: Sequence[Answer | None]
) -> tuple[dict[str, Any], _Intervals]:
    wanted = [reference.label or "" for reference in references]
    given = [answer.label or "" if answer else "" for answer in answers]
    confusion: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, other in zip(wanted, given, strict=True):
        confusion[label][other] += 1
    per_label = _per_label(confusion)
    numbers = {label: number for number, label in enumerate(per_label)}
    codes, others = (np.array([numbers.get(label, -1) for label in labels]) for labels in (wanted, given))
    measures = {
        "accuracy": float((codes == others).mean()),
        # The mean goes over the labels of the golden set, as an unasked label can be got right by nobody.
        "macro_f1": fmean(each["f1"] for each in per_label.values() if each["support"]),
        "confusion": {label: dict(counts) for label, counts in confusion.items()},
        "per_label": per_label,
    }
    return measures, {
        "accuracy": uncertainty.of_share(codes == others),
        "macro_f1": uncertainty.of_macro_f1(codes, others),
    }


def _per_label(confusion: dict[str, Counter[str]]) -> dict[str, dict[str, Any]]:
    """Return precision, recall, F1 and support of every label of the golden set or of an answer.

    A label that was never answered has no precision, one that was never asked for no recall (None).
    """
    answered: Counter[str] = sum(confusion.values(), Counter())
    del answered[""]
    measured = {}
    for label in sorted({*confusion, *answered}):
        counts = confusion.get(label, Counter())
        right, support, times = counts[label], counts.total(), answered[label]
        measured[label] = {
            "precision": right / times if times else None,
            "recall": right / support if support else None,
            "f1": 2 * right / (support + times),
            "support": support,
        }
    return measured


def _latency(predictions: Sequence[Prediction]) -> tuple[dict[str, Any], _Intervals]:
    times = np.sort([each.latency_ms for each in predictions if each.alone and each.latency_ms])
    percentiles = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    latency = {
        "mean": _mean(times),
        **{name: _percentile(times, share) for name, share in percentiles.items()},
        "queries": len(times),
        "concurrency": 1,
    }
    # No interval for p99: of the few queries that are asked alone it is the slowest, beyond which nothing was seen.
    return latency, {
        "latency_mean_ms": uncertainty.of_mean(times),
        "latency_p50_ms": uncertainty.of_percentile(times, 0.50),
        "latency_p95_ms": uncertainty.of_percentile(times, 0.95),
    }


@dataclass(frozen=True)
class Comparison:
    """Two candidates on the queries that can be compared.

    Attributes
    ----------
    answered : int
        How many queries the rival gave a usable answer to.
    queries : int
        How many of these both did.
    own, rival : float | None
        Mean absolute error, or accuracy for labels, over the queries that both answered; None if there are none.
    worse_by : float | None
        By how much the candidate is worse than its rival; negative if it is better.
    low, high : float | None
        The 95 % interval of `worse_by`, the differences being resampled query by query; None with fewer than two.
    verdict : str
        What the interval shows.
    """

    answered: int
    queries: int = 0
    own: float | None = None
    rival: float | None = None
    worse_by: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: uncertainty.Verdict = "no difference shown"


def measure_of_difference(output: Weights | Labels) -> str:
    """Name the measure in which candidates are compared."""
    return "accuracy" if isinstance(output, Labels) else "mae"


def compare(own: Sequence[Prediction], rival: Sequence[Prediction], output: Weights | Labels) -> Comparison:
    """Compare a candidate with a rival; the predictions are those of the same queries in the same order."""
    mine, others = _losses(own, output), _losses(rival, output)
    answered = ~np.isnan(others)
    both = answered & ~np.isnan(mine)
    if not both.any():
        return Comparison(int(answered.sum()))
    mine, others = mine[both], others[both]
    differences = np.where(np.abs(mine - others) < CLOSE, 0.0, mine - others)
    interval = uncertainty.of_mean(differences)
    low, high = interval or (None, None)
    values = (float(losses.mean()) for losses in (mine, others))
    if isinstance(output, Labels):
        values = (1 - loss for loss in values)
    return Comparison(
        int(answered.sum()),
        int(both.sum()),
        *values,
        worse_by=float(differences.mean()),
        low=low,
        high=high,
        verdict=uncertainty.verdict(interval),
    )


def _losses(predictions: Sequence[Prediction], output: Weights | Labels) -> np.ndarray:
    """Return the mean absolute error of each answer, or 1 for a wrong label; NaN for an unusable answer."""
    losses = np.full(len(predictions), math.nan)
    for number, prediction in enumerate(predictions):
        answer, reference = prediction.answer(output), parse_answer(prediction.reference, output)
        if answer is not None and isinstance(output, Labels):
            losses[number] = answer.label != reference.label
        elif answer is not None:
            losses[number] = fmean(absolute_errors(reference, answer))
    return losses


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of what is not NaN, None if there is nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _percentile(ordered: np.ndarray, share: float) -> float | None:
    """Return the nearest-rank percentile of values in ascending order."""
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if len(ordered) else None
