"""What queries, training and runs cost, from the dated prices; what has no price is refused, never guessed.

A query costs the tokens of the model that answers it, and the API and the function that it passes through: the
embedded student has no tokens to pay for, but is not free.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from signalbox.bedrock import REFUSED
from signalbox.customization import (
    DEFAULT_EPOCHS,
    LIMITS,
    MOST_EPOCHS,
    MOST_RESPONSE_TOKENS,
    Customization,
    Distillation,
    FineTuning,
)
from signalbox.prices import Prices, PriceUnknown, prices
from signalbox.task import Task

Role = Literal["embedded", "bedrock", "provisioned", "base", "baseline"]

PER_MILLION = 1_000_000
_BY_THE_HOUR = "provisioned throughput is paid by the hour, however many queries it answers"

ROUTE_MEMORY_MB = 1769
"""The route function's MemorySize in template.yaml; a test compares the two."""
HANDLER_MS = 0.6
"""What the route function adds to the time of the model: its embedded answer less the student's own time, medians of
`make bench` in bench/results.json; a test compares them."""

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English prose; JSON with numbers in it has fewer."""
EXPLANATION_TOKENS = 200
"""What the judge is taken to write of one answer: its grade and why. Bedrock does not report its tokens."""
RUBRIC_TOKENS = 400
"""What the judge is taken to read besides a query, its reference and the answer: the rubric, which has about 250, and
the frame that Bedrock puts around it."""


def of_queries(
    model: str,
    role: Role,
    tokens_in: int,
    tokens_out: int,
    queries: int,
    latency_ms_mean: float | None,
    region: str,
) -> dict[str, Any]:
    """Price the queries that a candidate answered, as if the router had asked it.

    Parameters
    ----------
    model : str
        The model as evaluate names it; see `Prices.of_model`. Not looked at for `embedded`.
    role : Role
        `embedded` has no tokens to pay for, and `provisioned` throughput is paid by the hour; the others have.
    tokens_in, tokens_out : int
        Of all these queries together.
    latency_ms_mean : float | None
        How long the model took for one, in milliseconds; None if none was measured.
    region : str
        Where the router runs and calls the model from.

    Returns
    -------
    dict
        per_1000_queries, per_million_queries, model_per_million (tokens), infrastructure_per_million (API request,
        function request, function time by memory), currency, prices_of (the oldest date among the prices used) and
        region; or `unknown` with the reason, and infrastructure_per_million (None if that is unknown, too).
    """
    book = prices()
    try:
        infrastructure, used = _infrastructure_per_million(book, latency_ms_mean, region)
    except PriceUnknown as unknown:
        return {"unknown": str(unknown), "infrastructure_per_million": None}
    if role == "provisioned":
        return {"unknown": _BY_THE_HOUR, "infrastructure_per_million": infrastructure}
    tokens = 0.0
    if role != "embedded":
        try:
            price = book.of_model(model, region)
            if queries < 1 or tokens_in < 1:
                raise PriceUnknown(f"no tokens of {model} were counted")
        except PriceUnknown as unknown:
            return {"unknown": str(unknown), "infrastructure_per_million": infrastructure}
        tokens = price.of(tokens_in, tokens_out) * PER_MILLION / queries
        used = [*used, price.date]
    total = tokens + infrastructure
    return {
        "per_1000_queries": total / 1000,
        "per_million_queries": total,
        "model_per_million": tokens,
        "infrastructure_per_million": infrastructure,
        "currency": book.currency,
        "prices_of": min(used).isoformat(),
        "region": region,
    }


def _infrastructure_per_million(
    book: Prices, latency_ms: float | None, region: str
) -> tuple[float, list[date]]:
    """Return what the API and the route function cost for a million queries, and the dates of the prices used.

    Lambda rounds each invocation up to a whole millisecond. Without provisioned concurrency, beyond the free tier,
    in the first price tier; traces, logs and data transfer are not counted.
    """
    if latency_ms is None:
        raise PriceUnknown("no latency was measured, so the time of the function is unknown")
    api, function = book.of_requests("http-api", region), book.of_requests("lambda", region)
    time = book.of_duration("lambda-arm64", region)
    seconds = math.ceil(latency_ms + HANDLER_MS) / 1000
    computing = seconds * ROUTE_MEMORY_MB / 1024 * time.usd_per_gb_second * PER_MILLION
    total = api.usd_per_million_requests + function.usd_per_million_requests + computing
    return total, [api.date, function.date, time.date]


@dataclass(frozen=True)
class TrainingCost:
    """What a customization job is estimated to cost, in USD.

    Attributes
    ----------
    teacher : float
        Its tokens: each record read once and answered once; 0 where the job has no teacher.
    student : float
        Training tokens: each record and its answer, as often as the job passes over them. How often a distillation
        does Bedrock does not say; it is taken for what fine-tuning does unless told otherwise, DEFAULT_EPOCHS.
    at_most : float
        Both, should every answer be as long as the task allows and, in a distillation, Bedrock grow the dataset to
        the most records it takes and train for MOST_EPOCHS: for a budget, that no job is to exceed.
    month : float
        Keeping the custom model for a month.
    prices_of : date
        The oldest date among the prices used.
    """

    teacher: float
    student: float
    at_most: float
    month: float
    prices_of: date

    @property
    def usd(self) -> float:
        """Teacher and student together."""
        return self.teacher + self.student


def of_training(
    customization: Customization, records: int, tokens_in: float, tokens_out: float, region: str
) -> TrainingCost:
    """Estimate a customization job before it starts.

    Parameters
    ----------
    records : int
        Of the training set.
    tokens_in, tokens_out : float
        Mean tokens of one record: prompt and query, and answer; `tokens_of` estimates them from text.
    region : str
        Where the job runs.

    Raises
    ------
    PriceUnknown
        If the teacher's or the student's price is, or what this type of job costs.
    """
    book = prices()
    longest = max(tokens_out, customization.max_response_tokens)
    if not isinstance(customization, Distillation | FineTuning):
        raise PriceUnknown(
            f"no price is known for {customization.type}, which answers each prompt many times"
        )
    training = book.of_customization(customization.student, region)

    def student(records: int, tokens_out: float, epochs: int) -> float:
        tokens = records * (tokens_in + tokens_out) * epochs
        return tokens * training.usd_per_million_training_tokens / PER_MILLION

    if isinstance(customization, FineTuning):
        epochs = customization.hyperparameters.epoch_count or DEFAULT_EPOCHS
        return TrainingCost(
            teacher=0.0,
            student=student(records, tokens_out, epochs),
            at_most=student(records, longest, epochs),
            month=training.usd_per_model_month,
            prices_of=training.date,
        )
    teaching = book.of_model(customization.teacher, region)
    most = max(records, LIMITS["DISTILLATION"].most)
    return TrainingCost(
        teacher=teaching.of(records * tokens_in, records * tokens_out),
        student=student(records, tokens_out, DEFAULT_EPOCHS),
        at_most=teaching.of(most * tokens_in, most * longest) + student(most, longest, MOST_EPOCHS),
        month=training.usd_per_model_month,
        prices_of=min(teaching.date, training.date),
    )


def tokens_of(texts: Iterable[str]) -> int:
    """Estimate the tokens of texts together, by their length."""
    return sum(math.ceil(len(text) / CHARACTERS_PER_TOKEN) for text in texts)


def room_for(tokens: int) -> int:
    """Return how many tokens to allow an answer of so many by estimate: JSON may have half as many again."""
    return min(math.ceil(1.5 * tokens), MOST_RESPONSE_TOKENS)


def of_run(
    task: Task,
    counts: dict[str, int],
    evaluation: dict[str, Any],
    region: str,
    asked_beside: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Say what a run cost at Bedrock, but for the hours of provisioned throughput, which go on after it has ended.

    Parameters
    ----------
    counts : dict
        Of validation.json; `train` is used.
    evaluation : dict
        evaluation.json, or metrics.json: the candidates with model and tokens, and how many golden queries there are.
    region : str
        Where the run's jobs ran.
    asked_beside : Sequence[dict]
        What was asked besides the golden set: model and tokens of each.

    Returns
    -------
    dict
        training, evaluation, judge and total in USD, each a number or `unknown` with the reason; currency, prices_of
        (the oldest date among the prices used; not there if none was), and `estimated`, the parts that rest on an
        estimate of tokens, as Bedrock does not report them. 0 says that there was nothing to pay at Bedrock: no job,
        no judge. The pipeline's own functions are not in it.
    """
    book = prices()
    used: list[date] = []

    def part(price: Callable[[], tuple[float, list[date]]]) -> float | dict[str, str]:
        try:
            usd, dates = price()
        except PriceUnknown as unknown:
            return {"unknown": str(unknown)}
        used.extend(dates)
        return usd

    parts = {
        "training": part(lambda: _training(task, counts, evaluation, region)),
        "evaluation": part(
            lambda: _evaluation(book, [*evaluation["candidates"].values(), *asked_beside], region)
        ),
        "judge": part(lambda: _judge(book, task, evaluation, region)),
    }
    unknown = [name for name, usd in parts.items() if isinstance(usd, dict)]
    total = sum(usd for usd in parts.values() if isinstance(usd, float))
    said: dict[str, Any] = {
        **parts,
        "total": {"unknown": f"not known of {' and '.join(unknown)}"} if unknown else total,
        "currency": book.currency,
        "estimated": [name for name in ("training", "judge") if parts[name] and name not in unknown],
    }
    return said | ({"prices_of": min(used).isoformat()} if used else {})


