"""Several tasks live side by side: what befalls one never touches another's pipeline, model or answers."""

import json
from collections.abc import Iterator

import pytest

from signalbox.run import State
from signalbox.store import STUDENT
from tests.builders import QUERIES, labelled, labels_spec, spec, true_label
from tests.integration.cloud import Cloud, _app
from tests.quick_moto import quick_aws
from tests.unit.template.stack import DATA_BUCKET

ILL, WELL = "clip-kind", "clip-search"
ILL_DATASET = f"datasets/{ILL}/drop.jsonl"


@pytest.fixture
def cloud(student: bytes) -> Iterator[Cloud]:
    """The app with two tasks, both live."""
    with quick_aws(), Cloud(student).connected() as made:
        made.upload_task(spec())
        made.upload_task(labels_spec())
        made.finish(made.drop(labelled()))
        made.finish(drop_ill(made))
        assert made.live(WELL) and made.live(ILL)
        yield made


def drop_ill(cloud: Cloud, content: bytes = b"") -> str:
    return cloud.drop(content or labelled(answer=true_label), ILL_DATASET)


def overwrite(cloud: Cloud, key: str, content: bytes) -> None:
    cloud.s3.put_object(Bucket=DATA_BUCKET, Key=key, Body=content)


def spoil(cloud: Cloud, key: str, **attributes: object) -> None:
    """Make an item of the run table such that it cannot be read."""
    item = cloud.runs.item(key)
    assert item is not None
    cloud.table.put_item(Item=item | attributes)


def broken_spec(cloud: Cloud) -> None:
    overwrite(cloud, f"tasks/{ILL}/task.yaml", b"name: [")
    assert cloud.finish(drop_ill(cloud)).state is State.REJECTED


def spec_of_another_name(cloud: Cloud) -> None:
    overwrite(cloud, f"tasks/{ILL}/task.yaml", json.dumps(spec()).encode())
    assert cloud.finish(drop_ill(cloud)).state is State.REJECTED


def broken_golden_set(cloud: Cloud) -> None:
    overwrite(cloud, f"tasks/{ILL}/golden.jsonl", b"{}\n")
    assert cloud.finish(drop_ill(cloud)).state is State.REJECTED


def hopeless_dataset(cloud: Cloud) -> None:
    assert cloud.finish(drop_ill(cloud, b"\x00\xff\n")).state is State.REJECTED


def failed_job(cloud: Cloud) -> None:
    cloud.bedrock.job_ends = ("Failed", "Too many prompts were rejected.")
    assert cloud.finish(drop_ill(cloud)).state is State.FAILED
    cloud.bedrock.job_ends = ("Completed", "")


def used_up_quota(cloud: Cloud) -> None:
    cloud.bedrock.refuse("CreateModelCustomizationJob", "ServiceQuotaExceededException", times=1)
    run_id = drop_ill(cloud)
    cloud.settle()
    assert cloud.run(run_id).waiting


def failed_deployment(cloud: Cloud) -> None:
    cloud.bedrock.deployment_ends = ("Failed", "No capacity.")
    assert cloud.finish(drop_ill(cloud)).state is State.FAILED
    cloud.bedrock.deployment_ends = ("Active", "")


def poisoned_student(cloud: Cloud) -> None:
    pointer = cloud.live(ILL)
    assert pointer is not None
    cloud.store.put(pointer.run_id, STUDENT, b"\x80\x05poison")


def poisoned_pointer(cloud: Cloud) -> None:
    spoil(cloud, f"LIVE#{ILL}", pointer='{"run_id": 7}')


def pointer_to_a_task_of_another_version(cloud: Cloud) -> None:
    pointer = cloud.live(ILL)
    assert pointer is not None
    cloud.table.put_item(Item=pointer.model_copy(update={"task": {"name": ILL, "later": True}}).item())


