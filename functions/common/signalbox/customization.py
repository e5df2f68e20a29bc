"""How Bedrock makes the student: the part of a task spec from which a customization job is started.

Sources, read 2026-11-21: Amazon Bedrock user guide, "Custom model hyperparameters", "Prerequisites for model
distillation", "Prepare data for Amazon Nova models" (reinforcement fine-tuning) and the quotas in the AWS general
reference; Amazon Nova user guide, "Preparing data for fine-tuning understanding models"; the service model of the
Bedrock API for RFTHyperParameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from signalbox.spec import ModelId, Section, Share

Type = Literal["DISTILLATION", "FINE_TUNING", "REINFORCEMENT_FINE_TUNING"]

MADE: dict[Type, str] = {
    "DISTILLATION": "distilled",
    "FINE_TUNING": "fine-tuned",
    "REINFORCEMENT_FINE_TUNING": "reinforcement fine-tuned",
}
"""What a model is called that a job of each type has made."""

HYPERPARAMETERS_PAGE = "Amazon Bedrock user guide, 'Custom model hyperparameters', for Amazon Nova"
REINFORCEMENT_PAGE = "Amazon Bedrock API reference, RFTHyperParameters"

DEFAULT_EPOCHS, MOST_EPOCHS = 2, 5
"""Of fine-tuning Amazon Nova, if the task does not say, and at most ('Custom model hyperparameters', epochCount)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a customization job takes.

    Attributes
    ----------
    least, most : int
        Records to train on; `most` with those of a validation set.
    labelled : bool
        Whether every record needs an answer.
    reserved_words : tuple[str, ...]
        Texts that may stand nowhere in a record, nor in the prompt.
    source : str
        Where AWS says so.
    """

    least: int
    most: int
    labelled: bool
    reserved_words: tuple[str, ...]
    source: str


RESERVED_WORDS = (
    *("User:", "Bot:", "Assistant:", "System:", "<image>", "<video>", "[EOS]"),
    *("USER:", "BOT:", "ASSISTANT:", "SYSTEM:", "Thought:"),
)
"""Texts on which a fine-tuning job of Amazon Nova fails.

The first seven are documented (Amazon Nova user guide, "Preparing data for fine-tuning understanding models", for user
and system texts); the others are what AWS's own validator refuses besides, in any text (aws-samples/
amazon-bedrock-samples, nova_ft_dataset_validator.py).
"""

LIMITS: dict[Type, Limits] = {
    "DISTILLATION": Limits(
        100, 15_000, False, (), "AWS general reference, Amazon Bedrock quotas, prompts of a distillation job"
    ),
    "FINE_TUNING": Limits(
        8, 20_000, True, RESERVED_WORDS, "Amazon Nova user guide, 'Fine-tuning Amazon Nova models'"
    ),
    "REINFORCEMENT_FINE_TUNING": Limits(
        100, 20_000, True, (), "Amazon Bedrock user guide, 'Prepare data for Amazon Nova models'"
    ),
}
"""What a job of each type takes. That a reinforcement job's records are labelled is this app's own demand: its reward
compares an answer with the record's."""


def _number(kind: type[int] | type[float], least: float, most: float, page: str) -> Callable[[Any], Any]:
    """Return a check that a value is a number within documented bounds; the error says whose bounds they are."""
    form = "a whole number" if kind is int else "a number"
    wanted = f"must be {form} from {least:.10g} to {most:.10g} ({page})"

    def check(value: Any) -> int | float | None:
        if value is None:  # not given
            return None
        try:
            number = (
                float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
            )
        except ValueError:
            number = None
        if number is None or not least <= number <= most or number != kind(number):
            raise ValueError(f"{wanted}, not {value!r:.40}")
        return kind(number)

    return check


class FineTuningHyperparameters(Section):
    """What a fine-tuning job of Amazon Nova takes, each under Bedrock's own name; no batchSize."""

    epoch_count: Annotated[
        int | None, BeforeValidator(_number(int, 1, MOST_EPOCHS, HYPERPARAMETERS_PAGE))
    ] = Field(default=None, alias="epochCount")
    learning_rate: Annotated[
        float | None, BeforeValidator(_number(float, 1e-6, 1e-4, HYPERPARAMETERS_PAGE))
    ] = Field(default=None, alias="learningRate")
    learning_rate_warmup_steps: Annotated[
        int | None, BeforeValidator(_number(int, 0, 100, HYPERPARAMETERS_PAGE))
    ] = Field(default=None, alias="learningRateWarmupSteps")

    def as_texts(self) -> dict[str, str]:
        """Return those given as CreateModelCustomizationJob takes them: texts, numbers without an exponent."""
        given = self.model_dump(by_alias=True, exclude_none=True)
        return {name: f"{Decimal(repr(value)):f}" for name, value in given.items()}


