"""notify: people are told of every outcome that they should know of, by mail and in their chats."""

from functools import cache
from typing import Any

import boto3

from signalbox.events import PipelineEvent
from signalbox.notify import SIGNING, notification_of, report_link
from signalbox.observability import annotate, logger, observed
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on each of the pipeline's events that a person should know of."""
    announced = PipelineEvent.model_validate(event)
    logger.set_correlation_id(announced.detail.run_id)
    annotate(announced.detail.run_id, announced.detail.task)
    bucket = setting("DATA_BUCKET")
    link = report_link(announced, _s3(), bucket)
    notification = notification_of(announced, bucket, link, setting("EVENT_BUS"))
    _topic().publish(**notification.request())


@cache
def _topic() -> Any:
    return boto3.resource("sns").Topic(setting("NOTIFICATION_TOPIC_ARN"))


@cache
def _s3() -> Any:
    return boto3.client("s3", config=SIGNING)
