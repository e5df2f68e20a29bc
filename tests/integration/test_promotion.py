"""People and alarms decide, too: what was held goes live, what is live is taken back, what nobody needs is retired."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from signalbox.live import Named
from signalbox.run import Part, Run, State
from signalbox.store import REPORT, RunStore
from signalbox.transactions import Transactions
from tests.builders import client_error, embedded_spec, labelled, pipeline_event, spec
from tests.integration.cloud import BUS, Cloud
from tests.integration.ended_runs import held, promoted
from tests.unit.template.stack import PROJECT, Stack

TASK = "clip-search"


def ask_for_promotion(cloud: Cloud, run_id: str, reason: str = "good enough", by: str = "ada") -> str:
    """Ask, and let the app answer."""
    request_id = cloud.ask("PromotionRequested", run_id=run_id, reason=reason, by=by)
    cloud.settle()
    return request_id


def ask_for_rollback(cloud: Cloud, task: str = TASK, reason: str = "worse", by: str = "ada") -> str:
    """Ask, and let the app answer."""
    request_id = cloud.ask("RollbackRequested", task=task, reason=reason, by=by)
    cloud.settle()
    return request_id


def refusals(cloud: Cloud) -> list[str]:
    """Return why requests were refused, in order."""
    return [event["detail"]["summary"]["reason"] for event in cloud.published("RequestRefused")]


@pytest.fixture
def app(cloud: Cloud) -> Cloud:
    cloud.upload_task(spec(judge=None, retention={"deployments": 0}))
    return cloud


@pytest.fixture
def embedded(cloud: Cloud) -> Cloud:
    """The app with a task that needs no Bedrock, whose runs take no time."""
    cloud.upload_task(embedded_spec())
    return cloud


def test_a_held_run_goes_live_by_a_persons_decision(app: Cloud) -> None:
    # Given a live model and a held run
    first, run = promoted(app), held(app)
    # When a person promotes it
    request_id = ask_for_promotion(app, run.id)
    # Then it is live, with who and why, and what was live can be gone back to
    live = app.live()
    assert (live.run_id, live.how, live.by, live.reason) == (run.id, "person", "ada", "good enough")
    assert live.previous.run_id == first.id
    moment = app.run(run.id).history[-1]
    assert (moment.state, moment.by, moment.reason) == (State.PROMOTED, "ada", "good enough")
    # And results, event and answer say so
    metrics = app.read(run.id, "metrics.json")
    assert metrics["verdict"] == "PROMOTED"
    assert metrics["provenance"]["promoted_by"]["reason"] == "good enough"
    assert not all(gate["passed"] for gate in metrics["gates"])
    assert app.published("ModelPromoted")[-1]["detail"]["summary"]["promoted_by"]["by"] == "ada"
    assert app.pipeline().transactions.outcome(request_id).run_id == run.id
    assert refusals(app) == []


def test_what_is_published_of_a_run_keeps_to_its_schema(app: Cloud) -> None:
    promoted(app)
    run = held(app)
    ask_for_promotion(app, run.id)
    schema = json.loads((PROJECT / "docs/metrics.schema.json").read_text())
    jsonschema.validate(app.read(run.id, "metrics.json"), schema)


def test_the_api_tells_what_is_live_how_and_why(app: Cloud) -> None:
    first, run = promoted(app), held(app)
    ask_for_promotion(app, run.id)
    app.forget()
    status, body = app.request("GET", f"/tasks/{TASK}")
    assert (status, body["how"], body["by"], body["reason"]) == (200, "person", "ada", "good enough")
    assert body["previous"]["run_id"] == first.id
    assert body["last_rollback"] is None
    ask_for_rollback(app)
    app.forget()
    status, body = app.request("GET", f"/tasks/{TASK}")
    assert (body["run_id"], body["how"], body["previous"]) == (first.id, "rollback", None)
    assert body["last_rollback"]["from_run_id"] == run.id
    assert body["last_rollback"]["reason"] == "worse"


def test_a_rollback_restores_the_model_before_with_its_own_prompt(app: Cloud) -> None:
    # Given two models, one after the other, with different prompts
    first = promoted(app)
    before = app.live()
    app.upload_task(spec(judge=None, prompt="Another prompt."))
    second = promoted(app)
    # When the second is rolled back
    ask_for_rollback(app)
    # Then the first answers as before
    changed = {"since", "how", "by", "reason", "last_rollback"}
    assert app.live().model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert app.run(first.id).state is app.run(second.id).state is State.PROMOTED
    # And the withdrawn run says who and why
    (event,) = app.published("ModelRolledBack")
    assert event["detail"]["run_id"] == second.id
    assert event["detail"]["summary"]["rolled_back"]["to_run_id"] == first.id
    assert app.run(second.id).history[-1].reason == "worse"
    # And there is nothing further to go back to
    ask_for_rollback(app)
    assert refusals(app) == [f"{first.id} has no model before it to go back to"]


def test_what_is_published_of_a_withdrawn_run_says_so(app: Cloud) -> None:
    first, second = promoted(app), promoted(app)
    ask_for_rollback(app)
    metrics = app.read(second.id, "metrics.json")
    jsonschema.validate(metrics, json.loads((PROJECT / "docs/metrics.schema.json").read_text()))
    assert (metrics["verdict"], metrics["rolled_back"]["to_run_id"]) == ("PROMOTED", first.id)
    assert (metrics["rolled_back"]["by"], metrics["rolled_back"]["reason"]) == ("ada", "worse")
    report = app.read(second.id, REPORT).decode()
    assert "WITHDRAWN</h1>" in report
    assert "Withdrawn by ada" in report
    assert first.id in report
    app.watch()
    console = app.s3.get_object(Bucket=app.store._bucket, Key="runs/index.html")["Body"].read().decode()
    assert '<span class="badge withdrawn">WITHDRAWN</span>' in console
    # And no longer once it is promoted again, which says what it replaces
    ask_for_promotion(app, second.id)
    metrics = app.read(second.id, "metrics.json")
    assert "rolled_back" not in metrics
    assert metrics["provenance"]["promoted_by"]["replaces"] == first.id
    assert "PROMOTED</h1>" in app.read(second.id, REPORT).decode()
    assert "kept for rollback" not in console
    app.watch()
    console = app.s3.get_object(Bucket=app.store._bucket, Key="runs/index.html")["Body"].read().decode()
    assert '<span class="badge replaced">REPLACED</span>' in console
    assert "kept for rollback" in console


def test_a_withdrawn_run_can_be_promoted_again(app: Cloud) -> None:
    first, second = promoted(app), promoted(app)
    ask_for_rollback(app)
    ask_for_promotion(app, second.id)
    assert app.live().run_id == second.id
    assert app.live().previous.run_id == first.id
    assert app.live().last_rollback.from_run_id == second.id
    assert "rolled_back" not in app.run(second.id).summary


@pytest.mark.parametrize("asked", ["promotion", "rollback"])
def test_a_request_that_arrives_again_does_nothing_again(app: Cloud, asked: str) -> None:
    # Given a request that was done, and what came after it
    first, second = promoted(app), promoted(app)
    if asked == "promotion":
        ask_for_promotion(app, first.id)
        ask_for_rollback(app)
    else:
        ask_for_rollback(app)
        ask_for_promotion(app, second.id)
    pointer = app.live()
    # When its event arrives once more
    kind = {"promotion": "PromotionRequested", "rollback": "RollbackRequested"}[asked]
    app.queue += app.published(kind)
    app.settle()
    # Then nothing moves, and nobody is told of a refusal
    assert app.live() == pointer
    assert refusals(app) == []


def test_a_rollback_asked_before_the_pointer_moved_is_refused(app: Cloud) -> None:
    # Given a rollback that is asked for, and delivered only when another model has gone live
    promoted(app)
    app.ask("RollbackRequested", task=TASK, reason="worse", by="ada")
    (event,) = app.published("RollbackRequested")
    app.queue.clear()
    second = promoted(app)
    asked = app.live().since - timedelta(minutes=1)
    app.queue.append(event | {"time": f"{asked:%Y-%m-%dT%H:%M:%SZ}"})
    app.settle()
    # Then that one stays
    assert app.live().run_id == second.id
    assert refusals(app) == [
        f"{second.id} has gone live since this was asked; ask again if it is to be withdrawn"
    ]


@pytest.mark.parametrize(
    ("kind", "detail", "reason"),
    [
        ("PromotionRequested", {"run_id": "clip-search-0", "reason": "x"}, "there is no run clip-search-0"),
        ("PromotionRequested", {"run_id": "LIVE#clip-search", "reason": "x"}, "run_id is not the id of a run"),
        ("PromotionRequested", {"run_id": "x" * 3000, "reason": "x"}, "run_id is not the id of a run"),
        ("RollbackRequested", {"task": "nosuch\nSubject: x", "reason": "x"}, "task is not the name of a task"),
        ("RollbackRequested", {"task": "t" * 3000, "reason": "x"}, "task is not the name of a task"),
        ("PromotionRequested", {"reason": "x"}, "run_id is required: a text"),
        ("PromotionRequested", {"run_id": "r"}, "reason is required: a text"),
        ("PromotionRequested", {"run_id": "r", "reason": " "}, "reason is required: a text"),
        ("PromotionRequested", {"run_id": 7, "reason": "x"}, "run_id is required: a text"),
        ("RollbackRequested", {"task": "r", "reason": ["x"]}, "reason is required: a text"),
        ("RollbackRequested", {"task": "r", "reason": "x" * 1001}, "reason has 1,001 characters, 1,000 are kept"),
        ("RollbackRequested", {"task": "nothing", "reason": "x"}, "nothing is live for a task named nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_considered_is_refused_with_the_reason(
    cloud: Cloud, kind: str, detail: dict[str, Any], reason: str
) -> None:
    request_id = cloud.ask(kind, **detail)
    cloud.settle()
    assert refusals(cloud) == [reason]
    assert cloud.pipeline().transactions.outcome(request_id).said == reason
    assert cloud.mails()


def test_what_is_kept_and_mailed_of_a_refused_request_is_sound(cloud: Cloud) -> None:
    hostile = {
        "run_id": "r\r\nBcc: all\u202e",
        "task": "t\nSubject: x",
        "by": "b" * 3000,
        "reason": "x" * 3000,
    }
    for kind in ("PromotionRequested", "RollbackRequested"):
        request_id = cloud.ask(kind, **hostile)
        cloud.settle()
        kept = cloud.pipeline().transactions.outcome(request_id)
        assert (kept.subject, len(kept.by), len(kept.reason)) == ("", 100, 1000)
    for subject, text in cloud.mails():
        assert subject.startswith("REFUSED no_task: ")
        assert "Bcc" not in text
        assert "Subject" not in text


def test_a_request_for_an_unknown_run_is_refused_under_its_task(app: Cloud) -> None:
    ask_for_promotion(app, f"{TASK}-0123456789ab")
    ask_for_promotion(app, "another-0123456789ab")
    assert [event["detail"]["task"] for event in app.published("RequestRefused")] == [TASK, ""]


def test_a_rollback_may_name_the_run_that_it_means(app: Cloud) -> None:
    # Given a rollback of the first model, which has been replaced within the same second
    first, second = promoted(app), promoted(app)
    app.ask("RollbackRequested", task=TASK, run_id=first.id, reason="worse", by="ada")
    app.settle()
    # Then the second stays, and whoever asked is told
    assert app.live().run_id == second.id
    (said,) = refusals(app)
    assert said.startswith(f"{first.id} is not live, {second.id} is")
    # And one that names it withdraws it
    app.ask("RollbackRequested", task=TASK, run_id=second.id, reason="worse", by="ada")
    app.settle()
    assert app.live().run_id == first.id


def test_a_run_that_is_live_or_under_way_or_failed_is_not_promoted(app: Cloud) -> None:
    live = promoted(app)
    ask_for_promotion(app, live.id)
    under_way = app.drop(labelled())
    app.settle()
    ask_for_promotion(app, under_way)
    assert refusals(app) == [
        f"{live.id} is live already",
        f"{under_way} is TRAINING; a run that is HELD, or was live before, can be promoted",
    ]


def test_what_no_longer_answers_does_not_go_live(app: Cloud) -> None:
    # Given a live model, one before it, and a held run, of which the deployments of the latter two are gone
    first, _ = promoted(app), promoted(app)
    run = held(app)
    for gone in (first, run):
        del app.bedrock.deployments[gone.id]
    pointer = app.live()
    # When people want them live
    ask_for_promotion(app, run.id)
    ask_for_rollback(app)
    # Then they are told why not
    assert app.live() == pointer
    assert refusals(app) == [
        f"the deployment of {gone.id} is gone; drop its dataset again" for gone in (run, first)
    ]


def test_a_run_whose_prefix_was_emptied_does_not_go_live(app: Cloud) -> None:
    run = held(app)
    app.s3.delete_object(Bucket=app.store._bucket, Key=f"runs/{run.id}/validation.json")
    ask_for_promotion(app, run.id)
    assert refusals(app) == [f"{run.id} has no validation.json: its prefix has been emptied"]


def test_a_pointer_of_an_older_version_is_rolled_back_by_what_the_run_left(app: Cloud) -> None:
    # Given a pointer that only names the one before it
    first = promoted(app)
    before = app.live()
    promoted(app)
    pointer = app.live()
    named = Named(run_id=first.id, model=before.model, since=before.since)
    app.table.put_item(Item=pointer.model_copy(update={"previous": named}).item())
    # When it is rolled back, then the one before it is made anew, the same
    ask_for_rollback(app)
    changed = {"since", "how", "by", "reason", "last_rollback"}
    assert app.live().model_dump(exclude=changed) == before.model_dump(exclude=changed)


def test_a_pointer_of_an_older_version_whose_run_is_gone_is_not_rolled_back(app: Cloud) -> None:
    promoted(app)
    pointer = app.live()
    named = Named(run_id="clip-search-gone", model="m", since=pointer.since)
    app.table.put_item(Item=pointer.model_copy(update={"previous": named}).item())
    ask_for_rollback(app)
    assert refusals(app) == ["the run before it, clip-search-gone, is gone"]


# Alarms.


def age_pointer(cloud: Cloud, by: timedelta) -> datetime:
    """Move the promotion of what is live into the past."""
    pointer = cloud.live()
    since = pointer.since - by
    cloud.table.put_item(Item=pointer.model_copy(update={"since": since}).item())
    return since


def ring_for_crashes(cloud: Cloud) -> dict[str, Any]:
    """Let a tenth of the calls of the router crash half an hour after the promotion, and the alarm ring."""
    since = age_pointer(cloud, timedelta(minutes=30))
    cloud.put_calls(since + timedelta(minutes=5), invocations=100, errors=10)
    return cloud.ring("FaultAlarm", timedelta(minutes=8))


@pytest.mark.parametrize(
    ("routed", "fallbacks", "rolled_back"),
    [(100, 64, True), (100, 20, False), (100, 0, False), (9, 9, False), (0, 0, False)],
    ids=["too many fall back", "as many as allowed", "none falls back", "too few to tell", "no query"],
)
def test_the_alarm_on_fallbacks_takes_back_the_task_that_falls_back(
    embedded: Cloud, routed: int, fallbacks: int, rolled_back: bool
) -> None:
    first, second = promoted(embedded), promoted(embedded)
    since = age_pointer(embedded, timedelta(minutes=30))
    embedded.put_figures(TASK, since + timedelta(minutes=5), Routed=routed, RouteFallbacks=fallbacks)
    embedded.put_figures("another", since + timedelta(minutes=5), Routed=100, RouteFallbacks=100)
    embedded.ring("FallbackAlarm", timedelta(minutes=10))
    embedded.settle()
    live = embedded.live()
    assert live.run_id == (first.id if rolled_back else second.id)
    if rolled_back:
        assert (live.how, live.by) == ("alarm", "RouteFallbackAlarm")
        assert live.reason.startswith("64% of its queries fell back, more than 20%")
        assert embedded.published("ModelRolledBack")[0]["detail"]["summary"]["rolled_back"]["how"] == "alarm"


def test_fallbacks_before_the_promotion_are_not_laid_to_its_account(embedded: Cloud) -> None:
    promoted(embedded)
    second = promoted(embedded)
    since = age_pointer(embedded, timedelta(minutes=30))
    embedded.put_figures(TASK, since - timedelta(minutes=1), Routed=1000, RouteFallbacks=1000)
    embedded.put_figures(TASK, since + timedelta(minutes=2), Routed=100, RouteFallbacks=1)
    embedded.ring("FallbackAlarm", timedelta(minutes=4))
    embedded.settle()
    assert embedded.live().run_id == second.id


@pytest.mark.parametrize(
    ("after", "rolled_back"), [(timedelta(minutes=59), True), (timedelta(minutes=61), False)]
)
def test_crashes_of_the_router_take_back_what_was_promoted_within_the_hour(
    embedded: Cloud, after: timedelta, rolled_back: bool
) -> None:
    first, second = promoted(embedded), promoted(embedded)
    since = age_pointer(embedded, timedelta(hours=2))
    embedded.put_calls(since + after - timedelta(minutes=2), invocations=100, errors=10)
    embedded.ring("FaultAlarm", after)
    embedded.settle()
    assert embedded.live().run_id == (first.id if rolled_back else second.id)


def test_an_alarm_that_its_duplicate_overtakes_finds_nothing_left_to_do(
    embedded: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = promoted(embedded), promoted(embedded)
    since = age_pointer(embedded, timedelta(minutes=30))
    embedded.put_calls(since + timedelta(minutes=5), invocations=100, errors=10)
    roll_back = Transactions.roll_back

    def overtaken(*arguments: Any, **named: Any) -> Run:
        monkeypatch.setattr(Transactions, "roll_back", roll_back)
        embedded.invoke("promote", event)
        return roll_back(*arguments, **named)

    monkeypatch.setattr(Transactions, "roll_back", overtaken)
    event = embedded.ring("FaultAlarm", timedelta(minutes=8))
    embedded.settle()
    assert embedded.live().run_id == first.id
    assert embedded.crashes == []


def test_bodies_that_lambda_refuses_take_nothing_back(embedded: Cloud) -> None:
    """They count as the gateway's 5xx at most: no call of the function, no error of it, no fault of a task."""
    _, second = promoted(embedded), promoted(embedded)
    since = age_pointer(embedded, timedelta(minutes=30))
    embedded.put_calls(since + timedelta(minutes=5), invocations=3, errors=0)
    embedded.ring("FaultAlarm", timedelta(minutes=8))
    embedded.settle()
    assert embedded.live().run_id == second.id
    assert embedded.crashes == []


