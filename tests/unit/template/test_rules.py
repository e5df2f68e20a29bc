"""Which event calls which function, and what becomes of one that cannot be delivered."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.template.event_pattern import matches
from tests.unit.template.stack import PROJECT, Resource, Stack

Event = dict[str, Any]

SAMPLES = sorted((PROJECT / "events").glob("*/*.json"))
# The schedule has no pattern; the API and a customization job need no rule.
EVENTS = [path for path in SAMPLES if path.parent.name not in ("watch", "route", "reward")]


def sample(name: str) -> Event:
    """Return a sample event by `function/Trigger`."""
    return json.loads((PROJECT / "events" / f"{name}.json").read_text())


def matched(stack: Stack, event: Event) -> list[Resource]:
    """Return the rules that match an event on the bus on which its source publishes."""
    bus = "EventBus" if event["source"].startswith("signalbox") else None
    rules = [rule for rule in stack.of_type("Events::Rule") if "EventPattern" in rule.properties]
    on_bus = [rule for rule in rules if rule.properties.get("EventBusName") == bus]
    return [rule for rule in on_bus if matches(rule.properties["EventPattern"], event)]


def target(rule: Resource) -> dict[str, Any]:
    """Return the one target of a rule."""
    (only,) = rule.properties["Targets"]
    return only


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_event_calls_its_function_and_no_other(stack: Stack, path: Path) -> None:
    event = json.loads(path.read_text())

    (rule,) = matched(stack, event)

    assert target(rule)["Arn"] == stack.arn(f"{path.parent.name.capitalize()}Function")


def test_every_rule_has_a_sample_event(stack: Stack) -> None:
    covered = {rule.name for path in EVENTS for rule in matched(stack, json.loads(path.read_text()))}
    rules = stack.of_type("Events::Rule")

    assert covered == {rule.name for rule in rules if "EventPattern" in rule.properties}


def test_the_clock_calls_watch_every_minute(stack: Stack) -> None:
    (rule,) = (rule for rule in stack.of_type("Events::Rule") if "ScheduleExpression" in rule.properties)

    assert rule.properties["ScheduleExpression"] == "rate(1 minute)"
    assert target(rule)["Arn"] == stack.arn("WatchFunction")


def test_every_route_has_a_sample_request(stack: Stack) -> None:
    requests = {sample(f"route/{path.stem}")["routeKey"] for path in SAMPLES if path.parent.name == "route"}

    assert requests == {route.properties["RouteKey"] for route in stack.of_type("ApiGatewayV2::Route")}


def another_bucket(event: Event) -> None:
    event["detail"]["bucket"]["name"] += "-of-somebody-else"


def another_source(event: Event) -> None:
    event["source"] = "com.example" if event["source"] == "signalbox" else "signalbox"


def another_kind(event: Event) -> None:
    event["detail-type"] = {"Object Created": "Object Deleted"}.get(event["detail-type"], "Something Else")


def under(key: str) -> Callable[[Event], None]:
    def mutate(event: Event) -> None:
        event["detail"]["object"]["key"] = key

    mutate.__name__ = key
    return mutate


def in_state(state: str) -> Callable[[Event], None]:
    def mutate(event: Event) -> None:
        event["detail"]["state"] = state

    mutate.__name__ = f"in state {state}"
    return mutate


def with_job_status(status: str) -> Callable[[Event], None]:
    def mutate(event: Event) -> None:
        event["detail"]["jobStatus"] = status

    mutate.__name__ = f"jobStatus {status}"
    return mutate


def of_alarm(name: str) -> Callable[[Event], None]:
    def mutate(event: Event) -> None:
        event["resources"] = [f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}"]

    mutate.__name__ = f"of alarm {name}"
    return mutate


def with_alarm_state(value: str) -> Callable[[Event], None]:
    def mutate(event: Event) -> None:
        event["detail"]["state"]["value"] = value

    mutate.__name__ = f"in alarm state {value}"
    return mutate


def from_the_pipeline(event: Event) -> None:
    event["source"] = "signalbox"


def status_as_batch_jobs_have_it(event: Event) -> None:
    event["detail"]["status"] = event["detail"].pop("jobStatus")


def of_a_batch_job(event: Event) -> None:
    event["detail-type"] = "Batch Inference Job State Change"


NEAR_MISSES = [
    *[("validate/DatasetDropped", miss) for miss in (another_bucket, another_source, another_kind)],
    *[
        ("validate/DatasetDropped", under(key))
        for key in (
            "tasks/video-search/golden.jsonl",
            "old-datasets/video-search/queries.jsonl",
            "datasets",
            "Datasets/video-search/queries.jsonl",
            "runs/video-search-726a1de6041e/train.jsonl",
        )
    ],
    *[("deploy/JobCompleted", with_job_status(status)) for status in ("InProgress", "Stopping", "completed")],
    *[
        ("deploy/JobCompleted", miss)
        for miss in (status_as_batch_jobs_have_it, of_a_batch_job, another_source, another_kind)
    ],
    *[("judge/JudgeAnswered", miss) for miss in (another_bucket, another_source, another_kind)],
    *[
        ("judge/JudgeAnswered", under(key))
        for key in (
            "runs/video-search-726a1de6041e/judge/base.jsonl",
            "runs/video-search-726a1de6041e/judge/x_output.jsonl.tmp",
            "runs/video-search-726a1de6041e/predictions/x_output.jsonl",
            "runs/video-search-726a1de6041e/judge/amazon-bedrock-evaluations-permission-check",
            "judge/x_output.jsonl",
            "archive/runs/video-search-726a1de6041e/judge/x_output.jsonl",
        )
    ],
    *[
        (name, miss)
        for name in (
            "distill/DatasetAccepted",
            "evaluate/ModelDeployed",
            "promote/EvaluationCompleted",
            "notify/ModelPromoted",
            "validate/Nudged",
        )
        for miss in (another_source, another_kind)
    ],
    *[
        (f"promote/{asked}Requested", miss)
        for asked in ("Promotion", "Rollback")
        for miss in (another_source, another_kind, from_the_pipeline)
    ],
    *[
        (f"promote/{what}AlarmRang", miss)
        for what in ("Fallback", "Fault")
        for miss in (
            another_source,
            another_kind,
            of_alarm("RouteLatencyAlarm"),
            of_alarm("RouteFallbackAlarmOfSomebodyElse"),
            with_alarm_state("OK"),
            with_alarm_state("INSUFFICIENT_DATA"),
        )
    ],
    *[
        (name, miss)
        for name in ("deploy/RetirementDue", "clean/RemovalDue")
        for miss in (another_source, another_kind)
    ],
    *[("validate/Nudged", in_state(state)) for state in ("REJECTED", "FAILED", "received", "")],
]


@pytest.mark.parametrize(
    ("name", "miss"), NEAR_MISSES, ids=[f"{name}, {miss.__name__}" for name, miss in NEAR_MISSES]
)
def test_a_near_miss_calls_nothing(stack: Stack, name: str, miss: Callable[[Event], None]) -> None:
    event = copy.deepcopy(sample(name))
    miss(event)

    assert matched(stack, event) == []


def test_a_nudge_calls_the_function_whose_turn_it_is(stack: Stack) -> None:
    turns = {
        "RECEIVED": "Validate",
        "ACCEPTED": "Distill",
        "TRAINING": "Deploy",
        "TRAINED": "Deploy",
        "DEPLOYING": "Deploy",
        "DEPLOYED": "Evaluate",
        "EVALUATING": "Judge",
        "EVALUATED": "Promote",
        "PROMOTED": "Promote",
        "HELD": "Promote",
    }
    for state, function in turns.items():
        nudge = sample("validate/Nudged")
        in_state(state)(nudge)

        assert [target(rule)["Arn"] for rule in matched(stack, nudge)] == [stack.arn(f"{function}Function")]


def test_an_undeliverable_event_is_retried_and_then_put_down(stack: Stack) -> None:
    for rule in stack.of_type("Events::Rule"):
        retry = target(rule)["RetryPolicy"]

        assert 60 <= retry["MaximumEventAgeInSeconds"] <= 86_400, rule.name
        assert 0 <= retry["MaximumRetryAttempts"] <= 185, rule.name
        assert target(rule)["DeadLetterConfig"] == {"Arn": stack.arn("DeadLetterQueue")}, rule.name
        assert rule.properties.get("State", "ENABLED") == "ENABLED", rule.name


def test_an_event_that_a_function_fails_on_is_retried_and_then_put_down(stack: Stack) -> None:
    configurations = [one.properties for one in stack.of_type("Lambda::EventInvokeConfig")]
    configured = {properties["FunctionName"]: properties for properties in configurations}

    waited_for = {"RouteFunction", "RewardFunction"}
    assert set(configured) == {one.name for one in stack.of_type("Lambda::Function")} - waited_for
    for function, properties in configured.items():
        destination = properties["DestinationConfig"]["OnFailure"]["Destination"]
        assert destination == stack.arn("DeadLetterQueue"), function
        # The next minute is watch's retry.
        assert properties["MaximumRetryAttempts"] == (0 if function == "WatchFunction" else 2), function


def test_a_rule_may_call_its_function(stack: Stack) -> None:
    allowed = {
        (one.properties["FunctionName"], one.properties.get("SourceArn"))
        for one in stack.of_type("Lambda::Permission")
        if one.properties["Principal"] == "events.amazonaws.com"
    }
    rules = stack.of_type("Events::Rule")

    assert allowed == {(target(rule)["Arn"].rpartition(":")[2], stack.arn(rule.name)) for rule in rules}


def test_dead_letters_ring(stack: Stack) -> None:
    alarm = stack["DeadLetterAlarm"]

    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "DeadLetterQueue.QueueName"}]
    assert (alarm["MetricName"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "ApproximateNumberOfMessagesVisible",
        "GreaterThanThreshold",
        0,
    )
    assert alarm["AlarmActions"] == [stack.arn("NotificationTopic")]
