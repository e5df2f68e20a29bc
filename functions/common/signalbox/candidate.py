"""Candidates: whoever answers the golden set to be compared, how each is asked, and what it said."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox import cost
from signalbox.answer import AnswerError, parse_answer
from signalbox.bedrock import REFUSED, UNTRAINED_TOKENS, Busy
from signalbox.deployments import is_provisioned
from signalbox.live import Live
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.records import Record
from signalbox.run import Run, now
from signalbox.scoring import Prediction, score
from signalbox.store import STUDENT, predictions_of
from signalbox.student import Student, StudentError
from signalbox.task import Labels, Task, Weights

CONCURRENT_QUESTIONS = 8
ASKED_ALONE = 50
"""How many of the golden queries are asked with nothing else in flight; latency is measured on these."""
REPEATS = 5
"""How often the embedded student answers a query: the shortest time is its own, what is more is the machine's."""
_BATCH = 50
"""After so many questions the answers are stored."""

Ask = Callable[[Record], Prediction]


class Refused(Exception):
    """A candidate cannot be asked, for a reason that stands: it is gone, or this account may not use it."""


@dataclass(frozen=True)
class Candidate:
    """Somebody who answers the golden set.

    Attributes
    ----------
    name, model : str
        Its place in the comparison, and the name of its model.
    role : cost.Role
        As what its answers are paid for; what is live is a student, too.
    ask : Ask
        How it is asked.
    concurrency : int
        1 for a candidate that computes here, where threads would only slow each other down.
    """

    name: str
    model: str
    role: cost.Role
    ask: Ask
    concurrency: int = CONCURRENT_QUESTIONS


def embedded(name: str, model: str, artefact: bytes) -> Candidate:
    """Return an embedded student as a candidate."""
    student = Student.from_bytes(artefact)

    def ask(record: Record) -> Prediction:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            answer = student.answer(record.query)
            times.append((time.perf_counter() - started) * 1000)
        return Prediction(
            query=record.query, reference=record.answer_text or "", text=answer.text(), latency_ms=min(times)
        )

    return Candidate(name, model, "embedded", ask, concurrency=1)


def on_bedrock(
    name: str, role: cost.Role, model: str, model_id: str, task: Task, max_tokens: int, pipeline: Pipeline
) -> Candidate:
    """Return a model of Bedrock's as a candidate, asked with the prompt of a task."""

    def ask(record: Record) -> Prediction:
        prediction = Prediction(query=record.query, reference=record.answer_text or "")
        try:
            reply = pipeline.bedrock.ask(model_id, task.prompt, record.query, max_tokens)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in REFUSED:
                raise Busy(f"{name} ({model}) could not be asked for the moment: {code}") from error
            return prediction.model_copy(update={"error": code})
        except BotoCoreError as error:
            reason = type(error).__name__
            raise Busy(f"{name} ({model}) could not be asked for the moment: {reason}") from error
        said = {
            "text": reply.text,
            "error": _unusable(reply.text, task.output),
            "latency_ms": 0.0 if reply.retries else reply.latency_ms,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
        }
        return prediction.model_copy(update=said)

    return Candidate(name, model, role, ask)


def candidates_of(run: Run, task: Task, pipeline: Pipeline) -> Iterator[Candidate]:
    """Return who is to be compared in a run: its students, and the models beside them."""
    if "embedded" in task.candidates:
        artefact = pipeline.store.get(run.id, STUDENT)
        if artefact is not None:
            yield embedded("embedded", "embedded student", artefact)
    if run.deployment_arn is not None and task.customization:
        model, tokens = task.customization.result, task.customization.max_response_tokens
        role = _role(run.deployment_arn)
        yield on_bedrock("bedrock", role, model, run.deployment_arn, task, tokens, pipeline)
    for name, model_id in (("base", task.compare.base), ("baseline", task.compare.baseline)):
        if model_id is not None:
            yield on_bedrock(name, name, model_id, model_id, task, UNTRAINED_TOKENS, pipeline)


def _role(deployment_arn: str) -> cost.Role:
    return "provisioned" if is_provisioned(deployment_arn) else "bedrock"


def live_candidate(live: Live, task: Task, pipeline: Pipeline) -> Candidate:
    """Return what is live, asked with the prompt that it was trained with.

    Raises
    ------
    Refused
        If it answers with another output than the task asks for, or its student is gone or cannot be read.
    """
    then = Task.model_validate(live.task)
    if then.output != task.output:
        raise Refused("it answers with another output")
    if then.first_served == "bedrock" and live.deployment_arn and then.customization:
        tokens = then.customization.max_response_tokens
        role = _role(live.deployment_arn)
        return on_bedrock("live", role, live.model, live.deployment_arn, then, tokens, pipeline)
    artefact = pipeline.store.get(live.run_id, STUDENT)
    if artefact is None:
        raise Refused(f"the student of {live.run_id} is gone")
    try:
        return embedded("live", live.model, artefact)
    except StudentError as error:
        raise Refused(str(error)) from error