@pytest.mark.parametrize(
    ("why", "after"),
    [
        ("too long ago", timedelta(hours=3)),
        ("never", timedelta(minutes=1)),
        ("before it", timedelta(minutes=-1)),
    ],
)
def test_an_alarm_speaks_against_recent_promotions_only(cloud: Cloud, why: str, after: timedelta) -> None:
    hours = 0 if why == "never" else 2
    cloud.upload_task(embedded_spec(serve={"order": ["embedded", "prior"], "rollback_hours": hours}))
    promoted(cloud)
    second = promoted(cloud)
    since = age_pointer(cloud, timedelta(hours=4))
    for minutes in (1, 2, 3):
        at = since + after - timedelta(minutes=minutes)
        cloud.put_figures(TASK, at, Routed=100, RouteFallbacks=100)
        cloud.put_calls(at, invocations=100, errors=100)
    cloud.ring("FallbackAlarm", after)
    cloud.ring("FaultAlarm", after)
    cloud.settle()
    assert cloud.live().run_id == second.id


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"Routed": 12, "RouteFallbacks": 12}, "100% of its queries fell back, more than 20%,"),
        ({"Routed": 50, "RouteFallbacks": 0, "RouteServerFaults": 5}, "5 requests for it failed with server errors"),
        ({"Routed": 9, "RouteFallbacks": 9}, ""),
        ({"Routed": 12, "RouteFallbacks": 1, "RouteServerFaults": 4}, ""),
        ({"Routed": 1000, "RouteFallbacks": 0, "RouteServerFaults": 5}, ""),
    ],
    ids=["falls back", "fails", "too few to tell", "four failures", "five in a thousand"],
)  # fmt: skip
def test_watch_has_a_promotion_taken_back_whose_last_ten_minutes_are_bad(
    embedded: Cloud, figures: dict[str, float], why: str
) -> None:
    # Given a promotion that was well for ten hours
    first, second = promoted(embedded), promoted(embedded)
    since = age_pointer(embedded, timedelta(hours=10))
    embedded.put_figures(TASK, since + timedelta(hours=5), Routed=100_000, RouteFallbacks=0)
    # When its model dies, and no alarm rings, as other tasks have most of the queries
    embedded.put_figures("another", datetime.now(UTC) - timedelta(minutes=3), Routed=9_000, RouteFallbacks=0)
    embedded.put_figures(TASK, datetime.now(UTC) - timedelta(minutes=3), **figures)
    embedded.watch()
    # Then it is taken back
    live = embedded.live()
    assert live.run_id == (first.id if why else second.id)
    if why:
        assert (live.how, live.by) == ("alarm", "health check")
        assert live.reason == f"{why} after {second.id} had gone live"


