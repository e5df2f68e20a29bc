"""What the report shows of a run beside its metrics: read from the run's prefix, and reduced to what a page holds."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from signalbox import losses
from signalbox.answer import Answer, AnswerError, parse_answer
from signalbox.grading import absolute_errors
from signalbox.pipeline import Pipeline
from signalbox.run import Run
from signalbox.scoring import Prediction
from signalbox.store import CUSTOMIZATION, GOLDEN, STUDENT_CURVE, TRAIN, VALIDATION, predictions_of
from signalbox.task import Task, Weights

WORST = 20
SIDE_BY_SIDE = 8
MOST_POINTS = 300
"""Of a curve: more than a chart is wide would not be seen."""
BINS = 21
"""Of a distribution: weights come in steps of 0.05 or 0.1, each in the middle of a bin of 0.05."""


@dataclass(frozen=True)
class Distribution:
    """How a dataset's weights of one signal are distributed.

    Attributes
    ----------
    counts : tuple[int, ...]
        Records by bins of 0.05, the first around 0, the last around 1.
    """

    signal: str
    counts: tuple[int, ...]
    mean: float
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Curve:
    """How one training went: (step, loss) of the training and of the validation records, or (step, mean reward)."""

    title: str
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...]
    measure: Literal["loss", "reward"] = "loss"


@dataclass(frozen=True)
class Said:
    """What one candidate answered to one query; `error` is its mean absolute error, None where it has none."""

    candidate: str
    answer: Answer | None
    text: str
    problem: str
    error: float | None


@dataclass(frozen=True)
class Asked:
    """One golden query, its reference, and what the candidates answered, in the order of the comparison."""

    query: str
    reference: Answer
    reference_text: str
    said: tuple[Said, ...]


@dataclass(frozen=True)
class ReportData:
    """All that the report is made of, as plain data.

    Attributes
    ----------
    metrics, validation : dict
        metrics.json and validation.json.
    distributions : list[Distribution]
        One a signal; empty for labels, or if no record is labelled.
    distributed : str
        Of which records they are, in words.
    worst : list[Asked]
        The 20 golden queries that the candidate which answers first got most wrong, the worst first.
    wrong : int
        How many it got wrong at all.
    side_by_side : list[Asked]
        A few queries, evenly spaced through the golden set.
    asked : list[Asked]
        All of them, at most 1,000.
    """

    run: Run
    task: Task
    metrics: dict[str, Any]
    validation: dict[str, Any]
    distributions: list[Distribution] = field(default_factory=list)
    distributed: str = ""
    curves: list[Curve] = field(default_factory=list)
    worst: list[Asked] = field(default_factory=list)
    wrong: int = 0
    side_by_side: list[Asked] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


def gather(run: Run, task: Task, metrics: dict[str, Any], pipeline: Pipeline) -> ReportData:
    """Read what the report needs beside metrics.json.

    That is bounded by what a run may be: at most 1,000 predictions a candidate, 20,000 training records (streamed
    once), and curves. What is missing is left out of the report.
    """
    asked = _asked(run, task, metrics, pipeline)
    wrong = _wrong(asked, metrics["served_first"])
    step = max(1, math.ceil(len(asked) / SIDE_BY_SIDE))
    distributions, distributed = _distributions(run, task, pipeline)
    return ReportData(
        run=run,
        task=task,
        metrics=metrics,
        validation=json.loads(pipeline.store.get(run.id, VALIDATION) or b"{}"),
        distributions=distributions,
        distributed=distributed,
        curves=list(_curves(run, pipeline)),
        worst=wrong[:WORST],
        wrong=len(wrong),
        side_by_side=asked[::step],
        asked=asked,
    )


def _asked(run: Run, task: Task, metrics: dict[str, Any], pipeline: Pipeline) -> list[Asked]:
    """Bring the candidates' answers together by query, in the order of the golden set."""
    said: dict[str, dict[str, Said]] = {}
    references: dict[str, tuple[Answer, str]] = {}
    for candidate in metrics["candidates"]:
        for line in pipeline.store.lines(run.id, predictions_of(_kept_as(candidate, metrics))):
            prediction = Prediction.model_validate_json(line)
            if prediction.query not in references:
                references[prediction.query] = _parsed(prediction.reference, task), prediction.reference
            reference, _ = references[prediction.query]
            said.setdefault(prediction.query, {})[candidate] = _said(candidate, prediction, reference, task)
    return [
        Asked(query, *references[query], tuple(answers.values()))
        for query, answers in said.items()
        if metrics["served_first"] in answers
    ]


