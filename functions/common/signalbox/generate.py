"""generate: a request becomes queries, the teacher labels them, and the dataset that they make is dropped."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from signalbox.balance import Balanced, balance
from signalbox.batch_inference import AT_WORK, MAX_RECORDS, MIN_RECORDS, BatchInference
from signalbox.bedrock import REFUSED, Busy
from signalbox.dataset import MIN_RECORDS as FEWEST_RECORDS
from signalbox.dataset import GoldenError, read_golden
from signalbox.generation import Generation, GenerationState, Way
from signalbox.generation_request import GenerationRequest
from signalbox.labelling import Answers, Label, Question, labels, line_to_ask, noise, output_lines, questions
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.query_sources import gather
from signalbox.records import Record
from signalbox.run import (
    NO_TASK,
    DatasetObject,
    PermanentFailure,
    Superseded,
    run_id_for,
    task_of,
)
from signalbox.spec import TaskError
from signalbox.store import TASK, RunStore
from signalbox.synthetic_queries import Query, Selection
from signalbox.task import Task

FOLDER = "generations"
REQUEST, QUERIES, REPORT, GATHERED = "request.json", "queries.jsonl", "report.json", "gathered.json"
_CONCURRENT_QUESTIONS = 8
_CHUNK = 100
"""After so many questions asked one by one the answers are stored."""
AT_WORK_SECONDS = 600
"""How long one invocation asks; the next goes on. The function has 900 seconds, of which other work needs some."""
_IN_MEMORY_BYTES = 32 * 1024 * 1024
_LISTED_REASONS = 20


@dataclass(frozen=True)
class _Work:
    """A generation with all that its steps need."""

    generation: Generation
    pipeline: Pipeline
    role_arn: str

    @property
    def store(self) -> RunStore:
        return self.pipeline.store.folder(FOLDER)

    @property
    def task(self) -> Task:
        return Task.model_validate_json(self._kept(TASK))

    @property
    def request(self) -> GenerationRequest:
        return GenerationRequest.model_validate_json(self._kept(REQUEST))

    def queries(self) -> list[Query]:
        return [Query(**json.loads(line)) for line in self._kept(QUERIES).splitlines()]

    def _kept(self, name: str) -> bytes:
        content = self.store.get(self.generation.id, name)
        if content is None:
            raise PermanentFailure(
                "generate", f"{name} of {self.generation.id} is gone", "upload the request again"
            )
        return content

    def put(self, name: str, content: bytes | str) -> None:
        self.store.put(self.generation.id, name, content)

    def move(self, to: GenerationState, note: str, **changes: Any) -> None:
        self.pipeline.generations.move(self.generation, to, note, **changes)
        logger.info("generation advanced", extra={"from_state": self.generation.state, "to_state": to})


def receive(request: DatasetObject, pipeline: Pipeline) -> str:
    """Register the generation of a dropped request, once however often it is announced, and return its id."""
    return pipeline.generations.receive(request).id


def generate(generation_id: str, pipeline: Pipeline, role_arn: str) -> None:
    """Do what can be done for a generation; whatever waits is brought back by an event, or by `watch`.

    Parameters
    ----------
    role_arn : str
        The role that Bedrock takes on to read records and write answers.
    """
    logger.set_correlation_id(generation_id)
    annotate(generation_id, task_of(generation_id))
    while (generation := pipeline.generations.load(generation_id)) is not None:
        step = _STEPS.get(generation.state)
        if step is None or not _taken(step, _Work(generation, pipeline, role_arn)):
            return


def _taken(step: Callable[[_Work], bool], work: _Work) -> bool:
    """Take one step, and tell whether the generation has advanced by it."""
    generations = work.pipeline.generations
    try:
        try:
            return step(work)
        except TaskError as error:
            reasons = [f"{error.source}: {problem}" for problem in error.problems[:_LISTED_REASONS]]
            work.move(GenerationState.REJECTED, reasons[0], reasons=reasons)
        except PermanentFailure as permanent:
            logger.warning("generation failed", extra={"reason": permanent.failure.reason})
            work.move(GenerationState.FAILED, permanent.failure.reason, failure=permanent.failure)
        except Busy as busy:
            logger.info("generation waits", extra={"reason": str(busy)})
            generations.note(work.generation, waiting=str(busy))
    except Superseded as superseded:
        logger.info("generation already moved on", extra={"reason": str(superseded)})
    return False


def _begin(work: _Work) -> bool:
    """Read the request and make the queries: REQUESTED -> LABELLING."""
    task = _task_of(work)
    request = _request_of(work, task)
    selection = Selection(_golden_queries(work, task))
    if not gather(request, task, work.generation, selection, work.pipeline, work.store):
        return False
    if len(selection.kept) < FEWEST_RECORDS:
        reason = f"{len(selection.kept)} queries could be made, at least {FEWEST_RECORDS} are needed"
        raise TaskError(work.generation.request.key, [f"{reason}; left out: {dict(selection.left_out)}"])
    questions_asked = len(selection.kept) * request.labelling.samples
    if questions_asked > MAX_RECORDS:
        reason = f"{questions_asked:,} answers would be asked for, at most {MAX_RECORDS:,} can be"
        raise TaskError(work.generation.request.key, [f"{reason}; lower count, surplus or labelling.samples"])
    work.put(TASK, task.to_json())
    work.put(REQUEST, request.model_dump_json(indent=1))
    work.put(GATHERED, json.dumps(selection.left_out))
    work.put(QUERIES, b"".join(output_lines(asdict(query) for query in selection.kept)))
    way = _way(request, questions_asked)
    note = f"{len(selection.kept):,} queries, to be labelled by {_asked(task)}, {_WAYS[way]}"
    work.move(GenerationState.LABELLING, note, way=way)
    return True


_WAYS = {"batch": "in a batch job", "converse": "one by one"}


def _asked(task: Task) -> str:
    assert task.customization is not None
    return task.customization.teacher


def _task_of(work: _Work) -> Task:
    name = work.generation.task
    spec = work.pipeline.store.task_spec(name) if name != NO_TASK else None
    if spec is None:
        key = work.generation.request.key
        raise TaskError(key, ["lies in no task's folder; upload it to requests/<task>/<name>.yaml"])
    return Task.from_yaml(spec, f"tasks/{name}/task.yaml")


def _request_of(work: _Work, task: Task) -> GenerationRequest:
    dropped = work.generation.request
    chunks = work.pipeline.store.dataset(dropped)
    if chunks is None:
        raise TaskError(dropped.key, ["was deleted before it could be read"])
    return GenerationRequest.from_yaml(b"".join(chunks), task, dropped.key)


def _golden_queries(work: _Work, task: Task) -> list[str]:
    """Return the golden queries that the task brings along; a dataset without splits its own off."""
    content, source = work.pipeline.store.task_golden(task.name), f"tasks/{task.name}/golden.jsonl"
    if content is None:
        return []
    try:
        return [record.query for record in read_golden([content], task, source)]
    except GoldenError as error:
        raise TaskError(source, [str(error)]) from error


def _way(request: GenerationRequest, number: int) -> Way:
    """Choose how to ask so many questions: Bedrock takes no batch job of less than a hundred."""
    if number < MIN_RECORDS or request.labelling.mode == "converse":
        return "converse"
    return "batch"


def _label(work: _Work) -> bool:
    """Have this round's questions answered, then go on: LABELLING -> RETRYING | COMPLETED, RETRYING -> COMPLETED."""
    task, request, queries = work.task, work.request, work.queries()
    asked = questions(len(queries), request.labelling.samples)
    answers = Answers()
    if work.generation.state is GenerationState.RETRYING:
        answers.read(_output(work, 1), task)
    wanted = answers.missing(asked)
    here = Answers()
    here.read(_output(work, work.generation.state.round), task)
    ask = _asked_in_batch if work.generation.way == "batch" else _asked_one_by_one
    unasked = [question for question in wanted if question not in here.usable and question not in here.faults]
    ending = ask(work, task, request, queries, unasked)
    if ending is None:
        return False
    answers.read(_output(work, work.generation.state.round), task)
    missing = answers.missing(asked)
    if missing and work.generation.state is GenerationState.LABELLING:
        note = f"{len(missing):,} of {len(asked):,} answers cannot be used; they are asked for again" + ending
        work.move(GenerationState.RETRYING, note, way=_way(request, len(missing)))
        return True
    _complete(work, task, request, queries, answers, ending)
    return True


