"""What the teacher's work on a dataset costs: estimated before it begins, counted once it is done."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from signalbox.batch_inference import MIN_RECORDS
from signalbox.budget import OF_TASK, Excess, excess
from signalbox.cost import tokens_of
from signalbox.generation import Way
from signalbox.generation_request import Labelling
from signalbox.labelling import Tokens, teacher_of
from signalbox.prices import PriceUnknown, prices
from signalbox.records import Record
from signalbox.task import Task
from signalbox.wording import dollars

BATCH_PRICE = 0.5
"""The part of the price on demand that batch inference costs (Amazon Bedrock user guide, "Capacity, Limits, and Cost
Optimization": 50% cost savings against on-demand)."""


def estimate(
    task: Task,
    labelling: Labelling,
    queries: Sequence[str],
    number: int,
    answers: Sequence[str],
    region: str,
    writing: tuple[Tokens, Tokens] = (Tokens(), Tokens()),
) -> dict[str, Any]:
    """Estimate what it costs to have queries labelled, before any is.

    Parameters
    ----------
    queries : Sequence[str]
        Those that are known, to go by their length.
    number : int
        How many there will be.
    answers : Sequence[str]
        What answers of this task look like, to go by their length; if there are none, every one is taken to be as
        long as the task allows.
    region : str
        Where the teacher is asked.
    writing : tuple[Tokens, Tokens]
        What the teacher is expected to read and write to think of queries, and at most.

    Returns
    -------
    dict
        `answers`, `way`, `tokens_read` and `tokens_written`; `usd` and `at_most_usd` (every answer as long as the task
        allows, and as many of them asked for again as cost the most), `prices_of` and `region`, or `unknown` with the
        reason.
    """
    assert task.customization is not None
    longest = task.customization.max_response_tokens
    asked = number * labelling.samples
    way = way_of(labelling, asked)
    read = tokens_of([task.teacher_prompt or task.prompt]) + _mean(queries, default=longest)
    labels = Tokens(asked * read, asked * min(longest, _mean(answers, default=longest)))
    again, way_again = _dearest_retry(labelling, asked)
    first, second = (Tokens(number * read, number * longest) for number in (asked, again))
    expected, at_most = writing
    said = {
        "answers": asked,
        "way": way,
        "tokens_read": round(labels.read + expected.read),
        "tokens_written": round(labels.written + expected.written),
    }
    try:
        usd, prices_of = _usd(task, [(labels, way), (expected, "converse")], region)
        dearest: list[tuple[Tokens, Way]] = [(first, way), (second, way_again), (at_most, "converse")]
        at_most_usd, _ = _usd(task, dearest, region)
    except PriceUnknown as unknown:
        return said | {"unknown": str(unknown)}
    return said | {
        "usd": round(usd, 4),
        "at_most_usd": round(at_most_usd, 4),
        "prices_of": prices_of,
        "region": region,
    }


def estimate_of(
    records: Iterable[Record], asked: Sequence[Record], task: Task, region: str
) -> dict[str, Any]:
    """Estimate what the answers to some records of a dataset cost, by the length of those that others have."""
    answers = [record.answer_text for record in records if record.answer_text]
    return estimate(task, Labelling(), [record.query for record in asked], len(asked), answers, region)


def way_of(labelling: Labelling, number: int) -> Way:
    """Choose how to ask so many questions: Bedrock takes no batch job of fewer than it says."""
    return "converse" if number < MIN_RECORDS or labelling.mode == "converse" else "batch"


def _dearest_retry(labelling: Labelling, asked: int) -> tuple[int, Way]:
    """Return how many answers that are asked for once more cost the most, and how they are asked for.

    That is all of them, unless so few are a batch that the most that is asked one by one costs more.
    """
    fewer = min(asked, MIN_RECORDS - 1)
    if way_of(labelling, asked) == "batch" and asked * BATCH_PRICE < fewer:
        return fewer, "converse"
    return asked, way_of(labelling, asked)


def counted(task: Task, parts: Sequence[tuple[Tokens, Way]], region: str) -> dict[str, Any]:
    """Price the tokens that the teacher has read and written, by the way in which it was asked.

    Returns
    -------
    dict
        `tokens_read`, `tokens_written`; `usd`, `prices_of` and `region`, or `unknown` with the reason.
    """
    total = sum((tokens for tokens, _ in parts), Tokens())
    said = {"tokens_read": round(total.read), "tokens_written": round(total.written)}
    try:
        usd, prices_of = _usd(task, parts, region)
    except PriceUnknown as unknown:
        return said | {"unknown": str(unknown)}
    return said | {"usd": round(usd, 4), "prices_of": prices_of, "region": region}


def excess_of_labels(
    task: Task, estimated: dict[str, Any], budget_usd: float | None, setting: str = OF_TASK
) -> Excess | None:
    """Say why the teacher's work does not keep within a budget, or return None if it does; see `budget.excess`."""
    teacher = teacher_of(task)
    return excess(f"{estimated['answers']:,} answers of {teacher}", teacher, estimated, budget_usd, setting)


def in_words(estimated: dict[str, Any]) -> str:
    """Say in a few words what an estimate comes to."""
    if "unknown" in estimated:
        return f"cost unknown: {estimated['unknown']}"
    return f"estimate {dollars(estimated['usd'])}, at most {dollars(estimated['at_most_usd'])}"


def _usd(task: Task, parts: Sequence[tuple[Tokens, Way]], region: str) -> tuple[float, str]:
    price = prices().of_model(teacher_of(task), region)
    usd = math.fsum(
        price.of(tokens.read, tokens.written) * (BATCH_PRICE if way == "batch" else 1)
        for tokens, way in parts
    )
    return usd, price.date.isoformat()


def _mean(texts: Sequence[str], default: float) -> float:
    return fmean(tokens_of([text]) for text in texts) if texts else default
