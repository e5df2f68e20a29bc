"""A run whose dataset has records without an answer: a generation has the teacher answer them; the run waits for it."""

from dataclasses import dataclass
from typing import Any

from signalbox.budget import Excess
from signalbox.dataset_object import DatasetObject
from signalbox.failure import PermanentFailure
from signalbox.generation import GenerationState
from signalbox.labelling import teacher_of
from signalbox.labelling_cost import excess_of_labels, in_words
from signalbox.pipeline import Pipeline
from signalbox.release import Expense
from signalbox.run import Run, State
from signalbox.run_table import Superseded
from signalbox.store import TASK
from signalbox.task import Patience
from signalbox.unlabelled_dataset import Unlabelled, labelled_dataset


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


def have_labelled(run: Run, unlabelled: Unlabelled, pipeline: Pipeline) -> None:
    """Have the teacher answer what has no answer, once it keeps within the task's budget or a person has released it.

    RECEIVED -> LABELLING.
    """
    task, estimated = unlabelled.task, unlabelled.estimate
    beyond = excess_of_labels(task, estimated, task.dataset.budget_usd)
    if beyond is not None and Expense.LABELLING not in run.released:
        _hold(run, beyond, task.patience, pipeline)
        return
    pipeline.store.put(run.id, TASK, task.to_json())
    generation = pipeline.generations.receive(run.dataset)
    note = f"{unlabelled.prompt_only:,} of {unlabelled.records:,} records have no answer; {teacher_of(task)} is asked "
    note += f"{len(unlabelled.queries):,} queries, {in_words(estimated)}"
    pipeline.advance(run, State.LABELLING, event=None, note=note, patience=task.patience)
    pipeline.bus.nudge(generation)


def _hold(run: Run, beyond: Excess, patience: Patience, pipeline: Pipeline) -> None:
    """Let a run wait for its release, unless it does or has got it while this invocation was reading its dataset."""
    read = pipeline.runs.load(run.id)  # as the signs of life have left it that it gave meanwhile
    if read is None or read.state is not run.state or read.awaits or Expense.LABELLING in read.released:
        raise Superseded(f"{run.id} was held or released meanwhile")
    read = read.model_copy(update={"patience": patience})
    pipeline.await_release(read, Expense.LABELLING, beyond.reason, beyond.usd)


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
