"""What every statement of a policy says of itself. cfn-lint drops comments, so these rules read the file."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

_DOCUMENTS = ("PolicyDocument", "KeyPolicy")
"""Not AssumeRolePolicyDocument: that Lambda takes on a function's role needs no comment."""

Fields = dict[str, yaml.Node]


def statements(filename: str | None) -> Iterator[tuple[int, bool, Fields]]:
    """Yield of each statement its line (from 0), whether a comment stands right above it, and its fields."""
    if filename is None:  # a template from a pipe has no comments any more
        return
    text = Path(filename).read_text()
    lines = text.splitlines()
    for document in _values(yaml.compose(text, Loader=yaml.SafeLoader), *_DOCUMENTS):
        for listed in _values(document, "Statement"):
            for statement in listed.value if isinstance(listed, yaml.SequenceNode) else [listed]:
                line = statement.start_mark.line
                fields = {key.value: value for key, value in statement.value}
                yield line, lines[line - 1].lstrip().startswith("#"), fields


def _values(node: yaml.Node | None, *keys: str) -> Iterator[yaml.Node]:
    """Yield the values that stand under any of these keys, at whatever depth."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in keys:
                yield value
            yield from _values(value, *keys)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _values(value, *keys)


def finding(line: int, message: str) -> RuleMatch:
    """Return a finding at a line (from 0) of the file."""
    return RuleMatch(["Resources"], f"line {line + 1}: {message}")


class Explained(CloudFormationLintRule):
    """Who reads a policy must not have to guess what a right is for."""

    id = "E9201"
    shortdesc = "A statement says what it is for"
    description = "Above each statement of a policy stands a comment, or it has a Sid"

    def match(self, cfn: Template) -> list[RuleMatch]:
        return [
            finding(line, "this statement says with neither a comment nor a Sid what it is for")
            for line, commented, fields in statements(cfn.filename)
            if not commented and "Sid" not in fields
        ]


class NoWildcard(CloudFormationLintRule):
    """Where AWS leaves no choice but *, the comment says so; everywhere else * is a right too many."""

    id = "E9202"
    shortdesc = "A statement that is for every resource says why"
    description = 'Above each statement whose Resource is "*" stands a comment'

    def match(self, cfn: Template) -> list[RuleMatch]:
        return [
            finding(line, 'Resource is "*", and no comment says why')
            for line, commented, fields in statements(cfn.filename)
            if not commented and _is_everything(fields.get("Resource"))
        ]


class NoWildcardAction(CloudFormationLintRule):
    """What an action with a * allows grows with AWS."""

    id = "E9203"
    shortdesc = "A statement that allows names its actions"
    description = "No Action of a statement with Effect Allow has a *, but for a key's own administration"

    def match(self, cfn: Template) -> list[RuleMatch]:
        return [
            finding(line, "an Action has a *")
            for line, _, fields in statements(cfn.filename)
            if fields["Effect"].value == "Allow"
            and "*" in str([each.value for each in _scalars(fields["Action"])])
            and not _administers_key(fields)
        ]


def _scalars(node: yaml.Node) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else [node]


def _is_everything(node: yaml.Node | None) -> bool:
    return node is not None and any(each.value == "*" for each in _scalars(node))


def _administers_key(fields: Fields) -> bool:
    """Tell the statement without which nobody could change a key any more (KMS guide, "Default key policy")."""
    return [each.value for each in _scalars(fields["Action"])] == ["kms:*"] and "Principal" in fields
