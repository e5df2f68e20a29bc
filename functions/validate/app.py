"""validate: a dataset dropped under datasets/ is registered as a run and checked."""

from typing import Any

from signalbox.events import dataset_in, run_id_in
from signalbox.observability import observed
from signalbox.pipeline import pipeline
from signalbox.validate import receive, validate


@observed
def handler(event: dict[str, Any], context: Any) -> None:
    """Act on "Object Created" of S3, or on RunNudged."""
    if event.get("source") != "aws.s3":
        validate(run_id_in(event), pipeline())
    elif dataset := dataset_in(event):
        validate(receive(dataset, pipeline()), pipeline())
