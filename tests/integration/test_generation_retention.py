"""Generations that nobody needs are deleted, objects and item; a person deletes any, and what is live keeps its own."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import yaml

from signalbox.generation import Generation, GenerationState
from signalbox.run import run_id_for
from tests.builders import OPENINGS, dataset_object, embedded_spec
from tests.integration.cloud import Cloud
from tests.integration.test_cleanup import AppInMemory, app, said  # noqa: F401 (a fixture)
from tests.unit.template.stack import DATA_BUCKET

PLACES = [f"{number * 7919:x}" for number in range(1, 60)]
REQUEST = {
    "count": 120,
    "templates": [f"{opening} {{place}}" for opening in OPENINGS],
    "slots": {"place": PLACES},
}


def requested(cloud: Cloud, name: str, content: dict[str, Any] | None = None) -> str:
    """Upload a request and return the id of its generation."""
    key = f"requests/clip-search/{name}.yaml"
    body = yaml.safe_dump(content or REQUEST).encode()
    put = cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=body)
    return run_id_for(dataset_object(bucket=DATA_BUCKET, key=key, version_id=put["VersionId"]))


def rejected(cloud: Cloud, name: str) -> str:
    """Return the id of a generation that is over at once."""
    generation_id = requested(cloud, name, {"count": 1})
    cloud.settle()
    cloud.store.folder("generations").put(generation_id, "queries.jsonl", b"{}")
    return generation_id


def loaded(cloud: Cloud, generation_id: str) -> Generation | None:
    return cloud.pipeline().generations.load(generation_id)


def objects(cloud: Cloud, generation_id: str) -> int:
    return len(list(cloud.store.versions(f"generations/{generation_id}/")))


def let_all_be_due(cloud: Cloud, *generation_ids: str) -> None:
    """Let three days pass for some generations and their requests, and the grace time."""
    for generation_id in generation_ids:
        cloud.age(f"GENERATION#{generation_id}", timedelta(days=3))
    cloud.store.delete(cloud.store.versions("requests/"))
    cloud.watch()
    generations = cloud.pipeline().generations
    for generation_id in generation_ids:
        one = generations.load(generation_id)
        if one is not None and one.released_at is not None:
            generations.release(one, one.released_at - timedelta(hours=48))
    cloud.watch()


def test_the_newest_are_kept_and_the_others_deleted_with_all_versions(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(retention={"generations": 1}))
    older, newer = rejected(cloud, "older"), rejected(cloud, "newer")
    cloud.store.folder("generations").put(older, "queries.jsonl", b"{}")
    let_all_be_due(cloud, older, newer)
    assert loaded(cloud, older) is None
    assert objects(cloud, older) == 0
    assert loaded(cloud, newer) is not None


def test_what_is_young_or_not_due_is_kept(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(retention={"generations": 0}))
    young, released = rejected(cloud, "young"), rejected(cloud, "released")
    cloud.age(f"GENERATION#{released}", timedelta(days=3))
    cloud.store.delete(cloud.store.versions("requests/"))
    for _ in range(3):
        cloud.watch()
    assert loaded(cloud, young).released_at is None
    assert loaded(cloud, released).released_at is not None
    # When the task keeps more, it is not released any longer
    cloud.upload_task(embedded_spec(retention={"generations": 9}))
    cloud.watch()
    assert loaded(cloud, released).released_at is None


def test_the_one_that_made_the_live_dataset_is_kept(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(retention={"generations": 0}))
    generation_id = requested(cloud, "live")
    cloud.settle()
    cloud.minute(4)
    made = loaded(cloud, generation_id)
    assert made.state is GenerationState.COMPLETED
    assert cloud.live().run_id == made.run_id
    let_all_be_due(cloud, generation_id)
    assert loaded(cloud, generation_id) is not None


def test_a_deletion_that_comes_twice_or_too_early_does_nothing(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(retention={"generations": 0}))
    cloud.deliveries = 2
    generation_id = rejected(cloud, "twice")
    due = {"source": "signalbox", "detail-type": "GenerationRemovalDue"}
    event = cloud.published("GenerationRejected")[0] | due
    cloud.invoke("clean", event)
    assert loaded(cloud, generation_id) is not None
    let_all_be_due(cloud, generation_id)
    assert loaded(cloud, generation_id) is None
    assert cloud.crashes == []


def test_a_person_lists_and_deletes_one_and_its_job_is_stopped(
    cloud: Cloud,
    app: AppInMemory,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a generation whose batch job is at work
    cloud.upload_task(embedded_spec())
    generation_id = requested(cloud, "under-way")
    cloud.settle()
    # When a person lists it, it is named with its objects, and nothing is deleted
    code, listed = said(capsys, "clean", generation_id)
    assert code == 0
    (shown,) = listed["generations"]
    assert (shown["generation_id"], shown["state"]) == (generation_id, "LABELLING")
    assert shown["objects"] > 0
    assert loaded(cloud, generation_id) is not None
    # When it is deleted while a step is at work, its job is stopped at once, however busy Bedrock is
    cloud.pipeline().generations.take(loaded(cloud, generation_id))
    cloud.bedrock.refuse("StopModelInvocationJob", "ThrottlingException")
    with mock.patch("local.clean._POLL_SECONDS", 0):
        (left,) = said(capsys, "clean", generation_id, "--yes")[1]["left"]
    assert "a step may be at work" in left
    assert [job["status"] for job in cloud.bedrock.batches.values()] == ["Stopped"]
    assert loaded(cloud, generation_id).state is GenerationState.FAILED
    # And when no step can be at work on it any longer, nothing of it is left
    cloud.age(f"GENERATION#{generation_id}", timedelta(minutes=16))
    assert said(capsys, "clean", generation_id, "--yes")[1]["left"] == []
    assert loaded(cloud, generation_id) is None
    assert objects(cloud, generation_id) == 0
    # And its request, which went with it, is not taken for one that nobody announced
    cloud.watch()
    assert loaded(cloud, generation_id) is None


def test_one_that_nobody_is_at_work_on_goes_at_once(
    cloud: Cloud,
    app: AppInMemory,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.upload_task(embedded_spec())
    generation_id = requested(cloud, "under-way")
    cloud.settle()
    assert not loaded(cloud, generation_id).state.ended
    assert said(capsys, "clean", generation_id, "--yes")[1]["left"] == []
    cloud.watch()
    assert (loaded(cloud, generation_id), objects(cloud, generation_id)) == (None, 0)
    assert [job["status"] for job in cloud.bedrock.batches.values()] == ["Stopped"]


def test_a_batch_job_that_was_not_noted_or_not_stopped_before_is_stopped(
    cloud: Cloud,
    app: AppInMemory,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a generation that was cut off before it could note its job
    cloud.upload_task(embedded_spec())
    generation_id = requested(cloud, "cut-off")
    cloud.settle()
    cloud.pipeline().generations.note(loaded(cloud, generation_id), job_arns={})
    # When Bedrock stops nothing for longer than a person waits
    cloud.bedrock.refuse("StopModelInvocationJob", "ThrottlingException")
    with mock.patch("local.clean.PATIENCE_SECONDS", -1):
        (left,) = said(capsys, "clean", generation_id, "--yes")[1]["left"]
    assert "throttles stopping the batch job" in left
    # Then the next call finds the job by its name and stops it, though the generation is over
    said(capsys, "clean", generation_id, "--yes")
    assert [job["status"] for job in cloud.bedrock.batches.values()] == ["Stopped"]


def test_all_of_a_task_goes_with_its_requests_but_not_what_live_was_made_by(
    cloud: Cloud,
    app: AppInMemory,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.upload_task(embedded_spec())
    live = requested(cloud, "live")
    cloud.settle()
    cloud.minute(4)
    other = rejected(cloud, "other")
    listed = said(capsys, "clean", "--task", "clip-search")[1]
    assert [one["generation_id"] for one in listed["generations"]] == [other]
    code, _ = said(capsys, "clean", "--task", "clip-search", "--with-live", "clip-search", "--yes")
    assert code == 0
    assert loaded(cloud, live) is None
    assert list(cloud.store.versions("requests/")) == []
    assert list(cloud.store.versions("generations/")) == []
