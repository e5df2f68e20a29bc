"""A dataset that somebody has asked for: its queries are made as the request says, and it is dropped once labelled."""

import tempfile

from signalbox.balance import Balanced, balance
from signalbox.batch_inference import MAX_RECORDS as MAX_ANSWERS
from signalbox.dataset import GoldenError
from signalbox.dataset_object import NO_TASK, DatasetObject
from signalbox.failure import PermanentFailure
from signalbox.generation_request import GenerationRequest
from signalbox.generation_work import REQUEST, Work
from signalbox.golden_set import MIN_GOLDEN, golden_size, least_to_split
from signalbox.golden_sources import golden_of_task, held_out
from signalbox.labelling import Label
from signalbox.labelling_cost import estimate, excess_of_labels
from signalbox.prepared import Finished, Prepared
from signalbox.query_sources import gather, wanted_by
from signalbox.query_writing import expense, write
from signalbox.records import Record
from signalbox.run import run_id_for
from signalbox.spec import TaskError
from signalbox.synthetic_queries import Selection
from signalbox.task import Task

_IN_MEMORY_BYTES = 32 * 1024 * 1024


def prepare(work: Work) -> Prepared:
    """Make the queries that a request asks for.

    Raises
    ------
    TimeUp
        The next invocation has to go on.
    TaskError
        The request, its task or the task's golden or validation set cannot be used; it asks for more answers than
        Bedrock takes, or may cost more than its budget; too few queries are asked for or could be made for a run to
        train on.
    """
    key = work.generation.request.key
    task = _task_of(work)
    request = _request_of(work, task)
    apart = _held_out(task, work)
    least = _least(task, work)
    if request.count < least:
        raise TaskError(
            key, [f"count: {request.count:,}; at least {least:,} are needed{_set_aside(least, task)}"]
        )
    selection = Selection([record.query for record in apart])
    lacking = gather(request, task, work, selection)
    estimated = estimate(
        task,
        request.labelling,
        [query.text for query in selection.kept] or request.seeds,
        len(selection.kept) + lacking,
        [record.answer_text for record in apart if record.answer_text],
        work.pipeline.bedrock.region,
        expense(request, task, lacking),
    )
    if estimated["answers"] > MAX_ANSWERS:
        reason = f"{estimated['answers']:,} answers would be asked for, at most {MAX_ANSWERS:,} can be"
        raise TaskError(key, [f"{reason}; lower count, surplus or labelling.samples"])
    if beyond := excess_of_labels(
        task, estimated, request.labelling.budget_usd, "the request's labelling.budget_usd"
    ):
        advice = "raise labelling.budget_usd, or lower count, surplus or labelling.samples; nothing was spent"
        raise TaskError(key, [f"{beyond.reason}; {advice}"])
    if lacking:
        write(work, request, task, selection, wanted_by(request))
    if len(selection.kept) < least:
        reason = f"{len(selection.kept)} queries could be made, at least {least} are needed{_set_aside(least, task)}"
        raise TaskError(key, [f"{reason}; left out: {dict(selection.left_out)}"])
    work.put(REQUEST, request.model_dump_json(indent=1))
    return Prepared(task, request.labelling, selection.kept, dict(selection.left_out), estimated)


def finish(work: Work, labelled: list[Label], why: str) -> Finished:
    """Drop the dataset, balanced as the request asks.

    Parameters
    ----------
    why : str
        What is known of answers that are missing, for a failure's reason.

    Raises
    ------
    PermanentFailure
        Too few queries have a label.
    """
    request, task = work.request, work.task
    sound = [label for label in labelled if label.disagreement <= request.labelling.most_disagreement]
    balanced = balance(sound, request.count, request.target(task))
    try:
        least = _least(task, work)
    except TaskError as error:
        raise PermanentFailure(
            "label", error.problems[0], "mend it, then upload the request again"
        ) from error
    if len(balanced.chosen) < least:
        needed = f"at least {least} are needed{_set_aside(least, task)}"
        raise PermanentFailure(
            "label",
            f"{len(balanced.chosen)} labelled queries are left, {needed}{why}",
            "mend what the teacher is asked (teacher_prompt, customization.max_response_tokens) or which teacher, "
            "then upload the request again",
        )
    dataset = _dropped(work, balanced)
    return Finished(
        f"{len(balanced.chosen):,} records in {dataset.key}; run {run_id_for(dataset)}",
        {"wanted": request.count, "records": len(balanced.chosen)},
        {
            "shares": balanced.shares,
            "target": request.target(task),
            "balance_reasons": balanced.reasons,
        },
        dataset,
    )


def _task_of(work: Work) -> Task:
    name, key = work.generation.task, work.generation.request.key
    spec = work.pipeline.store.task_spec(name) if name != NO_TASK else None
    if spec is None:
        raise TaskError(key, ["lies in no task's folder; upload it to requests/<task>/<name>.yaml"])
    return Task.from_yaml(spec, f"tasks/{name}/task.yaml")


def _request_of(work: Work, task: Task) -> GenerationRequest:
    dropped = work.generation.request
    chunks = work.pipeline.store.dataset(dropped)
    if chunks is None:
        raise TaskError(dropped.key, ["was deleted before it could be read"])
    return GenerationRequest.from_yaml(b"".join(chunks), task, dropped.key)


def _held_out(task: Task, work: Work) -> list[Record]:
    try:
        return held_out(task, work.pipeline)
    except GoldenError as error:
        raise TaskError(work.generation.request.key, [str(error)]) from error


def _least(task: Task, work: Work) -> int:
    """Return of how many records a run can train a student, its golden set split off them if the task has none."""
    try:
        own = golden_of_task(task, work.pipeline)
    except GoldenError as error:
        raise TaskError(work.generation.request.key, [str(error)]) from error
    if own is None:
        return least_to_split(task)
    if len(own.records) < MIN_GOLDEN:
        reason = f"{own.source} has {len(own.records)} queries, at least {MIN_GOLDEN} are needed"
        raise TaskError(work.generation.request.key, [reason])
    return task.limits.least


def _set_aside(least: int, task: Task) -> str:
    """Say why more records are needed than are trained on, if that is so."""
    if least == task.limits.least:
        return ""
    return (
        f", of which {golden_size(least, task)} are set aside as the golden set and {task.limits.least} are left to "
        f"train on; or put a golden set at tasks/{task.name}/golden.jsonl"
    )


def _dropped(work: Work, balanced: Balanced) -> DatasetObject:
    """Drop the dataset under a name of its own, once."""
    name = work.generation.request.key.rpartition("/")[2].rpartition(".")[0]
    key = f"datasets/{work.task.name}/{name}-{work.generation.id.rpartition('-')[2]}.jsonl"
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        lines.writelines(
            Record(0, work.queries[label.place].text, "", label.answer, label.answer.text()).to_json(
                work.task.prompt
            )
            for label in balanced.chosen
        )
        lines.seek(0)
        return work.pipeline.store.drop(key, lines)
