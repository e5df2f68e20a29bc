"""The reward of reinforcement fine-tuning: an answer's grade on the rubric of the evaluation, from 0 to 1.

Shapes: Amazon Bedrock user guide, "Setting up reward functions for Amazon Nova models" (Lambda function implementation
details), and Amazon Nova 2 user guide, "Implementing reward functions" (input and output fields) and "RFT evaluation"
(an answer as a list of parts).
"""

import json
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from signalbox import embedded_metrics
from signalbox.answer import Answer, AnswerError, parse_answer
from signalbox.grading import absolute_errors, agrees_on_dominant, reward_of, rubric
from signalbox.observability import logger
from signalbox.task import Labels, Weights

REFERENCE = "reference_answer"
_METADATA = "metadata"
_MODEL_ROLES = frozenset({"assistant", "nova_assistant"})
"""The second stands beside the first in the sample code of "Implementing reward functions"."""


class UngradableError(ValueError):
    """A sample has no reference that could be graded against, or no answer to grade."""


def reference_answer(answer: Answer) -> dict[str, Any]:
    """Return what a training record has to bring along so that its answers can be graded without the task.

    It says of itself what kind of answer it is, as the task's `output` does: {"weights": {signal: weight}} or
    {"label": label}. Its floats come back from JSON as they were.
    """
    return {"label": answer.label} if answer.weights is None else {"weights": dict(answer.weights)}


def rewards(samples: Any) -> list[dict[str, Any]]:
    """Grade a batch of answers.

    Parameters
    ----------
    samples : list[dict]
        Each with `id` (str), `messages` (of the OpenAI chat format, the last of them the model's answer: a text, or
        a list of one part of the type `text`) and, in `metadata` or beside it, `reference_answer` as
        `reference_answer` writes it. Bedrock's guide shows it in `metadata`, that of Nova beside it.

    Returns
    -------
    list[dict]
        One a sample, in its order: `id` as it came, `aggregate_reward_score` in [0, 1], and `metrics_list` of {name,
        value, type}, whose one `Reward`, `grade`, is the score and whose `Metric`s are for whoever watches. For weights
        the score is the rubric's grade, 1 to 5, as a share of the way from the worst to the best; for labels it is 1 if
        the label is right, else 0. An answer that is none scores 0 and has `valid` 0. A sample that cannot be graded at
        all scores 0 and has `gradable` 0: one bad record must not end a job that costs money.

    Raises
    ------
    TypeError
        The event is no list. No model could be trained with what came of it.
    """
    if not isinstance(samples, list):
        raise TypeError(
            f"a reward function is called with a list of samples, not with a {type(samples).__name__}"
        )
    graded = [_graded(sample) for sample in samples]
    _log(graded)
    return graded


def _graded(sample: Any) -> dict[str, Any]:
    try:
        reference, output = _reference(sample)
        text = _answer_text(sample)
    except UngradableError:
        return _reward(sample, 0.0, gradable=0.0)
    try:
        answer = parse_answer(text, output)
    except AnswerError:
        answer = None
    if isinstance(output, Labels):
        return _reward(sample, float(answer is not None), gradable=1.0)
    measured = (
        {
            "mae": fmean(absolute_errors(reference, answer)),
            "dominant": float(agrees_on_dominant(reference, answer)),
        }
        if answer
        else {}
    )
    score = reward_of(rubric(reference, answer))
    return _reward(sample, score, gradable=1.0, valid=float(answer is not None), **measured)


def _reward(sample: Any, score: float, **metrics: float) -> dict[str, Any]:
    return {
        "id": sample.get("id", "") if isinstance(sample, dict) else "",
        "aggregate_reward_score": score,
        "metrics_list": [
            {"name": "grade", "value": score, "type": "Reward"},
            *({"name": each, "value": value, "type": "Metric"} for each, value in metrics.items()),
        ],
    }


def _reference(sample: Any) -> tuple[Answer, Weights | Labels]:
    """Return the reference of a sample, and the output of a task that has such references."""
    match _found(sample):
        case {"weights": dict(weights), **others} if not others:
            try:
                output = Weights(weights=tuple(weights))
                # The rules for an answer are those for a reference: a record had to keep them to get here.
                return parse_answer(json.dumps(weights), output), output
            except (ValueError, TypeError, RecursionError) as error:
                raise UngradableError("the reference's weights are none") from error
        case {"label": str(label), **others} if label and not others:
            # Of a task's labels only this one matters here: any other answer is wrong, be it a label or not.
            return Answer(label=label), Labels.model_construct(labels=(label,))
        case _:
            raise UngradableError("no reference that this function has written")


def _found(sample: Any) -> Any:
    if not isinstance(sample, Mapping):
        return None
    metadata = sample.get(_METADATA)
    within = metadata.get(REFERENCE) if isinstance(metadata, Mapping) else None
    return sample.get(REFERENCE) if within is None else within


def _answer_text(sample: Mapping[str, Any]) -> str:
    """Return the model's turn, which is appended to the record's messages."""
    match sample.get("messages"):
        case [
            *_,
            {"role": str(role), "content": str(text) | [{"type": "text", "text": str(text)}]},
        ] if role in _MODEL_ROLES:
            return text
        case _:
            raise UngradableError("the last message is no answer of the model")


def _log(graded: list[dict[str, Any]]) -> None:
    """Say how a batch went, without a word of it; a sample that cannot be graded rings an alarm.

    All records that this app writes can be graded. So it is no slip of one record, but Bedrock sends another shape than
    the documented one, and the job learns nothing for its money.
    """
    metrics = [{each["name"]: each["value"] for each in one["metrics_list"]} for one in graded]
    scores = [one["aggregate_reward_score"] for one in graded]
    ungradable = sum(one["gradable"] == 0 for one in metrics)
    if ungradable:
        embedded_metrics.write({"UngradableSamples": [ungradable]}, [([["service"]], ["UngradableSamples"])])
    logger.info(
        "answers graded",
        extra={
            "samples": len(graded),
            "mean_reward": fmean(scores) if scores else None,
            "invalid": sum(one.get("valid") == 0 for one in metrics),
            "ungradable": ungradable,
        },
    )
