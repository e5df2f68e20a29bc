"""deploy: a finished customization job becomes a deployment."""

from typing import Any

from signalbox.deploy import deploy
from signalbox.events import run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on Bedrock's "Model Customization Job State Change", or on RunNudged."""
    deploy(run_id_in(event), pipeline())
