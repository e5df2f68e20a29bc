"""distill: an accepted dataset trains the embedded student and starts the customization job."""

from typing import Any

from signalbox.distill import distill
from signalbox.events import run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on DatasetAccepted, or on RunNudged."""
    distill(run_id_in(event), pipeline())
