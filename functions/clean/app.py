"""clean: what is left of a run or a generation that nobody needs, its objects and its item, is deleted."""

from datetime import timedelta
from typing import Any

from signalbox import generation_retention, retirement
from signalbox.events import Event, run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on RemovalDue and GenerationRemovalDue."""
    of_generation = event["detail-type"] == Event.GENERATION_REMOVAL_DUE
    remove = generation_retention.remove if of_generation else retirement.remove
    remove(run_id_in(event), pipeline(), timedelta(hours=float(setting("RETIRE_AFTER_HOURS"))))
