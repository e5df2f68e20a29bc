"""clean: an item of the table that cannot be read keeps nothing else from going, and costs nothing that is live."""

from typing import Any

import pytest

from signalbox.generation import PREFIX
from signalbox.live import LIVE_PREFIX
from signalbox.run import Run, State
from signalbox.task import Deployment
from tests.builders import embedded_spec, spec
from tests.integration.cloud import Cloud
from tests.integration.test_cleanup import app, held, promoted, said, versions
from tests.integration.test_generation import asked, finished, request

__all__ = ["app"]
TASK = "clip-search"
pytestmark = pytest.mark.usefixtures("app", "hurried")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing."""
    monkeypatch.setattr("local.clean.PATIENCE_SECONDS", 0)
    monkeypatch.setattr("local.clean._POLL_SECONDS", 0)


def spoil(cloud: Cloud, key: str, **attributes: Any) -> None:
    """Overwrite attributes of an item with what this version of the app does not know; None takes one away."""
    item = cloud.table.get_item(Key={"id": key})["Item"] | attributes
    cloud.table.put_item(Item={name: value for name, value in item.items() if value is not None})


def unreadable_run(cloud: Cloud) -> Run:
    """Return a held run as it was before its item was spoilt."""
    run = held(cloud)
    spoil(
        cloud, run.id, state="PONDERING", dataset="moved", deployment_arn=None, deployment={"type": "rented"}
    )
    return run


def test_an_unreadable_run_is_listed_and_all_else_of_its_task_goes(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(spec(judge=None))
    other, run = held(cloud), unreadable_run(cloud)
    code, listed = said(capsys, "clean", "--task", TASK)
    assert code == 0
    assert [shown["run_id"] for shown in listed["runs"]] == [other.id]
    assert listed["unreadable"][0].startswith(f"{run.id}: unreadable (dataset, deployment, state)")
    # When they are deleted, then it is what is left, however often that is done
    for _ in range(2):
        code, done = said(capsys, "clean", "--task", TASK, "--yes")
        assert (code, done["left"]) == (7, listed["unreadable"])
    assert [item["id"] for item in cloud.table.scan()["Items"]] == [run.id]
    assert versions(cloud, f"runs/{run.id}/")
    assert set(cloud.bedrock.deployments) == {run.id}


@pytest.mark.parametrize("named", [True, False], ids=["itself", "everything"])
def test_it_goes_with_everything_or_named_itself_and_so_does_what_bears_its_name(
    cloud: Cloud, capsys: Captured, named: bool
) -> None:
    cloud.upload_task(spec(judge=None))
    run = unreadable_run(cloud)
    scope = [run.id] if named else ["--everything"]
    shown = said(capsys, "clean", *scope)[1]["runs"]
    assert [(one["run_id"], one["state"]) for one in shown] == [(run.id, "unreadable")]
    # When Bedrock keeps its model for once
    cloud.bedrock.refuse("DeleteCustomModel", "AccessDeniedException")
    code, first = said(capsys, "clean", *scope, "--yes")
    assert (code, len(first["left"])) == (7, 1)
    assert cloud.table.scan()["Items"]
    # Then it is still known, and goes the next time, with the dataset that would begin it anew
    code, second = said(capsys, "clean", *scope, "--yes")
    assert (code, second["left"]) == (0, [])
    assert cloud.bedrock.deployments == {}
    assert cloud.bedrock.custom_models == set()
    assert versions(cloud, f"runs/{run.id}/") == versions(cloud, "datasets/") == []
    assert cloud.table.scan()["Items"] == []
    cloud.watch()
    assert cloud.table.scan()["Items"] == []


def test_its_provisioned_throughput_is_found_by_its_name(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(spec(judge=None))
    run = unreadable_run(cloud)
    deployments = cloud.pipeline().deployments
    deployments.create(run.id, run.model_arn or "", Deployment(type="provisioned"))
    cloud.bedrock.provision()
    assert set(cloud.bedrock.throughputs) == {run.id}
    assert said(capsys, "clean", run.id, "--yes")[0] == 0
    assert not cloud.bedrock.throughputs


@pytest.mark.parametrize("pointer", ["{}", "no JSON"])
def test_runs_of_a_task_whose_pointer_is_unreadable_are_spared(
    cloud: Cloud, capsys: Captured, pointer: str
) -> None:
    cloud.upload_task(spec(judge=None))
    live, run = promoted(cloud), held(cloud)
    spoil(cloud, LIVE_PREFIX + TASK, pointer=pointer)
    code, done = said(capsys, "clean", f"{TASK}-ffffffffffff", "--yes")  # whatever of this task is named
    assert (code, len(done["left"])) == (7, 1)
    for scope in (["--task", TASK], ["--everything"], [run.id], [run.id, "--with-live", TASK]):
        code, done = said(capsys, "clean", *scope, "--yes")
        assert code == 7
        assert {*done["kept"]} == ({run.id} if run.id in scope else {live.id, run.id})
        (left,) = done["left"]
        assert left.startswith(f"LIVE#{TASK}: unreadable, so nobody can tell what is live")
    assert set(cloud.bedrock.deployments) == {live.id, run.id}
    # When its task is named, then all of it goes
    code, done = said(capsys, "clean", "--everything", "--with-live", TASK, "--yes")
    assert (code, done["left"], versions(cloud), cloud.table.scan()["Items"]) == (0, [], [], [])
    assert cloud.bedrock.deployments == {}


def test_another_tasks_unreadable_pointer_stands_in_no_ones_way(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(spec(judge=None))
    run = held(cloud)
    cloud.table.put_item(Item={"id": "LIVE#other", "active": "live", "updated_at": "2026", "pointer": "{}"})
    code, done = said(capsys, "clean", "--task", TASK, "--yes")
    assert (code, done["left"], cloud.runs.load(run.id)) == (0, [], None)


def test_an_unreadable_generations_batch_job_is_stopped_by_its_name(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(embedded_spec())
    generation_id = request(cloud, asked())
    cloud.settle()
    (job,) = cloud.bedrock.batches.values()
    assert job["status"] == "Submitted"
    spoil(cloud, PREFIX + generation_id, state="PONDERING", job_arns="none")
    code, done = said(capsys, "clean", "--task", TASK, "--yes")
    assert (code, done["generations"]) == (7, [])
    assert done["left"] == [line for line in done["unreadable"] if line.startswith(generation_id)]
    assert said(capsys, "clean", generation_id, "--yes")[0] == 0
    assert job["status"] == "Stopped"
    assert versions(cloud, "generations/") == []
    assert cloud.table.scan()["Items"] == []


SPOILT: list[dict[str, Any]] = [
    {"history": "long"},
    {"state": "PONDERING", "task": "other"},
    {"task": "other"},
    {"task": None},
]


@pytest.mark.parametrize("attributes", SPOILT, ids=str)
def test_an_unreadable_run_that_is_live_stays(
    cloud: Cloud, capsys: Captured, attributes: dict[str, Any]
) -> None:
    cloud.upload_task(spec(judge=None))
    live = promoted(cloud)
    spoil(cloud, live.id, **attributes)
    for scope in (["--everything"], ["--task", TASK], [live.id]):
        code, done = said(capsys, "clean", *scope, "--yes")
        assert (code, done["left"], done["kept"]) == (0, [], [live.id])
    assert said(capsys, "clean", "--task", "other", "--yes")[1]["runs"] == []
    assert set(cloud.bedrock.deployments) == {live.id}
    assert versions(cloud, f"runs/{live.id}/")


@pytest.mark.parametrize("attributes", SPOILT, ids=str)
def test_a_live_one_that_goes_with_its_task_is_live_no_longer(
    cloud: Cloud, capsys: Captured, attributes: dict[str, Any]
) -> None:
    cloud.upload_task(spec(judge=None))
    live = promoted(cloud)
    spoil(cloud, live.id, **attributes)
    code, done = said(capsys, "clean", live.id, "--with-live", TASK, "--yes")
    assert (code, done["left"], cloud.runs.live(TASK)) == (0, [], None)
    assert cloud.bedrock.deployments == {}


def test_a_generation_that_may_be_of_the_live_runs_dataset_stays(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, asked()))
    assert cloud.finish(generation.run_id).state is State.PROMOTED
    kept = versions(cloud, f"generations/{generation.id}/")
    spoil(cloud, PREFIX + generation.id, run_id={"what": "ever"})
    for scope in (["--everything"], ["--task", TASK], [generation.id]):
        code, done = said(capsys, "clean", *scope, "--yes")
        (left,) = done["left"]
        assert (code, left.startswith(f"{generation.id}: unreadable (run_id), so ")) == (7, True)
    assert versions(cloud, f"generations/{generation.id}/") == kept
    # When it is named with its task, then it goes alone
    code, done = said(capsys, "clean", generation.id, "--with-live", TASK, "--yes")
    assert (code, done["left"], versions(cloud, "generations/")) == (0, [], [])
    assert cloud.live().run_id == generation.run_id


def test_one_that_is_certainly_of_no_live_run_goes_with_everything(cloud: Cloud, capsys: Captured) -> None:
    cloud.upload_task(embedded_spec())
    generation = finished(cloud, request(cloud, asked()))
    cloud.finish(generation.run_id)
    spoil(cloud, PREFIX + generation.id, state="PONDERING", run_id=f"{TASK}-ffffffffffff")
    assert said(capsys, "clean", "--everything", "--yes")[0] == 0
    assert versions(cloud, "generations/") == []
