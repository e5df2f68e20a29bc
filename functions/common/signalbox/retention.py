"""Retention: of which runs nobody needs the deployment, the custom model, or all that is left of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from signalbox.live import Live
from signalbox.run import PROMOTABLE, Part, Run, State
from signalbox.task import Retention

RUN_AGE = timedelta(days=2)
"""How old a run is before it is deleted: `watch` takes a dataset of the last day that has no run for a lost one."""


def surplus(runs: Sequence[Run], live: Live | None, retention: Retention, at: datetime) -> dict[str, Part]:
    """Say of each run of a task how much of it nobody needs.

    What is under way, live, or kept for a way back is needed whole. Of the others, each time the newest,
    `retention.deployments` keep their deployment, those that can still be promoted; `retention.models` their custom
    model, whatever they ended as; and `retention.runs` their objects and their item. Who keeps more keeps less, too.
    Provisioned throughput, which costs while idle, is kept for none of them.

    Parameters
    ----------
    runs : Sequence[Run]
        All runs of the task, in any order.
    live : Live | None
        The task's pointer.

    Returns
    -------
    dict[str, Part]
        By the id of every run; `Part.NOTHING` of one that is needed whole.
    """
    needed = live.run_ids if live else set()
    others = sorted(
        (run for run in runs if run.state.ended and run.id not in needed),
        key=lambda run: (run.created_at, run.id),
        reverse=True,
    )
    deployed = [
        run.id
        for run in others
        if _holds_deployment(run) and run.state in PROMOTABLE and run.deployment.type == "on_demand"
    ]
    with_deployment = set(deployed[: retention.deployments])
    modelled = [run.id for run in others if _holds_model(run)]
    with_model = with_deployment | set(modelled[: retention.models])
    kept = with_model | {run.id for run in others[: retention.runs]}
    kept |= {run.id for run in others if at - run.created_at < RUN_AGE}
    return {run.id: Part.NOTHING for run in runs} | {
        run.id: _surplus_of(run, run.id in with_deployment, run.id in with_model, run.id in kept)
        for run in others
    }


def is_idle_throughput(run: Run) -> bool:
    """Tell whether an ended run may hold provisioned throughput, paid by the hour, with which nobody can promote it."""
    deployed = (
        run.deployment.type == "provisioned" and run.model_arn is not None and run.gone < Part.DEPLOYMENT
    )
    return deployed and run.state not in PROMOTABLE


def _surplus_of(run: Run, with_deployment: bool, with_model: bool, kept: bool) -> Part:
    if not kept:
        return Part.RUN
    surplus = max(run.gone, _left_by_failure(run))
    if _holds_deployment(run) and not with_deployment:
        surplus = max(surplus, Part.DEPLOYMENT)
    if _holds_model(run) and not with_model:
        surplus = max(surplus, Part.MODEL)
    return surplus


def _holds_deployment(run: Run) -> bool:
    return run.deployment_arn is not None and run.gone < Part.DEPLOYMENT


def _holds_model(run: Run) -> bool:
    return run.model_arn is not None and run.gone < Part.MODEL


def _left_by_failure(run: Run) -> Part:
    """What a run that failed may have made without having noted it, or may be making still."""
    if run.state is not State.FAILED:
        return Part.NOTHING
    return Part.MODEL if run.model_arn is None else Part.DEPLOYMENT
