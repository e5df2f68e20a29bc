"""The foundation models that the stand-in offers: its own, named `local.*`. It knows no real model."""

from dataclasses import dataclass
from typing import Any

from local.bedrock import names, region

PROVIDER = "Signalbox stand-in"
TEACHER = "local.teacher"
STUDENT = "local.student"
STUDENT_2 = "local.student-2"
"""Stands for Nova 2 Lite, whose fine-tuning has limits of its own; it learns as the other student does."""
BASE = "local.base"
BASELINE = "local.baseline"
JUDGE = "local.judge"

# Teacher and student that a distillation job may pair, and what may be fine-tuned.
DISTILLATION_TEACHERS = {STUDENT: (TEACHER,)}


@dataclass(frozen=True)
class FoundationModel:
    """One local model; `converses` is false for the judge, which only scores in evaluation jobs."""

    model_id: str
    name: str
    customizations: tuple[str, ...] = ()
    converses: bool = True

    @property
    def arn(self) -> str:
        """ARN of the model."""
        return names.foundation_model(self.model_id)

    def details(self) -> dict[str, Any]:
        """Return the members of GetFoundationModel's `modelDetails`."""
        return {
            "modelArn": self.arn,
            "modelId": self.model_id,
            "modelName": self.name,
            "providerName": PROVIDER,
            "inputModalities": ["TEXT"],
            "outputModalities": ["TEXT"],
            "responseStreamingSupported": False,
            "customizationsSupported": list(self.customizations) if region.customizes() else [],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }


MODELS = (
    FoundationModel(TEACHER, "Local teacher"),
    # GetFoundationModel's service model has no word for the last one; a model's own page has it on AWS.
    FoundationModel(STUDENT, "Local student", ("DISTILLATION", "FINE_TUNING", "REINFORCEMENT_FINE_TUNING")),
    FoundationModel(STUDENT_2, "Local student 2", ("FINE_TUNING", "REINFORCEMENT_FINE_TUNING")),
    FoundationModel(BASE, "Local base"),
    FoundationModel(BASELINE, "Local baseline"),
    FoundationModel(JUDGE, "Local judge", converses=False),
)


def resolve(identifier: str) -> FoundationModel | None:
    """Return the model with this id or ARN, or None."""
    return next((model for model in MODELS if identifier in (model.model_id, model.arn)), None)
