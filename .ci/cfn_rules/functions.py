"""What every function of the stack has besides its code."""

from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template


def named(value: Any) -> Iterator[str]:
    """Yield the logical ids that a value refers to, at whatever depth."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case dict():
            for one in value.values():
                yield from named(one)
        case list():
            for one in value:
                yield from named(one)


def functions(cfn: Template) -> dict[str, dict[str, Any]]:
    """Return the properties of every function by its logical id; what Globals says is in them already."""
    found = cfn.get_resources("AWS::Serverless::Function")
    return {name: resource.get("Properties", {}) for name, resource in found.items()}


def failure_destinations(function: dict[str, Any]) -> set[str]:
    """Return the logical ids of what takes the events that a function failed on."""
    asynchronous = function.get("EventInvokeConfig", {}).get("DestinationConfig", {})
    return {*named(asynchronous.get("OnFailure")), *named(function.get("DeadLetterQueue"))}


def alarmed(cfn: Template) -> set[str]:
    """Return the logical ids of whatever an alarm looks at."""
    alarms = cfn.get_resources("AWS::CloudWatch::Alarm").values()
    looked_at = (alarm["Properties"].get(part) for alarm in alarms for part in ("Dimensions", "Metrics"))
    return {name for part in looked_at for name in named(part)}


def faults(cfn: Template, message: str, *names: str) -> list[RuleMatch]:
    """Return a finding for each of these functions."""
    return [RuleMatch(["Resources", name], f"{name}: {message}") for name in names]


class LogGroup(CloudFormationLintRule):
    """Without a group of its own a function logs to one that Lambda makes, which keeps everything for ever."""

    id = "E9101"
    shortdesc = "A function has a log group with a retention"
    description = "LoggingConfig.LogGroup is a log group of this template that has RetentionInDays"

    def match(self, cfn: Template) -> list[RuleMatch]:
        groups = cfn.get_resources("AWS::Logs::LogGroup")
        forgetting = {
            name for name, group in groups.items() if "RetentionInDays" in group.get("Properties", {})
        }
        wrong = [
            name
            for name, properties in functions(cfn).items()
            if not forgetting & set(named(properties.get("LoggingConfig", {}).get("LogGroup")))
        ]
        return faults(cfn, "has no log group of its own with a retention", *wrong)


class FailureDestination(CloudFormationLintRule):
    """Lambda tries an event three times and then throws it away, unless it is told where to put it."""

    id = "E9102"
    shortdesc = "A function that is called by events puts down what it failed on"
    description = (
        "A function with Events has an OnFailure destination or a dead-letter queue in this template"
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        wrong = [
            name
            for name, properties in functions(cfn).items()
            if properties.get("Events") and not failure_destinations(properties)
        ]
        return faults(cfn, "is called by events and puts what it failed on nowhere", *wrong)


class Tracing(CloudFormationLintRule):
    """A run goes through seven functions; only traces show where its time went."""

    id = "E9103"
    shortdesc = "A function is traced"
    description = "Tracing is Active"

    def match(self, cfn: Template) -> list[RuleMatch]:
        wrong = [name for name, properties in functions(cfn).items() if properties.get("Tracing") != "Active"]
        return faults(cfn, "is not traced", *wrong)


class Alarm(CloudFormationLintRule):
    """A failure that nobody is told of is none that anybody mends."""

    id = "E9104"
    shortdesc = "An alarm rings for a function's failures"
    description = (
        "An alarm has the function as a dimension, or the queue that takes what the function failed on"
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        looked_at = alarmed(cfn)
        wrong = [
            name
            for name, properties in functions(cfn).items()
            if looked_at.isdisjoint({name} | failure_destinations(properties))
        ]
        return faults(cfn, "fails without an alarm", *wrong)


class Concurrency(CloudFormationLintRule):
    """How many instances may run at once is decided by somebody, not left to chance."""

    id = "E9105"
    shortdesc = "A function's concurrency is decided"
    description = "ReservedConcurrentExecutions, or Metadata.Decisions.Concurrency says why there is none"

    def match(self, cfn: Template) -> list[RuleMatch]:
        if cfn.template.get("Metadata", {}).get("Decisions", {}).get("Concurrency"):
            return []
        wrong = [name for name, made in functions(cfn).items() if "ReservedConcurrentExecutions" not in made]
        return faults(cfn, "has no ReservedConcurrentExecutions, and the template does not say why", *wrong)


class OwnRole(CloudFormationLintRule):
    """A role that two functions share may do what either needs, which is more than either does."""

    id = "E9106"
    shortdesc = "A function has a role of its own"
    description = "Role is a role of this template, and no other function's"

    def match(self, cfn: Template) -> list[RuleMatch]:
        roles = {name: list(named(made.get("Role"))) for name, made in functions(cfn).items()}
        taken = [role for those in roles.values() for role in those]
        wrong = [name for name, those in roles.items() if len(those) != 1 or taken.count(those[0]) > 1]
        return faults(cfn, "has no role of its own", *wrong)