def test_throttling_and_what_the_router_counted_itself_are_no_crashes(embedded: Cloud) -> None:
    promoted(embedded)
    second = promoted(embedded)
    since = age_pointer(embedded, timedelta(minutes=30))
    at = since + timedelta(minutes=5)
    embedded.put_calls(at, invocations=100, errors=10)
    embedded.put_service_faults(at, 8)
    embedded.ring("FaultAlarm", timedelta(minutes=8))
    embedded.settle()
    assert embedded.live().run_id == second.id


def test_people_are_told_once_of_a_promotion_that_cannot_be_taken_back(app: Cloud) -> None:
    first, _ = promoted(app), promoted(app)
    age_pointer(app, timedelta(hours=1))
    del app.bedrock.deployments[first.id]
    app.put_figures(TASK, datetime.now(UTC) - timedelta(minutes=3), Routed=20, RouteFallbacks=20)
    app.minute(3)
    (reason,) = refusals(app)
    assert reason.endswith(f"the deployment of {first.id} is gone; drop its dataset again")


def test_watch_asks_for_no_look_where_nothing_can_be_taken_back(embedded: Cloud) -> None:
    promoted(embedded)
    embedded.watch()
    assert embedded.published("HealthCheckDue") == []
    promoted(embedded)
    embedded.watch()
    age_pointer(embedded, timedelta(hours=25))
    embedded.watch()
    assert len(embedded.published("HealthCheckDue")) == 1


