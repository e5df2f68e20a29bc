"""generate: a request for a dataset becomes one, labelled by the teacher."""

from typing import Any

from signalbox.events import dataset_in, generation_id_in
from signalbox.generate import generate, receive
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.settings import setting


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on S3's "Object Created", on Bedrock's "Batch Inference Job State Change", or on GenerationNudged."""
    if event["source"] == "aws.s3":
        dropped = dataset_in(event)
        generation_id = receive(dropped, pipeline()) if dropped else ""
    else:
        generation_id = generation_id_in(event)
    generate(generation_id, pipeline(), setting("BATCH_ROLE_ARN"))
