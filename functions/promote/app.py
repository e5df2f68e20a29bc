"""promote: the gates decide whether the model goes live."""

from typing import Any

from signalbox.events import run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.promote import promote


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on EvaluationCompleted, or on RunNudged."""
    promote(run_id_in(event), pipeline())