def test_an_alarm_that_arrives_again_rolls_back_once_and_never_a_first_model(embedded: Cloud) -> None:
    first, second = promoted(embedded), promoted(embedded)
    event = ring_for_crashes(embedded)
    embedded.settle()
    assert embedded.live().run_id == first.id
    ask_for_promotion(embedded, second.id)
    embedded.announce(event)
    embedded.settle()
    assert embedded.live().run_id == second.id
    ask_for_rollback(embedded)
    embedded.ring("FaultAlarm")
    embedded.settle()
    assert embedded.live().run_id == first.id


def test_an_alarm_that_can_go_back_to_nothing_that_answers_leaves_what_is_live(app: Cloud) -> None:
    first, second = promoted(app), promoted(app)
    del app.bedrock.deployments[first.id]
    ring_for_crashes(app)
    app.settle()
    assert app.live().run_id == second.id
    reason = f"10 of 100 calls of the router crashed after {second.id} had gone live"
    gone = f"the deployment of {first.id} is gone; drop its dataset again"
    assert refusals(app) == [f"{reason}, but {gone}"]


def test_people_are_told_of_an_alarm_that_has_nothing_to_go_back_to(embedded: Cloud) -> None:
    first = promoted(embedded)
    embedded.mails()
    ring_for_crashes(embedded)
    embedded.settle()
    assert embedded.live().run_id == first.id
    ((subject, text),) = embedded.mails()
    assert "REFUSED" in subject
    assert f"{first.id} has no model before it to go back to" in text
    assert "RouteFaultAlarm" in text


