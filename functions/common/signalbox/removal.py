"""Removal: what a run that was given up has made is deleted; each part can be deleted again without harm."""

from datetime import datetime, timedelta

from signalbox.bedrock import Bedrock, Busy, Job
from signalbox.deployments import Deployments
from signalbox.pipeline import Pipeline
from signalbox.run import Part, Run, State, now
from signalbox.task import Deployment

LONGEST_STEP = timedelta(minutes=15)
"""No function runs for longer (AWS Lambda developer guide, "Lambda quotas")."""
_AT_WORK = frozenset({"InProgress", "Stopping"})
_KINDS = [Deployment(type="on_demand"), Deployment(type="provisioned")]


class StepAtWork(Busy):
    """What is to be removed was ended from outside so lately that a step may still be making something for it."""


def remove_at_bedrock(run: Run, upto: Part, pipeline: Pipeline) -> Run:
    """Delete a run's deployment, and its custom model with the judge's jobs if `upto` says so, and note it.

    Returns
    -------
    Run
        As noted.

    Raises
    ------
    Busy
        Bedrock cannot delete one of them for the moment: it is still at work on it, say.
    Committed
        Nor before the term is over that its provisioned throughput was bought for.
    StepAtWork
        Nor may the run be forgotten for the moment.
    """
    if run.retired_at is None:
        raise ValueError(f"{run.id} has not been given up")
    let_steps_end(at_work_until(run))
    if run.gone < Part.DEPLOYMENT <= upto:
        found = _delete_deployment(run, pipeline.deployments)
        run = pipeline.runs.note_gone(run, Part.DEPLOYMENT, f"deployment {found} retired" if found else "")
    if run.gone < Part.MODEL <= upto:
        _delete_evaluations(run, pipeline.bedrock)
        found = _delete_model(run, pipeline.bedrock)
        run = pipeline.runs.note_gone(run, Part.MODEL, f"custom model {found} deleted" if found else "")
    return run


def stop_jobs(run: Run, bedrock: Bedrock) -> None:
    """Stop the customization job and the judge's jobs of a run that was ended, if they are at work.

    Raises
    ------
    Busy
        Throttled.
    """
    _stop_evaluations(run, bedrock)
    if run.model_arn is None:
        _stop_customization(run, bedrock)


def remove_unreadable(run: Run, pipeline: Pipeline) -> None:
    """Delete all that can be found of a run whose item cannot be read whole; the item stays.

    Parameters
    ----------
    run : Run
        Its id, and whatever else of it can be read: what it has not noted is found by its name.

    Raises
    ------
    Busy, Committed
        As `remove_at_bedrock`.
    RuntimeError
        S3 kept some of the objects.
    """
    for kind in _KINDS if run.deployment_arn is None else [run.deployment]:
        _delete_deployment(run.model_copy(update={"deployment": kind}), pipeline.deployments)
    _delete_evaluations(run, pipeline.bedrock)
    _delete_model(run, pipeline.bedrock)
    pipeline.store.delete_run(run.id)


def remove_run(run: Run, pipeline: Pipeline) -> None:
    """Delete every version of a run's objects, and then its item.

    Raises
    ------
    RuntimeError
        S3 kept some of the objects; the item stays, so that they are not forgotten.
    Superseded
        The run is not as it was loaded.
    """
    if run.retired_at is None or run.gone < Part.MODEL:
        raise ValueError(f"{run.id} has something at Bedrock still")
    pipeline.store.delete_run(run.id)
    pipeline.runs.delete(run)


def at_work_until(run: Run) -> datetime | None:
    """Until when a step may be at work on a run that failed, and start a job that nobody knows of; None if none can."""
    failed_at = [moment.at for moment in run.history if moment.state is State.FAILED]
    known_since = min([*failed_at, *([run.released_at] if run.released_at else [])], default=None)
    return known_since + LONGEST_STEP if run.state is State.FAILED and known_since is not None else None


def let_steps_end(until: datetime | None) -> None:
    """Make sure that no step is at work any longer on what failed.

    Raises
    ------
    StepAtWork
        It is not yet so late.
    """
    if until is not None and now() < until:
        raise StepAtWork(f"a step may be at work on it until {until:%H:%M} (UTC)")


def _delete_deployment(run: Run, deployments: Deployments) -> str | None:
    """Delete the deployment of a run, one that a step that was cut off has not noted as well; return its ARN."""
    unnoted = None if run.deployment_arn else deployments.named(run.id, run.deployment)
    arn = unnoted.arn if unnoted else run.deployment_arn
    if arn is not None:
        deployments.delete(arn)
    return arn


def _delete_evaluations(run: Run, bedrock: Bedrock) -> None:
    """Stop and delete the judge's jobs of a run, those as well that `evaluate` was cut off before it could note."""
    for arn in _stop_evaluations(run, bedrock):
        bedrock.delete_evaluation(arn)


def _stop_evaluations(run: Run, bedrock: Bedrock) -> list[str]:
    arns = [*run.judge_job_arns.values()] or bedrock.evaluations_of(run.id)
    for arn in arns:
        bedrock.stop_evaluation(arn)
    return arns


def _stop_customization(run: Run, bedrock: Bedrock) -> Job | None:
    """Stop the customization job of a run; return it as it was found, None if there is none."""
    job = bedrock.customization_job(run.job_arn or run.id)
    if job is not None and job.status == "InProgress":
        bedrock.stop_customization(job.arn)
    return job


def _delete_model(run: Run, bedrock: Bedrock) -> str | None:
    """Delete the custom model of a run, the one as well that its job made after the run was ended; return its ARN."""
    arn = run.model_arn
    if arn is None:
        job = _stop_customization(run, bedrock)
        if job is not None and job.status in _AT_WORK:
            raise Busy(f"the customization job {job.arn} is being stopped")
        arn = job.model_arn if job else None
    if arn is not None:
        bedrock.delete_model(arn)
    return arn
