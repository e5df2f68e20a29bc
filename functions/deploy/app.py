"""deploy: a finished customization job becomes a deployment; what nobody needs at Bedrock is deleted."""

from datetime import timedelta
from typing import Any

from signalbox.deploy import deploy
from signalbox.events import Event, run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.retirement import retire
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on Bedrock's "Model Customization Job State Change", on RunNudged, or on RetirementDue."""
    if event["detail-type"] == Event.RETIREMENT_DUE:
        retire(run_id_in(event), pipeline(), timedelta(hours=float(setting("RETIRE_AFTER_HOURS"))))
    else:
        deploy(run_id_in(event), pipeline())