# Crashes.


def test_results_cut_off_after_the_decision_are_published_by_a_nudge_of_watch(app: Cloud) -> None:
    # Given a promotion whose report cannot be written, at any of Lambda's attempts
    put = RunStore.put

    def fail(self: RunStore, run_id: str, name: str, body: bytes | str) -> None:
        if name == REPORT:
            raise client_error("SlowDown", operation="PutObject", status=503)
        put(self, run_id, name, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunStore, "put", fail)
        run_id = app.drop(labelled())
        app.settle()
        app.minute(4)
    assert app.live().run_id == run_id
    assert app.published("ModelPromoted") == []
    app.crashes.clear()
    # When watch comes by, then they are there, and people are told
    app.watch()
    assert app.read(run_id, "metrics.json")["verdict"] == "PROMOTED"
    assert len(app.published("ModelPromoted")) == 1


def test_results_that_cannot_be_written_for_an_hour_do_not_keep_people_from_being_told(app: Cloud) -> None:
    run_id = app.drop(labelled())
    with app.failing("s3", "PutObject", containing="xyz"):
        app.settle()
        app.minute(4)
    owed = app.run(run_id).model_copy(update={"outbox": "ModelPromoted"})
    app.table.update_item(
        Key={"id": run_id},
        UpdateExpression="SET outbox = :event, active = :active",
        ExpressionAttributeValues={":event": owed.outbox, ":active": "active"},
    )
    app.age(run_id, timedelta(hours=2))
    told = len(app.published("ModelPromoted"))
    app.invoked.clear()
    app.watch()
    assert len(app.published("ModelPromoted")) == told + 1
    assert app.invoked["promote"] == 0


