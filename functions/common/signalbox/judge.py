"""judge: the judge's results complete the evaluation."""

import json

from signalbox import judging
from signalbox.events import Event
from signalbox.pipeline import Pipeline, step
from signalbox.run import Run, State
from signalbox.run_metrics import count_judge_failure
from signalbox.store import JUDGE_DATASET, JUDGE_SCORES

_OVER = ("Completed", "Failed", "Stopped")


@step("judge", State.EVALUATING)
def judge(run: Run, pipeline: Pipeline) -> None:
    """Write the judge's scores to judge/scores.json once its job is over: EVALUATING -> EVALUATED.

    The results lie in S3 before the job's status says so: it is over when every answer handed over has a result,
    or when Bedrock says so. A job that failed completes the evaluation too, without scores and with the reason; so
    does one that is not over after `patience.judge_hours`, which is stopped.
    """
    task = pipeline.task(run)
    if task.judge is None or run.judge_job_arn is None:
        pipeline.advance(run, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note="no judge")
        return
    status, message = pipeline.bedrock.evaluation_status(run.judge_job_arn)
    handed_over = len((pipeline.store.get(run.id, JUDGE_DATASET) or b"").splitlines())
    graded = judging.scores(pipeline.store.judge_outputs(run.id), task.judge, handed_over)
    if status not in _OVER and graded["graded"] + graded["null"] < handed_over:
        if not judging.is_late(task, run.history[-1].at):
            pipeline.runs.wait(run, f"the judge's job is {status}")
            return
        pipeline.bedrock.stop_evaluation(run.judge_job_arn)
        error = f"the judge's job was {status} after {task.patience.judge_hours:g} hours, and was stopped"
        graded |= {"mean": None, "error": error}
    elif status in ("Failed", "Stopped"):
        error = f"the judge's job {status.lower()}: {message or 'Bedrock gives no reason'}"
        graded |= {"mean": None, "error": error}
    pipeline.store.put(run.id, JUDGE_SCORES, json.dumps(graded, indent=1))
    note = graded.get("error") or f"{task.judge.model} graded {graded['graded']:,} answers"
    pipeline.advance(run, State.EVALUATED, event=Event.EVALUATION_COMPLETED, note=note)
    if graded["mean"] is None:
        count_judge_failure()
