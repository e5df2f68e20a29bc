"""Events: which run an incoming one nudges, and what an outgoing one says."""

import json

import pytest
from pydantic import ValidationError

from signalbox.events import Event, EventBus, PipelineEvent, dataset_in, run_id_in
from signalbox.failure import Failure
from signalbox.run import State
from signalbox.run_table import RunTable
from tests.builders import dataset_object, job_ended, object_created, pipeline_event
from tests.fakes import FakeEvents, FakeTable


@pytest.mark.parametrize(
    ("event", "run_id"),
    [
        (job_ended("clip-search-0123456789ab", "Completed"), "clip-search-0123456789ab"),
        (object_created("runs/clip-search-ba/judge/job/uuid_output.jsonl"), "clip-search-ba"),
        (pipeline_event("RunNudged", run_id="clip-search-ff"), "clip-search-ff"),
    ],
)
def test_each_source_names_its_run(event: dict, run_id: str) -> None:
    assert run_id_in(event) == run_id


@pytest.mark.parametrize(
    "event",
    [
        {},
        pipeline_event("RunNudged", run_id=None),
        pipeline_event("RunNudged") | {"source": "somebody.else"},
        job_ended("j", "Completed") | {"detail": {"jobName": "j"}},
    ],
)
def test_an_event_of_another_shape_is_refused(event: dict) -> None:
    with pytest.raises(ValidationError):
        run_id_in(event)


def test_an_upload_is_read_with_all_that_identifies_it() -> None:
    event = object_created("datasets/clip-search/a file+ü.jsonl", version_id="v7", size=12, etag="abc")
    dataset = dataset_in(event)
    assert dataset == dataset_object(
        key="datasets/clip-search/a file+ü.jsonl",
        version_id="v7",
        size=12,
        etag="abc",
        sequencer="617f08299329d189",
    )


def test_an_upload_to_a_bucket_without_versions_has_none() -> None:
    assert dataset_in(object_created("datasets/clip-search/a.jsonl", version_id=None)).version_id is None


@pytest.mark.parametrize("key", ["datasets/clip-search/", "datasets/"])
def test_a_folder_is_no_upload(key: str) -> None:
    assert dataset_in(object_created(key)) is None


def test_an_event_tells_whose_it_is_and_what_was_found() -> None:
    # Given a run that has failed
    runs, client = RunTable(FakeTable()), FakeEvents()
    failure = Failure(step="distill", reason="no such teacher", remedy="name another")
    run = runs.move(
        runs.receive(dataset_object()), State.FAILED, event="RunFailed", failure=failure, reason="r"
    )
    # When the event is published
    EventBus(client, "bus").publish(Event.RUN_FAILED, run)
    # Then it keeps the contract of the pipeline's events
    (entry,) = client.entries
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("bus", "signalbox", "RunFailed")
    detail = json.loads(entry["Detail"])
    assert set(detail) == {"version", "run_id", "task", "state", "at", "summary"}
    assert (detail["version"], detail["run_id"], detail["task"], detail["state"]) == (
        "1",
        run.id,
        run.task,
        "FAILED",
    )
    assert detail["summary"] == {"reason": "r", "failure": failure.model_dump()}
    assert PipelineEvent.model_validate(pipeline_event("RunFailed", **detail)).detail.run_id == run.id


def test_an_event_that_the_bus_does_not_take_raises() -> None:
    client = FakeEvents()
    client.refuses = True
    run = RunTable(FakeTable()).receive(dataset_object())
    with pytest.raises(RuntimeError, match=f"did not take RunNudged of {run.id}"):
        EventBus(client, "bus").publish(Event.RUN_NUDGED, run)