@pytest.mark.parametrize("operation", ["TransactWriteItems", "UpdateItem"])
def test_a_request_cut_off_anywhere_is_done_by_the_next_attempt(app: Cloud, operation: str) -> None:
    run = held(app)
    request_id = app.ask("PromotionRequested", run_id=run.id, reason="good enough", by="ada")
    (event,) = app.published("PromotionRequested")
    with app.failing("dynamodb", operation):
        app.settle()
    assert app.crashes
    app.crashes.clear()
    app.queue.append(event)
    app.settle()
    assert app.live().run_id == run.id
    assert app.run(run.id).outbox is None
    assert app.pipeline().transactions.outcome(request_id).run_id == run.id


# Retirement.


def pass_hours(cloud: Cloud, run_id: str, hours: float) -> None:
    """Let so many hours pass since watch noted that a run's deployment is not needed."""
    released = cloud.run(run_id).released_at
    assert released is not None
    cloud.table.update_item(
        Key={"id": run_id},
        UpdateExpression="SET released_at = :at",
        ExpressionAttributeValues={
            ":at": (released - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
        },
    )


def test_a_deployment_that_nobody_needs_is_retired_after_its_grace(app: Cloud) -> None:
    # Given what is live, what was live before it, what was live before that, and what was held
    oldest, before, live, run = promoted(app), promoted(app), promoted(app), held(app)
    app.watch()
    assert app.run(oldest.id).released_at is not None
    assert app.run(run.id).released_at is not None
    assert app.run(before.id).released_at is app.run(live.id).released_at is None
    # When less than a day has passed, then all are kept
    for one in (oldest, run):
        pass_hours(app, one.id, 23.9)
    app.watch()
    assert set(app.bedrock.deployments) == {oldest.id, before.id, live.id, run.id}
    # When it has passed, then what is live and the one before are kept
    for one in (oldest, run):
        pass_hours(app, one.id, 0.2)
    app.watch()
    assert set(app.bedrock.deployments) == {before.id, live.id}
    assert app.run(oldest.id).retired_at is not None
    assert "retired" in app.run(run.id).history[-1].note
    # And what was retired cannot go live
    ask_for_promotion(app, run.id)
    assert "was retired on" in refusals(app)[0]
    # And it is not looked at again
    assert deployed(app) == {before.id, live.id}


def deployed(app: Cloud) -> set[str]:
    """Return the ids of the ended runs that hold a deployment by the index."""
    return {run.id for run in app.runs.at_bedrock() if run.deployment_arn and run.gone < Part.DEPLOYMENT}


def test_what_a_person_promotes_in_its_grace_is_kept(app: Cloud) -> None:
    run = held(app)
    app.watch()
    pass_hours(app, run.id, 48)
    # Given that it is promoted just before the nudge is delivered
    ask_for_promotion(app, run.id)
    app.invoke("deploy", pipeline_event("RetirementDue", run_id=run.id, state="HELD"))
    app.watch()
    assert run.id in app.bedrock.deployments
    assert app.run(run.id).released_at is None


def test_a_run_that_failed_gives_up_its_deployment_too(app: Cloud) -> None:
    app.bedrock.deployment_ends = ("Failed", "no capacity")
    run = app.finish(app.drop(labelled()))
    assert run.state is State.FAILED
    app.watch()
    pass_hours(app, run.id, 25)
    app.watch()
    assert app.bedrock.deployments == {}


@pytest.mark.parametrize("code", ["ConflictException", "ThrottlingException", "ResourceNotFoundException"])
def test_a_deployment_that_cannot_be_deleted_for_the_moment_is_deleted_later(app: Cloud, code: str) -> None:
    run = held(app)
    app.watch()
    pass_hours(app, run.id, 25)
    app.bedrock.refuse("DeleteCustomModelDeployment", code)
    app.watch()
    gone = code == "ResourceNotFoundException"
    assert (deployed(app) == set()) == gone
    app.watch()
    assert deployed(app) == set()


def test_a_retirement_cut_off_between_deletion_and_note_is_finished(app: Cloud) -> None:
    run = held(app)
    app.watch()
    pass_hours(app, run.id, 25)
    with app.failing("dynamodb", "UpdateItem"):
        app.watch()
    assert app.crashes
    app.crashes.clear()
    assert run.id not in app.bedrock.deployments
    app.watch()
    assert deployed(app) == set()
    assert app.bedrock.calls["DeleteCustomModelDeployment"] == 2


def test_a_task_without_a_bedrock_model_has_nothing_to_retire(cloud: Cloud) -> None:
    cloud.upload_task(embedded_spec())
    promoted(cloud)
    second = promoted(cloud)
    assert list(cloud.runs.at_bedrock()) == []
    ask_for_rollback(cloud)
    assert cloud.live().run_id != second.id


# The documented commands.


def documented_commands(*kinds: str) -> list[dict[str, str]]:
    """Return the entries of these kinds of every `aws events put-events` in docs/promotion.md."""
    text = (PROJECT / "docs" / "promotion.md").read_text()
    parts = text.split("aws events put-events --entries '")[1:]
    entries = [entry for part in parts for entry in json.loads(part.partition("'")[0])]
    return [entry for entry in entries if entry["DetailType"] in kinds]


def test_the_documented_commands_do_what_they_say(app: Cloud) -> None:
    # Given a live model and a held run of the documented names' kind
    first, run = promoted(app), held(app)
    commands = documented_commands("PromotionRequested", "RollbackRequested")
    assert len(commands) == 2
    for entry in commands:
        assert entry["EventBusName"] == Stack()["EventBus"]["Name"]
        detail = json.loads(entry["Detail"])
        named = {"run_id": run.id} if "run_id" in detail else {"task": TASK}
        # When they are sent as they stand there, but for the name
        app.put_events([entry | {"EventBusName": BUS, "Detail": json.dumps(detail | named)}])
        app.settle()
    # Then the run was promoted and rolled back
    assert [moment.note.partition(",")[0] for moment in app.run(run.id).history[-2:]] == ["live", "withdrawn"]
    assert app.live().run_id == first.id
    assert refusals(app) == []


@pytest.mark.parametrize(
    ("kind", "ends"), [("ReleaseRequested", State.PROMOTED), ("EndRequested", State.FAILED)]
)
def test_the_documented_commands_release_and_end(cloud: Cloud, kind: str, ends: State) -> None:
    # Given a run that awaits a person's release
    cloud.upload_task(spec(dataset={"budget_usd": 0}))
    run_id = cloud.drop(labelled())
    cloud.settle()
    (entry,) = documented_commands(kind)
    # When the command is sent as it stands there, but for the name
    detail = json.dumps(json.loads(entry["Detail"]) | {"run_id": run_id})
    cloud.put_events([entry | {"EventBusName": BUS, "Detail": detail}])
    # Then the run goes on, or ends
    assert cloud.finish(run_id).state is ends
