"""judge: the judge's results complete the evaluation."""

from typing import Any

from signalbox.events import run_id_in
from signalbox.judge import judge
from signalbox.observability import observed
from signalbox.pipeline import pipeline


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on "Object Created" of the judge's output in S3, or on RunNudged."""
    judge(run_id_in(event), pipeline())
