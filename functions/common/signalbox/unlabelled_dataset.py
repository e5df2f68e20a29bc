"""A dropped dataset with records that have no answer: the teacher gives them one, and its run goes on with these."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from signalbox.answer import Answer
from signalbox.dataset import Dataset
from signalbox.dataset_object import DatasetObject
from signalbox.failure import PermanentFailure
from signalbox.generation import FOLDER
from signalbox.generation_request import Labelling
from signalbox.generation_work import LABELLED, Work
from signalbox.labelling import Label
from signalbox.labelling_cost import estimate_of
from signalbox.personal_screen import Screen
from signalbox.pipeline import Pipeline
from signalbox.prepared import Finished, Prepared
from signalbox.query import normalise
from signalbox.records import Problem, Record, lines_of, read_records
from signalbox.store import UNLABELLED
from signalbox.synthetic_queries import Query
from signalbox.task import Task

_IN_MEMORY_BYTES = 32 * 1024 * 1024
_UPLOAD = "drop the dataset again"


class Unlabelled(BaseModel):
    """What of a dropped dataset the teacher is to answer, as it was priced: this is asked, and nothing else.

    A run keeps the first that it has written. So whatever happens to its task, to the golden sets or to the live run
    while it waits for a person, what is released is what the person was told of.

    Attributes
    ----------
    task : Task
        By which the teacher is asked, and the run goes on.
    records, prompt_only : int
        How many usable records the dataset has, and how many of them without an answer.
    queries : list[str]
        Each once, without those that need no answer.
    estimate : dict
        What the answers cost; see `labelling_cost.estimate`.
    """

    task: Task
    records: int
    prompt_only: int
    queries: list[str]
    estimate: dict[str, Any]


def priced(run_id: str, dataset: Dataset, task: Task, pipeline: Pipeline) -> Unlabelled:
    """Price what a run's dataset lacks, and keep it; what another invocation has kept before stands."""
    unlabelled = Unlabelled(
        task=task,
        records=dataset.counts["records"],
        prompt_only=dataset.counts["prompt_only"],
        queries=[record.query for record in dataset.to_label],
        estimate=estimate_of(dataset.train, dataset.to_label, task, pipeline.bedrock.region),
    )
    pipeline.store.put_once(run_id, UNLABELLED, unlabelled.model_dump_json(by_alias=True))
    return kept_for(run_id, pipeline) or unlabelled


def kept_for(run_id: str, pipeline: Pipeline) -> Unlabelled | None:
    """Return what a run has kept of what the teacher is to answer, or None if it has not come to that."""
    content = pipeline.store.get(run_id, UNLABELLED)
    return None if content is None else Unlabelled.model_validate_json(content)


def prepare(work: Work) -> Prepared:
    """Read which queries of a dropped dataset have no answer, as its run has priced and kept them.

    Raises
    ------
    PermanentFailure
        The dataset, or what the run has kept, is gone.
    """
    _content(work)  # before money is spent on a dataset that is gone
    asked = kept_for(work.generation.id, work.pipeline)
    if asked is None:
        raise PermanentFailure("label", f"{UNLABELLED} of run {work.generation.id} is gone", _UPLOAD)
    return Prepared(
        asked.task, Labelling(), [Query(text, "file") for text in asked.queries], {}, asked.estimate
    )


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
