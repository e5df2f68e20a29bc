"""How a changed route function goes live, how it starts, and what rings when it answers badly."""

import json
import re
from typing import Any

import pytest

from signalbox.answer import Answer
from signalbox.route import Routed
from signalbox.route_metrics import count_answers
from tests.unit.template.stack import Stack, source

ALARMS = [
    "RouteFaultAlarm",
    "RouteGatewayAlarm",
    "RouteThrottleAlarm",
    "RouteFallbackAlarm",
    "RouteLatencyAlarm",
    "RouteVersionErrorAlarm",
    "RouteVersionFallbackAlarm",
]
VERSION_ALARMS = ["RouteVersionErrorAlarm", "RouteVersionFallbackAlarm"]
CODEDEPLOY = ("CodeDeploy::Application", "CodeDeploy::DeploymentGroup")


def dimensions(described: dict[str, Any]) -> dict[str, str]:
    """Return the dimensions of an alarm or a metric."""
    return {one["Name"]: one["Value"] for one in described["Dimensions"]}


def rings(alarm: dict[str, Any], routed: int, fallbacks: int) -> bool:
    """Tell whether an alarm on the share of fallbacks rings at some numbers."""
    (expression,) = (one["Expression"] for one in alarm["Metrics"] if "Expression" in one)
    condition, share, otherwise = expression.removeprefix("IF(").removesuffix(")").split(", ")
    name, operator, least = condition.split()
    assert (name, operator, share, otherwise) == ("routed", ">=", "fallbacks / routed", "0")
    value = fallbacks / routed if routed >= float(least) else 0
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    return value > float(alarm["Threshold"])


