"""How the functions are made: runtime, code, environment, logs; and what the stack gives away."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.template.stack import PROJECT, Stack, source, translate

FUNCTIONS = [
    "generate", "validate", "distill", "reward", "deploy", "evaluate", "judge", "promote", "notify", "clean", "watch",
    "route",
]  # fmt: skip
PACKAGE = PROJECT / "functions" / "common" / "signalbox"

# Seconds, MB.
LIMITS = {
    "generate": (900, 1769),
    "validate": (900, 1769),
    "distill": (900, 3538),
    "reward": (60, 512),
    "deploy": (60, 256),
    "evaluate": (900, 1024),
    "judge": (300, 512),
    "promote": (900, 1024),
    "notify": (30, 256),
    "clean": (300, 256),
    "watch": (60, 256),
    "route": (10, 1769),
}


def properties(stack: Stack, function: str) -> dict[str, Any]:
    """Return the properties of a function by its short name."""
    return stack[f"{function.capitalize()}Function"]


def modules(file: Path) -> Iterator[Path]:
    """Yield a file and the modules of the package that it imports, they that they import, and so on."""
    seen, waiting = set(), [file]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current
        imported = re.findall(r"^\s*from signalbox\.(\w+) import", current.read_text(), re.M)
        waiting += [PACKAGE / f"{name}.py" for name in imported]


def string_arguments(file: Path, *functions: str) -> set[str]:
    """Return the literal first arguments of the calls of functions with these names in a file."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", None)) in functions
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_story_is_told_in_order(stack: Stack) -> None:
    assert [function.name for function in stack.of_type("Lambda::Function")] == [
        f"{name.capitalize()}Function" for name in FUNCTIONS
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_runs_on_arm_with_traces_and_json_logs(stack: Stack, function: str) -> None:
    made = properties(stack, function)

    assert made["Runtime"] == "python3.13"
    assert made["Architectures"] == ["arm64"]
    assert made["TracingConfig"] == {"Mode": "Active"}
    assert made["LoggingConfig"]["LogFormat"] == "JSON"
    assert (made["Timeout"], made["MemorySize"]) == LIMITS[function]
    (layer,) = made["Layers"]
    assert stack.resources[layer].type == "AWS::Lambda::LayerVersion"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_logs_to_a_group_of_its_own_that_forgets(function: str) -> None:
    stack = Stack(LogRetentionDays="7")
    group = stack[properties(stack, function)["LoggingConfig"]["LogGroup"]]

    assert group == {"LogGroupName": f"/aws/lambda/signalbox-{function}", "RetentionInDays": "7"}
    assert properties(stack, function)["FunctionName"] == f"signalbox-{function}"


def test_every_log_group_forgets(stack: Stack) -> None:
    assert all(group.properties["RetentionInDays"] == "30" for group in stack.of_type("Logs::LogGroup"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handler_is_in_the_functions_folder(function: str) -> None:
    code = PROJECT / source()["Resources"][f"{function.capitalize()}Function"]["Properties"]["CodeUri"]

    assert code == PROJECT / "functions" / function
    tree = ast.parse((code / "app.py").read_text())
    assert "handler" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_gets_the_environment_that_its_code_reads_and_no_more(stack: Stack, function: str) -> None:
    files = list(modules(PROJECT / "functions" / function / "app.py"))
    read = {name for file in files for name in string_arguments(file, "setting")}
    variables = properties(stack, function)["Environment"]["Variables"]

    read_by_libraries = {
        name for name in variables if name.startswith(("POWERTOOLS_", "OPENBLAS_", "MPLCONFIGDIR"))
    }

    assert set(variables) - read_by_libraries == read
    assert variables["POWERTOOLS_SERVICE_NAME"] == function
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "Signalbox/signalbox"


def test_the_layer_keeps_the_descriptions_of_the_services_that_the_code_calls() -> None:
    makefile = (PROJECT / "functions" / "common" / "Makefile").read_text()
    kept = set(re.search(r"^SERVICES = (.*)$", makefile, re.M)[1].split())
    files = [*PACKAGE.glob("*.py"), *(PROJECT / "functions").glob("*/app.py")]

    called = {service for file in files for service in string_arguments(file, "client", "resource")}

    assert called <= kept


def test_what_goes_to_lambda_is_what_the_tests_ran_with() -> None:
    def pins(name: str) -> set[str]:
        text = (PROJECT / "requirements" / f"{name}.txt").read_text()
        return set(re.findall(r"^[\w.\[\]-]+==[^ \\]+", text, re.M))

    assert pins("lambda") | pins("distill") | pins("promote") <= pins("development")


@pytest.mark.parametrize(
    "name", ["lambda", "distill", "promote", "development", "sam", "checkov", "supply-chain"]
)
def test_requirements_are_pinned_hashed_and_name_no_index(name: str) -> None:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if re.match(r"\S", line) and not line.startswith("#")]

    assert lines
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==[\w.]+( ; [^\\]+)? \\$", line), line
        assert re.search(rf"^{re.escape(line)}\n    --hash=sha256:[0-9a-f]{{64}}", text, re.M), line
    assert "://" not in text


def test_the_api_calls_the_live_version_of_route(stack: Stack) -> None:
    integration = stack["RouteApiIntegration"]
    (permission,) = (
        one.properties
        for one in stack.of_type("Lambda::Permission")
        if one.properties["Principal"] == "apigateway.amazonaws.com"
    )

    assert integration["PayloadFormatVersion"] == "2.0"
    assert integration["IntegrationUri"] == stack.arn("RouteFunctionAliaslive") == permission["FunctionName"]
    assert stack["RouteFunctionAliaslive"]["Name"] == "live"


def test_instances_are_kept_warm_if_asked_for(stack: Stack) -> None:
    kept = Stack(RouteProvisionedConcurrency="2")["RouteFunctionAliaslive"]["ProvisionedConcurrencyConfig"]

    assert kept == {"ProvisionedConcurrentExecutions": "2"}
    assert "ProvisionedConcurrencyConfig" not in stack["RouteFunctionAliaslive"]


def version_of_route(template: dict[str, Any]) -> tuple[str, Any]:
    """Return what tells one version of route from another: its logical id, and what it cannot change."""
    resources = translate(template)["Resources"].items()
    ((name, version),) = (item for item in resources if item[1]["Type"] == "AWS::Lambda::Version")
    return name, version["Properties"]["Description"]["Fn::Sub"]


def test_a_change_of_route_or_its_layer_goes_live() -> None:
    unchanged, setting_changed, layer_changed = source(), source(), source()
    setting_changed["Resources"]["RouteFunction"]["Properties"]["MemorySize"] = 3008
    layer_changed["Resources"]["CommonLayer"]["Properties"]["Description"] = "another one"

    versions = [version_of_route(template) for template in (unchanged, setting_changed, layer_changed)]

    assert len(set(versions)) == 3


def test_outputs(stack: Stack) -> None:
    assert stack.outputs == {
        "DataBucketName": "signalbox-databucket-1x2y3z4a5b6c",
        "QueryLogBucketName": "signalbox-querylogbucket-6c5b4a3z2y1x",
        "ApiUrl": "RouteApi.ApiEndpoint",
        "TopicArn": stack.arn("NotificationTopic"),
        "RunTableName": "RunTable",
        "EventBusName": "EventBus",
        "DeadLetterQueueUrl": "DeadLetterQueue",
        "CustomizationRoleArn": stack.arn("CustomizationRole"),
        "EvaluationRoleArn": stack.arn("EvaluationRole"),
        "BatchRoleArn": stack.arn("BatchRole"),
    }
