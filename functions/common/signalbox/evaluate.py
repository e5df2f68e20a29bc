"""evaluate: the students and the models beside them answer the golden set; what they said is measured and judged."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from signalbox import judging
from signalbox.bedrock import Bedrock, Busy
from signalbox.candidate import Candidate, Refused, answers_in_time, answers_of, candidates_of, measure
from signalbox.events import Event
from signalbox.failure import PermanentFailure
from signalbox.gates import STAND_IN
from signalbox.pipeline import Pipeline, step
from signalbox.records import Record
from signalbox.run import Run, State
from signalbox.run_metrics import count_judge_failure
from signalbox.scoring import Prediction, compare, measure_of_difference
from signalbox.settings import setting
from signalbox.store import EVALUATION, GOLDEN, VALIDATION, judge_dataset_of, judge_folder_of
from signalbox.task import Judge, Task


@step("evaluate", State.DEPLOYED)
def evaluate(run: Run, pipeline: Pipeline) -> None:
    """Measure every candidate on the golden set and start the judge's jobs: DEPLOYED -> EVALUATING [-> EVALUATED].

    Writes predictions/<candidate>.jsonl and evaluation.json under the run, as answers come, so that an attempt
    after a crash goes on where the last one stopped. What is live is asked by `promote`, which replaces it.
    """
    task = pipeline.task(run)
    golden = pipeline.records(run, GOLDEN, task)
    candidates = list(candidates_of(run, task, pipeline))
    if task.first_served not in {candidate.name for candidate in candidates}:
        raise PermanentFailure(
            "evaluate",
            f"{task.first_served} comes first in serve.order, but this dataset could not train it",
            "drop labelled records, or let another tier come first",
        )
    said, not_compared = _ask(candidates, run, golden, task, pipeline)
    region = pipeline.bedrock.region
    measured = {
        candidate.name: measure(candidate, said[candidate.name], task.output, region)
        for candidate in candidates
        if candidate.name in said
    }
    judge_job_arns, not_judged = _start_judge(run, task, said, pipeline)
    for name, nothing in not_judged.items():
        measured[name] = judging.with_scores(measured[name], nothing)
    asked = [candidate.model for candidate in candidates] + ([task.judge.model] if task.judge else [])
    evaluation = {
        "run_id": run.id,
        "task": task.name,
        "output": task.output_kind,
        "served_first": task.first_served,
        "golden": len(golden),
        "golden_source": json.loads(pipeline.store.get(run.id, VALIDATION) or b"{}").get("golden_source", ""),
        "measured": _measured_now(asked, pipeline.bedrock),
        "candidates": measured,
        "not_compared": not_compared,
        "differences": list(_differences(task, said)),
    }
    pipeline.store.put(run.id, EVALUATION, json.dumps(evaluation, indent=1))
    note = f"{', '.join(measured)} answered {len(golden):,} golden queries"
    moved = pipeline.advance(run, State.EVALUATING, event=None, note=note, judge_job_arns=judge_job_arns)
    first = not_judged.get(task.first_served)
    if not judge_job_arns:
        why = f"not judged: {first['error']}" if first else "the task switches the judge off"
        pipeline.advance(moved, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note=why)
    if first:
        count_judge_failure()


def _ask(
    candidates: Iterable[Candidate], run: Run, golden: Sequence[Record], task: Task, pipeline: Pipeline
) -> tuple[dict[str, list[Prediction]], dict[str, str]]:
    """Return by name what each candidate said, and why some of the models beside the students said nothing.

    Raises
    ------
    Busy
        A student, or another for which there is patience left, cannot be asked for the moment; the others have been.
    PermanentFailure
        A student refuses.
    """
    said: dict[str, list[Prediction]] = {}
    not_compared: dict[str, str] = {}
    busy: Busy | None = None
    for candidate in candidates:
        try:
            if candidate.name in task.candidates:
                said[candidate.name] = answers_of(candidate, run, golden, pipeline)
            else:
                said[candidate.name] = answers_in_time(candidate, run, task, golden, pipeline)
        except Busy as not_now:
            busy = busy or not_now
        except Refused as refused:
            if candidate.name in task.candidates:
                raise _cannot_be_asked(candidate, refused) from refused
            not_compared[candidate.name] = f"{candidate.model} could not be asked: {refused}"
    if busy is not None:
        raise busy
    return said, not_compared


def _cannot_be_asked(candidate: Candidate, refused: Refused) -> PermanentFailure:
    return PermanentFailure(
        "evaluate",
        f"{candidate.name} ({candidate.model}) could not be asked: {refused}",
        "see in the Bedrock console whether its deployment is there and this account may use it, then drop the "
        "dataset again",
    )


def _measured_now(models: Iterable[str], bedrock: Bedrock) -> dict[str, str]:
    """Say when and where these models were asked, in a sentence that no stand-in's figure can do without."""
    stand_ins = sorted({model for model in models if model.startswith(STAND_IN)})
    if stand_ins:
        where = (
            f"On one machine, with stand-ins for Amazon Bedrock's models ({', '.join(stand_ins)}): "
            "their figures say nothing about Bedrock's."
        )
    else:
        where = f"On AWS, in {bedrock.region}." if bedrock.on_aws else "On one machine, without AWS."
    return {"at": datetime.now(UTC).isoformat(), "region": bedrock.region, "where": where}


