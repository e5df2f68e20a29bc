"""deploy: a completed customization job becomes a deployment that can be asked."""

from datetime import timedelta

from signalbox import throughput
from signalbox.events import Event
from signalbox.failure import PermanentFailure
from signalbox.pipeline import Pipeline, step
from signalbox.release import Expense
from signalbox.run import Run, State, now

_STEP = "deploy"
_NOT_YET_KNOWN = timedelta(minutes=15)
"""For so long Bedrock may not find what it has just created."""


@step(_STEP, State.TRAINING, State.TRAINED, State.DEPLOYING)
def deploy(run: Run, pipeline: Pipeline) -> None:
    """Bring a run from the end of its job to an active deployment: TRAINING -> TRAINED -> DEPLOYING -> DEPLOYED.

    Goes as far as Bedrock has come. Bedrock announces the end of a job but nothing about a deployment, so `watch`
    nudges this step until the deployment is active. Provisioned throughput is bought once a person has released it.
    """
    if run.state is State.TRAINING:
        run = _collect_model(run, pipeline)
    if run.state is State.TRAINED:
        run = _create_deployment(run, pipeline)
    if run.state is State.DEPLOYING:
        _await_deployment(run, pipeline)


def _collect_model(run: Run, pipeline: Pipeline) -> Run:
    """Read the job itself: an event's ARNs are not to be trusted, and the nudge may be no event of Bedrock's."""
    job = pipeline.bedrock.customization_job(run.job_arn or run.id)
    if job is None:
        return _without_job(run, pipeline)
    if job.status in ("Failed", "Stopped"):
        raise PermanentFailure(
            _STEP,
            f"the customization job {job.status.lower()}: {job.message or 'Bedrock gives no reason'}",
            f"look at the job {run.id} in the Bedrock console, mend what it names and drop the dataset again",
        )
    if job.status != "Completed" or job.model_arn is None:
        pipeline.runs.wait(run, f"Bedrock's customization job is {job.status}")
        return run
    return pipeline.advance(
        run, State.TRAINED, event=None, note=f"custom model {job.model_arn}", model_arn=job.model_arn
    )


def _without_job(run: Run, pipeline: Pipeline) -> Run:
    """Go on with the custom model of a job that Bedrock has lost; without either there is nothing to wait for."""
    model_arn = pipeline.bedrock.custom_model(run.id)
    if model_arn is not None:
        note = f"custom model {model_arn}, of a job that Bedrock does not know any more"
        return pipeline.advance(run, State.TRAINED, event=None, note=note, model_arn=model_arn)
    lost = f"Bedrock knows neither a customization job nor a custom model named {run.id}"
    if now() - run.history[-1].at > _NOT_YET_KNOWN:
        raise PermanentFailure(
            _STEP,
            lost,
            "see in the Bedrock console and in CloudTrail whether somebody deleted them, then drop the dataset again",
        )
    pipeline.runs.wait(run, lost)
    return run


def _create_deployment(run: Run, pipeline: Pipeline) -> Run:
    if run.model_arn is None:  # a task without a Bedrock model, whose `distill` stopped half-way
        return pipeline.advance(
            run, State.DEPLOYED, event=Event.MODEL_DEPLOYED, note="answers inside the route function"
        )
    if run.deployment.type == "provisioned" and Expense.THROUGHPUT not in run.released:
        price = throughput.price_of(run.deployment)
        return pipeline.await_release(run, Expense.THROUGHPUT, price.in_words, price.usd)
    arn = pipeline.deployments.create(run.id, run.model_arn, run.deployment)
    return pipeline.advance(run, State.DEPLOYING, event=None, note=f"deployment {arn}", deployment_arn=arn)


def _await_deployment(run: Run, pipeline: Pipeline) -> None:
    deployment = pipeline.deployments.find(run.deployment_arn) if run.deployment_arn else None
    if deployment is None:
        # Bedrock may not find at once what it has just created; should it never, `watch` ends the run.
        pipeline.runs.wait(run, f"Bedrock knows no deployment {run.deployment_arn or run.id}")
        return
    if deployment.status == "Failed":
        raise PermanentFailure(
            _STEP,
            f"the deployment failed: {deployment.message or 'Bedrock gives no reason'}",
            "drop the dataset again to try anew",
        )
    if deployment.is_ready:
        note = f"the deployment is {deployment.status}"
        until = deployment.committed_until
        pipeline.advance(run, State.DEPLOYED, event=Event.MODEL_DEPLOYED, note=note, committed_until=until)
    else:
        pipeline.runs.wait(run, f"Bedrock's deployment is {deployment.status}")
