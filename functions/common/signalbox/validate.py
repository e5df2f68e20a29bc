"""validate: a dataset dropped into S3 becomes a run, and the run is accepted or rejected."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from signalbox.answer import without_quotations
from signalbox.dataset import LISTED_PROBLEMS, Dataset, GoldenError, examine, too_large
from signalbox.dataset_cost import add_cost
from signalbox.dataset_object import NO_TASK, DatasetObject
from signalbox.events import Event
from signalbox.golden_sources import GivenSet, golden_of_live, golden_of_task, validation_set_of_task
from signalbox.pipeline import Pipeline, step
from signalbox.records import Record, shortened
from signalbox.run import Run, State
from signalbox.run_labels import LabellingRejected, have_labelled, labels_of
from signalbox.spec import TaskError
from signalbox.store import GOLDEN, TASK, TRAIN, VALIDATION, VALIDATION_SET
from signalbox.task import NAME_LENGTH, Task
from signalbox.unlabelled_dataset import kept_for, priced

_LISTED_IN_EVENT = 5
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_LISTED_REASONS = 20
"""Of 300 characters at most: the run's item may have 400 KB, its event 256 KB."""


class Rejection(Exception):
    """A dataset cannot become a model; says why and what to do, and lists the lines at fault if there are any."""

    def __init__(self, reasons: list[str], findings: dict[str, Any] | None = None) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = [shortened(reason) for reason in reasons[:_LISTED_REASONS]]
        if len(reasons) > _LISTED_REASONS:
            self.reasons.append(f"and {len(reasons) - _LISTED_REASONS:,} more")
        self.findings = (findings or {"problems": []}) | {"accepted": False, "reasons": self.reasons}


def receive(dataset: DatasetObject, pipeline: Pipeline) -> str:
    """Register the run of a dropped dataset, once however often it is announced, and return its id."""
    return pipeline.runs.receive(dataset).id


@step("validate", State.RECEIVED, State.LABELLING)
def validate(run: Run, pipeline: Pipeline) -> None:
    """Check a dataset before money is spent on it: RECEIVED -> LABELLING, or either of them -> ACCEPTED | REJECTED.

    Writes task.json, train.jsonl, golden.jsonl and validation.json under the run, for fine-tuning validation_set.jsonl.
    """
    try:
        if run.state is State.LABELLING:
            _go_on(run, pipeline)
        else:
            _begin(run, pipeline)
    except Rejection as rejection:
        _reject(run, rejection, pipeline)


def _begin(run: Run, pipeline: Pipeline) -> None:
    """Look at the dataset as it was dropped; if the task says so, the teacher labels it before it is used."""
    unlabelled = kept_for(run.id, pipeline)
    if unlabelled is None:
        task = _task_of(run, pipeline)
        dataset = _examined(run, run.dataset, task, pipeline)
        if not dataset.to_label:
            _accept(run, task, dataset, pipeline)
            return
        unlabelled = priced(run.id, dataset, task, pipeline)
    have_labelled(run, unlabelled, pipeline)


def _go_on(run: Run, pipeline: Pipeline) -> None:
    """Look at the dataset with the teacher's answers, once they are there, by the task that has asked for them."""
    try:
        labelled = labels_of(run, pipeline)
    except LabellingRejected as rejected:
        raise Rejection(rejected.reasons) from rejected
    if labelled is not None:
        task = pipeline.task(run)
        dataset = _examined(run, labelled.dataset, task, pipeline)
        dataset.quality["labelling"] = labelled.summary
        _accept(run, task, dataset, pipeline)


def _accept(run: Run, task: Task, dataset: Dataset, pipeline: Pipeline) -> None:
    add_cost(dataset, task, pipeline.bedrock.region)
    if dataset.reasons:
        raise Rejection(dataset.reasons, dataset.findings())
    pipeline.store.put(run.id, TASK, task.to_json())
    _put_records(run, TRAIN, dataset.train, task, pipeline)
    _put_records(run, GOLDEN, dataset.golden, task, pipeline)
    if dataset.validation:
        _put_records(run, VALIDATION_SET, dataset.validation, task, pipeline)
    pipeline.store.put(run.id, VALIDATION, _written(run, dataset.findings()))
    counts = dataset.counts
    kept_back = f"{counts['validation']:,} to validate with, " if counts.get("validation") else ""
    note = (
        f"{counts['records']:,} records, {counts['train']:,} to train on, {kept_back}{counts['golden']:,} golden, "
        f"{counts['invalid']:,} dropped"
    )
    summary = {
        "counts": counts,
        "golden_source": dataset.golden_source,
        "warnings": [shortened(warning) for warning in dataset.warnings],
    }
    pipeline.advance(
        run,
        State.ACCEPTED,
        event=Event.DATASET_ACCEPTED,
        note=note,
        summary=summary,
        patience=task.patience,
        deployment=task.deployment,
    )


