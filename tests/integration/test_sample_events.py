"""The sample events in events/ do what they say when they reach the handlers."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox.items import item_of
from signalbox.run import Moment, Run, State
from tests.builders import dataset_object, embedded_spec, labelled, spec
from tests.integration.cloud import Cloud
from tests.unit.template.stack import DATA_BUCKET, PROJECT

SAMPLES = sorted((PROJECT / "events").glob("*/*.json"))
STEPS = [path for path in SAMPLES if path.parent.name not in ("route", "reward", "watch", "notify")]


def sample(name: str) -> Any:
    """Return a sample event by `function/Trigger`."""
    return json.loads((PROJECT / "events" / f"{name}.json").read_text())


def run_named_in(event: dict[str, Any]) -> str:
    """Return the run that a sample is about."""
    detail = event["detail"]
    return detail.get("run_id") or detail.get("jobName") or detail["object"]["key"].split("/")[1]


def put_run(cloud: Cloud, run_id: str, state: State, **attributes: Any) -> None:
    """Put a run into the table as if it had come so far."""
    now = datetime.now(UTC)
    run = Run(
        id=run_id,
        task="video-search",
        state=state,
        created_at=now,
        updated_at=now,
        dataset=dataset_object(bucket=DATA_BUCKET, key="datasets/video-search/queries.jsonl"),
        history=[Moment(state=state, at=now)],
        **attributes,
    )
    cloud.table.put_item(Item=item_of(run) | {"active": "active"})


@pytest.mark.parametrize("path", STEPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_about_a_run_that_is_not_there_does_nothing(cloud: Cloud, path: Any) -> None:
    # All but the upload are about a run that only the table can know.
    event = json.loads(path.read_text())
    if path.stem != "DatasetDropped":
        cloud.invoke(path.parent.name, event)
        assert cloud.runs.of_task("video-search", 1) == []
        assert cloud.live("video-search") is None
        assert cloud.bedrock.calls.total() == 0


def test_a_dropped_dataset_becomes_the_run_that_the_samples_name(cloud: Cloud) -> None:
    # Given no task: the dataset is rejected, by the id that all other samples bear
    cloud.invoke("validate", sample("validate/DatasetDropped"))
    run = cloud.run(run_named_in(sample("validate/Nudged")))
    assert run.state is State.REJECTED
    assert (run.dataset.size, run.dataset.key) == (482_113, "datasets/video-search/queries.jsonl")


@pytest.mark.parametrize(("name", "state"), [("JobCompleted", State.DEPLOYING), ("JobFailed", State.FAILED)])
def test_the_end_of_a_job_is_believed_only_once_bedrock_itself_says_so(
    cloud: Cloud, name: str, state: State
) -> None:
    # Given a run whose job is under way
    event = sample(f"deploy/{name}")
    run_id = run_named_in(event)
    put_run(cloud, run_id, State.TRAINING)
    cloud.bedrock.jobs[run_id] = {"arn": "arn:job", "status": "InProgress", "message": ""}
    # When the event comes, it is not taken at its word
    cloud.invoke("deploy", event)
    assert cloud.run(run_id).state is State.TRAINING
    # When Bedrock says the same, the run moves on, with Bedrock's ARN and not the event's
    ends = {
        "JobCompleted": {
            "status": "Completed",
            "model_arn": "arn:aws:bedrock:us-east-1:123456789012:custom-model/m",
        },
        "JobFailed": {"status": "Failed"},
    }
    cloud.bedrock.jobs[run_id] |= ends[name]
    cloud.invoke("deploy", event)
    assert cloud.run(run_id).state is state
    assert cloud.run(run_id).model_arn == ends[name].get("model_arn")


def test_the_nudges_bring_on_a_run_from_each_state(cloud: Cloud) -> None:
    # Given a task of the samples' name, and its dataset, of which no event ever arrives but nudges
    cloud.upload_task(embedded_spec(name="video-search"))
    cloud.deliveries = 0
    run_id = cloud.drop(labelled(), "datasets/video-search/queries.jsonl")
    cloud.invoke("validate", cloud.announced[-1])
    # When each function is nudged with its sample, as if about this run
    for function in ("distill", "evaluate", "promote"):
        event = sample(f"{function}/Nudged")
        event["detail"]["run_id"] = run_id
        cloud.invoke(function, event)
    # Then the run is live
    assert cloud.run(run_id).state is State.PROMOTED


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("DatasetRejected", "REJECTED video-search: "),
        ("ModelHeld", "HELD video-search: mae"),
        ("ModelPromoted", "PROMOTED video-search: "),
        ("RunFailed", "FAILED video-search: in "),
        ("RunStalled", "STALLED video-search: "),
        ("ReleaseAwaited", "WAITING video-search: a person has to release the customization job"),
        ("ModelRolledBack", "ROLLED BACK video-search: "),
        ("RequestRefused", "REFUSED video-search: the deployment of "),
    ],
)
def test_an_outcome_is_mailed_with_what_why_where_and_what_to_do(
    cloud: Cloud, name: str, subject: str
) -> None:
    event = sample(f"notify/{name}")
    cloud.invoke("notify", event)
    ((found, text),) = cloud.mails()
    assert found.startswith(subject)
    assert "What to do: " in text
    assert f"s3://{DATA_BUCKET}/runs/{event['detail']['run_id']}/" in text
    reason = event["detail"]["summary"].get("reason") or event["detail"]["summary"].get("failure", {}).get(
        "reason", ""
    )
    assert all(part in text for part in reason.split("; "))


def test_the_clock_finds_an_upload_of_which_no_event_came(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.lose("Object Created")
    run_id = cloud.drop(labelled())
    assert cloud.invoke("watch", sample("watch/EveryMinute")) == {"nudged": 0}
    assert cloud.run(run_id).state is State.RECEIVED
    cloud.settle()
    assert cloud.run(run_id).state is State.TRAINING


def test_the_samples_of_the_api_are_answered(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec(name="video-search"))
    cloud.drop(labelled(), "datasets/video-search/queries.jsonl")
    cloud.settle()
    for name, key in (
        ("PostRoute", "weights"),
        ("PostRouteBatch", "answers"),
        ("GetTasks", "tasks"),
        ("GetTask", "metrics"),
        ("GetOpenApi", "paths"),
    ):
        answer = cloud.invoke("route", sample(f"route/{name}"))
        assert (answer["statusCode"], key in json.loads(answer["body"])) == (200, True)


def test_the_samples_of_a_customization_job_are_graded(cloud: Cloud) -> None:
    near, wrapped, label = cloud.invoke("reward", sample("reward/AnswersSampled"))
    assert [each["id"] for each in (near, wrapped, label)] == ["1-417-0", "1-417-1", "1-88-0"]
    assert [each["aggregate_reward_score"] for each in (near, wrapped, label)] == [0.75, 0.0, 1.0]
    named = [{each["name"]: each["type"] for each in one["metrics_list"]} for one in (near, wrapped, label)]
    assert all(one["grade"] == "Reward" for one in named)
    assert set(named[0].values()) == {"Reward", "Metric"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("PromotionRequested", "there is no run video-search-726a1de6041e"),
        ("RollbackRequested", "nothing is live for a task named video-search"),
        ("ReleaseRequested", "there is no run video-search-726a1de6041e"),
        ("EndRequested", "there is no run video-search-726a1de6041e"),
    ],
)
def test_a_sample_request_about_what_is_not_there_is_refused(cloud: Cloud, name: str, reason: str) -> None:
    event = sample(f"promote/{name}")
    cloud.invoke("promote", event)
    (refused,) = cloud.published("RequestRefused")
    assert refused["detail"]["summary"] == {
        "asked": name,
        "request": event["id"],
        "by": "ada",
        "reason": reason,
    }
