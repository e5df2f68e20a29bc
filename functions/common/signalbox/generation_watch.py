"""What `watch` does for generations: nudges those that are overdue, and ends those that never come on."""

from datetime import datetime, timedelta

from signalbox.generation import Generation, GenerationState
from signalbox.observability import logger
from signalbox.pipeline import Pipeline
from signalbox.run import Failure, run_id_for

_SWEPT = timedelta(days=1)
_PATIENCE = timedelta(hours=72)
"""How long a generation may stay in a state; a batch job expires after 24 hours."""
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
        except Exception:  # one that cannot be healed must not keep the others waiting
            logger.exception("generation not healed", extra={"generation_id": generation.id})
    for request in pipeline.store.dropped_between(now - _SWEPT, now - nudge_after, "requests/"):
        if request.key.endswith(_ENDING) and pipeline.generations.load(run_id_for(request)) is None:
            pipeline.bus.nudge(pipeline.generations.receive(request))
            nudged += 1
    return nudged


def _heal(generation: Generation, pipeline: Pipeline, now: datetime, nudge_after: timedelta) -> bool:
    stayed = now - generation.history[-1].at
    if stayed > _PATIENCE:
        reason = f"in state {generation.state} for {stayed.total_seconds() / 3600:.1f} hours"
        reason += f", waiting: {generation.waiting}" if generation.waiting else ""
        remedy = "look at the logs of generate and at its batch job at Bedrock, then upload the request again"
        failure = Failure(step="generate", reason=reason, remedy=remedy)
        pipeline.generations.move(generation, GenerationState.FAILED, reason, failure=failure)
        return False
    if now - generation.updated_at < nudge_after:
        return False
    pipeline.bus.nudge(generation)
    return True
