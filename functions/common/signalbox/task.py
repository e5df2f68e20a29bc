"""The task spec: what is to be distilled, into what, and how good it has to be."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from signalbox.customization import LIMITS, RESERVED_WORDS_SOURCE, Customization, Limits
from signalbox.spec import ModelId, Section, Share, TaskError, distinct, line_of, read_spec

NAME_PATTERN = r"[a-z0-9]+(-[a-z0-9]+)*"
NAME_LENGTH = 24
MAX_PROMPT = 8000
"""Characters: half of what a line of a dataset may have, in which it stands beside query and answer."""
RESERVED_SIGNALS = {"reasoning"}

Candidate = Literal["embedded", "bedrock"]
Tier = Literal["bedrock", "embedded", "baseline", "prior"]


def is_task_name(text: str) -> bool:
    """Tell whether a task can be named so."""
    return len(text) <= NAME_LENGTH and re.fullmatch(NAME_PATTERN, text) is not None


class Weights(Section):
    """The answer is one weight in [0, 1] for each signal; they sum to 1."""

    signals: tuple[str, ...] = Field(alias="weights", min_length=2, max_length=50)

    @field_validator("signals")
    @classmethod
    def _usable_as_keys(cls, signals: tuple[str, ...]) -> tuple[str, ...]:
        for signal in signals:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", signal) or signal in RESERVED_SIGNALS:
                raise ValueError(
                    f"{signal!r} cannot name a signal: use letters, digits, _ and -, at most 40, not 'reasoning'"
                )
        return distinct(signals)


class Labels(Section):
    """The answer is one of these labels."""

    labels: tuple[str, ...] = Field(min_length=2, max_length=1000)

    @field_validator("labels")
    @classmethod
    def _usable_as_answers(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if not label or label != label.strip() or len(label) > 100:
                raise ValueError(f"{label!r} cannot be a label: 1 to 100 characters, no space at either end")
        return distinct(labels)


class Compare(Section):
    """Models asked beside the students: the student before customization, and what it should match."""

    base: ModelId | None = None
    baseline: ModelId | None = None


class Judge(Section):
    """The model that grades answers in Bedrock evaluation jobs, one a candidate.

    `grade` says whose: those of all candidates, or only those of the one that would answer first, which alone the
    gates ask about. A job that fails, or has no results after `patience.judge_hours`, leaves the model without a
    grade; unless one is `required`, the gates then decide on what was measured without the judge.
    """

    model: ModelId
    rubric: Literal["OverallQuality"] = "OverallQuality"
    required: bool = True
    grade: Literal["all", "first"] = "all"


class Patience(Section):
    """How many hours Bedrock may take: for the customization job, for the deployment, for the judge, for a comparison.

    After the first two a run is called stalled, and after twice as long it fails. The others are not waited for any
    longer: the judge's jobs that are late are stopped, and leave their candidates without a grade; the base model, the
    baseline or the live model, if it cannot be asked for so long, is not compared. The last two are people's: how long
    after a release was asked for they are reminded of it, once, and how long after that the run ends.
    """

    training_hours: float = Field(default=24, gt=0, le=720)
    deployment_hours: float = Field(default=1, gt=0, le=72)
    judge_hours: float = Field(default=6, gt=0, le=72)
    comparison_hours: float = Field(default=1, gt=0, le=72)
    release_hours: float = Field(default=24, gt=0, le=720)
    release_end_hours: float = Field(default=336, gt=0, le=8760)

    @property
    def fault(self) -> str:
        """Why no spec may say so, "" if it may. Whatever an older version has accepted with it is still read."""
        if self.release_end_hours > self.release_hours:
            return ""
        return (
            f"patience.release_end_hours ({self.release_end_hours:g}) must be more than patience.release_hours "
            f"({self.release_hours:g}), or a run ends before people are reminded that it awaits them"
        )


class Unsure(Section):
    """When the embedded student's answer is not good enough if a language model can be asked instead.

    `familiarity` is the share of ordinary queries that look at least as strange as this one; `confidence` is
    the probability of the label, for tasks with labels.
    """

    familiarity: Share = 0.02
    confidence: Share = 0.0


class Serve(Section):
    """In which order the router asks, how long it may take altogether, and how long it remembers.

    `deadlines_ms` gives a tier less than what is left of the budget. With `unsure`, an embedded student that
    comes first hands unfamiliar queries on to the tiers after it, and answers them only if those fail.
    For `rollback_hours` after a promotion an alarm of the router's takes it back.
    """

    order: tuple[Tier, ...] = ("bedrock", "embedded", "baseline", "prior")
    budget_ms: int = Field(default=2000, ge=50, le=5000)
    deadlines_ms: dict[Literal["bedrock", "baseline"], Annotated[int, Field(ge=10, le=5000)]] = Field(
        default={}
    )
    unsure: Unsure | None = None
    cache_seconds: int = Field(default=300, ge=0, le=86_400)
    rollback_hours: int = Field(default=24, ge=0, le=168)

    @field_validator("order")
    @classmethod
    def _ends_with_what_cannot_fail(cls, order: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if not order or order[-1] != "prior":
            raise ValueError("must end with 'prior', the tier that cannot fail")
        return distinct(order)


class Gates(Section):
    """What the model that would answer first must reach on the golden set before it goes live.

    `mae`, `within_010`, `dominant_share` and `rubric` apply to weights, `accuracy` and `macro_f1` to labels; `judge`
    is the mean score of the judge from 1 to 5; `latency_p95_ms` that of queries asked alone; `cost_per_1000_queries`
    in US dollars; `min_golden` the fewest golden queries; `not_worse_than_live` is how much worse than the live model
    the mean absolute error (or the accuracy) may be, on the new golden set and on that of the live run.
    """

    min_golden: int = Field(default=20, ge=20, le=100_000)
    valid_share: Share = 0.99
    mae: Share | None = None
    within_010: Share | None = None
    dominant_share: Share | None = None
    rubric: float | None = Field(default=None, ge=1, le=5)
    accuracy: Share | None = None
    macro_f1: Share | None = None
    judge: float | None = Field(default=None, ge=1, le=5)
    latency_p95_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    cost_per_1000_queries: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    not_worse_than_live: Share | None = 0.01


class Dataset(Section):
    """What a dataset of this task may look like.

    `personal_data` says what becomes of e-mail addresses, phone numbers and the like in it: they are reported
    (`warn`), replaced by their kind (`mask`), or the dataset is rejected. `budget_usd` is what a customization job
    may cost; one that may cost more, or of which nobody knows, waits until a person releases it, and with 0 every one
    does. `max_constant_share` is the greatest share of the labelled
    records that may have one and the same answer, from which nothing can be learnt. `label` says whether the teacher
    answers records that have no answer, before the run goes on: all of them (`true`), none (`false`), or all if the
    embedded student could not learn without (`auto`). It is paid for beside the customization job, so nothing is
    labelled unless the task says so, nor beyond `budget_usd` before a person releases it.
    """

    max_invalid_share: float = Field(default=0.02, ge=0, le=0.5)
    max_constant_share: float = Field(default=0.95, gt=0, le=1)
    golden_share: float = Field(default=0.15, gt=0, le=0.5)
    max_golden: int = Field(default=200, ge=20, le=1000)
    personal_data: Literal["warn", "mask", "reject"] = "warn"
    label: bool | Literal["auto"] = False
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Deployment(Section):
    """How the custom model is deployed: on demand, paid by the token, or provisioned, paid by the hour, used or not.

    `model_units` and `commitment` are those of Bedrock's provisioned throughput, which a person has to release for each
    run. `usd_per_unit_hour` is what AWS has told the team that an hour of a unit costs, for which no list price is
    published; without it what it costs is said to be unknown.
    """

    type: Literal["on_demand", "provisioned"] = "on_demand"
    model_units: int = Field(default=1, ge=1, le=1000)
    commitment: Literal["none", "one_month", "six_months"] = "none"
    usd_per_unit_hour: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "on_demand" and (self.model_units, self.commitment) != (1, "none"):
            raise ValueError(
                "model_units and commitment are of provisioned throughput: say type: provisioned"
            )
        return self

    @property
    def units(self) -> str:
        """Return how much of what is bought, in words."""
        term = {"none": "without commitment", "one_month": "for one month", "six_months": "for six months"}
        plural = "" if self.model_units == 1 else "s"
        return f"{self.model_units} model unit{plural} {term[self.commitment]}"


class Retention(Section):
    """How many of a task's ended runs, the newest, keep what they made, besides the live one and the one before it.

    Their deployments, so that a person can still promote them; their custom models; their objects and items. And how
    many generations keep their objects and items, besides those of these two runs' datasets.
    """

    deployments: int = Field(default=2, ge=0, le=100)
    models: int = Field(default=3, ge=0, le=100)
    runs: int = Field(default=20, ge=0, le=1000)
    generations: int = Field(default=20, ge=0, le=1000)


class Task(Section):
    """A task spec as uploaded to tasks/<task>/task.yaml; see docs/task-spec.md for each key."""

    model_config = ConfigDict(defer_build=False)

    name: str = Field(max_length=NAME_LENGTH)
    output: Weights | Labels
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    teacher_prompt: str = ""
    customization: Customization | None = None
    candidates: tuple[Candidate, ...] = ("embedded", "bedrock")
    compare: Compare = Compare()
    judge: Judge | None = None
    serve: Serve = Serve()
    gates: Gates = Gates()
    dataset: Dataset = Dataset()
    patience: Patience = Patience()
    deployment: Deployment = Deployment()
    retention: Retention = Retention()

    @field_validator("name")
    @classmethod
    def _usable_in_names(cls, name: str) -> str:
        # Job, model and deployment names derive from it; a custom model's name allows no doubled dash.
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(
                f"{name!r} must be lower-case letters and digits, with single dashes between them"
            )
        return name

    @field_validator("output", mode="before")
    @classmethod
    def _one_kind_of_output(cls, output: Any) -> Any:
        if isinstance(output, dict) and set(output) == {"weights"}:
            return Weights.model_validate(output)
        if isinstance(output, dict) and set(output) == {"labels"}:
            return Labels.model_validate(output)
        if isinstance(output, Weights | Labels):
            return output
        raise ValueError("must be either {weights: [signal, ...]} or {labels: [label, ...]}")

    @field_validator("candidates")
    @classmethod
    def _some_candidate(cls, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        if not candidates:
            raise ValueError("name at least one of embedded, bedrock")
        return distinct(candidates)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "bedrock" in self.candidates and self.customization is None:
            raise ValueError(
                "candidates has bedrock, so customization must say which student Bedrock makes, and how"
            )
        if word := self.limits.reserved_word(self.prompt):
            raise ValueError(f"prompt has {word!r}, on which the job would fail ({RESERVED_WORDS_SOURCE})")
        if self.dataset.label and (self.customization is None or self.customization.teacher is None):
            raise ValueError("dataset.label needs customization.teacher, which is asked")
        tiers = [tier for tier in self.serve.order if tier == "baseline" or tier in self.candidates]
        if not tiers or tiers[0] == "baseline":
            raise ValueError("serve.order must name one of the candidates, and before the baseline")
        if self.deployment.type == "provisioned":
            self._check_provisioned()
        wrong = (
            {"accuracy", "macro_f1"}
            if isinstance(self.output, Weights)
            else {"mae", "within_010", "dominant_share", "rubric"}
        )
        for gate in sorted(wrong):
            if getattr(self.gates, gate) is not None:
                raise ValueError(f"gates.{gate} does not apply to a task whose output is {self.output_kind}")
        return self

    def _check_provisioned(self) -> None:
        if "bedrock" not in self.candidates:
            raise ValueError("deployment.type is provisioned, so candidates must have bedrock")
        if self.gates.cost_per_1000_queries is not None and self.first_served == "bedrock":
            raise ValueError(
                "gates.cost_per_1000_queries cannot be applied to provisioned throughput, which is paid by the hour"
            )

    @property
    def output_kind(self) -> Literal["weights", "labels"]:
        """Which of the two kinds of answer the task asks for."""
        return "weights" if isinstance(self.output, Weights) else "labels"

    @property
    def job(self) -> Customization | None:
        """The customization job that a run of the task starts; None if no candidate is Bedrock's."""
        return self.customization if "bedrock" in self.candidates else None

    @property
    def limits(self) -> Limits:
        """What a dataset must be like for the task's customization job, or without one, for its embedded student."""
        return self.job.limits if self.job else LIMITS["DISTILLATION"]

    @property
    def first_served(self) -> Candidate:
        """The candidate that would answer first, hence the one that the gates are applied to."""
        return next(tier for tier in self.serve.order if tier in self.candidates)

    @classmethod
    def from_yaml(cls, text: str | bytes, source: str = "task.yaml") -> "Task":
        """Read a task spec.

        Raises
        ------
        TaskError
            With the line, the field and the reason of each fault.
        """
        task = read_spec(cls, text, source)
        if fault := task.patience.fault:
            line = line_of(text, ("patience", "release_end_hours"))
            raise TaskError(source, [f"line {line}: {fault}"])
        return task

    def to_json(self) -> str:
        """Write the spec for a run's prefix; `Task.model_validate_json` reads it."""
        return self.model_dump_json(by_alias=True, indent=2)
