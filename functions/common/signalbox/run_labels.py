"""A run whose dataset has records without an answer: a generation has the teacher answer them; the run waits for it."""

from dataclasses import dataclass
from typing import Any

from signalbox.dataset import Dataset
from signalbox.generation import GenerationState
from signalbox.labelling import teacher_of
from signalbox.labelling_cost import estimate_of, excess, in_words
from signalbox.pipeline import Pipeline
from signalbox.release import Expense
from signalbox.run import DatasetObject, PermanentFailure, Run, State
from signalbox.store import TASK
from signalbox.task import Task
from signalbox.unlabelled_dataset import labelled_dataset


class LabellingRejected(Exception):
    """The generation was rejected; `reasons` says why."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Labelled:
    """A run's dataset with the teacher's answers, and what the generation came to."""

    dataset: DatasetObject
    summary: dict[str, Any]


def have_labelled(run: Run, task: Task, dataset: Dataset, pipeline: Pipeline) -> None:
    """Have the teacher answer what has no answer, once it keeps within the task's budget or a person has released it.

    The run keeps its task, by which it goes on: RECEIVED -> LABELLING.
    """
    estimated = estimate_of(dataset.train, dataset.to_label, task, pipeline.bedrock.region)
    beyond = excess(task, estimated, task.dataset.budget_usd)
    if beyond is not None and Expense.LABELLING not in run.released:
        run = (
            pipeline.runs.load(run.id) or run
        )  # as the signs of life have left it that it gave while it was read
        pipeline.await_release(run, Expense.LABELLING, beyond.reason, beyond.usd)
        return
    pipeline.store.put(run.id, TASK, task.to_json())
    generation = pipeline.generations.receive(run.dataset)
    counts = dataset.counts
    note = f"{counts['prompt_only']:,} of {counts['records']:,} records have no answer; {teacher_of(task)} is asked "
    note += f"{len(dataset.to_label):,} queries, {in_words(estimated)}"
    pipeline.advance(run, State.LABELLING, event=None, note=note, patience=task.patience)
    pipeline.bus.nudge(generation)


def labels_of(run: Run, pipeline: Pipeline) -> Labelled | None:
    """Return a run's dataset with the teacher's answers, or None while they are on their way.

    Raises
    ------
    PermanentFailure
        There will be none.
    LabellingRejected
        The teacher was not to be asked.
    """
    generation = pipeline.generations.load(run.id)
    if generation is None:
        raise PermanentFailure("label", f"the generation {run.id} is gone", "drop the dataset again")
    match generation.state:
        case GenerationState.COMPLETED:
            return Labelled(labelled_dataset(run.dataset, run.id), generation.summary)
        case GenerationState.REJECTED:
            raise LabellingRejected(generation.reasons)
        case GenerationState.FAILED if generation.failure is not None:
            raise PermanentFailure(**generation.failure.model_dump())
    waiting = f", {generation.waiting}" if generation.waiting else ""
    pipeline.runs.wait(run, f"the teacher's answers (generation {generation.state}{waiting})")
    return None