def _kept_as(candidate: str, metrics: dict[str, Any]) -> str:
    compared = metrics.get("compared_with_live") or {}
    return f"live-{compared.get('run_id', '')}" if candidate == "live" else candidate


def _parsed(text: str, task: Task) -> Answer:
    try:
        return parse_answer(text, task.output)
    except AnswerError:
        return Answer()


def _said(candidate: str, prediction: Prediction, reference: Answer, task: Task) -> Said:
    answer = prediction.answer(task.output)
    error = None
    if answer is not None and answer.weights is not None and reference.weights is not None:
        error = float(np.mean(absolute_errors(reference, answer)))
    problem = "" if answer is not None else prediction.error or "unusable answer"
    return Said(candidate, answer, prediction.text, problem, error)


def _wrong(asked: Sequence[Asked], served_first: str) -> list[Asked]:
    """Return the queries that a candidate got wrong: the unusable answers first, then by error."""

    def badness(one: Asked) -> float:
        (said,) = (said for said in one.said if said.candidate == served_first)
        if said.answer is None:
            return math.inf
        if said.error is not None:
            return said.error
        return float(said.answer.label != one.reference.label)

    return sorted((one for one in asked if badness(one) > 1e-9), key=badness, reverse=True)


def _distributions(run: Run, task: Task, pipeline: Pipeline) -> tuple[list[Distribution], str]:
    if not isinstance(task.output, Weights):
        return [], ""
    for name, title in ((TRAIN, "labelled training records"), (GOLDEN, "golden queries")):
        rows = list(_weights(pipeline.store.lines(run.id, name), task))
        if rows:
            return _distributed(np.array(rows), task.output.signals), f"{len(rows):,} {title}"
    return [], ""


def _weights(lines: Iterator[bytes], task: Task) -> Iterator[list[float]]:
    for line in lines:
        messages = json.loads(line)["messages"]
        if len(messages) > 1:
            answer = _parsed(messages[1]["content"][0]["text"], task)
            if answer.weights is not None:
                yield list(answer.weights.values())


def _distributed(weights: np.ndarray, signals: Sequence[str]) -> list[Distribution]:
    bins = np.rint(weights * (BINS - 1)).astype(int)
    quantiles = np.quantile(weights, (0.1, 0.5, 0.9), axis=0)
    return [
        Distribution(
            signal=signal,
            counts=tuple(np.bincount(bins[:, column], minlength=BINS).tolist()),
            mean=float(weights[:, column].mean()),
            low=float(quantiles[0, column]),
            median=float(quantiles[1, column]),
            high=float(quantiles[2, column]),
        )
        for column, signal in enumerate(signals)
    ]


def _curves(run: Run, pipeline: Pipeline) -> Iterator[Curve]:
    """Read the losses that Bedrock and the embedded student's training left, and the rewards, if there were any."""
    training = pipeline.store.found(run.id, CUSTOMIZATION, losses.TRAINING_FILE)
    validation = pipeline.store.found(run.id, CUSTOMIZATION, losses.VALIDATION_FILE)
    embedded = [pipeline.store.get(run.id, STUDENT_CURVE) or b""]
    loss, reward = (
        (losses.TRAINING_LOSS, losses.VALIDATION_LOSS),
        (losses.TRAINING_REWARD, losses.VALIDATION_REWARD),
    )
    curves = (
        Curve("Custom model", *_pair(training, validation, losses.STEP, reward), "reward"),
        Curve("Custom model", *_pair(training, validation, losses.STEP, loss)),
        Curve("Embedded student", *_pair(embedded, embedded, "step", loss)),
    )
    for curve in curves:
        if curve.training or curve.validation:
            yield curve


def _pair(
    trained: Sequence[bytes], validated: Sequence[bytes], step: str, columns: tuple[str, str]
) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Return the points of the training's column, and those of the validation's."""
    return _points(trained, step, columns[0]), _points(validated, step, columns[1])


def _points(files: Sequence[bytes], step: str, loss: str) -> tuple[tuple[float, float], ...]:
    """Return (step, loss) of CSV files, thinned out evenly to 300; a line without two numbers has no point."""
    points: list[tuple[float, float]] = sorted((at, value) for at, value in losses.rows(files, step, loss))
    thinned = points[:: max(1, math.ceil(len(points) / MOST_POINTS))]
    return tuple(thinned if not points or thinned[-1] == points[-1] else [*thinned, points[-1]])
