"""generate: queries are made or read, the teacher labels them, and the dataset that they make is handed on."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from signalbox import requested_dataset, unlabelled_dataset
from signalbox.asking import ask
from signalbox.batch_inference import MAX_FILE_BYTES
from signalbox.bedrock import Busy
from signalbox.dataset_object import DatasetObject
from signalbox.failure import PermanentFailure
from signalbox.generation import Generation, GenerationState
from signalbox.generation_report import report, summary
from signalbox.generation_work import REPORT, TimeUp, Work
from signalbox.labelling import Answers, Label, Tokens, labels, teacher_of
from signalbox.labelling_cost import in_words, way_of
from signalbox.observability import annotate, discreet, logger
from signalbox.pipeline import Pipeline
from signalbox.prepared import Finished, file_size
from signalbox.run import run_id_for, task_of
from signalbox.run_table import Superseded
from signalbox.spec import TaskError

_LISTED_REASONS = 20
_WAYS = {"batch": "in a batch job", "converse": "one by one"}


def receive(request: DatasetObject, pipeline: Pipeline) -> str:
    """Register the generation of a dropped request, once however often it is announced, and return its id."""
    return pipeline.generations.receive(request).id


def generate(generation_id: str, pipeline: Pipeline, role_arn: str) -> None:
    """Do what can be done for a generation; whatever waits is brought back by an event, or by `watch`.

    One invocation at a time: what the teacher is asked at once is asked twice, and paid for twice. Who comes meanwhile
    leaves it to the one at work.

    Parameters
    ----------
    role_arn : str
        The role that Bedrock takes on to read records and write answers.
    """
    logger.set_correlation_id(generation_id)
    annotate(generation_id, task_of(generation_id))
    generation = pipeline.generations.load(generation_id)
    if generation is None or generation.state.ended:
        return
    try:
        with pipeline.generations.held(generation) as held:
            _advance(held, pipeline, role_arn)
    except Superseded as superseded:
        logger.info("generation left to another", extra={"reason": str(superseded)})
    except TimeUp:
        pipeline.bus.nudge(generation)  # only here, as nobody holds it any more


def _advance(held: Generation, pipeline: Pipeline, role_arn: str) -> None:
    """Take step after step, until one has to wait or none is left."""
    while (generation := pipeline.generations.load(held.id)) is not None:
        step = _STEPS.get(generation.state)
        mine = generation.held_until == held.held_until
        if step is None or not mine or not _taken(step, Work(generation, pipeline, role_arn)):
            return


def _taken(step: Callable[[Work], bool], work: Work) -> bool:
    """Take one step, and tell whether the generation has advanced by it."""
    try:
        try:
            work.pipeline.deliver_of(work.generation)  # a move would owe another event in its stead
            return step(work)
        except TaskError as error:
            reasons = [f"{error.source}: {problem}" for problem in error.problems[:_LISTED_REASONS]]
            work.move(GenerationState.REJECTED, reasons[0], reasons=reasons)
        except PermanentFailure as permanent:
            logger.warning("generation failed", extra={"reason": permanent.failure.reason})
            work.move(GenerationState.FAILED, permanent.failure.reason, failure=permanent.failure)
        except Busy as busy:
            logger.info("generation waits", extra={"reason": str(busy)})
            work.wait(str(busy))
    except Superseded as superseded:
        logger.info("generation already moved on", extra={"reason": str(superseded)})
    except TimeUp:
        raise
    except Exception as trouble:
        _note_trouble(work, trouble)
        raise
    return False


def _note_trouble(work: Work, trouble: Exception) -> None:
    """Note, if that can be done, what an attempt broke off with, for whoever is told that the generation stalls."""
    try:
        work.note_trouble(str(discreet(trouble)))
    except Exception:  # the error that is to be noted counts, not that it cannot be
        logger.exception("trouble not noted")


def _kind(work: Work) -> ModuleType:
    """Return what makes the queries and hands the labels on: `prepare` and `finish`."""
    return unlabelled_dataset if work.generation.labels_a_dataset else requested_dataset


def _begin(work: Work) -> bool:
    """Make or read the queries, and say what their labels will cost: REQUESTED -> LABELLING."""
    prepared = work.keep(_kind(work).prepare(work))
    teacher, number = teacher_of(prepared.task), len(prepared.queries)
    way = way_of(prepared.labelling, number * prepared.labelling.samples)
    if way == "batch" and (size := file_size(prepared)) > MAX_FILE_BYTES:
        reason = f"the batch job's file would have {size:,} bytes, at most {MAX_FILE_BYTES:,} can be"
        raise TaskError(work.generation.request.key, [f"{reason}; shorten teacher_prompt, or ask for less"])
    note = f"{number:,} queries, to be labelled by {teacher}, {_WAYS[way]}; {in_words(prepared.estimated)}"
    known = {"queries": number, "teacher": teacher, "estimate": prepared.estimated}
    work.move(GenerationState.LABELLING, note, way=way, summary=known)
    return True


def _label(work: Work) -> bool:
    """Have a round's questions answered: LABELLING -> RETRYING | COMPLETED, RETRYING -> COMPLETED."""
    answers, state = Answers(), work.generation.state
    spent = [answers.read(work.output(number), work.task) for number in range(1, state.round)]
    wanted = answers.missing(work.asked)
    try:
        ending = ask(work, wanted)
    except PermanentFailure:
        spent.append(answers.read(work.output(state.round), work.task))
        _report(work, answers, spent)
        raise
    if ending is None:
        return False
    spent.append(answers.read(work.output(state.round), work.task))
    missing = answers.missing(wanted)
    if missing and state is GenerationState.LABELLING:
        note = f"{len(missing):,} of {len(wanted):,} answers cannot be used; they are asked for again{ending}"
        work.move(GenerationState.RETRYING, note, way=way_of(work.labelling, len(missing)))
    else:
        _complete(work, answers, spent, ending)
    return True


def _complete(work: Work, answers: Answers, spent: list[Tokens], ending: str) -> None:
    """Hand on what has a label, and say what it came to: -> COMPLETED."""
    labelled, found = _report(work, answers, spent)
    faults = "; ".join(f"{reason} ({number:,})" for reason, number in found["faults"].items())
    why = (f"; answers that cannot be used: {faults}" if faults else "") + ending
    finished: Finished = _kind(work).finish(work, labelled, why)
    found |= finished.facts | {"counts": found["counts"] | finished.counts}
    work.put(REPORT, _written(found))
    made = finished.dataset
    named = {"dataset_key": made.key, "run_id": run_id_for(made)} if made else {}
    work.move(GenerationState.COMPLETED, finished.note, summary=summary(found), **named)


def _report(work: Work, answers: Answers, spent: list[Tokens]) -> tuple[list[Label], dict[str, Any]]:
    """Write down what the teacher has answered and what was paid, for whoever asks why it has failed, if it does."""
    labelled = labels(answers, work.labelling.samples)
    found = report(work, answers, labelled, spent)
    work.put(REPORT, _written(found))
    return labelled, found


def _written(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1)


_STEPS: dict[GenerationState, Callable[[Work], bool]] = {
    GenerationState.REQUESTED: _begin,
    GenerationState.LABELLING: _label,
    GenerationState.RETRYING: _label,
}