def poisoned_run(cloud: Cloud) -> None:
    run_id = drop_ill(cloud)
    cloud.settle()
    spoil(cloud, run_id, state="OF_ANOTHER_VERSION")


def model_that_is_gone(cloud: Cloud) -> None:
    pointer = cloud.live(ILL)
    assert pointer is not None and pointer.deployment_arn is not None
    cloud.bedrock.deployments = {
        name: each
        for name, each in cloud.bedrock.deployments.items()
        if each["arn"] != pointer.deployment_arn
    }


ILLS = {
    "what was uploaded": (hopeless_dataset, broken_golden_set, spec_of_another_name, broken_spec),
    "its own runs": (failed_job, failed_deployment, used_up_quota),
    "its live model": (poisoned_student, model_that_is_gone),
    "its items": (poisoned_run, poisoned_pointer),
    "another version's": (pointer_to_a_task_of_another_version,),
}
"""What may befall a task, by where; of a group one after the other, so that each costs no pipeline of its own."""


@pytest.mark.parametrize("group", ILLS)
def test_what_befalls_one_task_does_not_touch_another(cloud: Cloud, group: str) -> None:
    # Given a task that something befalls, and a sandbox that starts after it
    for befalls in ILLS[group]:
        befalls(cloud)
    cloud.crashes.clear()  # those of the task that is ill
    cloud.forget()
    # Then the other is answered as ever
    status, answer = cloud.request("POST", "/route", {"query": QUERIES[0], "task": WELL})
    assert (status, answer["source"], answer["passed_over"]) == (200, "bedrock", {})
    # And listed
    status, listed = cloud.request("GET", "/tasks")
    assert status == 200
    assert WELL in [each["task"] for each in listed["tasks"]]
    # And its pipeline goes on, also where an event was lost and only watch can heal it
    before = cloud.live(WELL)
    cloud.lose("Model Customization Job State Change")
    run_id = cloud.drop(labelled())
    assert cloud.finish(run_id, minutes=20).state is State.PROMOTED
    after = cloud.live(WELL)
    assert before is not None and after is not None
    assert after.run_id == run_id != before.run_id
    # And it is on the console
    console = cloud.s3.get_object(Bucket=DATA_BUCKET, Key="runs/index.html")["Body"].read().decode()
    assert run_id in console


def test_a_sandbox_starts_with_the_students_of_all_tasks_but_the_one_that_is_ill(cloud: Cloud) -> None:
    pointer_to_a_task_of_another_version(cloud)
    cloud.forget()
    _, answer = cloud.request("POST", "/route", {"query": QUERIES[0], "task": WELL})
    router = _app("route").router()
    router.warm_up()
    assert answer["run_id"] == cloud.live(WELL).run_id  # type: ignore[union-attr]
    assert router.knows(WELL)
    assert not router.knows(ILL)


def test_each_task_is_asked_with_its_own_prompt_model_and_gates(cloud: Cloud) -> None:
    asked: dict[str, set[str]] = {}

    def says(model: str, prompt: str, query: str) -> str:
        asked.setdefault(prompt, set()).add(model)
        return true_label(query) if prompt == labels_spec()["prompt"] else json.dumps(_weights(query))

    cloud.bedrock.says = says
    cloud.forget()
    for task in (WELL, ILL):
        assert cloud.request("POST", "/route", {"query": QUERIES[0], "task": task})[0] == 200
    assert set(asked) == {spec()["prompt"], labels_spec()["prompt"]}
    well, ill = cloud.live(WELL), cloud.live(ILL)
    assert well is not None and ill is not None
    assert asked[spec()["prompt"]] == {well.deployment_arn}
    assert asked[labels_spec()["prompt"]] == {ill.deployment_arn}
    assert well.task["gates"] != ill.task["gates"]


def _weights(query: str) -> dict[str, float]:
    signals = spec()["output"]["weights"]
    return {signal: 1.0 if place == 0 else 0.0 for place, signal in enumerate(signals)}
