"""How Bedrock makes the student: the part of a task spec from which a customization job is started."""

from typing import Any, Literal

from pydantic import Field, field_validator

from signalbox.spec import ModelId, Section


class Customization(Section):
    """How Bedrock makes the student: CreateModelCustomizationJob's choices."""

    type: Literal["DISTILLATION"] = "DISTILLATION"
    teacher: ModelId
    student: ModelId
    max_response_tokens: int = Field(default=200, ge=1, le=5000)
    hyperparameters: dict[str, str] = Field(default={}, max_length=20)

    @field_validator("hyperparameters", mode="before")
    @classmethod
    def _as_bedrock_takes_them(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(f"{name} must be a number or a text")
        # The API's hyperParameters are a map of strings; YAML reads 2 as a number.
        return {name: str(value) for name, value in values.items()}