def _folder(number: int) -> str:
    return f"labels-{number}/"


def _output(work: _Work, number: int) -> Iterator[bytes]:
    """Return the lines of answers of a round, whoever wrote them."""
    for name in work.store.names(work.generation.id, _folder(number), ".jsonl.out"):
        yield from work.store.lines(work.generation.id, name)


def _lines(
    task: Task, request: GenerationRequest, queries: list[Query], wanted: Iterable[Question]
) -> Iterator[dict[str, Any]]:
    at = request.labelling.asked_at
    return (line_to_ask(question, queries[question.place].text, task, at) for question in wanted)


def _asked_in_batch(
    work: _Work, task: Task, request: GenerationRequest, queries: list[Query], wanted: list[Question]
) -> str | None:
    """Start the round's batch job, or look at it; None while it is at work, then how it ended if that was early."""
    generation, batches = work.generation, BatchInference(work.pipeline.bedrock)
    number = str(generation.state.round)
    arn = generation.job_arns.get(number)
    if arn is None:
        folder = _folder(generation.state.round)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as records:
            records.writelines(output_lines(_lines(task, request, queries, wanted)))
            records.seek(0)
            work.store.put(generation.id, f"{folder}records.jsonl", records)
        arn = batches.start(
            generation.batch_name,
            _asked(task),
            role_arn=work.role_arn,
            records=work.store.uri(generation.id, f"{folder}records.jsonl"),
            output=work.store.uri(generation.id, f"{folder}output/"),
        )
        work.pipeline.generations.note(generation, job_arns=generation.job_arns | {number: arn}, waiting="")
        return None
    job = batches.job(arn)
    if job.status in AT_WORK:
        work.pipeline.generations.note(
            generation, waiting=f"batch job {generation.batch_name} is {job.status}"
        )
        return None
    if job.status == "Completed":
        return ""
    logger.warning("batch job ended early", extra={"status": job.status, "reason": job.message})
    return f"; batch job {job.status}" + (f": {job.message}" if job.message else "")


