"""evaluate: every candidate answers the golden set; what they said is measured and handed to the judge."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox import judging
from signalbox.answer import AnswerError, parse_answer
from signalbox.bedrock import BUSY, REFUSED, Busy
from signalbox.events import Event
from signalbox.observability import logger
from signalbox.pipeline import Pipeline, step
from signalbox.records import Record, read_records
from signalbox.run import PermanentFailure, Run, State
from signalbox.scoring import Prediction, score
from signalbox.settings import setting
from signalbox.store import GOLDEN, JUDGE, JUDGE_DATASET, METRICS, STUDENT, TASK, predictions_of
from signalbox.student import Student
from signalbox.task import Labels, Task, Weights

CONCURRENT_QUESTIONS = 8
_REASONING_TOKENS = 500
"""Room for a base model that explains itself; a cut answer would be counted as an invalid one."""

Ask = Callable[[Record], Prediction]


@dataclass(frozen=True)
class Candidate:
    """Somebody who answers the golden set: by name, on which model, and how it is asked.

    `concurrency` is 1 for a candidate that computes here, where threads would only slow each other down.
    """

    name: str
    model: str
    ask: Ask
    concurrency: int = CONCURRENT_QUESTIONS


@step("evaluate", State.DEPLOYED)
def evaluate(run: Run, pipeline: Pipeline) -> None:
    """Measure every candidate on the golden set and start the judge: DEPLOYED -> EVALUATING [-> EVALUATED].

    Writes predictions/<candidate>.jsonl and metrics.json under the run, a candidate at a time, so that an attempt
    after a crash goes on where the last one stopped.
    """
    task = Task.model_validate_json(pipeline.store.get(run.id, TASK) or b"")
    golden = [
        record
        for record in read_records([pipeline.store.get(run.id, GOLDEN) or b""], task)
        if isinstance(record, Record)
    ]
    candidates = list(_candidates(run, task, pipeline))
    if task.first_served not in {candidate.name for candidate in candidates}:
        raise PermanentFailure(
            "evaluate",
            f"{task.first_served} comes first in serve.order, but this dataset could not train it",
            "drop labelled records, or let another tier come first",
        )
    measured: dict[str, Any] = {}
    for candidate in candidates:
        pipeline.runs.touch(run)
        predictions = _predictions(run, candidate, golden, pipeline)
        measured[candidate.name] = {"model": candidate.model, **score(predictions, task.output)}
        logger.info("candidate answered", extra={"candidate": candidate.name, "queries": len(predictions)})
    judge_job_arn = _start_judge(run, task, pipeline)
    metrics = {
        "run_id": run.id,
        "task": task.name,
        "output": task.output_kind,
        "golden": len(golden),
        "served_first": task.first_served,
        "candidates": measured,
    }
    pipeline.store.put(run.id, METRICS, json.dumps(metrics, indent=1))
    note = f"{', '.join(measured)} answered {len(golden):,} golden queries"
    moved = pipeline.advance(run, State.EVALUATING, event=None, note=note, judge_job_arn=judge_job_arn)
    if judge_job_arn is None:
        pipeline.advance(
            moved, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note="the task switches the judge off"
        )


def _candidates(run: Run, task: Task, pipeline: Pipeline) -> Iterator[Candidate]:
    """Return who is to be compared: the students, the models beside them, and what is live."""
    if "embedded" in task.candidates:
        artefact = pipeline.store.get(run.id, STUDENT)
        if artefact is not None:
            yield Candidate("embedded", "embedded student", _embedded(Student.from_bytes(artefact)), 1)
    if run.deployment_arn is not None and task.customization:
        ask = _model(run.deployment_arn, task, task.customization.max_response_tokens, pipeline)
        yield Candidate("bedrock", task.customization.student, ask)
    if task.compare.base is not None:
        yield Candidate(
            "base", task.compare.base, _model(task.compare.base, task, _REASONING_TOKENS, pipeline)
        )
    if task.compare.baseline is not None:
        ask = _model(task.compare.baseline, task, _REASONING_TOKENS, pipeline)
        yield Candidate("baseline", task.compare.baseline, ask)
    yield from _live(run, task, pipeline)


def _live(run: Run, task: Task, pipeline: Pipeline) -> Iterator[Candidate]:
    """Return the live model of the task, asked with the prompt that it was trained with."""
    live = pipeline.runs.live(task.name)
    if live is None or live.run_id == run.id:
        return
    then = Task.model_validate(live.task)
    if then.output != task.output:
        logger.info("live model not compared", extra={"reason": "it answers with another output"})
        return
    if then.first_served == "bedrock" and live.deployment_arn and then.customization:
        ask = _model(live.deployment_arn, then, then.customization.max_response_tokens, pipeline)
        yield Candidate("live", live.model, ask)
    elif artefact := pipeline.store.get(live.run_id, STUDENT):
        yield Candidate("live", live.model, _embedded(Student.from_bytes(artefact)), 1)


def _embedded(student: Student) -> Ask:
    def ask(record: Record) -> Prediction:
        started = time.perf_counter()
        answer = student.answer(record.query)
        elapsed = (time.perf_counter() - started) * 1000
        return Prediction(
            query=record.query, reference=record.answer_text or "", text=answer.text(), latency_ms=elapsed
        )

    return ask


def _model(model_id: str, task: Task, max_tokens: int, pipeline: Pipeline) -> Ask:
    def ask(record: Record) -> Prediction:
        prediction = Prediction(query=record.query, reference=record.answer_text or "")
        try:
            reply = pipeline.bedrock.ask(model_id, task.prompt, record.query, max_tokens)
        except ClientError as error:
            return prediction.model_copy(update={"error": error.response["Error"]["Code"]})
        except BotoCoreError as error:
            return prediction.model_copy(update={"error": type(error).__name__})
        said = {
            "text": reply.text,
            "error": _unusable(reply.text, task.output),
            "latency_ms": reply.latency_ms,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
        }
        return prediction.model_copy(update=said)

    return ask


def _unusable(text: str, output: Weights | Labels) -> str:
    """Say in a few words why an answer cannot be used, "" if it can."""
    try:
        parse_answer(text, output)
    except AnswerError as error:
        return f"unusable answer: {error.field}" if error.field else "unusable answer"
    return ""


def _predictions(
    run: Run, candidate: Candidate, golden: Sequence[Record], pipeline: Pipeline
) -> list[Prediction]:
    """Ask a candidate every golden query, at bounded concurrency, unless an earlier attempt has."""
    name = predictions_of(candidate.name)
    content = pipeline.store.get(run.id, name)
    if content is not None:
        return [Prediction.model_validate_json(line) for line in content.splitlines()]
    with ThreadPoolExecutor(candidate.concurrency) as threads:
        predictions = list(threads.map(candidate.ask, golden))
    if any(prediction.error in BUSY for prediction in predictions):
        raise Busy(f"Bedrock throttles {candidate.model} while the golden set is asked")
    if all(prediction.error and not prediction.text for prediction in predictions):
        raise _silent(candidate, predictions[0].error)
    pipeline.store.put(
        run.id, name, "".join(prediction.model_dump_json() + "\n" for prediction in predictions)
    )
    return predictions


def _silent(candidate: Candidate, error: str) -> Exception:
    """Say that a candidate answered nothing at all, which says nothing of its quality."""
    if error in REFUSED:
        return PermanentFailure(
            "evaluate",
            f"{candidate.name} ({candidate.model}) could not be asked: {error}",
            "allow the model in this account and region, or name another in the task, and drop the dataset again",
        )
    return RuntimeError(f"{candidate.name} ({candidate.model}) answered none of the golden queries: {error}")


def _start_judge(run: Run, task: Task, pipeline: Pipeline) -> str | None:
    """Hand the answers of the candidate that would answer first to the judge, if the task has one."""
    if task.judge is None:
        return None
    content = pipeline.store.get(run.id, predictions_of(task.first_served)) or b""
    predictions = [Prediction.model_validate_json(line) for line in content.splitlines()]
    pipeline.store.put(run.id, JUDGE_DATASET, judging.dataset(predictions, task, run.id))
    return pipeline.bedrock.start_evaluation(
        judging.job_name(run.id),
        judging.configuration(task, task.judge, run.id, pipeline.store.uri(run.id, JUDGE_DATASET)),
        role_arn=setting("EVALUATION_ROLE_ARN"),
        output=pipeline.store.uri(run.id, JUDGE),
    )
