"""judge: the judge's results complete the evaluation."""

import json
from typing import Any

from signalbox import judging
from signalbox.bedrock import Busy
from signalbox.events import Event
from signalbox.pipeline import Pipeline, step
from signalbox.run import Run, State
from signalbox.run_metrics import count_judge_failure
from signalbox.store import JUDGE_SCORES, judge_dataset_of
from signalbox.task import Judge

_FAILED = ("Failed", "Stopped")


@step("judge", State.EVALUATING)
def judge(run: Run, pipeline: Pipeline) -> None:
    """Write the judge's scores to judge/scores.json once its jobs are over: EVALUATING -> EVALUATED.

    A job that failed completes the evaluation too, without scores and with the reason; so does one that is not over
    after `patience.judge_hours`, which is stopped. That goes for the candidate that would answer first, of which it
    is the gates' to say what it means, and for the others, which nothing depends on.
    """
    task = pipeline.task(run)
    if task.judge is None or not run.judge_job_arns:
        pipeline.advance(run, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note="no judge")
        return
    is_late = judging.is_late(task, run.history[-1].at)
    scores: dict[str, dict[str, Any]] = {}
    at_work: dict[str, str] = {}
    for candidate, arn in sorted(run.judge_job_arns.items()):
        scores[candidate], status = _graded(run, candidate, arn, task.judge, pipeline)
        if status and is_late:
            reason = _give_up(arn, status, task.patience.judge_hours, pipeline)
            scores[candidate] = judging.without_grade(scores[candidate], reason)
        elif status:
            at_work[candidate] = status
    if at_work:
        jobs = ", ".join(f"{candidate}: {status}" for candidate, status in at_work.items())
        pipeline.runs.wait(run, f"the judge is at work ({jobs})")
        return
    pipeline.store.put(run.id, JUDGE_SCORES, json.dumps(scores, indent=1))
    note = _in_words(task.judge, scores)
    pipeline.advance(run, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note=note)
    if task.first_served in scores and scores[task.first_served]["mean"] is None:
        count_judge_failure()


def _graded(
    run: Run, candidate: str, arn: str, judge: Judge, pipeline: Pipeline
) -> tuple[dict[str, Any], str]:
    """Look at one of the jobs.

    The results lie in S3 before the job's status says so, or only after it does, which is not documented: a job is
    over when every answer handed over has a result, or when Bedrock says so and there are results.

    Returns
    -------
    tuple[dict, str]
        The scores as far as they are there, and the status of a job that is not over, "" of one that is.
    """
    try:
        status, message = pipeline.bedrock.evaluation_status(arn)
    except Busy as busy:  # its results may be there all the same, and its patience ends all the same
        status, message = f"of unknown status ({busy})", ""
    handed_over = len((pipeline.store.get(run.id, judge_dataset_of(candidate)) or b"").splitlines())
    outputs = pipeline.store.judge_outputs(run.id, candidate)
    said = judging.scores(outputs, judge, handed_over)
    if status in _FAILED:
        reason = f"the judge's job {status.lower()}: {message or 'Bedrock gives no reason'}"
        return judging.without_grade(said, reason), ""
    is_over = said["graded"] + said["null"] >= handed_over or (status == "Completed" and outputs)
    return said, "" if is_over else status


def _give_up(arn: str, status: str, hours: float, pipeline: Pipeline) -> str:
    """Stop a job that is late, and say so; one that has completed can still lack its results."""
    if status == "Completed":
        return f"the judge's job has completed, but wrote no results within {hours:g} hours"
    overstayed = f"the judge's job was {status} after {hours:g} hours"
    try:
        pipeline.bedrock.stop_evaluation(arn)
    except Busy as busy:
        return f"{overstayed}, and could not be stopped: {busy}"
    return f"{overstayed}, and was stopped"


def _in_words(judge: Judge, scores: dict[str, dict[str, Any]]) -> str:
    """Say how many answers the judge graded, and of whom it has no grade that counts, for what reason."""
    errors = [f"{candidate}: {said['error']}" for candidate, said in scores.items() if "error" in said]
    graded = {candidate: said["graded"] for candidate, said in scores.items() if "error" not in said}
    if not graded:
        return "; ".join(errors)
    note = f"{judge.model} graded {sum(graded.values()):,} answers of {', '.join(graded)}"
    return "; ".join([note, *errors])
