"""What cannot succeed fails with the step, the reason and a remedy; what can succeed later waits."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from signalbox.failure import Failure
from signalbox.run import Run, State
from tests.builders import client_error, labelled, spec, truth
from tests.integration.cloud import Cloud
from tests.scripted_bedrock import ACTIVE

PREMIER = {"teacher": "us.amazon.nova-premier-v1:0", "student": "amazon.nova-micro-v1:0:128k"}
LLAMA = {"teacher": "meta.llama3-1-405b-instruct-v1:0", "student": "meta.llama3-3-70b-instruct-v1:0"}


def failed(cloud: Cloud, run_id: str) -> Run:
    """See a run fail, in the table, on the bus and in the mail, and return it."""
    run = cloud.finish(run_id)
    assert run.state is State.FAILED
    ((event,), ((subject, text),)) = cloud.published("RunFailed"), cloud.mails()
    assert event["detail"]["summary"]["failure"] == run.failure.model_dump()
    assert subject == f"FAILED clip-search: in {run.failure.step}"
    assert run.failure.reason in text
    assert run.failure.remedy in text
    assert cloud.live() is None
    return run


@pytest.mark.parametrize(
    ("customization", "models", "region", "reason"),
    [
        (PREMIER, {}, "us-east-1", "us.amazon.nova-premier-v1:0 reached its end of life on 2026-09-14"),
        (
            {"teacher": "meta.llama3-1-70b-instruct-v1:0", "student": "amazon.nova-micro-v1:0:128k"},
            {},
            "us-east-1",
            "Bedrock does not distil meta.llama3-1-70b-instruct-v1:0 into amazon.nova-micro-v1:0",
        ),
        (LLAMA, {}, "us-east-1", "only in us-west-2, this stack is in us-east-1"),
        (None, {}, "eu-west-1", "only in us-east-1, this stack is in eu-west-1"),
        (
            None,
            {"amazon.nova-pro-v1:0": None},
            "us-east-1",
            "Bedrock does not offer us.amazon.nova-pro-v1:0 in us-east-1",
        ),
        (
            None,
            {"amazon.nova-micro-v1:0:128k": {"modelLifecycle": {"status": "LEGACY"}}},
            "us-east-1",
            "the student amazon.nova-micro-v1:0:128k is Legacy",
        ),
        (
            None,
            {
                "amazon.nova-micro-v1:0:128k": {
                    "modelLifecycle": ACTIVE,
                    "customizationsSupported": ["FINE_TUNING"],
                }
            },
            "us-east-1",
            "Bedrock does not offer DISTILLATION for amazon.nova-micro-v1:0:128k",
        ),
        (
            None,
            {
                "amazon.nova-pro-v1:0": {
                    "modelLifecycle": ACTIVE | {"endOfLifeTime": datetime(2026, 1, 2, tzinfo=UTC)}
                }
            },
            "us-east-1",
            "us.amazon.nova-pro-v1:0 reached its end of life on 2026-01-02",
        ),
    ],
    ids=[
        "retired",
        "pair",
        "region of the pair",
        "region of the stack",
        "not offered",
        "legacy",
        "type",
        "end of life",
    ],
)
def test_models_that_bedrock_would_not_distil_fail_the_run_before_money_is_spent(
    cloud: Cloud, customization: dict | None, models: dict, region: str, reason: str
) -> None:
    cloud.bedrock.meta.region_name = region
    for model, said in models.items():
        cloud.bedrock.models[model] = said
        if said is None:
            del cloud.bedrock.models[model]
    cloud.upload_task(spec(**{"customization": customization} if customization else {}))
    run = failed(cloud, cloud.drop(labelled()))
    assert run.failure.step == "distill"
    assert reason in run.failure.reason
    assert cloud.bedrock.calls["CreateModelCustomizationJob"] == 0


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_ends_badly_fails_the_run_with_bedrocks_message(cloud: Cloud, status: str) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.job_ends = (status, "Too many prompts were rejected.")
    run = failed(cloud, cloud.drop(labelled()))
    assert run.failure.step == "deploy"
    assert run.failure.reason == f"the customization job {status.lower()}: Too many prompts were rejected."
    assert run.id in run.failure.remedy
    (training_failed,) = cloud.published("TrainingFailed")
    assert training_failed["detail"]["summary"]["failure"]["reason"] == run.failure.reason
    assert cloud.bedrock.calls["CreateCustomModelDeployment"] == 0


def test_a_deployment_that_bedrock_does_not_find_yet_is_looked_for_again(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    # Once before it is created, as always, and once after
    cloud.bedrock.refuse(
        "GetCustomModelDeployment", "ResourceNotFoundException", "no such deployment", times=2
    )
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.minute()
    assert cloud.run(run_id).state is State.DEPLOYING
    cloud.minute(times=3)
    assert cloud.run(run_id).state is State.PROMOTED
    assert len(cloud.bedrock.deployments) == 1


def test_a_deployment_that_fails_fails_the_run_with_bedrocks_message(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.deployment_ends = ("Failed", "No capacity.")
    run = failed(cloud, cloud.drop(labelled()))
    assert run.failure.reason == "the deployment failed: No capacity."
    assert cloud.published("TrainingFailed") == []


CALLS = {
    "CreateModelCustomizationJob": State.ACCEPTED,
    "CreateCustomModelDeployment": State.TRAINED,
    "Converse": State.DEPLOYED,
    "CreateEvaluationJob": State.DEPLOYED,
}


BUSY = (
    "ThrottlingException",
    "ServiceQuotaExceededException",
    "ThrottlingException",
    "ServiceQuotaExceededException",
)


@pytest.mark.parametrize(("operation", "code"), list(zip(CALLS, BUSY, strict=True)))
def test_a_busy_bedrock_lets_the_run_wait_and_watch_brings_it_on(
    cloud: Cloud, operation: str, code: str
) -> None:
    # Given that Bedrock throttles an operation, or its quota is used up, twice
    cloud.upload_task(spec())
    cloud.bedrock.refuse(operation, code, "come back later", times=2)
    run_id = cloud.drop(labelled())
    # When the run comes to that step
    waited = []
    cloud.settle()
    while not (run := cloud.run(run_id)).state.ended and len(waited) < 9:
        waited.append((run.state, bool(run.waiting)))
        cloud.minute()
    # Then it waits there, saying for what, and in the end goes live with one of each, and a judge's job a candidate
    assert (CALLS[operation], True) in waited
    run = cloud.run(run_id)
    assert (run.state, run.waiting) == (State.PROMOTED, "")
    assert (len(cloud.bedrock.jobs), len(cloud.bedrock.deployments), len(cloud.bedrock.evaluations)) == (
        1,
        1,
        4,
    )
    assert cloud.published("RunFailed") == []


REFUSED = {
    "CreateModelCustomizationJob": "distill",
    "CreateCustomModelDeployment": "deploy",
    "CreateEvaluationJob": "evaluate",
}


@pytest.mark.parametrize("operation", REFUSED)
def test_what_bedrock_refuses_for_good_fails_the_run_in_that_step(cloud: Cloud, operation: str) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.refuse(operation, "ValidationException", "the role cannot be assumed", times=9)
    run = failed(cloud, cloud.drop(labelled()))
    assert run.failure.step == REFUSED[operation]
    assert run.failure.reason == "Bedrock: ValidationException: the role cannot be assumed"


def refusing(name_part: str, code: str) -> Callable[[str, str, str], str]:
    """Let models whose id has a part refuse every query."""

    def says(model: str, prompt: str, query: str) -> str:
        if name_part in model:
            raise client_error(code, operation="Converse")
        return truth(query)

    return says


def test_a_model_to_be_promoted_that_may_not_be_asked_fails_the_run_and_is_named(cloud: Cloud) -> None:
    cloud.upload_task(spec(candidates=["bedrock"], compare={}))
    cloud.bedrock.says = refusing("deployment/", "AccessDeniedException")
    run = failed(cloud, cloud.drop(labelled()))
    assert run.failure.reason == (
        "bedrock (amazon.nova-micro-v1:0:128k (distilled)) could not be asked: AccessDeniedException"
    )


def test_a_model_beside_them_that_may_not_be_asked_is_not_compared(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, compare={"baseline": "us.anthropic.claude"}))
    cloud.bedrock.says = refusing("claude", "AccessDeniedException")
    run = cloud.finish(cloud.drop(labelled()))
    assert run.state is State.PROMOTED
    metrics = cloud.read(run.id, "metrics.json")
    assert set(metrics["candidates"]) == {"embedded", "bedrock"}
    reason = "us.anthropic.claude could not be asked: AccessDeniedException"
    assert metrics["not_compared"] == {"baseline": reason}
    assert reason in cloud.read(run.id, "report.html").decode()


def test_queries_that_a_model_refuses_count_as_wrong(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None))
    cloud.bedrock.refuse("Converse", "ValidationException", times=2)
    run = cloud.finish(cloud.drop(labelled()))
    measured = cloud.read(run.id, "metrics.json")["candidates"]["bedrock"]
    assert measured["errors"] == {"ValidationException": 2}
    assert measured["valid_share"] == pytest.approx(20 / 22)
    assert run.state is State.HELD


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        client_error("ModelNotReadyException", status=429),
        client_error("ServiceUnavailableException", status=503),
        client_error("InternalServerException", status=500),
        client_error("ModelTimeoutException", status=408),
        client_error("ModelErrorException", status=424),
        ReadTimeoutError(endpoint_url="https://bedrock"),
    ],
    ids=str,
)
def test_errors_that_pass_are_waited_for_and_only_those_queries_asked_again(
    cloud: Cloud, error: Exception
) -> None:
    # Given that two of 22 queries fail once
    cloud.upload_task(spec(judge=None, compare={}))
    cloud.bedrock.raises("Converse", error, error)
    run_id = cloud.drop(labelled())
    cloud.settle()
    while cloud.run(run_id).state is not State.DEPLOYED:
        cloud.minute()
    # Then the run waits, with the other answers kept
    assert "could not be asked for the moment" in cloud.run(run_id).waiting
    assert len(cloud.read(run_id, "predictions/bedrock.jsonl").splitlines()) == 20
    # And in the end nothing is held against the model, and nothing was asked without need
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert cloud.read(run_id, "metrics.json")["candidates"]["bedrock"]["errors"] == {}
    assert cloud.bedrock.calls["Converse"] == 22 + 2


def test_the_answers_of_a_model_that_botocore_asked_again_have_no_latency(cloud: Cloud) -> None:
    cloud.upload_task(spec(judge=None, compare={}))
    cloud.bedrock.retries = 1
    run = cloud.finish(cloud.drop(labelled()))
    measured = cloud.read(run.id, "metrics.json")["candidates"]["bedrock"]
    nothing = dict.fromkeys(("mean", "p50", "p95", "p99"))
    assert measured["latency_ms"] == nothing | {"queries": 0, "concurrency": 1}
    assert measured["valid_share"] == 1


def test_a_job_is_asked_for_with_what_the_task_and_the_stack_say(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    cloud.settle()
    request: dict[str, Any] = cloud.bedrock.jobs[run_id]["request"]
    assert request["baseModelIdentifier"] == "amazon.nova-micro-v1:0:128k"
    assert request["customizationConfig"]["distillationConfig"]["teacherModelConfig"] == {
        "teacherModelIdentifier": "us.amazon.nova-pro-v1:0",
        "maxResponseLengthForInference": 200,
    }
    assert request["trainingDataConfig"]["s3Uri"].endswith(f"/runs/{run_id}/train.jsonl")
    assert request["outputDataConfig"]["s3Uri"].endswith(f"/runs/{run_id}/customization/")
    assert request["roleArn"].endswith("role/CustomizationRole")
    assert "customModelKmsKeyId" not in request  # the stack has no key of its own
    assert {request[name] for name in ("jobName", "customModelName", "clientRequestToken")} == {run_id}


def test_a_run_that_overstays_is_called_stalled_once_and_lives_as_long_as_its_task_allows(
    cloud: Cloud,
) -> None:
    # Given a job that does not end, and a task that gives it twelve days and as long again
    cloud.upload_task(spec(patience={"training_hours": 288}))
    cloud.bedrock.job_ends = ("InProgress", "")
    run_id = cloud.drop(labelled())
    cloud.settle()
    # When it has been training for longer than that, for three minutes
    cloud.age(run_id, timedelta(days=12, hours=1))
    cloud.minute(3)
    # Then people were told once, and the run goes on
    ((subject, text),) = cloud.mails()
    assert subject.startswith("STALLED clip-search: in state TRAINING for 289.0 hours")
    assert "in state TRAINING for 289.0 hours" in text
    assert len(cloud.published("RunStalled")) == 1
    assert cloud.run(run_id).state is State.TRAINING
    # When it has been for weeks, then it still waits for the model that is being paid for
    cloud.age(run_id, timedelta(days=11))
    cloud.minute(3)
    assert cloud.run(run_id).state is State.TRAINING
    assert cloud.run(run_id).waiting == "Bedrock's customization job is InProgress"
    # When the job ends after all, then the model goes live
    cloud.bedrock.job_ends = ("Completed", "")
    assert cloud.finish(run_id).state is State.PROMOTED
    assert len(cloud.published("RunStalled")) == 1


def test_a_run_that_overstays_and_waits_for_nothing_is_called_stalled_and_then_fails(cloud: Cloud) -> None:
    # Given a step that crashes whenever it is tried
    cloud.upload_task(spec())
    cloud.bedrock.refuse("CreateModelCustomizationJob", "InternalServerException", times=99)
    run_id = cloud.drop(labelled())
    cloud.settle()
    # When it has been tried for more than an hour, then people are told
    cloud.age(run_id, timedelta(hours=1.5))
    cloud.minute(2)
    ((subject, _),) = cloud.mails()
    assert subject.startswith("STALLED clip-search: in state ")
    # When it has been for more than two, then it fails
    cloud.age(run_id, timedelta(hours=1))
    reason = failed(cloud, run_id).failure.reason
    assert reason.startswith("in state ACCEPTED for 2.5 hours, since ")
    assert "InternalServerException" in reason
    cloud.crashes.clear()


def test_what_bedrock_is_at_is_noted_for_people_until_it_is_over(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.job_ends = cloud.bedrock.evaluation_ends = ("InProgress", "")
    cloud.bedrock.deployment_ends = ("Creating", "")
    run_id = cloud.drop(labelled())
    noted = []
    for release in ("", "job_ends", "deployment_ends", "evaluation_ends"):
        if release:
            ends = "Active" if release == "deployment_ends" else "Completed"
            setattr(cloud.bedrock, release, (ends, ""))
        cloud.minute(4)
        noted.append(cloud.run(run_id).waiting)
    assert noted == [
        "Bedrock's customization job is InProgress",
        "Bedrock's deployment is Creating",
        "the judge is at work (base: InProgress, baseline: InProgress, bedrock: InProgress, embedded: InProgress)",
        "",
    ]


def test_a_late_duplicate_of_a_step_does_not_fail_a_run_that_another_has_advanced(cloud: Cloud) -> None:
    # Given a run that is being deployed
    cloud.upload_task(spec())
    cloud.bedrock.deployment_ends = ("Creating", "")
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.minute()
    assert cloud.run(run_id).state is State.DEPLOYING
    # When a step that looked at it before comes to the end that it cannot succeed
    failure = Failure(step="distill", reason="r", remedy="m")
    cloud.pipeline().fail(run_id, failure, {State.ACCEPTED})
    # Then the run goes on
    cloud.bedrock.deployment_ends = ("Active", "")
    assert cloud.finish(run_id).state is State.PROMOTED


def test_the_failure_of_a_training_is_published_once_however_often_its_write_is_tried(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.job_ends = ("Failed", "because")
    run_id = cloud.drop(labelled())
    cloud.settle()
    with cloud.failing("dynamodb", "UpdateItem", times=3):
        cloud.minute(5)
    assert cloud.run(run_id).state is State.FAILED
    assert len(cloud.published("TrainingFailed")) == 1
    cloud.crashes.clear()


def test_a_run_that_stalled_and_goes_live_after_all_has_no_reason_left(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.job_ends = ("InProgress", "")
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.age(run_id, timedelta(hours=25))
    cloud.minute()
    assert cloud.run(run_id).reason
    cloud.bedrock.job_ends = ("Completed", "")
    run = cloud.finish(run_id)
    assert (run.state, run.stalled, run.reason) == (State.PROMOTED, False, "")
    assert "reason" not in cloud.published("ModelPromoted")[0]["detail"]["summary"]


def test_what_a_stalled_run_waits_for_is_in_the_mail(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    cloud.bedrock.refuse(
        "CreateModelCustomizationJob", "ServiceQuotaExceededException", "ten jobs already", times=99
    )
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.age(run_id, timedelta(hours=25))
    cloud.minute()
    assert "waiting: Bedrock: ServiceQuotaExceededException: ten jobs already" in cloud.mails()[0][1]


def test_a_run_that_waited_for_a_quota_once_ends_if_something_else_stays_wrong(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run that waited for a quota for days
    cloud.upload_task(spec(judge=None))
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.bedrock.refuse("CreateCustomModelDeployment", "ThrottlingException", times=99)
    cloud.bedrock.work(cloud.s3, cloud.announce)
    cloud.settle()
    cloud.age(run_id, timedelta(days=3))
    # When an attempt breaks off for another reason, it has its time to be mended
    monkeypatch.setattr(cloud.bedrock, "create_custom_model_deployment", lambda **_: 1 / 0)
    cloud.watch()
    cloud.watch()
    assert (cloud.run(run_id).state, cloud.run(run_id).waiting) == (State.TRAINED, "")
    # And ends after it
    cloud.age(run_id, timedelta(hours=2.1))
    cloud.watch()
    assert cloud.run(run_id).state is State.FAILED
    assert "broke off: ZeroDivisionError" in cloud.run(run_id).failure.reason
    cloud.crashes.clear()


def test_a_run_for_whose_model_there_is_no_room_waits_and_people_are_told_how_to_make_it(
    cloud: Cloud,
) -> None:
    # Given as many custom models as the account may have, each of them live or kept for a way back
    cloud.upload_task(spec(retention={"deployments": 0, "models": 0, "runs": 20}))
    for name in ("first", "second"):
        assert (
            cloud.finish(cloud.drop(labelled(), f"datasets/clip-search/{name}.jsonl")).state is State.PROMOTED
        )
    named = cloud.live().run_ids
    quota = ("CreateModelCustomizationJob", "ServiceQuotaExceededException", "the quota of 2 custom models")
    cloud.bedrock.refuse(*quota, times=99)
    # When a third run has waited for two days
    run_id = cloud.drop(labelled(), "datasets/clip-search/third.jsonl")
    cloud.settle()
    cloud.mails()
    for _ in range(2):
        cloud.age(run_id, timedelta(hours=25))
        cloud.minute()
    # Then it waits, people were told once for what and what to do, and nothing live was deleted for it
    run = cloud.run(run_id)
    assert (run.state, run.stalled, len(named)) == (State.ACCEPTED, True, 2)
    ((_, text),) = cloud.mails()
    for words in (
        "the quota of 2 custom models",
        "Service Quotas",
        "the task's retention",
        "docs/cleanup.md",
    ):
        assert words in " ".join(text.split())
    assert cloud.live().run_ids == named
    assert not cloud.bedrock.deleted_models
    # And it goes on once there is room
    cloud.bedrock.clear()
    assert cloud.finish(run_id).state is State.PROMOTED


def lost_job(cloud: Cloud) -> str:
    """Start a run whose customization job Bedrock does not know any more, and return its id."""
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.bedrock.lost.add(cloud.bedrock.jobs[run_id]["arn"])
    return run_id


def test_the_model_of_a_job_that_bedrock_lost_is_used(cloud: Cloud) -> None:
    run_id = lost_job(cloud)
    run = cloud.finish(run_id)
    assert run.state is State.PROMOTED
    assert run.model_arn == cloud.bedrock.jobs[run_id]["model_arn"]


def test_a_lost_job_without_a_model_is_given_time_and_then_fails(cloud: Cloud) -> None:
    run_id = lost_job(cloud)
    lost = f"Bedrock knows neither a customization job nor a custom model named {run_id}"
    cloud.bedrock.job_ends = ("InProgress", "")
    cloud.minute()
    assert (cloud.run(run_id).state, cloud.run(run_id).waiting) == (State.TRAINING, lost)
    cloud.age(run_id, timedelta(minutes=16))
    assert failed(cloud, run_id).failure.reason == lost


def test_what_breaks_off_again_and_again_is_told_when_the_run_stalls_and_when_it_fails(cloud: Cloud) -> None:
    cloud.upload_task(spec())
    run_id = cloud.drop(labelled())
    cloud.settle()
    cloud.bedrock.refuse("GetModelCustomizationJob", "AccessDeniedException", "not authorized", times=99)
    cloud.minute()
    for hours in (25, 24):
        cloud.age(run_id, timedelta(hours=hours))
        cloud.minute()
    (stalled,) = cloud.published("RunStalled")
    assert "AccessDeniedException" in stalled["detail"]["summary"]["reason"]
    run = cloud.run(run_id)
    assert run.state is State.FAILED
    assert "AccessDeniedException" in run.failure.reason
    assert {function for function, _ in cloud.crashes} == {"deploy"}
    cloud.crashes.clear()
