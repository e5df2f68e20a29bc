"""Rollback: the live pointer goes back to the model before, because a person asks for it or it fails."""

from datetime import datetime
from typing import Literal

from signalbox.events import OperatorRequest
from signalbox.live import Live, Rollback
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.promote import pointer_of
from signalbox.publication import complete
from signalbox.run import Run, State, now
from signalbox.run_table import Superseded
from signalbox.store import TASK, VALIDATION


class NotPossible(Exception):
    """What was asked for cannot be done; the message says why, and what can."""


def roll_back(
    task: str,
    pipeline: Pipeline,
    *,
    how: Literal["rollback", "alarm"],
    by: str,
    reason: str,
    asked_at: datetime,
    run_id: str = "",
    request: OperatorRequest | None = None,
) -> None:
    """Move the live pointer of a task back to the one before it, and say so of the run that is withdrawn.

    Parameters
    ----------
    asked_at : datetime
        In whole seconds; whoever asked before the pointer was set meant another.
    run_id : str
        The run to be withdrawn; "" for whichever is live.

    Raises
    ------
    NotPossible
        If there is nothing to go back to, or it would not answer.
    Superseded
        If the pointer moved meanwhile.
    """
    live = pipeline.runs.live(task)
    if live is None:
        raise NotPossible(f"nothing is live for a task named {task}")
    if run_id and run_id != live.run_id:
        raise NotPossible(f"{run_id} is not live, {live.run_id} is; ask again if that one is to be withdrawn")
    if asked_at < live.since.replace(microsecond=0):
        raise NotPossible(
            f"{live.run_id} has gone live since this was asked; ask again if it is to be withdrawn"
        )
    if live.previous is None:
        raise NotPossible(f"{live.run_id} has no model before it to go back to")
    withdrawn = pipeline.runs.load(live.run_id)
    if withdrawn is None:
        raise NotPossible(f"the run {live.run_id} is not in the run table")
    annotate(withdrawn.id, task)
    restored = _restored(live, pipeline)
    require_deployment(restored.run_id, restored.deployment_arn, pipeline)
    if withdrawn.outbox is not None:
        complete(withdrawn, pipeline)
        raise Superseded(f"{withdrawn.id} owed {withdrawn.outbox}")
    at = now()
    note = Rollback(at=at, from_run_id=live.run_id, to_run_id=restored.run_id, how=how, by=by, reason=reason)
    pointer = restored.model_copy(
        update={"since": at, "how": how, "by": by, "reason": reason, "previous": None, "last_rollback": note}
    )
    facts = note.model_dump(mode="json") | {"to_model": restored.model}
    moved = pipeline.transactions.roll_back(
        withdrawn,
        pointer,
        live,
        note=f"withdrawn, {restored.run_id} is live again; by {by or 'a person'}",
        request=request,
        summary=withdrawn.summary | {"rolled_back": facts},
        reason=reason,
    )
    logger.info("rolled back", extra={"task": task, "from_run": live.run_id, "to_run": restored.run_id})
    complete(moved, pipeline)


def require_deployment(run_id: str, deployment_arn: str | None, pipeline: Pipeline) -> None:
    """Make sure that the deployment of a run, if it has one, can be asked.

    Raises
    ------
    NotPossible
        If it is gone or not active.
    """
    if deployment_arn is None:
        return
    deployment = pipeline.deployments.find(deployment_arn)
    if deployment is None or not deployment.is_ready:
        state = "gone" if deployment is None else deployment.status
        raise NotPossible(f"the deployment of {run_id} is {state}; drop its dataset again")


def _restored(live: Live, pipeline: Pipeline) -> Live:
    """Return the pointer before a pointer; made anew from its run where only its name was kept."""
    if isinstance(live.previous, Live):
        return live.previous
    name = live.previous.run_id if live.previous else ""
    run = pipeline.runs.load(name)
    if run is None or not _is_whole(run, pipeline):
        raise NotPossible(f"the run before it, {name}, is gone")
    return pointer_of(run, None, pipeline)


def _is_whole(run: Run, pipeline: Pipeline) -> bool:
    kept = all(pipeline.store.has(run.id, name) for name in (TASK, VALIDATION))
    return kept and run.state is State.PROMOTED and run.retired_at is None
