"""evaluate: a deployed model and its rivals answer the golden set."""

from typing import Any

from signalbox.evaluate import evaluate
from signalbox.events import run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on ModelDeployed, or on RunNudged."""
    evaluate(run_id_in(event), pipeline())
