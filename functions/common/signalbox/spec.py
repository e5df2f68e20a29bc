"""A spec that a person writes in YAML: its sections, and its faults with line, field and reason."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_SPEC_LENGTH = 256 * 1024
MAX_SPEC_PARTS = 10_000
_EXCESS = f"a spec may have no aliases (*name), which can unfold without end, and {MAX_SPEC_PARTS:,} keys and values"

_TAGS = frozenset({"Weights", "Labels", "DISTILLATION", "FINE_TUNING", "REINFORCEMENT_FINE_TUNING"})
"""In pydantic's path to a fault these name the kind of a section, and are no keys of the document."""

Share = Annotated[float, Field(ge=0, le=1)]
ModelId = Annotated[str, Field(min_length=1, max_length=2048)]
Spec = TypeVar("Spec", bound=BaseModel)


class TaskError(ValueError):
    """A task spec cannot be used; `problems` says of each fault where it is and what to do."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__(f"{source}: " + "; ".join(problems))
        self.source = source
        self.problems = problems


class Section(BaseModel):
    """A part of a spec: a key that it does not know is a fault."""

    # Most schemas are built as a part of the task's; the router waits for each that is built by itself at its start.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


def read_spec(model: type[Spec], text: str | bytes, source: str) -> Spec:
    """Read a YAML document that a person wrote.

    Parameters
    ----------
    source : str
        Names the document in what is said of its faults.

    Raises
    ------
    TaskError
        With the line, the field and the reason of each fault.
    """
    import yaml  # not at import: the route reads its task from the live pointer, as JSON

    if len(text) > MAX_SPEC_LENGTH:
        raise TaskError(source, [f"has {len(text):,} bytes; at most {MAX_SPEC_LENGTH:,} are read"])
    try:
        for number, part in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
            if isinstance(part, yaml.AliasEvent) or number > MAX_SPEC_PARTS:
                raise TaskError(source, [f"line {part.start_mark.line + 1}: {_EXCESS}"])
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TaskError(source, [f"not YAML: {' '.join(str(error).split())}"]) from error
    except UnicodeDecodeError as error:
        raise TaskError(source, [f"not UTF-8 at byte {error.start}"]) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # a scalar that is no date though it looks like one, say
        raise TaskError(source, [f"not YAML: {error}"]) from error
    if not isinstance(content, dict):
        raise TaskError(source, ["line 1: a mapping of keys to values is expected"])
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise TaskError(source, [_fault(fault, node) for fault in error.errors()]) from error


def line_of(text: str | bytes, path: tuple[str, ...]) -> int:
    """Return the line, counted from 1, of the deepest key of `path` that a YAML document has."""
    import yaml

    return _line(yaml.compose(text, Loader=yaml.CSafeLoader), list(path))


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values of a list that a person wrote, in which none may stand twice.

    Raises
    ------
    ValueError
        Naming those that do.
    """
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} named more than once")
    return values


def _fault(fault: Any, node: Any) -> str:
    """Say of one of pydantic's errors on which line it is, in which field, and why."""
    path = [part for part in fault["loc"] if part not in _TAGS]
    field = ".".join(str(part) for part in path)
    reason = {
        "extra_forbidden": "unknown key; check its spelling and indentation",
        "missing": "is missing",
    }.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"line {_line(node, path)}: " + (f"{field}: {reason}" if field else reason)


def _line(node: Any, path: list[Any]) -> int:
    """Find the line of the deepest key of `path` that the YAML document has, counted from 1."""
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        pair = next((pair for pair in node.value if isinstance(pair, tuple) and pair[0].value == part), None)
        if pair is None:
            break
        line = pair[0].start_mark.line + 1
        node = pair[1]
    return line