def answers_of(
    candidate: Candidate, run: Run, golden: Sequence[Record], pipeline: Pipeline, kept_as: str = ""
) -> list[Prediction]:
    """Ask a candidate every golden query that it has not answered yet, at bounded concurrency.

    A fixed sample of the queries is asked alone, after the others, when connections stand. What it said is stored as
    it comes, under `kept_as` (its name unless given), so that an attempt after this one asks for the rest only.

    Returns
    -------
    list[Prediction]
        One a golden query, in their order.

    Raises
    ------
    Busy
        Bedrock could not answer some queries for the moment.
    Refused
        It refused every query.
    """
    name = predictions_of(kept_as or candidate.name)
    content = pipeline.store.get(run.id, name) or b""
    said = {p.query: p for p in map(Prediction.model_validate_json, content.splitlines())}
    beat = pipeline.heartbeat(run)
    for batch, alone in _batches(golden, said.keys()):
        busy: Busy | None = None
        for outcome in _outcomes(candidate, batch, 1 if alone else candidate.concurrency):
            beat()
            if isinstance(outcome, Busy):
                busy = outcome
            else:
                said[outcome.query] = outcome.model_copy(update={"alone": alone})
        if busy is None and all(map(_refused, said.values())):
            raise Refused(next(iter(said.values())).error)
        given = [said[record.query] for record in golden if record.query in said]
        pipeline.store.put(run.id, name, "".join(prediction.model_dump_json() + "\n" for prediction in given))
        if busy is not None:
            raise busy
    logger.info("candidate answered", extra={"candidate": candidate.name, "queries": len(golden)})
    return [said[record.query] for record in golden]


def answers_in_time(
    candidate: Candidate,
    run: Run,
    task: Task,
    golden: Sequence[Record],
    pipeline: Pipeline,
    kept_as: str = "",
) -> list[Prediction]:
    """Ask a candidate that is only compared, and do without it if it cannot be asked for too long.

    That is `patience.comparison_hours` from when the run's state began; a quota of 0 is told by nothing but that.

    Raises
    ------
    Busy, Refused
        As `answers_of`; Refused also if the patience is over.
    """
    try:
        return answers_of(candidate, run, golden, pipeline, kept_as)
    except Busy as busy:
        hours = task.patience.comparison_hours
        if now() - run.history[-1].at <= timedelta(hours=hours):
            raise
        raise Refused(f"no answer within {hours:g} h: {busy}") from busy


def measure(
    candidate: Candidate, predictions: Sequence[Prediction], output: Weights | Labels, region: str
) -> dict[str, Any]:
    """Return what metrics.json has of a candidate: its model, what `scoring.score` measures, and what it costs."""
    measures = score(predictions, output)
    tokens = measures["tokens"]
    answered = cost.answered(measures, len(predictions))
    mean = measures["latency_ms"]["mean"]
    price = cost.of_queries(
        candidate.model, candidate.role, tokens["input"], tokens["output"], answered, mean, region
    )
    return {"model": candidate.model, **measures, "cost": price}


def _batches(golden: Sequence[Record], answered: Collection[str]) -> Iterator[tuple[list[Record], bool]]:
    """Return the records not answered yet in batches, and whether those of a batch are to be asked alone.

    The sample is the same in every run that has the same golden set: the first ASKED_ALONE by the hash of the query.
    """
    ranked = sorted(golden, key=lambda record: hashlib.sha256(record.query.encode()).digest())
    sample = {record.query for record in ranked[:ASKED_ALONE]}
    missing = [record for record in golden if record.query not in answered]
    for alone in (False, True):
        records = [record for record in missing if (record.query in sample) is alone]
        for start in range(0, len(records), _BATCH):
            yield records[start:][:_BATCH], alone


def _outcomes(
    candidate: Candidate, records: Sequence[Record], concurrency: int
) -> Iterator[Prediction | Busy]:
    """Ask some records at once, or one after the other without a thread, which would wait its turn to compute."""
    ask = partial(_tried, candidate)
    if concurrency == 1:
        yield from map(ask, records)
        return
    with ThreadPoolExecutor(concurrency) as threads:
        yield from threads.map(ask, records)


def _refused(prediction: Prediction) -> bool:
    return prediction.error in REFUSED


def _tried(candidate: Candidate, record: Record) -> Prediction | Busy:
    """Ask once, and return a failure that passes instead of raising it: the other answers are to be kept."""
    try:
        return candidate.ask(record)
    except Busy as busy:
        return busy


def _unusable(text: str, output: Weights | Labels) -> str:
    """Say in a few words why an answer cannot be used, "" if it can."""
    try:
        parse_answer(text, output)
    except AnswerError as error:
        return f"unusable answer: {error.field}" if error.field else "unusable answer"
    return ""
