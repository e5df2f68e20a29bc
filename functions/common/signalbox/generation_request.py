"""A generation request: which queries are to be made for a task, how they are labelled and balanced."""

import re
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from signalbox.query import MAX_QUERY_CHARACTERS
from signalbox.spec import Section, Share, TaskError, line_of, read_spec
from signalbox.task import Labels, Task

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Phrase = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=5000)]
_SLOT = re.compile(r"[a-z][a-z0-9_]*")


class Template(Section):
    """A query with slots, such as "{sound} in a {place}".

    Attributes
    ----------
    leads : str
        The signal or label that its queries are expected to be about, "" if that is open. It decides how many of
        them are made, never how they are labelled.
    """

    text: Phrase
    leads: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_a_text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @field_validator("text")
    @classmethod
    def _readable(cls, text: str) -> str:
        try:
            fields = [entry[1:] for entry in Formatter().parse(text) if entry[1] is not None]
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}; write a brace that is meant as one twice") from error
        for name, form, conversion in fields:
            if not _SLOT.fullmatch(name) or form or conversion:
                raise ValueError(
                    f"{text!r}: a slot is a name of lower-case letters in braces, like {{place}}"
                )
        return text

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots of its text, each once, in the order in which they stand there."""
        return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(self.text) if name))


class Labelling(Section):
    """How the teacher is asked.

    `samples` answers are asked for each query; of several the mean is kept (or the majority), and a query whose
    answers differ by more than `most_disagreement` is dropped: the mean absolute difference of a weight between two
    of them, or the share of pairs of different labels. By `batch`, `converse`, or what suits the number (`auto`).
    What may cost more than `budget_usd`, the writing of queries included, is rejected before it costs anything.
    """

    samples: int = Field(default=1, ge=1, le=9)
    temperature: float | None = Field(default=None, ge=0, le=1)
    most_disagreement: Share = 0.1
    mode: Literal["auto", "batch", "converse"] = "auto"
    budget_usd: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def asked_at(self) -> float:
        """The temperature: 0 for one answer; answers that are to be compared must be able to differ."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else 0.7


class GenerationRequest(Section):
    """A request as uploaded to requests/<task>/<name>.yaml; see docs/generation.md for each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=1)
    seed: int = Field(default=1, ge=0, le=2**32)
    templates: tuple[Template, ...] = Field(default=(), max_length=2000)
    slots: dict[str, Annotated[Phrases, Field(min_length=1)]] = Field(default={}, max_length=500)
    queries: str = ""
    description: Annotated[str, Field(max_length=8000)] = ""
    seeds: Phrases = ()
    levels: tuple[Text, ...] = Field(default=(), max_length=20)
    edge_cases: tuple[Text, ...] = Field(default=(), max_length=50)
    languages: tuple[Text, ...] = Field(default=(), max_length=50)
    surplus: float = Field(default=0.25, ge=0, le=3)
    balance: Literal["even"] | dict[str, Share] | None = None
    labelling: Labelling = Labelling()

    @field_validator("queries")
    @classmethod
    def _beside_the_request(cls, name: str) -> str:
        if name and not re.fullmatch(NAME + r"\.(txt|jsonl)", name):
            raise ValueError("must name a .txt or .jsonl file that lies beside the request")
        return name

    @field_validator("balance")
    @classmethod
    def _whole(cls, balance: Any) -> Any:
        if isinstance(balance, dict) and abs(sum(balance.values()) - 1) > 0.001:
            raise ValueError(f"the shares sum to {sum(balance.values()):.4g}, not to 1")
        return balance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.templates or self.queries or self.asks_the_teacher):
            raise ValueError(
                "name at least one source of queries: templates, queries (a file), seeds or description"
            )
        if (self.levels or self.edge_cases or self.languages) and not self.asks_the_teacher:
            raise ValueError(
                "levels, edge_cases and languages are for the teacher: give it seeds or a description"
            )
        used = {slot for template in self.templates for slot in template.slots}
        if missing := sorted(used - set(self.slots)):
            raise ValueError(f"slots has no phrases for {', '.join(missing)}")
        if unused := sorted(set(self.slots) - used):
            raise ValueError(f"no template has the slots {', '.join(unused)}")
        return self

    @property
    def asks_the_teacher(self) -> bool:
        """Whether the teacher is to think of queries."""
        return bool(self.seeds or self.description)

    def target(self, task: Task) -> dict[str, float]:
        """Return the share of the dataset that each signal or label is to lead in; {} if that is left open."""
        if self.balance == "even":
            names = names_of(task)
            return dict.fromkeys(names, 1 / len(names))
        return dict(self.balance or {})

    @classmethod
    def from_yaml(cls, text: str | bytes, task: Task, source: str) -> "GenerationRequest":
        """Read a request for a task.

        Raises
        ------
        TaskError
            With the line, the field and the reason of each fault.
        """
        request = read_spec(cls, text, source)
        names = set(names_of(task))
        faults = [
            f"templates.{number}.leads: {template.leads!r} is no signal or label of {task.name}"
            for number, template in enumerate(request.templates)
            if template.leads and template.leads not in names
        ]
        if unknown := sorted(set(request.target(task)) - names):
            faults.append(f"balance: {', '.join(map(repr, unknown))}: no signal or label of {task.name}")
        if task.customization is None or task.customization.teacher is None:
            faults.append(f"task {task.name} has no customization.teacher, which names the teacher to ask")
        if not task.limits.least <= request.count <= task.limits.most:
            faults.append(
                f"line {line_of(text, ('count',))}: count: must be {task.limits.least:,} to {task.limits.most:,} "
                f"({task.limits.source}), not {request.count:,}"
            )
        if faults:
            raise TaskError(source, faults)
        return request


def names_of(task: Task) -> tuple[str, ...]:
    """Return the signals or the labels of a task."""
    return task.output.labels if isinstance(task.output, Labels) else task.output.signals
