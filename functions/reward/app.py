"""reward: an answer that a model gives in reinforcement fine-tuning is graded by the rubric of the evaluation."""

from typing import Any

from signalbox.observability import observed
from signalbox.reward import rewards


@observed
def handler(event: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
    """Answer Bedrock's reinforcement fine-tuning job, which calls with a batch of samples."""
    return rewards(event)
