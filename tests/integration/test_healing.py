"""Events only nudge: lost, doubled, shuffled or cut off, a run still ends PROMOTED, and makes nothing twice."""

import random
from unittest import mock

import pytest

from signalbox.run import Run, State
from signalbox.run_table import RunTable
from signalbox.store import REPORT, RunStore
from tests.builders import client_error, labelled, pipeline_event, spec
from tests.integration.cloud import Cloud


def promoted_once(cloud: Cloud, run_id: str) -> None:
    """See a run go live with one job, one deployment and one evaluation job a candidate, and nothing left."""
    assert cloud.finish(run_id, minutes=12).state is State.PROMOTED
    assert cloud.live().run_id == run_id
    assert (list(cloud.bedrock.jobs), list(cloud.bedrock.deployments)) == ([run_id], [run_id])
    judged = [f"{run_id}-judge-{name}" for name in ("bedrock", "embedded", "base", "baseline")]
    assert list(cloud.bedrock.evaluations) == judged
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 1
    assert cloud.bedrock.calls["CreateCustomModelDeployment"] == 1
    assert len(cloud.states(run_id)) == len(set(cloud.states(run_id)))
    assert list(cloud.runs.active()) == []


@pytest.mark.parametrize(
    ("detail_type", "key_part"),
    [
        ("Object Created", "datasets/"),
        ("DatasetAccepted", ""),
        ("TrainingStarted", ""),
        ("Model Customization Job State Change", ""),
        ("ModelDeployed", ""),
        ("Object Created", "judge/"),
        ("EvaluationCompleted", ""),
        ("ModelPromoted", ""),
        ("RunNudged", ""),
    ],
)
def test_any_one_event_may_be_lost(cloud: Cloud, detail_type: str, key_part: str) -> None:
    cloud.upload_task(spec())
    cloud.lose(detail_type, key_part)
    run_id = cloud.drop(labelled())
    promoted_once(cloud, run_id)


