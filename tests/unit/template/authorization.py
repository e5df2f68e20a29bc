"""Which resources an action can be limited to, as AWS publishes it."""

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from tests.unit.template.stack import ACCOUNT, REGION


@cache
def authorization() -> dict[str, Any]:
    """Return cfn-lint's copy of the service authorization reference: actions, their resource types, ARNs."""
    return json.loads(resources.files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text())


def resource_types(action: str) -> set[str]:
    """Return the types of resource that an action can be limited to; none if only * will do."""
    service, _, name = action.partition(":")
    known = {each.lower(): entry for each, entry in authorization()[service]["Actions"].items()}
    return set(known[name.lower()].get("Resources", ()))


def is_of_type(arn: str, service: str, kind: str) -> bool:
    """Tell whether an ARN, with wildcards or not, can name a resource of a type."""
    filled = {"${Partition}": "aws", "${Region}": REGION, "${Account}": ACCOUNT}
    for form in authorization()[service]["Resources"][kind]["ARNFormats"]:
        for name, value in filled.items():
            form = form.replace(name, rf"(?:{value}|\*)")
        if re.fullmatch(form, arn):
            return True
    return False
