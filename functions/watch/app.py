"""watch: once a minute, whatever is overdue is nudged."""

from datetime import timedelta
from typing import Any

from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.settings import setting
from signalbox.watch import watch


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Act on the schedule."""
    nudge_after = timedelta(seconds=int(setting("NUDGE_AFTER_SECONDS")))
    retire_after = timedelta(hours=float(setting("RETIRE_AFTER_HOURS")))
    return {"nudged": watch(pipeline(), nudge_after, retire_after)}
