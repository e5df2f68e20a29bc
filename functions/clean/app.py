"""clean: what is left of a run that nobody needs, its objects and its item, is deleted."""

from datetime import timedelta
from typing import Any

from signalbox.events import run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.retirement import remove
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on RemovalDue."""
    remove(run_id_in(event), pipeline(), timedelta(hours=float(setting("RETIRE_AFTER_HOURS"))))
