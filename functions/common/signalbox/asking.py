"""Asking the teacher: by a batch job of Bedrock's, or question by question; both write lines of the same shape."""

import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.batch_inference import AT_WORK, BatchInference
from signalbox.bedrock import REFUSED, Busy
from signalbox.failure import PermanentFailure
from signalbox.generation_work import TimeUp, Work, folder_of
from signalbox.labelling import Answers, Question, line_to_ask, output_lines, teacher_of
from signalbox.observability import logger
from signalbox.pipeline import Pipeline

AT_WORK_SECONDS = 600
"""How long one invocation asks; the next goes on. The function has 900 seconds, of which other work needs some."""
_CONCURRENT_QUESTIONS = 8
_CHUNK = 100
"""After so many questions asked one by one the answers are stored."""
_IN_MEMORY_BYTES = 32 * 1024 * 1024


def ask(work: Work, wanted: list[Question]) -> str | None:
    """Have this round's questions answered.

    Parameters
    ----------
    wanted : list[Question]
        Those that have no usable answer of an earlier round.

    Returns
    -------
    str | None
        None while a batch job answers them; then "", or how it ended if it ended early.

    Raises
    ------
    Busy
        Bedrock cannot answer for the moment; the answers before are stored.
    TimeUp
        The next invocation has to go on; the answers before are stored.
    PermanentFailure
        Bedrock refuses the job, or somebody has stopped it.
    """
    return (_in_batch if work.generation.way == "batch" else _one_by_one)(work, wanted)


def _lines(work: Work, wanted: Iterable[Question]) -> Iterator[dict[str, Any]]:
    at = work.labelling.asked_at
    return (line_to_ask(question, work.queries[question.place].text, work.task, at) for question in wanted)


def _in_batch(work: Work, wanted: list[Question]) -> str | None:
    """Start the round's job, or look at it."""
    generation, batches = work.generation, BatchInference(work.pipeline.bedrock)
    arn = generation.job_arns.get(str(generation.state.round))
    if arn is None:
        _start(work, wanted, batches)
        return None
    job = batches.job(arn)
    if job.status in AT_WORK:
        work.wait(f"batch job {generation.batch_name} is {job.status}")
        return None
    if job.status == "Completed":
        return ""
    if job.status == "Stopped":  # by somebody who wants it to end
        raise _stopped(work)
    logger.warning("batch job ended early", extra={"status": job.status, "reason": job.message})
    return f"; batch job {job.status}" + (f": {job.message}" if job.message else "")


def _stopped(work: Work) -> PermanentFailure:
    generation = work.generation
    answered = work.store.uri(generation.id, folder_of(generation.state.round))
    return PermanentFailure(
        "label",
        f"somebody has stopped the batch job {generation.batch_name}",
        f"none is needed; what it had answered lies under {answered}. Upload {generation.request.key} again should the "
        "labels be wanted after all",
    )


def _start(work: Work, wanted: list[Question], batches: BatchInference) -> None:
    generation, number = work.generation, work.generation.state.round
    records, output = f"{folder_of(number)}records.jsonl", f"{folder_of(number)}output/"
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        lines.writelines(output_lines(_lines(work, wanted)))
        lines.seek(0)
        work.store.put(generation.id, records, lines)
    arn = batches.start(
        generation.batch_name,
        teacher_of(work.task),
        role_arn=work.role_arn,
        records=work.store.uri(generation.id, records),
        output=work.store.uri(generation.id, output),
    )
    work.wait("", job_arns=generation.job_arns | {str(number): arn})


def _one_by_one(work: Work, wanted: list[Question]) -> str:
    """Ask at bounded concurrency, storing answers as they come, each time under a name that no others have."""
    begun, before = time.monotonic(), Answers()
    before.read(work.output(work.generation.state.round), work.task)
    remaining = (question for question in wanted if not before.has(question))
    with ThreadPoolExecutor(_CONCURRENT_QUESTIONS) as threads:
        while chunk := list(islice(remaining, _CHUNK)):
            lines = list(_lines(work, chunk))
            outcomes = list(
                threads.map(lambda line: _outcome(line, teacher_of(work.task), work.pipeline), lines)
            )
            if answered := [outcome for outcome in outcomes if isinstance(outcome, dict)]:
                name = f"{answered[0]['recordId']}-{secrets.token_hex(4)}.jsonl.out"
                work.put(folder_of(work.generation.state.round) + name, b"".join(output_lines(answered)))
            if busy := next((outcome for outcome in outcomes if isinstance(outcome, Busy)), None):
                raise busy
            work.wait("")
            if time.monotonic() - begun > AT_WORK_SECONDS:
                raise TimeUp
    return ""


def _outcome(line: dict[str, Any], model_id: str, pipeline: Pipeline) -> dict[str, Any] | Busy:
    """Ask one question, and return the line that Bedrock's batch inference would write; or why it has to wait."""
    try:
        output = pipeline.bedrock.converse(model_id, line["modelInput"])
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in REFUSED:
            return Busy(f"the teacher could not be asked for the moment: {code}")
        return {"recordId": line["recordId"], "error": {"errorCode": code, "errorMessage": ""}}
    except BotoCoreError as error:
        return Busy(f"the teacher could not be asked for the moment: {type(error).__name__}")
    return {"recordId": line["recordId"], "modelOutput": output}
