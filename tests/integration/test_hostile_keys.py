"""Keys of S3 objects as nobody should name them: the run ends, the object is read, and nothing leaves its prefix."""

import pytest

from signalbox.run import State
from tests.builders import labelled, spec
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET

FOLDER = "datasets/clip-search/"
LONGEST = 1024
"""Bytes of a key (Amazon S3 user guide, "Naming Amazon S3 objects")."""


@pytest.mark.parametrize(
    "key",
    [
        FOLDER + "with spaces and + and %20.jsonl",
        FOLDER + "ünïcödé 世界 🎬.jsonl",
        FOLDER + "e\u0301.jsonl",
        FOLDER + "../../tasks/clip-search/task.yaml",
        FOLDER + "..",
        FOLDER + "a//b/./c.jsonl",
        FOLDER + "'\"<script>&\\.jsonl",
        FOLDER + "line\u2028feed\u202e.jsonl",
        FOLDER + "x" * (LONGEST - len(FOLDER)),
        FOLDER + "é" * ((LONGEST - len(FOLDER)) // 2),
    ],
)
def test_a_dataset_of_any_key_is_validated_and_nothing_else_is_touched(cloud: Cloud, key: str) -> None:
    # Given a task and what the bucket holds
    cloud.upload_task(spec())
    listed = cloud.s3.list_objects_v2(Bucket=DATA_BUCKET)["Contents"]
    before = {entry["Key"]: entry["ETag"] for entry in listed}
    # When a dataset is dropped under a key that nobody should choose
    run_id = cloud.drop(labelled() + b"x\n" * 99, key)
    run = cloud.finish(run_id)
    # Then it is read and rejected for its lines, and all that is written lies under the run
    assert run.state is State.REJECTED
    assert "cannot be used" in run.reason
    assert run.dataset.key == key
    after = {
        entry["Key"]: entry["ETag"] for entry in cloud.s3.list_objects_v2(Bucket=DATA_BUCKET)["Contents"]
    }
    assert {name: after[name] for name in before} == before
    assert all(
        name == key or name.startswith((f"runs/{run_id}/", "console"))
        for name in after.keys() - before.keys()
    )
    assert cloud.read(run_id, "validation.json")["dataset"] == f"s3://{DATA_BUCKET}/{key}"