def _differences(task: Task, said: Mapping[str, list[Prediction]]) -> Iterator[dict[str, Any]]:
    """Compare the candidate that would answer first with each of the others."""
    for rival in said:
        if rival != task.first_served:
            compared = asdict(compare(said[task.first_served], said[rival], task.output))
            shown = ("queries", "worse_by", "low", "high", "verdict")
            yield {
                "candidate": task.first_served,
                "rival": rival,
                "measure": measure_of_difference(task.output),
                **{name: compared[name] for name in shown},
            }


def _start_judge(
    run: Run, task: Task, said: Mapping[str, list[Prediction]], pipeline: Pipeline
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Hand the answers of the candidates to the judge, if the task has one: a job each, as a job grades one source.

    The candidate that would answer first has the first turn: if the judge refuses it, and a grade is required,
    nothing else is started. A crash between two jobs does no harm, as each is found again by its name.

    Returns
    -------
    tuple[dict[str, str], dict[str, dict]]
        By candidate the ARN of its job, or what stands in the place of its scores if none can be started.
    """
    if task.judge is None:
        return {}, {}
    first = task.first_served
    others = [name for name in said if name != first] if task.judge.grade == "all" else []
    arns: dict[str, str] = {}
    not_judged: dict[str, dict[str, Any]] = {}
    for name in (first, *others):
        is_required = task.judge.required and name == first
        try:
            arns[name] = _start_job(run, task, task.judge, name, said[name], is_required, pipeline)
        except _NotJudged as reason:
            not_judged[name] = judging.not_judged(task.judge, str(reason))
    return arns, not_judged


class _NotJudged(Exception):
    """No job can be started for a candidate, and the run can do without."""


def _start_job(
    run: Run,
    task: Task,
    judge: Judge,
    candidate: str,
    predictions: list[Prediction],
    is_required: bool,
    pipeline: Pipeline,
) -> str:
    """Hand one candidate's answers to the judge, and return the ARN of the job."""
    source, dataset = f"{run.id}-{candidate}", judge_dataset_of(candidate)
    content = judging.dataset(predictions, task, source)
    if not content:
        raise _NotJudged("no answer could be handed over")
    pipeline.store.put(run.id, dataset, content)
    try:
        return pipeline.bedrock.start_evaluation(
            judging.job_name(run.id, candidate),
            judging.configuration(task, judge, source, pipeline.store.uri(run.id, dataset)),
            role_arn=setting("EVALUATION_ROLE_ARN"),
            output=pipeline.store.uri(run.id, judge_folder_of(candidate)),
        )
    except PermanentFailure as refused:
        if is_required:
            raise
        raise _NotJudged(refused.failure.reason) from refused
    except Busy as busy:
        if is_required or not judging.is_late(task, run.history[-1].at):
            raise
        raise _NotJudged(f"no job after {task.patience.judge_hours:g} hours: {busy}") from busy
