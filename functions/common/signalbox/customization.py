"""How Bedrock makes the student: the part of a task spec from which a customization job is started.

Sources, read 2026-11-21: Amazon Bedrock user guide, "Custom model hyperparameters", "Prerequisites for model
distillation", "Prepare data for Amazon Nova models" (reinforcement fine-tuning) and the quotas in the AWS general
reference; Amazon Nova user guide, "Preparing data for fine-tuning understanding models"; the service model of the
Bedrock API for RFTHyperParameters; AWS's own validator of datasets for Amazon Nova, nova_ft_dataset_validator.py.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
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
TOKENS_PAGE = "assumed, by the Amazon Nova 2 user guide, 'Reasoning model evaluation', max_new_tokens"

DEFAULT_EPOCHS, MOST_EPOCHS = 2, 5
"""Of fine-tuning Amazon Nova, if the task does not say, and at most ('Custom model hyperparameters', epochCount)."""

MOST_RESPONSE_TOKENS = 5000
"""Of an answer: what Nova Micro, Lite and Pro write at most (their model cards, "Max output tokens", 5K)."""

NOVA_2_LITE = "amazon.nova-2-lite-v1:0"
STAND_IN_NOVA_2_LITE = "local.student-2"
"""The model of one machine that keeps Nova 2 Lite's limits, where these differ from the other models'."""

VALIDATOR = "aws-samples/amazon-bedrock-samples, nova_ft_dataset_validator.py"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a customization job takes.

    Attributes
    ----------
    least, most : int
        Records to train on; `most` with those of a validation set.
    source : str
        Where AWS says so.
    labelled : str
        Who says that every record needs an answer; "" if none does.
    reserved_words : tuple[str, ...]
        Texts that may stand nowhere in a query nor in the prompt, in upper or lower case.
    answers_are_text : bool
        Whether answers are texts that are trained on, so that no reserved word may stand in them either.
    no_validation_set : str
        Who says that the job takes no validation set; "" if it takes one.
    """

    least: int
    most: int
    source: str
    labelled: str = ""
    reserved_words: tuple[str, ...] = ()
    answers_are_text: bool = True
    no_validation_set: str = ""

    def reserved_word(self, text: str) -> str:
        """Return the reserved word that a text has, or "" if it has none."""
        lowered = text.lower()
        return next((word for word in self.reserved_words if word.lower() in lowered), "")


RESERVED_WORDS = (
    *("User:", "Bot:", "Assistant:", "System:", "Thought:"),
    *("<image>", "<video>", "<unk>", "[EOS]"),
)
"""Texts on which a tuning job of Amazon Nova fails.

Documented are all but `Thought:` and `<unk>` (Amazon Nova user guide, "Preparing data for fine-tuning understanding
models", for user and system texts). AWS's own validator lists those two besides, and looks for its words in every text,
that of reinforcement records included, in upper and lower case: in "the user: a clip" as well.
"""

RESERVED_WORDS_SOURCE = (
    f"{VALIDATOR}; Amazon Nova user guide, 'Preparing data for fine-tuning understanding models'"
)

_TUNING_SOURCE = "Amazon Nova user guide, 'Fine-tuning Amazon Nova models'"

LIMITS: dict[Type, Limits] = {
    "DISTILLATION": Limits(
        100, 15_000, "AWS general reference, Amazon Bedrock quotas, prompts of a distillation job"
    ),
    "FINE_TUNING": Limits(8, 20_000, _TUNING_SOURCE, labelled=_TUNING_SOURCE, reserved_words=RESERVED_WORDS),
    "REINFORCEMENT_FINE_TUNING": Limits(
        100,
        20_000,
        "Amazon Bedrock user guide, 'Prepare data for Amazon Nova models' and 'Fine-tune Amazon Nova models with "
        "reinforcement fine-tuning'",
        labelled="this app's own demand: its reward compares an answer with the record's",
        reserved_words=RESERVED_WORDS,
        answers_are_text=False,
    ),
}
"""What a job of each type takes; of Nova 2 Lite see `limits_of`."""

_LIMITS_OF_NOVA_2_LITE = replace(
    LIMITS["FINE_TUNING"], least=200, source=f"{VALIDATOR}, for Nova 2 Lite", no_validation_set=VALIDATOR
)
"""What a fine-tuning job of Nova 2 Lite takes.

The guide says that 8 records are the least and 200 recommended; AWS's validator refuses fewer than 200. It says, too,
that "Nova 2.0 (lite-2.0) does not support a validation dataset", of reinforcement as well; but for that, Bedrock's user
guide has one ("Create and manage fine-tuning jobs for Amazon Nova models").
"""


