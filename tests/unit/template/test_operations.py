"""What a person is shown and told: the dashboard's layout, an alarm's section of the runbook, what a replay reaches."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.unit.template.event_pattern import matches
from tests.unit.template.stack import PROJECT, Stack

RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
ALARMS = [alarm.name for alarm in Stack().of_type("CloudWatch::Alarm")]
PARTS = ("**What it means.**", "**How to look.**", "**What to do.**")


def section(name: str) -> str:
    """Return a section of the runbook, "" if there is none."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.M | re.S)
    return found[1] if found else ""


@pytest.fixture(scope="module")
def widgets(stack: Stack) -> list[dict[str, Any]]:
    """The widgets of the dashboard."""
    return json.loads(stack["Dashboard"]["DashboardBody"])["widgets"]


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_has_its_section_which_says_what_to_look_at_and_to_do(alarm: str) -> None:
    parts = [section(alarm).find(part) for part in PARTS]
    assert -1 not in parts, f"docs/runbook.md, {alarm}"
    assert parts == sorted(parts)
    looking = section(alarm)[parts[1] : parts[2]]
    assert "```" in looking, "a command or a query that can be pasted"


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_names_its_section(stack: Stack, alarm: str) -> None:
    assert stack[alarm]["AlarmDescription"].endswith(f"See docs/runbook.md, {alarm}.")


def test_the_runbook_has_no_alarm_that_is_gone() -> None:
    assert sorted(re.findall(r"^## (\w+Alarm)$", RUNBOOK, re.M)) == sorted(ALARMS)


def test_every_log_group_of_the_runbook_is_one_of_the_stack(stack: Stack) -> None:
    groups = {group.properties["LogGroupName"] for group in stack.of_type("Logs::LogGroup")}
    named = set(re.findall(r"/aws/(?:lambda|vendedlogs)/\$STACK-[a-z]+", RUNBOOK))
    assert {name.replace("$STACK", "signalbox") for name in named} <= groups
    assert "/aws/vendedlogs/$STACK-api" in named


def test_every_output_that_the_runbook_reads_is_one_of_the_stack(stack: Stack) -> None:
    read = set(re.findall(r"\$\(output (\w+)\)", RUNBOOK))
    assert read
    assert read <= set(stack.outputs)


def test_every_link_within_the_runbook_leads_somewhere() -> None:
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", RUNBOOK, re.M)}
    links = set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK))
    assert links
    assert links <= titles


def test_no_widget_lies_upon_another_or_beside_the_dashboard(widgets: list[dict[str, Any]]) -> None:
    for one in widgets:
        assert 0 <= one["x"] < one["x"] + one["width"] <= 24
    for one, other in combinations(widgets, 2):
        apart_across = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        apart_down = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
        assert apart_across or apart_down, (one["properties"]["title"], other["properties"]["title"])


def test_the_dashboard_shows_every_alarm_but_those_of_a_version(stack: Stack, widgets: list[Any]) -> None:
    (shown,) = (one["properties"]["alarms"] for one in widgets if one["type"] == "alarm")
    assert shown == [stack.arn(name) for name in ALARMS if not name.startswith("RouteVersion")]


def test_the_dashboard_is_of_this_stack_and_region(stack: Stack, widgets: list[dict[str, Any]]) -> None:
    assert stack["Dashboard"]["DashboardName"] == "signalbox"
    assert {one["properties"]["region"] for one in widgets if one["type"] == "metric"} == {"us-east-1"}


def test_the_dashboard_shows_the_errors_of_every_function(
    stack: Stack, widgets: list[dict[str, Any]]
) -> None:
    (errors,) = (
        one["properties"]["metrics"] for one in widgets if "Errors" in str(one["properties"].get("metrics"))
    )
    shown = [name for entry in errors for name in entry if str(name).endswith("Function")]
    assert shown == [function.name for function in stack.of_type("Lambda::Function")]


def test_every_event_of_the_bus_is_archived_for_as_long_as_the_parameter_says() -> None:
    stack = Stack(EventRetentionDays="7")
    archive = stack["EventArchive"]
    assert (archive["SourceArn"], archive["RetentionDays"]) == (stack.arn("EventBus"), "7")
    assert "EventPattern" not in archive
    assert "KmsKeyIdentifier" not in archive


def test_what_is_archived_is_encrypted_with_the_key_of_everything_else() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0d990263-018e-4e65-a703-eff731de951e"
    assert Stack(KmsKeyArn=key)["EventArchive"]["KmsKeyIdentifier"] == key


def test_a_replay_reaches_the_steps_but_neither_people_nor_what_they_asked_for(stack: Stack) -> None:
    rules = [
        rule for rule in stack.of_type("Events::Rule") if rule.properties.get("EventBusName") == "EventBus"
    ]
    reached, spared = set(), set()
    for rule in rules:
        pattern = rule.properties["EventPattern"]
        detail = {name: values[0] for name, values in pattern.get("detail", {}).items()}
        event = {"source": pattern["source"][0], "detail-type": pattern["detail-type"][0], "detail": detail}
        assert matches(pattern, event), rule.name
        is_reached = matches(pattern, event | {"replay-name": "after-the-outage"})
        (reached if is_reached else spared).add(rule.name)
    of_people = {
        rule.name for rule in rules if "signalbox.operator" in rule.properties["EventPattern"]["source"]
    }
    assert spared == of_people | {"NotifyFunctionOutcome", "PromoteFunctionHealthCheckDue"}
    assert reached