def _asked_one_by_one(
    work: _Work, task: Task, request: GenerationRequest, queries: list[Query], wanted: list[Question]
) -> str | None:
    """Ask at bounded concurrency, storing answers as they come; None if the next invocation has to go on.

    Raises
    ------
    Busy
        Bedrock could not answer for the moment; the answers before are stored.
    """
    begun, generation, remaining = time.monotonic(), work.generation, iter(wanted)
    with ThreadPoolExecutor(_CONCURRENT_QUESTIONS) as threads:
        while chunk := list(islice(remaining, _CHUNK)):
            lines = list(_lines(task, request, queries, chunk))
            outcomes = list(threads.map(lambda line: _outcome(line, _asked(task), work.pipeline), lines))
            answered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
            name = f"{_folder(generation.state.round)}{chunk[0].record_id}.jsonl.out"
            if answered:
                work.put(name, b"".join(output_lines(answered)))
            if busy := next((outcome for outcome in outcomes if isinstance(outcome, Busy)), None):
                raise busy
            work.pipeline.generations.note(generation, waiting="")
            if time.monotonic() - begun > AT_WORK_SECONDS:
                work.pipeline.bus.nudge(generation)
                return None
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


def _complete(
    work: _Work, task: Task, request: GenerationRequest, queries: list[Query], answers: Answers, ending: str
) -> None:
    """Put the dataset where datasets are dropped, and say what it came to."""
    samples = request.labelling.samples
    labelled = labels(answers, samples)
    sound = [label for label in labelled if label.disagreement <= request.labelling.most_disagreement]
    balanced = balance(sound, request.count, request.target(task))
    faults = answers.reasons(questions(len(queries), samples))
    report = _report(work, request, labelled, balanced, answers, len(queries))
    work.put(REPORT, json.dumps(report, ensure_ascii=False, indent=1))
    if len(balanced.chosen) < FEWEST_RECORDS:
        why = "; ".join(f"{reason} ({number:,})" for reason, number in faults.items())
        raise PermanentFailure(
            "label",
            f"{len(balanced.chosen)} labelled queries are left, at least {FEWEST_RECORDS} are needed"
            + (f"; answers that cannot be used: {why}" if why else "")
            + ending,
            "mend what the teacher is asked (teacher_prompt, customization.max_response_tokens) or which teacher, "
            "then upload the request again",
        )
    dataset = _dropped(work, task, queries, balanced)
    run_id = run_id_for(dataset)
    note = f"{len(balanced.chosen):,} records in {dataset.key}; run {run_id}"
    summary = {**report["counts"], "noise": report["noise"], "shares": balanced.shares}
    work.move(GenerationState.COMPLETED, note, dataset_key=dataset.key, run_id=run_id, summary=summary)


def _dropped(work: _Work, task: Task, queries: list[Query], balanced: Balanced) -> DatasetObject:
    """Drop the dataset under a name of its own, once."""
    name = work.generation.request.key.rpartition("/")[2].rpartition(".")[0]
    key = f"datasets/{task.name}/{name}-{work.generation.id.rpartition('-')[2]}.jsonl"
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        lines.writelines(
            _record(queries[label.place].text, label).to_json(task.prompt) for label in balanced.chosen
        )
        lines.seek(0)
        return work.pipeline.store.drop(key, lines)


def _record(query: str, label: Label) -> Record:
    return Record(0, query, "", label.answer, label.answer.text())


def _report(
    work: _Work,
    request: GenerationRequest,
    labelled: list[Label],
    balanced: Balanced,
    answers: Answers,
    queries: int,
) -> dict[str, Any]:
    """Return what report.json holds; it quotes no query."""
    samples = request.labelling.samples
    disagreeing = sum(label.disagreement > request.labelling.most_disagreement for label in labelled)
    return {
        "generation_id": work.generation.id,
        "request": work.generation.request.key,
        "teacher": _asked(work.task),
        "counts": {
            "wanted": request.count,
            "queries": queries,
            "labelled": len(labelled),
            "without_answer": queries - len(labelled),
            "disagreeing": disagreeing,
            "records": len(balanced.chosen),
        },
        "left_out": json.loads(work.store.get(work.generation.id, GATHERED) or b"{}"),
        "faults": answers.reasons(questions(queries, samples)),
        "shares": balanced.shares,
        "target": request.target(work.task),
        "reasons": balanced.reasons,
        "samples": samples,
        "noise": noise(labelled) if samples > 1 else None,
        "jobs": work.generation.job_arns,
    }


_STEPS: dict[GenerationState, Callable[[_Work], bool]] = {
    GenerationState.REQUESTED: _begin,
    GenerationState.LABELLING: _label,
    GenerationState.RETRYING: _label,
}
