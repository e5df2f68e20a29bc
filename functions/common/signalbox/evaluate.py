"""evaluate: the students and the models beside them answer the golden set; what they said is measured and judged."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from signalbox import judging
from signalbox.bedrock import UNTRAINED_TOKENS, Bedrock, Busy
from signalbox.candidate import Candidate, Refused, answers_of, embedded, measure, on_bedrock
from signalbox.events import Event
from signalbox.gates import STAND_IN
from signalbox.pipeline import Pipeline, step
from signalbox.records import Record
from signalbox.run import PermanentFailure, Run, State
from signalbox.run_metrics import count_judge_failure
from signalbox.scoring import Prediction, compare, measure_of_difference
from signalbox.settings import setting
from signalbox.store import EVALUATION, GOLDEN, JUDGE, JUDGE_DATASET, STUDENT, VALIDATION
from signalbox.task import Task


@step("evaluate", State.DEPLOYED)
def evaluate(run: Run, pipeline: Pipeline) -> None:
    """Measure every candidate on the golden set and start the judge: DEPLOYED -> EVALUATING [-> EVALUATED].

    Writes predictions/<candidate>.jsonl and evaluation.json under the run, as answers come, so that an attempt
    after a crash goes on where the last one stopped. What is live is asked by `promote`, which replaces it.
    """
    task = pipeline.task(run)
    golden = pipeline.records(run, GOLDEN, task)
    candidates = list(_candidates(run, task, pipeline))
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
    judge_job_arn, not_judged = _start_judge(run, task, said[task.first_served], pipeline)
    if not_judged:
        measured[task.first_served] = judging.with_scores(measured[task.first_served], not_judged)
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
    moved = pipeline.advance(run, State.EVALUATING, event=None, note=note, judge_job_arn=judge_job_arn)
    if judge_job_arn is None:
        why = f"not judged: {not_judged['error']}" if not_judged else "the task switches the judge off"
        pipeline.advance(moved, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note=why)
    if not_judged:
        count_judge_failure()


def _candidates(run: Run, task: Task, pipeline: Pipeline) -> Iterator[Candidate]:
    """Return who is to be compared: the students, and the models beside them."""
    if "embedded" in task.candidates:
        artefact = pipeline.store.get(run.id, STUDENT)
        if artefact is not None:
            yield embedded("embedded", "embedded student", artefact)
    if run.deployment_arn is not None and task.customization:
        # Not the bare id of its base model, which is compared with it under that name.
        model, tokens = f"{task.customization.student} (distilled)", task.customization.max_response_tokens
        yield on_bedrock("bedrock", "bedrock", model, run.deployment_arn, task, tokens, pipeline)
    for name, model_id in (("base", task.compare.base), ("baseline", task.compare.baseline)):
        if model_id is not None:
            yield on_bedrock(name, name, model_id, model_id, task, UNTRAINED_TOKENS, pipeline)


def _ask(
    candidates: Iterable[Candidate], run: Run, golden: Sequence[Record], task: Task, pipeline: Pipeline
) -> tuple[dict[str, list[Prediction]], dict[str, str]]:
    """Return by name what each candidate said, and why some of the models beside the students said nothing."""
    said: dict[str, list[Prediction]] = {}
    not_compared: dict[str, str] = {}
    for candidate in candidates:
        try:
            said[candidate.name] = answers_of(candidate, run, golden, pipeline)
        except Refused as refused:
            if candidate.name in task.candidates:
                raise _cannot_be_asked(candidate, refused) from refused
            not_compared[candidate.name] = f"{candidate.model} could not be asked: {refused}"
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
    run: Run, task: Task, predictions: list[Prediction], pipeline: Pipeline
) -> tuple[str | None, dict[str, Any] | None]:
    """Hand the answers of the candidate that would answer first to the judge, if the task has one.

    Returns
    -------
    tuple[str | None, dict | None]
        The ARN of the judge's job, and what stands in the place of its scores if the task has a judge but no job can
        be started.
    """
    if task.judge is None:
        return None, None
    content = judging.dataset(predictions, task, run.id)
    if not content:
        return None, judging.not_judged(task.judge, "no answer could be handed over")
    pipeline.store.put(run.id, JUDGE_DATASET, content)
    try:
        arn = pipeline.bedrock.start_evaluation(
            judging.job_name(run.id),
            judging.configuration(task, task.judge, run.id, pipeline.store.uri(run.id, JUDGE_DATASET)),
            role_arn=setting("EVALUATION_ROLE_ARN"),
            output=pipeline.store.uri(run.id, JUDGE),
        )
    except PermanentFailure as refused:
        if task.judge.required:
            raise
        return None, judging.not_judged(task.judge, refused.failure.reason)
    except Busy as busy:
        if task.judge.required or not judging.is_late(task, run.history[-1].at):
            raise
        return None, judging.not_judged(
            task.judge, f"no job after {task.patience.judge_hours:g} hours: {busy}"
        )
    return arn, None