def _training(
    task: Task, counts: dict[str, int], evaluation: dict[str, Any], region: str
) -> tuple[float, list[date]]:
    if "bedrock" not in task.candidates or task.customization is None:
        return 0.0, []
    mean = _mean_tokens(evaluation, "bedrock")
    if mean is None:
        raise PriceUnknown("the student's tokens were not counted, so those of a record are unknown")
    training = of_training(task.customization, counts["train"], *mean, region)
    return training.usd, [training.prices_of]


def _evaluation(book: Prices, asked: Iterable[dict[str, Any]], region: str) -> tuple[float, list[date]]:
    usd, dates = 0.0, []
    for candidate in asked:
        tokens = candidate["tokens"]
        by_the_hour = candidate.get("cost", {}).get("unknown") == _BY_THE_HOUR
        if (tokens["input"] or tokens["output"]) and not by_the_hour:
            price = book.of_model(candidate["model"], region)
            usd += price.of(tokens["input"], tokens["output"])
            dates.append(price.date)
    return usd, dates


def _judge(book: Prices, task: Task, evaluation: dict[str, Any], region: str) -> tuple[float, list[date]]:
    """Price the judge's tokens.

    The answers of a candidate, and the references beside them, are taken to be as long as its own tokens say; those
    of a student whose tokens are not counted, as long as those of the most talkative candidate.
    """
    if task.judge is None:
        return 0.0, []
    price = book.of_model(task.judge.model, region)
    means = {name: _mean_tokens(evaluation, name) for name in evaluation["candidates"]}
    counted = [mean for mean in means.values() if mean is not None]
    if not counted:
        raise PriceUnknown("no candidate's tokens were counted, so those that the judge read are unknown")
    query, longest = max(tokens_in for tokens_in, _ in counted), max(tokens_out for _, tokens_out in counted)
    read, written = 0.0, 0.0
    for name, candidate in evaluation["candidates"].items():
        answers = (candidate.get("judge") or {}).get("handed_over", 0)
        _, answer = means[name] or (query, longest)
        read += answers * (RUBRIC_TOKENS + query + 2 * answer)
        written += answers * EXPLANATION_TOKENS
    return price.of(read, written), [price.date]


def answered(measured: dict[str, Any], queries: int) -> int:
    """Return how many of so many queries a candidate answered, usably or not: by its errors, all not refused."""
    errors = measured.get("errors", {})
    return queries - sum(errors.get(code, 0) for code in REFUSED)


def _mean_tokens(evaluation: dict[str, Any], candidate: str) -> tuple[float, float] | None:
    """Return how many tokens a candidate read and wrote for one query, or None if none were counted."""
    measured = evaluation["candidates"].get(candidate, {})
    tokens, answers = measured.get("tokens", {}), answered(measured, evaluation["golden"])
    if not answers or not tokens.get("input"):
        return None
    return tokens["input"] / answers, tokens["output"] / answers
