"""EventBridge's rule for matching an event against a pattern, for the operators that template.yaml uses.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
"""

import re
from typing import Any


def matches(pattern: dict[str, Any], event: Any) -> bool:
    """Tell whether the event has every field of the pattern, with one of the values that it lists."""
    if not isinstance(event, dict):
        return False
    return all(_field_matches(wanted, event.get(name)) for name, wanted in pattern.items())


def _field_matches(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return matches(wanted, value)
    values = value if isinstance(value, list) else [value]
    return any(_value_matches(matcher, one) for matcher in wanted for one in values)


def _value_matches(matcher: Any, value: Any) -> bool:
    match matcher:
        case str():
            return value == matcher
        case {"prefix": str(prefix)}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"wildcard": str(wildcard)}:
            # An asterisk stands for any characters, slashes among them, or none.
            parts = ".*".join(re.escape(part) for part in wildcard.split("*"))
            return isinstance(value, str) and re.fullmatch(parts, value, re.DOTALL) is not None
        case {"exists": bool(exists)}:
            return (value is not None) is exists
        case _:
            raise NotImplementedError(f"the tests do not know the operator {matcher}")