def _task_of(run: Run, pipeline: Pipeline) -> Task:
    if run.task == NO_TASK:
        raise Rejection(
            [f"{run.dataset.key} lies in no task's folder; drop datasets as datasets/<task>/<name>.jsonl, with "
             f"a task name of lower-case letters, digits and single dashes, at most {NAME_LENGTH}"]
        )  # fmt: skip
    spec, source = pipeline.store.task_spec(run.task), f"tasks/{run.task}/task.yaml"
    if spec is None:
        raise Rejection(
            [f"there is no task {run.task}: upload its spec to {source}, then drop the dataset again"]
        )
    try:
        task = Task.from_yaml(spec, source)
    except TaskError as error:
        raise Rejection([f"{source} cannot be used: {problem}" for problem in error.problems]) from error
    if task.name != run.task:
        raise Rejection(
            [f"{source} names the task {task.name!r}; its name must be that of its folder, {run.task!r}"]
        )
    return task


def _examined(run: Run, content: DatasetObject, task: Task, pipeline: Pipeline) -> Dataset:
    if reason := too_large(content.size):
        raise Rejection([reason])
    with _refused_as_a_whole():
        golden = golden_of_task(task, pipeline)
    dataset = _examine(run, content, task, golden, pipeline)
    if golden is None and not dataset.counts["labelled"]:
        # Nothing to split a golden set from: what the live model was measured on measures this one as well.
        with _refused_as_a_whole():
            golden = golden_of_live(task, pipeline)
        if golden is not None:
            dataset = _examine(run, content, task, golden, pipeline)
    return dataset


def _examine(
    run: Run, content: DatasetObject, task: Task, golden: GivenSet | None, pipeline: Pipeline
) -> Dataset:
    chunks = pipeline.store.dataset(content)
    if chunks is None:
        raise Rejection([f"s3://{content.bucket}/{content.key} was deleted before it could be read"])
    accompanied = _accompanied(chunks, pipeline.heartbeat(run))
    with _refused_as_a_whole():
        validation = validation_set_of_task(task, pipeline)
    return examine(accompanied, task, *_given(golden), *_given(validation))


def _given(found: GivenSet | None) -> tuple[list[Record] | None, str]:
    return (found.records, found.source) if found else (None, "")


def _accompanied(chunks: Iterable[bytes], beat: Callable[[], None]) -> Iterator[bytes]:
    """Pass a file's pieces on and give a sign of life with each."""
    for chunk in chunks:
        beat()
        yield chunk


@contextmanager
def _refused_as_a_whole() -> Iterator[None]:
    """Reject the dataset for a file beside its task, of which every line must be usable."""
    try:
        yield
    except GoldenError as error:
        problems = [asdict(problem) for problem in error.problems[:LISTED_PROBLEMS]]
        raise Rejection([str(error)], {"problems": problems}) from error


def _put_records(run: Run, name: str, records: list[Record], task: Task, pipeline: Pipeline) -> None:
    """Write records by way of a file: with a long prompt 15,000 of them take more memory than the function has."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as lines:
        lines.writelines(record.to_json(task.prompt) for record in records)
        lines.seek(0)
        pipeline.store.put(run.id, name, lines)


def _written(run: Run, findings: dict[str, Any]) -> str:
    dataset = f"s3://{run.dataset.bucket}/{run.dataset.key}"
    return json.dumps({"run_id": run.id, "dataset": dataset, **findings}, ensure_ascii=False, indent=1)


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    """Return a problem as an event and a mail may tell it: what it quotes of the record stands in validation.json."""
    told = {name: without_quotations(problem[name]) for name in ("field", "reason")}
    return problem | told


def _reject(run: Run, rejection: Rejection, pipeline: Pipeline) -> None:
    pipeline.store.put(run.id, VALIDATION, _written(run, rejection.findings))
    summary = {
        "reasons": rejection.reasons,
        "problems": [_told(problem) for problem in rejection.findings.get("problems", [])[:_LISTED_IN_EVENT]],
        "counts": rejection.findings.get("counts", {}),
    }
    pipeline.advance(
        run,
        State.REJECTED,
        event=Event.DATASET_REJECTED,
        note=rejection.reasons[0],
        reason="; ".join(rejection.reasons),
        summary=summary,
    )
