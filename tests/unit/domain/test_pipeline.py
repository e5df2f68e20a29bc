"""What the steps share: a run's own files, and signs of life."""

import pytest

from signalbox import pipeline as module
from signalbox.bedrock import Bedrock
from signalbox.events import EventBus
from signalbox.pipeline import Pipeline
from signalbox.run import Run
from signalbox.run_table import RunTable
from signalbox.store import TASK, TRAIN, RunStore
from tests.builders import BUCKET, QUERIES, dataset_object, labelled, task
from tests.fakes import FakeEvents, FakeS3, FakeTable
from tests.scripted_bedrock import ScriptedBedrock


@pytest.fixture
def pipeline() -> Pipeline:
    bedrock = Bedrock(ScriptedBedrock(), ScriptedBedrock())
    return Pipeline(RunTable(FakeTable()), RunStore(FakeS3(), BUCKET), EventBus(FakeEvents(), "bus"), bedrock)


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    return pipeline.runs.receive(dataset_object())


def test_a_runs_own_files_are_read_as_they_were_validated(pipeline: Pipeline, run: Run) -> None:
    pipeline.store.put(run.id, TASK, task().to_json())
    pipeline.store.put(run.id, TRAIN, labelled())
    assert pipeline.task(run) == task()
    assert [record.query for record in pipeline.records(run, TRAIN, task())] == QUERIES


@pytest.mark.parametrize(
    ("content", "reason"),
    [(labelled() + b"{}\n", "line 151, schemaVersion: is missing"), (None, "has no train.jsonl")],
)
def test_a_file_that_is_not_what_was_validated_is_not_read_in_part(
    pipeline: Pipeline, run: Run, content: bytes | None, reason: str
) -> None:
    if content is not None:
        pipeline.store.put(run.id, TRAIN, content)
    with pytest.raises(ValueError, match=reason):
        pipeline.records(run, TRAIN, task())


def test_signs_of_life_are_given_at_once_and_then_every_half_minute(
    pipeline: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[float] = []
    clock = [0.0]
    monkeypatch.setattr(RunTable, "touch", lambda runs, run: touched.append(clock[0]))
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    beat = pipeline.heartbeat(run)
    for clock[0] in (0.0, 5.0, 29.9, 30.0, 31.0, 61.0):
        beat()
    assert touched == [0.0, 30.0, 61.0]
