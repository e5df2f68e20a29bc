"""Deploys `template.yaml` on the emulator, as `sam deploy` does in an account.

The template is the one that goes to AWS; only what `sam package` and `sam build` do is done here: folders
become zip archives in a bucket. All calls are CloudFormation's and S3's public ones.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import ClientError, WaiterError

from local import emulator
from local.settings import ARTIFACT_BUCKET, STACK

# The folder of a layer's archive that Lambda puts on the Python path.
LAYER_FOLDER = "python"
UNPACKED_TYPES = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}

TEMPLATE_KEY = "template.json"


class DeploymentFailed(Exception):
    """CloudFormation did not take the template; the message says which resource, and why."""


@dataclass(frozen=True)
class Package:
    """A template ready for CloudFormation, and the archives that it speaks of, by object key."""

    template: str
    archives: Mapping[str, bytes]
    parameters: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Tells one deployment from another; it covers code, template and parameters."""
        return hashlib.sha256(json.dumps([self.template, dict(self.parameters)]).encode()).hexdigest()


def package(template_file: Path, parameters: Mapping[str, str]) -> Package:
    """Archive the code that a template points at, and point it at the archives instead.

    Parameters
    ----------
    parameters
        Values for the template's parameters; those that it does not declare are left out. Resource types
        that the emulator does not know, which no local behaviour depends on, are left out too.
    """
    from samtranslator.yaml_helper import yaml_parse

    template = yaml_parse(template_file.read_text())
    archives: dict[str, bytes] = {}
    for name, resource in list(template["Resources"].items()):
        kind = resource["Type"]
        if not emulator.supported(kind):
            del template["Resources"][name]
        elif kind in UNPACKED_TYPES:
            properties, uri = resource["Properties"], UNPACKED_TYPES[kind]
            prefix = LAYER_FOLDER if kind == "AWS::Serverless::LayerVersion" else ""
            content = archive(template_file.parent / properties[uri], prefix)
            key = f"{name}/{hashlib.sha256(content).hexdigest()}.zip"
            archives[key] = content
            properties[uri] = {"Bucket": ARTIFACT_BUCKET, "Key": key}
            resource.pop("Metadata", None)  # how to build it: done
    known = {name: value for name, value in parameters.items() if name in template.get("Parameters", {})}
    return Package(json.dumps(template, default=str), archives, known)


def archive(folder: Path, prefix: str) -> bytes:
    """A zip archive of a folder's files, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for file in _files(folder):
            name = str(Path(prefix) / file.relative_to(folder))
            target.writestr(zipfile.ZipInfo(name), file.read_bytes())
    return buffer.getvalue()


def deploy(package: Package) -> dict[str, str]:
    """Create or update the stack, wait for it, and return its outputs.

    Raises
    ------
    DeploymentFailed
        With the reasons of the resources that failed.
    """
    objects, formation = boto3.client("s3"), boto3.client("cloudformation")
    objects.create_bucket(Bucket=ARTIFACT_BUCKET)
    for key, content in package.archives.items():
        objects.put_object(Bucket=ARTIFACT_BUCKET, Key=key, Body=content)
    objects.put_object(Bucket=ARTIFACT_BUCKET, Key=TEMPLATE_KEY, Body=package.template.encode())
    arguments = {
        "StackName": STACK,
        # A template of more than 51,200 bytes has to come from S3, which is where `sam deploy` puts every one.
        "TemplateURL": f"{objects.meta.endpoint_url}/{ARTIFACT_BUCKET}/{TEMPLATE_KEY}",
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in package.parameters.items()
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    try:
        try:
            formation.create_stack(**arguments)
            waiter = formation.get_waiter("stack_create_complete")
        except formation.exceptions.AlreadyExistsException:
            formation.update_stack(**arguments)
            waiter = formation.get_waiter("stack_update_complete")
        waiter.config.delay = 0.1
        waiter.config.max_attempts = 1200
        waiter.wait(StackName=STACK)
    except WaiterError as error:
        raise DeploymentFailed("; ".join(_failures(formation)) or str(error)) from error
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            # CloudFormation quotes the whole template in some of its refusals; the reason stands at either end.
            message = str(error)
            shown = message if len(message) <= 1_000 else f"{message[:300]} … {message[-300:]}"
            raise DeploymentFailed(shown) from error
    return outputs(formation)


def outputs(formation: object, name: str = STACK) -> dict[str, str]:
    """The outputs of the stack that is deployed.

    Raises
    ------
    botocore.exceptions.ClientError
        When there is no stack.
    """
    stack = formation.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def scheduled_functions() -> list[str]:
    """ARNs of the functions that a rule of the stack calls on a schedule."""
    events = boto3.client("events")
    rules = [rule for rule in events.list_rules()["Rules"] if rule.get("ScheduleExpression")]
    targets = [
        target for rule in rules for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    ]
    return sorted({target["Arn"] for target in targets if ":function:" in target["Arn"]})


def http_api() -> str:
    """The id of the stack's HTTP API."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    return next(r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::ApiGatewayV2::Api")


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and not file.name.endswith(".pyc"):
            yield file


def _failures(formation: object) -> list[str]:
    events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED")
    ]