def test_all_events_but_those_of_watch_may_be_lost(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    for detail_type in (
        "Object Created",
        "DatasetAccepted",
        "ModelDeployed",
        "Object Created",
        "EvaluationCompleted",
    ):
        cloud.lose(detail_type)
    cloud.lose("Model Customization Job State Change")
    run_id = cloud.drop(labelled())
    promoted_once(cloud, run_id)


def test_the_same_upload_announced_five_times_starts_one_run_and_one_job(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.deliveries = 5
    run_id = cloud.drop(labelled())
    cloud.settle()
    assert cloud.invoked["validate"] == 5
    assert [run.id for run in cloud.runs.active()] == [run_id]
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_events_may_come_twice_and_in_any_order(cloud: Cloud, seed: int) -> None:
    cloud.upload_task(spec())
    cloud.deliveries, cloud.shuffled = 2, random.Random(seed)
    run_id = cloud.drop(labelled())
    promoted_once(cloud, run_id)


def test_an_old_event_of_a_run_that_has_ended_does_nothing(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    promoted_once(cloud, run_id)
    before, history = cloud.bedrock.calls.copy(), cloud.states(run_id)
    cloud.queue += cloud.announced
    cloud.settle()
    assert cloud.states(run_id) == history
    assert cloud.bedrock.calls == before


def test_two_datasets_at_once_make_two_runs(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_ids = {
        cloud.drop(labelled()),
        cloud.drop(labelled()),
        cloud.drop(labelled(), "datasets/clip-search/b.jsonl"),
    }
    assert len(run_ids) == 3
    ended = [cloud.finish(run_id, minutes=12) for run_id in run_ids]
    assert {run.state for run in ended} == {State.PROMOTED}
    assert set(cloud.bedrock.jobs) == run_ids


PUBLISHED = ("DatasetAccepted", "TrainingStarted", "ModelDeployed", "EvaluationCompleted", "ModelPromoted")


@pytest.mark.parametrize("event", PUBLISHED)
def test_an_event_that_could_not_be_published_is_published_by_watch(cloud: Cloud, event: str) -> None:
    # Given that an event cannot be published once, just after the table was written
    cloud.upload_task(spec())
    with cloud.failing("events", "PutEvents", containing=f'"{event}"'):
        run_id = cloud.drop(labelled())
        # When watch comes by before Bedrock is done with what it is at
        for _ in range(5):
            cloud.settle()
            cloud.watch()
            cloud.minute()
        promoted_once(cloud, run_id)
    # Then the step failed visibly, and every event came nevertheless
    assert [str(error) for _, error in cloud.crashes] == [
        "An error occurred (InternalError) when calling the PutEvents operation: scripted"
    ]
    cloud.crashes.clear()
    assert all(cloud.published(name) for name in PUBLISHED)
    assert cloud.mails()[-1][0].startswith("PROMOTED clip-search: ")


@pytest.mark.parametrize("after", range(0, 14, 3))
def test_a_crash_before_any_write_of_the_table_is_healed(cloud: Cloud, after: int) -> None:
    cloud.upload_task(spec())
    with cloud.failing("dynamodb", "UpdateItem", after=after):
        run_id = cloud.drop(labelled())
        promoted_once(cloud, run_id)
    assert cloud.crashes
    cloud.crashes.clear()


def test_a_crash_between_registering_a_dataset_and_checking_it_is_healed(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    with cloud.failing("dynamodb", "PutItem"):
        run_id = cloud.drop(labelled())
        promoted_once(cloud, run_id)
    cloud.crashes.clear()


def test_a_promotion_that_fails_half_way_changes_neither_run_nor_pointer(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    with cloud.failing("dynamodb", "TransactWriteItems", times=99):
        cloud.settle()
        cloud.minute(4)
        assert cloud.run(run_id).state is State.EVALUATED
        assert cloud.live() is None
    cloud.crashes.clear()
    promoted_once(cloud, run_id)


def test_a_report_that_could_not_be_written_is_written_by_the_next_attempt(cloud: Cloud) -> None:
    # Given a run whose results cannot be published once it has been decided
    cloud.upload_task(spec())
    put = RunStore.put

    def fail(self: RunStore, run_id: str, name: str, body: bytes | str) -> None:
        if name == REPORT:
            raise client_error("SlowDown", operation="PutObject", status=503)
        put(self, run_id, name, body)

    with mock.patch.object(RunStore, "put", fail):
        run_id = cloud.drop(labelled())
        cloud.settle()
        cloud.minute(4)
    assert {function for function, _ in cloud.crashes} == {"promote"}
    cloud.crashes.clear()
    # When Lambda tries again
    cloud.invoke("promote", pipeline_event("EvaluationCompleted", run_id=run_id))
    # Then they are there
    assert cloud.read(run_id, "metrics.json")["verdict"] == "PROMOTED"
    assert cloud.read(run_id, "report.html")


def test_nothing_says_promoted_before_the_run_is(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    with cloud.failing("dynamodb", "TransactWriteItems", times=99):
        run_id = cloud.drop(labelled())
        cloud.settle()
        cloud.minute(4)
        assert cloud.run(run_id).state is State.EVALUATED
        assert cloud.store.get(run_id, "metrics.json") is cloud.store.get(run_id, "report.html") is None
    cloud.crashes.clear()


@pytest.mark.parametrize("function", ["evaluate", "judge", "promote"])
def test_a_late_duplicate_changes_nothing_of_what_was_decided(cloud: Cloud, function: str) -> None:
    # Given a duplicate of a step that has looked at the run before it was decided
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    states = {"evaluate": State.DEPLOYED, "judge": State.EVALUATING, "promote": State.EVALUATED}
    stale: list[Run] = []
    load = RunTable.load

    def remember(self: RunTable, wanted: str) -> Run | None:
        run = load(self, wanted)
        if run is not None and run.state is states[function]:
            stale.append(run)
        return run

    with mock.patch.object(RunTable, "load", remember):
        promoted_once(cloud, run_id)
    before = {name: cloud.read(run_id, name) for name in ("metrics.json", "report.html")}
    # When it goes on after the decision
    with mock.patch.object(RunTable, "load", lambda *_: stale[0]):
        cloud.invoke(function, pipeline_event("RunNudged", run_id=run_id))
    # Then the decision and its record are as they were
    assert {name: cloud.read(run_id, name) for name in before} == before
    assert cloud.run(run_id).state is State.PROMOTED


def test_a_student_trained_by_an_attempt_that_crashed_is_not_trained_again(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.refuse("CreateModelCustomizationJob", "InternalServerException")
    run_id = cloud.drop(labelled(), trains=True)
    cloud.settle()
    before = cloud.read(run_id, "student/student.bin")
    cloud.crashes.clear()
    cloud.minute()
    assert cloud.run(run_id).history[-1].note.startswith("embedded student trained before")
    assert cloud.read(run_id, "student/student.bin") == before


def test_answers_collected_before_a_crash_are_not_asked_for_again(cloud: Cloud) -> None:
    # Given that the judge cannot be started at first
    cloud.upload_task(spec())
    cloud.bedrock.refuse("CreateEvaluationJob", "InternalServerException", times=2)
    run_id = cloud.drop(labelled())
    # When the evaluation is tried until it succeeds
    promoted_once(cloud, run_id)
    cloud.crashes.clear()
    # Then each of three models was asked each golden query once
    assert cloud.bedrock.calls["Converse"] == 3 * 22


def test_a_run_that_cannot_be_healed_does_not_keep_the_others_waiting(cloud: Cloud) -> None:
    # Given two runs that have missed their event
    cloud.upload_task(spec())
    cloud.lose("DatasetAccepted")
    cloud.lose("DatasetAccepted")
    run_ids = [cloud.drop(labelled()), cloud.drop(labelled())]
    cloud.settle()
    # When watch cannot nudge the first
    with cloud.failing("events", "PutEvents"):
        cloud.watch()
    # Then it has nudged the second, and broken off in the end, which the alarm of the dead letters tells of
    assert sorted(cloud.run(run_id).state for run_id in run_ids) == [State.ACCEPTED, State.TRAINING]
    assert [function for function, _ in cloud.crashes] == ["watch"]
    cloud.crashes.clear()
