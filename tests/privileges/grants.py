"""What the template's policies allow, one action on one resource at a time, and whether that covers an access."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.privileges.accesses import Access
from tests.unit.template.stack import Stack, as_list


@dataclass(frozen=True)
class Grant:
    """One action that a role may do to the resources that a pattern names, on conditions."""

    action: str
    resource: str
    conditions: Mapping[str, Mapping[str, Any]] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}" + (
            f" if {dict(self.conditions)}" if self.conditions else ""
        )

    def allows(self, access: Access) -> bool:
        """Tell whether IAM would allow an access by this grant."""
        return (
            self.action == access.action
            and _like(self.resource, access.resource)
            and all(
                _holds(operator, as_list(wanted), access.context.get(key))
                for operator, keys in self.conditions.items()
                for key, wanted in keys.items()
            )
        )


def grants(stack: Stack, role: str) -> Iterator[Grant]:
    """Yield what a role's own policies and the stack's policies attached to it allow."""
    for statement in stack.statements(role):
        assert statement["Effect"] == "Allow", f"{role}: this evaluator knows no Deny in a role's policy"
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield Grant(action, resource, statement.get("Condition", {}))


def _like(pattern: str, text: str) -> bool:
    """Match as IAM does: * is any text, a slash in it too, and ? any character."""
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", pattern)
    )
    return re.fullmatch("".join(parts), text, re.S) is not None


def _holds(operator: str, wanted: list[str], given: str | None) -> bool:
    """Tell whether a condition holds; a key that is not there fails it."""
    if given is None:
        return False
    match operator:
        case "StringEquals":
            return given in wanted
        case "StringLike" | "ArnLike" | "ArnEquals":
            return any(_like(pattern, given) for pattern in wanted)
        case _:
            raise NotImplementedError(f"this evaluator does not know the condition operator {operator}")
