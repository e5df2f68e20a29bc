"""Check and convert values by botocore's shapes, including what botocore's own client leaves unchecked.

The wording of a violation is that of AWS's own front end ("1 validation error detected: Value 'x' at 'y'
failed to satisfy constraint: ..."), as quoted for Bedrock in
github.com/aws-samples/amazon-bedrock-client-for-mac issue 11.
"""

import base64
import binascii
import datetime
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

# Values that the service takes although its model's enum does not list them. taskType must be "General" for a
# judge job:
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-evaluation-custom-metrics-create-job.html
ACCEPTED_BEYOND_ENUM = {"EvaluationTaskType": ("General",)}

# The same languages written without nested repetition, which Python's engine needs exponential time to
# refuse.
_LINEAR_EQUIVALENTS = (
    (r"(-*[a-zA-Z0-9\+\-\.])*", r"[a-zA-Z0-9\+\-\.]*"),
    (r"(-*[a-zA-Z0-9\+\-\.]){0,63}", r"[a-zA-Z0-9\+\-\.]*"),
)


class SerializationError(ValueError):
    """A value whose JSON type is not the type of its shape."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for slow, linear in _LINEAR_EQUIVALENTS:
        pattern = pattern.replace(slow, linear)
    return re.compile(pattern)


def _is_document(shape: Shape) -> bool:
    return bool(getattr(shape, "is_document_type", False))


def from_json(shape: Shape, value: Any, path: str = "") -> Any:
    """Return `value` (parsed JSON) as the Python value of `shape`, without nulls and without unknown members.

    Raises
    ------
    SerializationError
        A value of the wrong JSON type; the message names its path.
    """
    if _is_document(shape):
        return value
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _wrong_type(path, "an object", value)
        members = {_wire_name(member, name): (name, member) for name, member in shape.members.items()}
        return {
            members[key][0]: from_json(members[key][1], item, _join(path, key))
            for key, item in value.items()
            if item is not None and key in members
        }
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _wrong_type(path, "a list", value)
        return [from_json(shape.member, item, _join(path, str(index))) for index, item in enumerate(value, 1)]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _wrong_type(path, "an object", value)
        return {
            key: from_json(shape.value, item, _join(path, key))
            for key, item in value.items()
            if item is not None
        }
    return _SCALARS_FROM_JSON[shape.type_name](value, path)


def from_text(shape: Shape, value: str, path: str) -> Any:
    """Return a path label, query-string value or header as the Python value of `shape`."""
    try:
        if shape.type_name in ("integer", "long"):
            return int(value)
        if shape.type_name in ("float", "double"):
            return float(value)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[value.lower()]
        if shape.type_name == "timestamp":
            return _time_from_text(value)
    except (ValueError, KeyError) as error:
        raise SerializationError(f"{path} is not a valid {shape.type_name}") from error
    return value


def to_json(shape: Shape, value: Any) -> Any:
    """Return `value` as what `shape` looks like in a JSON body; members that the shape lacks are left out."""
    if _is_document(shape):
        return value
    if isinstance(shape, StructureShape):
        return {
            _wire_name(member, name): to_json(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [to_json(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: to_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "timestamp":
        return time_text(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def time_text(moment: float | datetime.datetime) -> str:
    """Return a moment (seconds since 1970, or aware) as Bedrock writes it: ISO-8601, UTC, milliseconds."""
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time_from_text(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(path, "a string", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong_type(path, "text that UTF-8 can carry", value) from error
    return value


def _whole_number(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(path, "a whole number", value)
    return value


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong_type(path, "a number", value)
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(path, "true or false", value)
    return value


def _timestamp(value: Any, path: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return _time_from_text(_string(value, path))
    except ValueError as error:
        raise _wrong_type(path, "a timestamp", value) from error


def _blob(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(_string(value, path), validate=True)
    except binascii.Error as error:
        raise _wrong_type(path, "base64", value) from error


_SCALARS_FROM_JSON = {
    "string": _string,
    "character": _string,
    "integer": _whole_number,
    "long": _whole_number,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}


def _wire_name(shape: Shape, name: str) -> str:
    return shape.serialization.get("name", name)


def _wrong_type(path: str, expected: str, value: Any) -> SerializationError:
    return SerializationError(f"{path or 'the request body'} must be {expected}, not {type(value).__name__}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def violations(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """Yield one sentence for every constraint of `shape` that `value` breaks.

    Checked: required members, exactly one member of a union, enums, patterns (the whole value must match),
    lengths of strings, lists, maps and blobs, ranges of numbers.
    """
    if value is None or _is_document(shape):
        return
    if isinstance(shape, StructureShape):
        yield from _structure_violations(shape, value, path)
        return
    if isinstance(shape, ListShape):
        yield from _size_violations(shape, value, path)
        for index, item in enumerate(value, 1):
            yield from violations(shape.member, item, _join(path, f"{index}.member"))
    elif isinstance(shape, MapShape):
        yield from _size_violations(shape, value, path)
        for key, item in value.items():
            yield from violations(shape.key, key, _join(path, "key"))
            yield from violations(shape.value, item, _join(path, f"{key}.value"))
    elif isinstance(value, str):
        yield from _string_violations(shape, value, path)
    elif isinstance(value, bytes):
        yield from _size_violations(shape, value, path)
    elif not isinstance(value, bool) and shape.type_name != "timestamp":
        yield from _range_violations(shape, value, path)


def _structure_violations(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    if shape.is_tagged_union and len(value) != 1:
        yield _sentence(shape, value, path, "Exactly one member of the union must be set")
    for name, member in shape.members.items():
        yield from violations(member, value.get(name), _join(path, name))


def _size_violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is not None and len(value) < minimum:
        yield _sentence(shape, value, path, f"Member must have length greater than or equal to {minimum}")
    if maximum is not None and len(value) > maximum:
        yield _sentence(shape, value, path, f"Member must have length less than or equal to {maximum}")


def _range_violations(shape: Shape, value: float, path: str) -> Iterator[str]:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is not None and value < minimum:
        yield _sentence(shape, value, path, f"Member must have value greater than or equal to {minimum}")
    if maximum is not None and value > maximum:
        yield _sentence(shape, value, path, f"Member must have value less than or equal to {maximum}")


def _string_violations(shape: Shape, value: str, path: str) -> Iterator[str]:
    too_long_or_short = list(_size_violations(shape, value, path))
    yield from too_long_or_short
    enum = getattr(shape, "enum", [])
    if enum and value not in enum and value not in ACCEPTED_BEYOND_ENUM.get(shape.name, ()):
        yield _sentence(shape, value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    # A value beyond its length limit is refused already; matching it could take long.
    if pattern and not too_long_or_short and not _compiled(pattern).fullmatch(value):
        yield _sentence(shape, value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _sentence(shape: Shape, value: Any, path: str, constraint: str) -> str:
    shown = "" if shape.metadata.get("sensitive") else f" '{str(value)[:200]}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"
