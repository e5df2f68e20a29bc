"""What CreateModelCustomizationJob refuses that the service model alone cannot say, for each type of job."""

from collections.abc import Callable
from typing import Any

from local.bedrock import catalogue, region
from local.bedrock.errors import invalid
from local.bedrock.resources import tag_map

# Bounds for Amazon Nova: docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html
HYPERPARAMETERS = {
    "epochCount": (int, 1, 5),
    "learningRate": (float, 1e-6, 1e-4),
    "learningRateWarmupSteps": (int, 0, 100),
}


def checked(parameters: dict[str, Any]) -> str:
    """Return the id of the base model of a request that can be carried out.

    Raises
    ------
    BedrockError
        ValidationException or TooManyTagsException, as Bedrock answers.
    """
    base = catalogue.resolve(parameters["baseModelIdentifier"])
    if base is None:
        raise invalid("The provided model identifier is invalid.")
    if not region.customizes():
        raise invalid(f"The model {base.model_id} can't be customized in {region.current()}.")
    kind = parameters.get("customizationType", "FINE_TUNING")
    if kind not in base.customizations:
        raise invalid(f"The model {base.model_id} doesn't support the customization type {kind}.")
    if "s3Uri" not in parameters["trainingDataConfig"]:
        raise invalid("The local stand-in takes training data from trainingDataConfig.s3Uri only.")
    _CHECKS[kind](parameters, base.model_id)
    tag_map(parameters.get("jobTags", []))
    tag_map(parameters.get("customModelTags", []))
    return base.model_id


def _check_distillation(parameters: dict[str, Any], student: str) -> None:
    configuration = parameters.get("customizationConfig", {}).get("distillationConfig")
    if configuration is None:
        raise invalid(
            "customizationConfig.distillationConfig is required for the customization type DISTILLATION."
        )
    teacher = configuration["teacherModelConfig"]
    model = catalogue.resolve(teacher["teacherModelIdentifier"])
    if model is None or model.model_id not in catalogue.DISTILLATION_TEACHERS.get(student, ()):
        raise invalid(
            f"The teacher model {teacher['teacherModelIdentifier']} isn't supported for the student model "
            f"{student}."
        )
    if teacher.get("maxResponseLengthForInference", 1) < 1:
        raise invalid("maxResponseLengthForInference must be at least 1.")
    if given := parameters.get("hyperParameters"):
        raise invalid(f"Distillation takes no hyperparameters, but got {', '.join(sorted(given))}.")


def _check_fine_tuning(parameters: dict[str, Any], student: str) -> None:
    if "customizationConfig" in parameters:
        raise invalid("customizationConfig is only valid for the customization types that it names.")
    # aws-samples/amazon-bedrock-samples, nova_ft_dataset_validator.py; when Bedrock says so is not documented.
    if student == catalogue.STUDENT_2 and parameters.get("validationDataConfig", {}).get("validators"):
        raise invalid(f"The model {student} does not support a validation dataset.")
    for name, text in parameters.get("hyperParameters", {}).items():
        if name not in HYPERPARAMETERS:
            raise invalid(f"The hyperparameter {name} is not supported; use {', '.join(HYPERPARAMETERS)}.")
        number, minimum, maximum = HYPERPARAMETERS[name]
        try:
            value = number(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            raise invalid(
                f"The hyperparameter {name} must be a {number.__name__} from {minimum} to {maximum}, "
                f"not {text}."
            )


def _check_reinforcement(parameters: dict[str, Any], student: str) -> None:
    """The bounds of the hyperparameters stand in the service model, and are checked with it."""
    configuration = parameters.get("customizationConfig", {}).get("rftConfig", {})
    if "lambdaGrader" not in configuration.get("graderConfig", {}):
        raise invalid(
            "customizationConfig.rftConfig.graderConfig is required for the customization type "
            "REINFORCEMENT_FINE_TUNING."
        )
    if parameters.get("hyperParameters"):
        raise invalid(
            "The hyperparameters of REINFORCEMENT_FINE_TUNING belong into customizationConfig.rftConfig."
        )


_CHECKS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "DISTILLATION": _check_distillation,
    "FINE_TUNING": _check_fine_tuning,
    "REINFORCEMENT_FINE_TUNING": _check_reinforcement,
}