def foundation_id(model_id: str) -> str:
    """Return the model behind an inference profile or a customization variant.

    `us.amazon.nova-pro-v1:0` is `amazon.nova-pro-v1:0`; `amazon.nova-micro-v1:0:128k` is `amazon.nova-micro-v1:0`.
    """
    bare = model_id.rpartition("/")[2]
    bare = re.sub(r"^(us-gov|us|eu|apac|global|jp|au|ca)\.", "", bare)
    return ":".join(bare.split(":")[:2])


def limits_of(kind: Type, student: str) -> Limits:
    """Return what a customization job takes, by its type and by the model that it customizes."""
    if kind == "FINE_TUNING" and foundation_id(student) in (NOVA_2_LITE, STAND_IN_NOVA_2_LITE):
        return _LIMITS_OF_NOVA_2_LITE
    return LIMITS[kind]


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
        except (ValueError, OverflowError):
            number = None
        if number is None or not least <= number <= most or number != kind(number):
            raise ValueError(f"{wanted}, not {_shown(value)}")
        return kind(number)

    return check


def _shown(value: Any) -> str:
    if (
        isinstance(value, int) and value.bit_length() > 1024
    ):  # beyond a float; Python may refuse to write it out
        return "a number of hundreds of digits"
    return f"{value!r:.40}"


def _no_reasoning(given: Any) -> None:
    if given is not None:
        raise ValueError(
            "is not taken: the router asks the student without reasoning (Converse without reasoningConfig), so what "
            "would be trained is not what answers"
        )


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

    For maxPromptLength and inferenceMaxTokens, in tokens, the API reference has no bounds but that they are whole
    numbers. That they end at 32,768 is an assumption: the most tokens of an answer in AWS's recipe for Nova 2 Lite
    (Amazon Nova 2 user guide, "Reasoning model evaluation", max_new_tokens).
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
    max_prompt_length: Annotated[int | None, BeforeValidator(_number(int, 1, 32_768, TOKENS_PAGE))] = Field(
        default=None, alias="maxPromptLength"
    )
    training_samples_per_prompt: Annotated[
        int | None, BeforeValidator(_number(int, 2, 16, REINFORCEMENT_PAGE))
    ] = Field(default=None, alias="trainingSamplePerPrompt")
    inference_max_tokens: Annotated[int | None, BeforeValidator(_number(int, 1, 32_768, TOKENS_PAGE))] = (
        Field(default=None, alias="inferenceMaxTokens")
    )
    reasoning_effort: Annotated[None, BeforeValidator(_no_reasoning)] = Field(
        default=None, alias="reasoningEffort"
    )
    eval_interval: Annotated[int | None, BeforeValidator(_number(int, 1, 100, REINFORCEMENT_PAGE))] = Field(
        default=None, alias="evalInterval"
    )


class _Job(Section):
    """What every type needs: the model that is customized, and the most tokens of an answer."""

    type: Type
    student: ModelId
    max_response_tokens: int = Field(default=200, ge=1, le=MOST_RESPONSE_TOKENS)
    hyperparameters: Any

    @property
    def given(self) -> dict[str, Any]:
        """The hyperparameters that the task names, under Bedrock's own names."""
        return self.model_dump(by_alias=True, exclude_none=True)["hyperparameters"]

    @property
    def limits(self) -> Limits:
        """What the job takes."""
        return limits_of(self.type, self.student)

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
    validation_share : float | None
        What the task says of `share_kept_back`.
    """

    teacher: ModelId | None = None
    validation_share: Annotated[Share, Field(le=0.5)] | None = None

    @property
    def share_kept_back(self) -> float:
        """Share of the records that are kept back as the validation set, unless one was uploaded with the task.

        A reinforcement job has none unless the task asks for it, as AWS's sources disagree on whether it may.
        """
        if self.validation_share is not None:
            return self.validation_share
        return 0.0 if self.type != "FINE_TUNING" or self.limits.no_validation_set else 0.1


class FineTuning(Tuning):
    """The student learns to answer as the records do."""

    type: Literal["FINE_TUNING"] = "FINE_TUNING"
    hyperparameters: FineTuningHyperparameters = Field(default_factory=FineTuningHyperparameters)

    @field_validator("validation_share")
    @classmethod
    def _taken_by_the_student(cls, share: float | None, info: ValidationInfo) -> float | None:
        source = limits_of("FINE_TUNING", info.data.get("student", "")).no_validation_set
        if share and source:
            raise ValueError(
                f"a fine-tuning job of Nova 2 Lite takes no validation set ({source}); leave it out"
            )
        return share


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
