"""A person's decision: a run is promoted, released or ended, or a task rolled back, because somebody says so."""

from signalbox.events import Asked, OperatorRequest
from signalbox.failure import Failure
from signalbox.live import Live
from signalbox.observability import annotate, logger
from signalbox.pipeline import Pipeline
from signalbox.promote import RACES, pointer_of, with_summary
from signalbox.publication import complete
from signalbox.release import Awaited
from signalbox.rollback import NotPossible, require_deployment, roll_back
from signalbox.run import PROMOTABLE, Run, State, task_of
from signalbox.run_table import Superseded
from signalbox.store import TASK, VALIDATION


def decide(request: OperatorRequest, pipeline: Pipeline) -> None:
    """Do what a person asks for, or publish why it cannot be done; once, however often the request arrives.

    Raises
    ------
    Superseded
        If others moved the live pointer at every attempt.
    """
    logger.set_correlation_id(request.id)
    annotate(request.run_id, request.task or task_of(request.run_id))
    for _ in range(RACES):
        outcome = pipeline.transactions.outcome(request.id)
        if outcome is not None:
            _complete(outcome.run_id, pipeline)
            return
        try:
            _act(request, pipeline)
            return
        except NotPossible as reason:
            logger.info("request refused", extra={"asked": request.asked, "reason": str(reason)})
            refuse(request, str(reason), pipeline)
            return
        except Superseded as superseded:
            logger.info("request tried again", extra={"reason": str(superseded)})
    raise Superseded(f"request {request.id} lost {RACES} races for the live pointer")


def _act(request: OperatorRequest, pipeline: Pipeline) -> None:
    if request.fault:
        raise NotPossible(request.fault)
    if request.asked is Asked.ROLLBACK:
        roll_back(
            request.task,
            pipeline,
            how="rollback",
            by=request.by,
            reason=request.reason,
            asked_at=request.at,
            run_id=request.run_id,
            request=request,
        )
    elif request.asked is Asked.PROMOTION:
        _promote(request, pipeline)
    else:
        _release_or_end(request, pipeline)


def _promote(request: OperatorRequest, pipeline: Pipeline) -> None:
    """Promote a run that was held, that was live once, or that waits: EVALUATED | HELD | PROMOTED -> PROMOTED.

    One that is EVALUATED waits, for what is live to answer as a rule, and need not wait any longer.
    """
    run = pipeline.runs.load(request.run_id)
    if run is None:
        raise NotPossible(f"there is no run {request.run_id}")
    live = pipeline.runs.live(run.task)
    _require_promotable(run, live, pipeline)
    if run.outbox is not None:
        complete(run, pipeline)
        raise Superseded(f"{run.id} owed {run.outbox}")
    waited = run.state is State.EVALUATED
    run = with_summary(run, live, pipeline)
    pointer = pointer_of(run, live, pipeline, how="person", by=request.by, reason=request.reason)
    said = {
        "by": request.by,
        "reason": request.reason,
        "at": pointer.since.isoformat(),
        "replaces": live.run_id if live else None,
    }
    summary = {name: fact for name, fact in run.summary.items() if name != "rolled_back"} | {
        "promoted_by": said
    }
    place = f", in place of {live.run_id}" if live else ""
    early = ", before it was compared with what is live" if live and waited else ""
    note = f"live{place}{early}; by {request.by or 'a person'}"
    promoted = pipeline.transactions.promote(
        run, pointer, live, note=note, request=request, summary=summary, reason=request.reason
    )
    pipeline.count(run, promoted)
    complete(promoted, pipeline)


def _release_or_end(request: OperatorRequest, pipeline: Pipeline) -> None:
    """Let a run begin what it awaits a release for, or end it: its state stays, or -> FAILED."""
    run = pipeline.runs.load(request.run_id)
    if run is None:
        raise NotPossible(f"there is no run {request.run_id}")
    if run.awaits is None:
        raise NotPossible(f"{run.id} is {run.state} and awaits no release")
    if run.outbox is not None:
        complete(run, pipeline)
        raise Superseded(f"{run.id} owed {run.outbox}")
    if request.asked is Asked.RELEASE:
        decided = pipeline.transactions.release(run, run.awaits, request)
    else:
        decided = pipeline.transactions.end(run, _ended(run.awaits, request), request)
        pipeline.count(run, decided)
    complete(decided, pipeline)


def _ended(awaited: Awaited, request: OperatorRequest) -> Failure:
    return Failure(
        step="release",
        reason=f"{request.by or 'a person'} did not release the {awaited.of}: {request.reason}",
        remedy="none is needed; drop the dataset again should it be wanted after all",
    )


def _require_promotable(run: Run, live: Live | None, pipeline: Pipeline) -> None:
    """Make sure that a run may go live by a person's decision, and that it would answer."""
    if live is not None and live.run_id == run.id:
        raise NotPossible(f"{run.id} is live already")
    if run.state not in {State.EVALUATED, *PROMOTABLE}:
        raise NotPossible(f"{run.id} is {run.state}; a run that is HELD, or was live before, can be promoted")
    if run.retired_at is not None:
        raise NotPossible(
            f"the deployment of {run.id} was retired on {run.retired_at:%Y-%m-%d}; drop its dataset again"
        )
    for name in (TASK, VALIDATION):
        if not pipeline.store.has(run.id, name):
            raise NotPossible(f"{run.id} has no {name}: its prefix has been emptied")
    require_deployment(run.id, run.deployment_arn, pipeline)


def refuse(request: OperatorRequest, reason: str, pipeline: Pipeline) -> None:
    """Tell people, then keep the answer; told twice is better than never."""
    pipeline.bus.refuse(request, request.task or _task_of(request.run_id, pipeline), reason)
    try:
        pipeline.transactions.refuse(request, reason)
    except Superseded:
        logger.info("request answered meanwhile")


def _task_of(run_id: str, pipeline: Pipeline) -> str:
    """Return the task of a run, also of one that is not there if its task is; "" otherwise."""
    run = pipeline.runs.load(run_id)
    if run is not None:
        return run.task
    named = task_of(run_id)
    return named if named in pipeline.store.uploaded_tasks() else ""


def _complete(run_id: str, pipeline: Pipeline) -> None:
    """Publish what an attempt before this one has written but not published."""
    run = pipeline.runs.load(run_id)
    if run is not None:
        complete(run, pipeline)
