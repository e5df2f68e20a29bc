"""A dropped dataset with records that have no answer: the teacher gives them one, and its run goes on with these."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace

from signalbox.answer import Answer
from signalbox.dataset import GoldenError, without_answer
from signalbox.generation import FOLDER
from signalbox.generation_request import Labelling
from signalbox.generation_work import LABELLED, Work
from signalbox.golden_sources import golden_of_task
from signalbox.labelling import Label
from signalbox.labelling_cost import estimate_of
from signalbox.personal_screen import Screen
from signalbox.prepared import Finished, Prepared
from signalbox.query import normalise
from signalbox.records import Problem, Record, lines_of, read_records
from signalbox.run import DatasetObject, PermanentFailure
from signalbox.store import TASK
from signalbox.synthetic_queries import Query
from signalbox.task import Task

_IN_MEMORY_BYTES = 32 * 1024 * 1024
_UPLOAD = "drop the dataset again"


def prepare(work: Work) -> Prepared:
    """Read of a dropped dataset which queries have no answer.

    The task is that of the run, which `validate` has written; so its budget has been kept to.

    Raises
    ------
    PermanentFailure
        The dataset, its task or the task's golden set is gone, or cannot be used any more.
    """
    content = work.pipeline.store.get(work.generation.id, TASK)
    if content is None:
        raise PermanentFailure("label", f"{TASK} of run {work.generation.id} is gone", _UPLOAD)
    task = Task.model_validate_json(content)
    try:
        golden = golden_of_task(task, work.pipeline)
    except GoldenError as error:
        raise PermanentFailure("label", str(error), "mend it, then " + _UPLOAD) from error
    records = [entry for entry in _entries(work, task) if isinstance(entry, Record)]
    asked = without_answer(records, golden.records if golden else [])
    estimated = estimate_of(records, asked, task, work.pipeline.bedrock.region)
    return Prepared(task, Labelling(), [Query(record.query, "file") for record in asked], {}, estimated)


def finish(work: Work, labelled: list[Label], why: str) -> Finished:
    """Write the dataset with the answers filled in.

    Raises
    ------
    PermanentFailure
        There is not one answer.
    """
    if not labelled:
        remedy = (
            "mend what the teacher is asked (teacher_prompt, customization.max_response_tokens), then "
            + _UPLOAD
        )
        raise PermanentFailure("label", f"the teacher has answered none of the queries{why}", remedy)
    answers = {_key(work, label): label.answer for label in labelled}
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        lines.writelines(_filled(work, answers))
        lines.seek(0)
        work.store.put(work.generation.id, LABELLED, lines)
    note = f"{len(labelled):,} of {len(work.queries):,} queries have an answer"
    return Finished(note, {"records": len(labelled)})


def labelled_dataset(dropped: DatasetObject, run_id: str) -> DatasetObject:
    """Name the object that holds a dropped dataset with the answers filled in."""
    key = f"{FOLDER}/{run_id}/{LABELLED}"
    return DatasetObject(bucket=dropped.bucket, key=key)


def _filled(work: Work, answers: Mapping[str, Answer]) -> Iterator[bytes]:
    """Yield each line as it was dropped, or with the answer that it lacked; problems keep their lines' numbers."""
    for line, entry in zip(lines_of(_content(work)), _entries(work, work.task), strict=True):
        answer = answers.get(entry.key) if isinstance(entry, Record) and entry.answer is None else None
        if answer is None or isinstance(entry, Problem):
            yield line + b"\n"
        else:
            yield replace(entry, answer=answer, answer_text=answer.text()).to_json(work.task.prompt)


def _entries(work: Work, task: Task) -> Iterator[Record | Problem]:
    return map(Screen(task).passed, read_records(_content(work), task))


def _content(work: Work) -> Iterator[bytes]:
    dropped = work.generation.request
    chunks = work.pipeline.store.dataset(dropped)
    if chunks is None:
        raise PermanentFailure("label", f"{dropped.key} was deleted before it was labelled", _UPLOAD)
    return chunks


def _key(work: Work, label: Label) -> str:
    return normalise(work.queries[label.place].text)
