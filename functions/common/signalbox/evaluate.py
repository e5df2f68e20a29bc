"""evaluate: the students and the models beside them answer the golden set; what they said is measured and judged."""

import json
from collections.abc import Iterator
from typing import Any

from signalbox import judging
from signalbox.bedrock import UNTRAINED_TOKENS
from signalbox.candidate import Candidate, Refused, answers_of, embedded, on_bedrock
from signalbox.events import Event
from signalbox.pipeline import Pipeline, step
from signalbox.run import PermanentFailure, Run, State
from signalbox.scoring import Prediction, score
from signalbox.settings import setting
from signalbox.store import EVALUATION, GOLDEN, JUDGE, JUDGE_DATASET, STUDENT, predictions_of
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
    measured: dict[str, Any] = {}
    not_compared: dict[str, str] = {}
    for candidate in candidates:
        try:
            predictions = answers_of(candidate, run, golden, pipeline)
        except Refused as refused:
            if candidate.name in task.candidates:
                raise _cannot_be_asked(candidate, refused) from refused
            not_compared[candidate.name] = f"{candidate.model} could not be asked: {refused}"
            continue
        measured[candidate.name] = {"model": candidate.model, **score(predictions, task.output)}
    judge_job_arn = _start_judge(run, task, pipeline)
    evaluation = {
        "run_id": run.id,
        "task": task.name,
        "output": task.output_kind,
        "golden": len(golden),
        "served_first": task.first_served,
        "candidates": measured,
        "not_compared": not_compared,
    }
    pipeline.store.put(run.id, EVALUATION, json.dumps(evaluation, indent=1))
    note = f"{', '.join(measured)} answered {len(golden):,} golden queries"
    moved = pipeline.advance(run, State.EVALUATING, event=None, note=note, judge_job_arn=judge_job_arn)
    if judge_job_arn is None:
        pipeline.advance(
            moved, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note="the task switches the judge off"
        )


def _candidates(run: Run, task: Task, pipeline: Pipeline) -> Iterator[Candidate]:
    """Return who is to be compared: the students, and the models beside them."""
    if "embedded" in task.candidates:
        artefact = pipeline.store.get(run.id, STUDENT)
        if artefact is not None:
            yield embedded("embedded", "embedded student", artefact)
    if run.deployment_arn is not None and task.customization:
        # Not the bare id of its base model, which is compared with it under that name.
        model, tokens = f"{task.customization.student} (distilled)", task.customization.max_response_tokens
        yield on_bedrock("bedrock", model, run.deployment_arn, task, tokens, pipeline)
    for name, model_id in (("base", task.compare.base), ("baseline", task.compare.baseline)):
        if model_id is not None:
            yield on_bedrock(name, model_id, model_id, task, UNTRAINED_TOKENS, pipeline)


def _cannot_be_asked(candidate: Candidate, refused: Refused) -> PermanentFailure:
    return PermanentFailure(
        "evaluate",
        f"{candidate.name} ({candidate.model}) could not be asked: {refused}",
        "see in the Bedrock console whether its deployment is there and this account may use it, then drop the "
        "dataset again",
    )


def _start_judge(run: Run, task: Task, pipeline: Pipeline) -> str | None:
    """Hand the answers of the candidate that would answer first to the judge, if the task has one."""
    if task.judge is None:
        return None
    content = pipeline.store.get(run.id, predictions_of(task.first_served)) or b""
    predictions = [Prediction.model_validate_json(line) for line in content.splitlines()]
    pipeline.store.put(run.id, JUDGE_DATASET, judging.dataset(predictions, task, run.id))
    return pipeline.bedrock.start_evaluation(
        judging.job_name(run.id),
        judging.configuration(task, task.judge, run.id, pipeline.store.uri(run.id, JUDGE_DATASET)),
        role_arn=setting("EVALUATION_ROLE_ARN"),
        output=pipeline.store.uri(run.id, JUDGE),
    )
