"""What `watch` does for generations: publishes what is owed, nudges what is overdue, ends what never comes on."""

from datetime import datetime, timedelta

from signalbox.attempt import in_vain
from signalbox.batch_inference import BatchInference
from signalbox.failure import Failure
from signalbox.generation import Generation, GenerationState
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.run import run_id_for
from signalbox.run_table import Superseded

_SWEPT = timedelta(days=1)
_WAITING, _OTHERWISE = timedelta(hours=26), timedelta(hours=3)
"""How long a generation may stay in a state before it is called stalled: if it waits, for a quota or a batch job, which
expires after 24 hours; and if it does not. 50,000 answers asked for one by one take less than two hours."""
_LONGEST = 3
"""After so many times as long it fails."""
_ENDING = ".yaml"


def look_after(pipeline: Pipeline, now: datetime, nudge_after: timedelta) -> int:
    """Go once through all generations that are not over, and requests that no event announced.

    Returns
    -------
    int
        How many were nudged.
    """
    nudged = 0
    for generation in pipeline.generations.open():
        try:
            nudged += _heal(generation, pipeline, now, nudge_after)
        except Superseded:
            logger.info("generation moved on meanwhile", extra={"generation_id": generation.id})
        except Exception:  # one that cannot be healed must not keep the others waiting
            logger.exception("generation not healed", extra={"generation_id": generation.id})
    for request in pipeline.store.dropped_between(now - _SWEPT, now - nudge_after, "requests/"):
        try:
            if request.key.endswith(_ENDING) and not pipeline.generations.is_known(run_id_for(request)):
                pipeline.bus.nudge(pipeline.generations.receive(request))
                nudged += 1
        except Exception:  # nor must one that cannot be registered
            logger.exception("request not registered", extra={"key": request.key})
    return nudged


def _heal(generation: Generation, pipeline: Pipeline, now: datetime, nudge_after: timedelta) -> bool:
    """Publish what is owed, and nudge, announce or end the generation, unless something is at work for it."""
    if now - generation.updated_at < nudge_after or generation.is_held(now):
        return False
    if generation.outbox is not None:
        pipeline.deliver_of(generation)
    if generation.state.ended:
        return False
    began = generation.history[-1].at
    tried = in_vain(generation, began, now)
    patience = _WAITING if generation.waiting else _OTHERWISE
    if tried > _LONGEST * patience:
        _end(generation, now - began, pipeline)
        return False
    if tried > patience and not generation.stalled:
        pipeline.deliver_of(pipeline.generations.mark_stalled(generation))
    pipeline.bus.nudge(generation)
    return True


def _end(generation: Generation, stayed: timedelta, pipeline: Pipeline) -> None:
    """Stop a generation's batch jobs, which would be paid for in vain, and let it fail."""
    for arn in generation.job_arns.values():
        BatchInference(pipeline.bedrock).stop(arn)
    known = [f"in state {generation.state} for {stayed.total_seconds() / 3600:.1f} hours"]
    known += [f"waiting: {generation.waiting}"] if generation.waiting else []
    known += [f"the last attempt broke off: {generation.trouble}"] if generation.trouble else []
    remedy = f"look at the logs of generate and at its batch job at Bedrock, then upload {generation.request.key} again"
    failure = Failure(step="generate", reason="; ".join(known), remedy=remedy)
    pipeline.advance_generation(generation, GenerationState.FAILED, failure.reason, failure=failure)