def test_a_changed_function_gets_a_tenth_of_the_queries_first(stack: Stack) -> None:
    (group,) = stack.of_type("CodeDeploy::DeploymentGroup")

    assert group.properties["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group.properties["ServiceRoleArn"] == stack.arn("RouteDeploymentRole")
    policy = stack.template["Resources"]["RouteFunctionAliaslive"]["UpdatePolicy"][
        "CodeDeployLambdaAliasUpdate"
    ]
    assert policy["DeploymentGroupName"] == {"Ref": group.name}


def test_it_is_taken_back_if_its_own_version_fails_or_falls_back(stack: Stack) -> None:
    (group,) = stack.of_type("CodeDeploy::DeploymentGroup")

    assert group.properties["AlarmConfiguration"] == {
        "Enabled": True,
        "Alarms": [{"Name": name} for name in VERSION_ALARMS],
    }
    rollback = group.properties["AutoRollbackConfiguration"]
    assert rollback["Enabled"] is True
    assert {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(rollback["Events"])


@pytest.mark.parametrize("deployment", source()["Parameters"]["RouteDeployment"]["AllowedValues"])
def test_each_way_to_deploy_is_one_that_codedeploy_knows_or_does_without_it(deployment: str) -> None:
    stack = Stack(RouteDeployment=deployment)

    groups = stack.of_type("CodeDeploy::DeploymentGroup")
    named = [group.properties["DeploymentConfigName"] for group in groups]
    assert named == ([] if deployment == "AllAtOnce" else [f"CodeDeployDefault.Lambda{deployment}"])


def test_all_at_once_needs_nothing_of_codedeploy() -> None:
    stack = Stack(RouteDeployment="AllAtOnce")

    assert not [one for kind in CODEDEPLOY for one in stack.of_type(kind)]
    assert not {"RouteDeploymentRole", *VERSION_ALARMS} & set(stack.resources)
    assert "UpdatePolicy" not in stack.template["Resources"]["RouteFunctionAliaslive"]
    published = stack["NotificationTopicPolicy"]["PolicyDocument"]["Statement"][0]
    assert len(published["Condition"]["ArnEquals"]["aws:SourceArn"]) == len(
        stack.of_type("CloudWatch::Alarm")
    )


def test_the_version_alarms_watch_the_version_that_is_being_deployed(stack: Stack) -> None:
    (version,) = (one.name for one in stack.of_type("Lambda::Version"))
    errors, fallbacks = (stack[name] for name in VERSION_ALARMS)

    assert (errors["Namespace"], errors["MetricName"]) == ("AWS/Lambda", "Errors")
    assert dimensions(errors) == {
        "FunctionName": "RouteFunction",
        "Resource": "RouteFunction:live",
        "ExecutedVersion": f"{version}.Version",
    }
    measured = [one["MetricStat"] for one in fallbacks["Metrics"] if "MetricStat" in one]
    for one in measured:
        assert dimensions(one["Metric"]) == {"service": "route", "version": f"{version}.Version"}
    # The shortest deployment takes five minutes.
    assert measured[0]["Period"] * fallbacks["EvaluationPeriods"] < 300
    assert errors["Period"] * errors["EvaluationPeriods"] < 300


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_tells_people_what_to_do_and_when_it_is_over(stack: Stack, alarm: str) -> None:
    made = stack[alarm]

    assert made["AlarmActions"] == made["OKActions"] == [stack.arn("NotificationTopic")]
    assert made["TreatMissingData"] == "notBreaching"
    # CloudWatch takes 1,024 characters; the stack's name may have 55.
    assert 100 < len(made["AlarmDescription"]) < 1024 - 5 * 55
    todo = ("Read the log", "read the log", "Look for", "Ask for", "raise", "lower", "Compare")
    assert any(word in made["AlarmDescription"] for word in todo)


@pytest.mark.parametrize(
    ("alarm", "routed", "fallbacks", "expected"),
    [
        ("RouteFallbackAlarm", 1, 1, False),
        ("RouteFallbackAlarm", 49, 49, False),
        ("RouteFallbackAlarm", 50, 10, False),
        ("RouteFallbackAlarm", 50, 11, True),
        ("RouteFallbackAlarm", 10_000, 2_001, True),
        ("RouteVersionFallbackAlarm", 9, 9, False),
        ("RouteVersionFallbackAlarm", 10, 3, True),
    ],
)
def test_fallbacks_ring_by_their_share_and_never_for_a_few_queries(
    stack: Stack, alarm: str, routed: int, fallbacks: int, expected: bool
) -> None:
    assert rings(stack[alarm], routed, fallbacks) is expected


def test_what_may_take_a_promotion_back_is_what_the_function_counts_and_not_the_gateway(stack: Stack) -> None:
    metrics = [
        one["MetricStat"]["Metric"] for one in stack["RouteFaultAlarm"]["Metrics"] if "MetricStat" in one
    ]
    assert {(one["Namespace"].partition("/")[0], one["MetricName"]) for one in metrics} == {
        ("Signalbox", "RouteServerFaults"),
        ("AWS", "Errors"),
    }
    (rule,) = (
        rule
        for rule in stack.of_type("Events::Rule")
        if "CloudWatch Alarm State Change" in rule.properties.get("EventPattern", {}).get("detail-type", ())
    )
    assert set(rule.properties["EventPattern"]["resources"]) == {
        stack.arn("RouteFaultAlarm"),
        stack.arn("RouteFallbackAlarm"),
    }


def test_the_limits_of_the_alarms_are_parameters() -> None:
    limits = {
        "RouteFallbackAlarmShare": "0.5",
        "RouteFallbackAlarmQueries": "7",
        "RouteLatencyAlarmMilliseconds": "900",
    }
    stack = Stack(**limits)

    assert not rings(stack["RouteFallbackAlarm"], 7, 3)
    assert rings(stack["RouteFallbackAlarm"], 7, 4)
    assert stack["RouteLatencyAlarm"]["Threshold"] == "900"


def test_fallbacks_are_read_where_the_function_counts_them(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a line that the function writes with the environment that the stack gives it
    for name, value in stack["RouteFunction"]["Environment"]["Variables"].items():
        monkeypatch.setenv(name, str(value))
    count_answers("clip-search", [Routed(Answer(), "prior", "prior", "r")], "RouteLatency", 1.0)
    line = json.loads(capsys.readouterr().out)
    written = {
        (group["Namespace"], metric["Name"], frozenset(names))
        for group in line["_aws"]["CloudWatchMetrics"]
        for metric in group["Metrics"]
        for names in group["Dimensions"]
    }
    # When an alarm reads a metric, then it is one of those
    for alarm in ("RouteFallbackAlarm", "RouteVersionFallbackAlarm"):
        for read in (one["MetricStat"]["Metric"] for one in stack[alarm]["Metrics"] if "MetricStat" in one):
            assert (read["Namespace"], read["MetricName"], frozenset(dimensions(read))) in written
    assert line["service"] == "route"


def test_latency_is_that_of_one_in_a_hundred_where_there_are_so_many(stack: Stack) -> None:
    alarm = stack["RouteLatencyAlarm"]

    assert alarm["ExtendedStatistic"] == "p99"
    assert alarm["EvaluateLowSampleCountPercentile"] == "ignore"
    assert dimensions(alarm) == {"ApiId": "RouteApi"}


def test_the_function_starts_from_a_snapshot_if_asked_to(stack: Stack) -> None:
    assert stack["RouteFunction"]["SnapStart"] == {"ApplyOn": "None"}
    assert Stack(RouteSnapStart="PublishedVersions")["RouteFunction"]["SnapStart"] == {
        "ApplyOn": "PublishedVersions"
    }


@pytest.mark.parametrize(
    ("parameters", "allowed"),
    [
        ({}, True),
        ({"RouteSnapStart": "PublishedVersions"}, True),
        ({"RouteProvisionedConcurrency": "2"}, True),
        ({"RouteSnapStart": "PublishedVersions", "RouteProvisionedConcurrency": "2"}, False),
    ],
)
def test_a_snapshot_and_provisioned_instances_are_not_combined(
    parameters: dict[str, str], allowed: bool
) -> None:
    stack = Stack(**parameters)

    assert stack.broken_rules() == ([] if allowed else ["SnapStartOrProvisionedConcurrency"])


def parameters_in(value: Any, declared: set[str]) -> set[str]:
    """Return the template's parameters that a value names by Ref or Sub."""
    match value:
        case {"Ref": str(name)}:
            return {name} & declared
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)\}", text)) & declared
        case dict():
            return set().union(*(parameters_in(one, declared) for one in value.values()))
        case list():
            return set().union(*(parameters_in(one, declared) for one in value))
    return set()


def published(**parameters: str) -> tuple[str, Any]:
    """Return what another version of the route function is published by: its logical id and its description.

    A version cannot change its description, so CloudFormation replaces it (AWS::Lambda::Version, "Description: Update
    requires: Replacement").
    """
    ((name, version),) = (
        (one.name, one.properties) for one in Stack(**parameters).of_type("Lambda::Version")
    )
    return name, version["Description"]


def test_each_parameter_of_the_function_publishes_another_version_when_it_changes(stack: Stack) -> None:
    # Given the parameters that stand in the function's properties, which `live` answers with
    other = {"QueryLogShare": "0.01", "RouteSnapStart": "PublishedVersions"}
    properties = stack.template["Resources"]["RouteFunction"]["Properties"]
    standing = parameters_in(properties, set(stack.template["Parameters"]))
    assert standing == set(other)
    # Then each of them alone publishes another
    for name, value in other.items():
        assert published(**{name: value}) != published(), name


def test_another_layer_publishes_another_version(stack: Stack) -> None:
    (layer,) = (one.name for one in stack.of_type("Lambda::LayerVersion"))
    (version,) = stack.of_type("Lambda::Version")

    assert layer in version.properties["Description"]