class ReinforcementHyperparameters(Section):
    """What a reinforcement fine-tuning job takes, each under Bedrock's own name.

    For maxPromptLength and inferenceMaxTokens, in tokens, no bounds are documented but that they are whole numbers;
    they are held to the 32,000 tokens of context in which Amazon Nova is customized.
    """

    epoch_count: Annotated[int | None, BeforeValidator(_number(int, 1, 50, REINFORCEMENT_PAGE))] = Field(
        default=None, alias="epochCount"
    )
    batch_size: Annotated[int | None, BeforeValidator(_number(int, 16, 512, REINFORCEMENT_PAGE))] = Field(
        default=None, alias="batchSize"
    )
    learning_rate: Annotated[
        float | None, BeforeValidator(_number(float, 1e-7, 1e-3, REINFORCEMENT_PAGE))
    ] = Field(default=None, alias="learningRate")
    max_prompt_length: Annotated[int | None, Field(ge=1, le=32_000)] = Field(
        default=None, alias="maxPromptLength"
    )
    training_samples_per_prompt: Annotated[
        int | None, BeforeValidator(_number(int, 2, 16, REINFORCEMENT_PAGE))
    ] = Field(default=None, alias="trainingSamplePerPrompt")
    inference_max_tokens: Annotated[int | None, Field(ge=1, le=32_000)] = Field(
        default=None, alias="inferenceMaxTokens"
    )
    reasoning_effort: Literal["low", "medium", "high"] | None = Field(default=None, alias="reasoningEffort")
    eval_interval: Annotated[int | None, BeforeValidator(_number(int, 1, 100, REINFORCEMENT_PAGE))] = Field(
        default=None, alias="evalInterval"
    )


class _Job(Section):
    """What every type needs: the model that is customized, and the most tokens of an answer."""

    type: Type
    student: ModelId
    max_response_tokens: int = Field(default=200, ge=1, le=5000)
    hyperparameters: Any

    @property
    def given(self) -> dict[str, Any]:
        """The hyperparameters that the task names, under Bedrock's own names."""
        return self.model_dump(by_alias=True, exclude_none=True)["hyperparameters"]

    @property
    def result(self) -> str:
        """What the custom model is called beside others: never by the bare id of the student, which is another."""
        return f"{self.student} ({MADE[self.type]})"


class Distillation(_Job):
    """The student learns from what the teacher answers, at Bedrock."""

    type: Literal["DISTILLATION"] = "DISTILLATION"
    teacher: ModelId
    hyperparameters: dict[str, Any] = Field(default={})

    @field_validator("hyperparameters")
    @classmethod
    def _none_are_documented(cls, given: dict[str, Any]) -> dict[str, Any]:
        if given:
            raise ValueError(
                f"a distillation job takes none ({HYPERPARAMETERS_PAGE.partition(', for')[0]}), so not "
                f"{', '.join(map(str, given))}; type: FINE_TUNING does"
            )
        return given


class Tuning(_Job):
    """What both types need whose student learns from labelled records alone.

    Attributes
    ----------
    teacher : ModelId | None
        Labels queries for a generation request; the job itself needs none.
    validation_share : float
        Share of the records that are kept back as the validation set, unless one was uploaded with the task.
    """

    teacher: ModelId | None = None
    validation_share: Annotated[Share, Field(le=0.5)] = 0.1


class FineTuning(Tuning):
    """The student learns to answer as the records do."""

    type: Literal["FINE_TUNING"] = "FINE_TUNING"
    hyperparameters: FineTuningHyperparameters = Field(default_factory=FineTuningHyperparameters)


class ReinforcementFineTuning(Tuning):
    """The student learns from how a reward function grades its answers."""

    type: Literal["REINFORCEMENT_FINE_TUNING"] = "REINFORCEMENT_FINE_TUNING"
    hyperparameters: ReinforcementHyperparameters = Field(default_factory=ReinforcementHyperparameters)

    @field_validator("hyperparameters")
    @classmethod
    def _samples_what_is_served(
        cls, given: ReinforcementHyperparameters, info: ValidationInfo
    ) -> ReinforcementHyperparameters:
        most = info.data.get("max_response_tokens")  # missing if it is at fault itself
        if most and given.inference_max_tokens and given.inference_max_tokens > most:
            raise ValueError(
                f"inferenceMaxTokens: {given.inference_max_tokens} is more than max_response_tokens ({most}), where "
                "the evaluation and the router cut an answer: what is longer would earn a reward and be of no use"
            )
        return given


def _type_of(section: Any) -> str | None:
    named = (
        section.get("type", "DISTILLATION") if isinstance(section, dict) else getattr(section, "type", None)
    )
    return named if isinstance(named, str) else None


Customization = Annotated[
    Annotated[Distillation, Tag("DISTILLATION")]
    | Annotated[FineTuning, Tag("FINE_TUNING")]
    | Annotated[ReinforcementFineTuning, Tag("REINFORCEMENT_FINE_TUNING")],
    Discriminator(
        _type_of,
        custom_error_type="customization_type",
        custom_error_message=f"type must be {', '.join(list(MADE)[:-1])} or {list(MADE)[-1]}",
    ),
]
"""How Bedrock makes the student; a spec that names no type means DISTILLATION."""
