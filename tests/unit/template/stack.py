"""template.yaml as CloudFormation gets to see it: translated by SAM's own code, its functions resolved."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).parents[3]
ACCOUNT, REGION = "123456789012", "us-east-1"
DATA_BUCKET = "signalbox-databucket-1x2y3z4a5b6c"
QUERY_LOG_BUCKET = "signalbox-querylogbucket-6c5b4a3z2y1x"
KMS_KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-1111-2222-3333-444455556666"

# Names of ARNs by resource type: ref is the physical name. From the service authorization reference.
_ARNS = {
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{scope}:alarm:{ref}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{scope}:table/{ref}",
    "AWS::Events::EventBus": "arn:aws:events:{scope}:event-bus/{ref}",
    "AWS::Events::Rule": "arn:aws:events:{scope}:rule/{ref}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{ref}}",
    "AWS::KMS::Key": "arn:aws:kms:{scope}:key/{ref}",
    "AWS::Lambda::Function": "arn:aws:lambda:{scope}:function:{ref}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{scope}:log-group:{ref}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{ref}",
    "AWS::SQS::Queue": "arn:aws:sqs:{scope}:{ref}",
}
_REFS_THAT_ARE_ARNS = {
    "AWS::SNS::Topic": "arn:aws:sns:{scope}:{ref}",
    "AWS::Lambda::Alias": "arn:aws:lambda:{scope}:function:{ref}",
}
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "signalbox",
    "AWS::NoValue": None,
}
_NOTHING = object()


def source() -> dict[str, Any]:
    """Return template.yaml as written."""
    return yaml_parse((PROJECT / "template.yaml").read_text())


def translate(
    template: dict[str, Any], parameters: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what SAM makes of a template and its parameters, as if its code had been uploaded.

    Opens no connection.
    """
    for name, resource in template["Resources"].items():
        for uri in ("CodeUri", "ContentUri"):
            if uri in resource.get("Properties", {}):
                resource["Properties"][uri] = f"s3://artifacts/{name}"
    return Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION)).translate(
        template, dict(parameters)
    )


@dataclass(frozen=True)
class Resource:
    """One resource of the stack, its properties resolved."""

    name: str
    type: str
    properties: dict[str, Any]


class Stack:
    """The stack that the template makes with some parameters.

    A Ref becomes the resource's logical id, but for the buckets: the sample events bear the name of one.

    Attributes
    ----------
    template : dict
        The template as translated, not resolved.
    """

    def __init__(self, **parameters: str) -> None:
        self.template = _translated(tuple(parameters.items()))
        declared = self.template["Parameters"]
        self._values = {name: str(declared[name].get("Default", "")) for name in declared} | parameters
        resources = self.template["Resources"]
        self.resources: dict[str, Resource] = {
            name: Resource(name, resource["Type"], self._resolve(resource.get("Properties", {})))
            for name, resource in resources.items()
            if "Condition" not in resource or self._condition(resource["Condition"])
        }
        self.outputs: dict[str, Any] = {
            name: self._resolve(output["Value"]) for name, output in self.template["Outputs"].items()
        }

    def of_type(self, kind: str) -> list[Resource]:
        """Return the resources of a type, `Lambda::Function` say, in the order of the template."""
        return [resource for resource in self.resources.values() if resource.type == f"AWS::{kind}"]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.resources[name].properties

    def arn(self, name: str) -> str:
        """Return the ARN of a resource."""
        kind, scope = self.template["Resources"][name]["Type"], f"{REGION}:{ACCOUNT}"
        form = _ARNS.get(kind) or _REFS_THAT_ARE_ARNS[kind]
        return form.format(scope=scope, ref=self._physical_name(name))

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """Yield the statements of a role's own policies and of the stack's policies attached to it."""
        properties = self[role]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [self[policy]["PolicyDocument"] for policy in properties.get("ManagedPolicyArns", [])]
        for document in documents:
            yield from document["Statement"]

    def broken_rules(self) -> list[str]:
        """Return the rules of the template that the parameters break, for which CloudFormation refuses them."""
        return [
            name
            for name, rule in self.template["Rules"].items()
            if self._test(rule["RuleCondition"])
            and not all(self._test(assertion["Assert"]) for assertion in rule["Assertions"])
        ]

    def _physical_name(self, name: str) -> str:
        return {"DataBucket": DATA_BUCKET, "QueryLogBucket": QUERY_LOG_BUCKET}.get(name, name)

    def _condition(self, name: str) -> bool:
        return self._test(self.template["Conditions"][name])

    def _test(self, condition: Mapping[str, Any]) -> bool:
        ((function, arguments),) = condition.items()
        match function:
            case "Fn::Equals":
                left, right = (str(self._resolve(argument)) for argument in arguments)
                return left == right
            case "Fn::Not":
                return not self._test(arguments[0])
            case "Fn::And":
                return all(map(self._test, arguments))
            case "Fn::Or":
                return any(map(self._test, arguments))
            case _:
                raise NotImplementedError(f"the tests do not know the condition {function}")

    def _resolve(self, value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::Sub": [str(text), dict(values)]}:
                for name, one in values.items():
                    text = text.replace(f"${{{name}}}", self._resolve(one))
                return self._resolve({"Fn::Sub": text})
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self.arn(name) if attribute == "Arn" else f"{name}.{attribute}"
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([\w:.]+)\}", lambda found: self._substitute(found[1]), text)
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(self._resolve(part) for part in parts)
            case {"Fn::Split": [str(separator), text]}:
                return self._resolve(text).split(separator)
            case {"Fn::If": [str(condition), then, otherwise]}:
                return self._resolve(then if self._condition(condition) else otherwise)
            case dict():
                resolved = {key: self._resolve(one) for key, one in value.items()}
                return {key: one for key, one in resolved.items() if one is not _NOTHING}
            case list():
                return [one for one in map(self._resolve, value) if one is not _NOTHING]
            case _:
                return value

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in _PSEUDO or name in self._values:
            return _PSEUDO.get(name, self._values.get(name))
        is_arn = self.template["Resources"][name]["Type"] in _REFS_THAT_ARE_ARNS
        return self.arn(name) if is_arn else self._physical_name(name)

    def _substitute(self, name: str) -> str:
        resource, dot, attribute = name.partition(".")
        return str(self._resolve({"Fn::GetAtt": [resource, attribute]} if dot else {"Ref": name}))


@cache
def _translated(parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return translate(source(), dict(parameters))


def as_list(value: Any) -> list[Any]:
    """Return what IAM lets one write bare or in a list as a list."""
    return value if isinstance(value, list) else [value]
