"""notify: a mail about every outcome that a person should know of."""

from functools import cache
from typing import Any

import boto3

from signalbox.events import PipelineEvent
from signalbox.notify import message_of
from signalbox.observability import logger, observed
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on DatasetRejected, ModelPromoted, ModelHeld, RunFailed and RunStalled."""
    announced = PipelineEvent.model_validate(event)
    logger.set_correlation_id(announced.detail.run_id)
    subject, text = message_of(announced, setting("DATA_BUCKET"))
    attributes = {
        "task": {"DataType": "String", "StringValue": announced.detail.task},
        "event": {"DataType": "String", "StringValue": announced.detail_type},
    }
    _topic().publish(Subject=subject, Message=text, MessageAttributes=attributes)


@cache
def _topic() -> Any:
    return boto3.resource("sns").Topic(setting("NOTIFICATION_TOPIC_ARN"))
