"""What is known of Bedrock's models, and whether they may be customized: asked before any money is spent.

Sources, read 2026-11-21: Amazon Bedrock user guide, "Prerequisites for model distillation" (pairs and regions),
"Customize a model with fine-tuning in Amazon Bedrock" and "Customize a model with reinforcement fine-tuning in Amazon
Bedrock" (models and regions), "Deploy a custom model for on-demand inference" (regions), "Model lifecycle" (ends of
life).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from signalbox.bedrock import FoundationModel
from signalbox.customization import NOVA_2_LITE, Customization, Distillation, Type, foundation_id
from signalbox.failure import PermanentFailure
from signalbox.task import Deployment

_STEP = "distill"
_STAND_IN = "local."
_LIFECYCLE_PAGE = "Amazon Bedrock user guide, 'Model lifecycle'"
_DEPLOYMENT_PAGE = "Amazon Bedrock user guide, 'Deploy a custom model for on-demand inference'"
_THROUGHPUT_PAGE = "Amazon Bedrock user guide, 'Supported Region and models for Provisioned Throughput'"
_PAIRS_PAGE = "Amazon Bedrock user guide, 'Prerequisites for model distillation'"
_TUNING_PAGE = "Amazon Bedrock user guide, 'Customize a model with fine-tuning in Amazon Bedrock'"
_REINFORCEMENT_PAGE = (
    "Amazon Bedrock user guide, 'Customize a model with reinforcement fine-tuning in Amazon Bedrock'"
)
_PAGES: dict[Type, str] = {
    "DISTILLATION": _PAIRS_PAGE,
    "FINE_TUNING": _TUNING_PAGE,
    "REINFORCEMENT_FINE_TUNING": _REINFORCEMENT_PAGE,
}
_VERBS: dict[Type, str] = {
    "DISTILLATION": "distils",
    "FINE_TUNING": "fine-tunes",
    "REINFORCEMENT_FINE_TUNING": "fine-tunes by reinforcement",
}

_SMALL_LLAMAS = frozenset(
    {"meta.llama3-1-8b-instruct-v1:0", "meta.llama3-2-1b-instruct-v1:0", "meta.llama3-2-3b-instruct-v1:0"}
)
STUDENTS: dict[str, frozenset[str]] = {
    "amazon.nova-pro-v1:0": frozenset({"amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"}),
    "amazon.nova-premier-v1:0": frozenset(
        {"amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0", "amazon.nova-pro-v1:0"}
    ),
    "meta.llama3-1-405b-instruct-v1:0": frozenset(
        {
            "meta.llama3-1-8b-instruct-v1:0",
            "meta.llama3-1-70b-instruct-v1:0",
            "meta.llama3-2-1b-instruct-v1:0",
            "meta.llama3-3-70b-instruct-v1:0",
        }
    ),
    "meta.llama3-1-70b-instruct-v1:0": _SMALL_LLAMAS,
    "meta.llama3-3-70b-instruct-v1:0": _SMALL_LLAMAS,
}
"""Teachers, and the students that Bedrock distils each into."""

TUNED: dict[Type, frozenset[str]] = {
    "FINE_TUNING": frozenset(
        {
            "amazon.nova-lite-v1:0",
            NOVA_2_LITE,
            "amazon.nova-micro-v1:0",
            "amazon.nova-pro-v1:0",
        }
    ),
    "REINFORCEMENT_FINE_TUNING": frozenset({NOVA_2_LITE}),
}
"""Models that are tuned on records alone.

Bedrock fine-tunes others, too, but with other hyperparameters and limits than Amazon Nova's, against which a task is
checked. That Nova 2 Lite takes those of Nova Lite, Micro and Pro is an assumption: the page names these three.
"""

DEPLOYABLE = frozenset(
    {
        "amazon.nova-lite-v1:0",
        "amazon.nova-2-lite-v1:0",
        "amazon.nova-micro-v1:0",
        "amazon.nova-pro-v1:0",
        "meta.llama3-3-70b-instruct-v1:0",
    }
)
"""Models that can be deployed on demand once they are customized; others need provisioned throughput."""

PROVISIONABLE = frozenset(
    {
        "amazon.nova-lite-v1:0",
        "amazon.nova-2-lite-v1:0",
        "amazon.nova-micro-v1:0",
        "amazon.nova-pro-v1:0",
        "meta.llama3-1-8b-instruct-v1:0",
        "meta.llama3-1-70b-instruct-v1:0",
        "meta.llama3-2-1b-instruct-v1:0",
        "meta.llama3-2-3b-instruct-v1:0",
    }
)
"""Of those that are customized here, the models for which provisioned throughput can be bought."""

REGIONS = {"amazon": "us-east-1", "meta": "us-west-2"}
"""By provider, the one region that customizes its models."""

ENDS_OF_LIFE = {"amazon.nova-premier-v1:0": date(2026, 9, 14)}


@dataclass(frozen=True)
class Unsupported:
    """A model that Bedrock would not customize or deploy as a task asks: its key in the section, why, what to do."""

    key: str
    reason: str
    remedy: str

    def failure(self) -> PermanentFailure:
        """Return it as the reason for which a run ends."""
        return PermanentFailure(_STEP, self.reason, self.remedy)


class Catalogue(Protocol):
    """Where foundation models are looked up: Bedrock."""

    region: str

    def foundation_model(self, model_id: str) -> FoundationModel | None:
        """Return what is known of a model in this region, or None if it is not offered there."""
        ...


def check_customization(
    customization: Customization, catalogue: Catalogue, deployment: Deployment | None = None
) -> None:
    """Refuse models that Bedrock would not customize, or not deploy, as the task asks, before the job is started.

    Parameters
    ----------
    deployment : Deployment | None
        How the custom model is to be deployed; on demand unless given.

    Raises
    ------
    PermanentFailure
        Naming the model, what is wrong with it and what to change in the task.
    """
    if fault := unsupported(customization, deployment):
        raise fault.failure()
    student = foundation_id(customization.student)
    _check_region(customization.type, student, catalogue.region)
    if isinstance(customization, Distillation):
        teacher = foundation_id(customization.teacher)
        _offered(customization.teacher, catalogue.foundation_model(teacher), catalogue)
    _check_student(
        customization,
        _offered(
            customization.student,
            catalogue.foundation_model(customization.student) or catalogue.foundation_model(student),
            catalogue,
        ),
        catalogue,
    )


def unsupported(customization: Customization, deployment: Deployment | None = None) -> Unsupported | None:
    """Say what of the models is known to be refused, by the documented tables alone: no model is looked up.

    Parameters
    ----------
    deployment : Deployment | None
        How the custom model is to be deployed; on demand unless given.
    """
    kind, student = customization.type, foundation_id(customization.student)
    if isinstance(customization, Distillation):
        teacher = foundation_id(customization.teacher)
        fault = _dead_teacher(customization.teacher, teacher) or _no_pair(teacher, student)
    else:
        fault = _not_tuned(kind, student)
    return (
        fault or _profile(customization.student) or _not_deployed(kind, student, deployment or Deployment())
    )


def _offered(model_id: str, offered: FoundationModel | None, catalogue: Catalogue) -> FoundationModel:
    if offered is None:
        raise PermanentFailure(
            _STEP,
            f"Bedrock does not offer {model_id} in {catalogue.region}",
            "name another model in customization of the task, or deploy the stack in a region that has it",
        )
    _check_end_of_life(model_id, offered.end_of_life.date() if offered.end_of_life else None)
    return offered


def _check_student(customization: Customization, offered: FoundationModel, catalogue: Catalogue) -> None:
    if offered.legacy:
        raise PermanentFailure(
            _STEP,
            f"the student {customization.student} is Legacy: Bedrock starts no new customization of it",
            f"name an Active model as customization.student ({_LIFECYCLE_PAGE})",
        )
    # GetFoundationModel has no word for reinforcement fine-tuning in its service model (ModelCustomization).
    says_so = customization.type != "REINFORCEMENT_FINE_TUNING" or not _is_known(customization.student)
    if says_so and customization.type not in offered.customizations:
        raise PermanentFailure(
            _STEP,
            f"Bedrock does not offer {customization.type} for {customization.student} in {catalogue.region}",
            f"name another model as customization.student ({_PAGES[customization.type]})",
        )


def _check_end_of_life(model_id: str, end: date | None) -> None:
    if fault := _ended(model_id, end, "student"):
        raise fault.failure()


def _ended(model_id: str, end: date | None, key: str) -> Unsupported | None:
    if end is None or end > datetime.now(UTC).date():
        return None
    return Unsupported(
        key,
        f"{model_id} reached its end of life on {end.isoformat()}",
        f"name an Active model in customization of the task ({_LIFECYCLE_PAGE}), for example "
        "us.amazon.nova-pro-v1:0 as the teacher, upload the task and drop the dataset again",
    )


def _dead_teacher(named: str, teacher: str) -> Unsupported | None:
    return _ended(named, ENDS_OF_LIFE.get(teacher), "teacher")


def _no_pair(teacher: str, student: str) -> Unsupported | None:
    if teacher not in STUDENTS and student not in _students("DISTILLATION"):
        return None  # neither is in the table, which may be older than Bedrock: GetFoundationModel decides
    if student in STUDENTS.get(teacher, frozenset()):
        return None
    allowed = sorted(
        name for name, students in STUDENTS.items() if student in students and not _dead_teacher(name, name)
    )
    return Unsupported(
        "student",
        f"Bedrock does not distil {teacher} into {student}",
        f"teachers for this student: {', '.join(allowed) or 'none'} ({_PAIRS_PAGE})",
    )


def _not_tuned(kind: Type, student: str) -> Unsupported | None:
    """Refuse whatever is not in the table: another model takes other hyperparameters, records and limits."""
    if student in TUNED[kind] or student.startswith(_STAND_IN):
        return None
    return Unsupported(
        "student",
        f"{student} cannot be the student of {kind}",
        f"name one of {', '.join(sorted(TUNED[kind]))} as customization.student ({_PAGES[kind]})",
    )


def _profile(student: str) -> Unsupported | None:
    """Refuse an inference profile: only the model itself is customized."""
    bare = student.rpartition("/")[2]
    if ":inference-profile/" not in student and bare.startswith(foundation_id(student)):
        return None
    return Unsupported(
        "student",
        f"{student} is an inference profile, and Bedrock customizes models alone",
        f"name the model as customization.student: {foundation_id(student)}, with the context length that "
        "customization takes, such as :128k",
    )


def _not_deployed(kind: Type, student: str, deployment: Deployment) -> Unsupported | None:
    provisioned = deployment.type == "provisioned"
    can, page = (PROVISIONABLE, _THROUGHPUT_PAGE) if provisioned else (DEPLOYABLE, _DEPLOYMENT_PAGE)
    if not _is_known(student) or student in can:
        return None
    way = "with provisioned throughput" if provisioned else "on demand"
    return Unsupported(
        "student",
        f"Bedrock {_VERBS[kind]} {student}, but does not deploy the result {way}",
        f"name one of {', '.join(sorted(can & _students(kind)))} as customization.student, or choose another "
        f"deployment.type ({page})",
    )


def _students(kind: Type) -> frozenset[str]:
    return frozenset().union(*STUDENTS.values()) if kind == "DISTILLATION" else TUNED[kind]


def _is_known(model_id: str) -> bool:
    """Tell whether a model stands in the tables, as a teacher or as a student; others may be newer than these."""
    return foundation_id(model_id) in {*STUDENTS, *_students("DISTILLATION"), *_students("FINE_TUNING")}


def _check_region(kind: Type, student: str, region: str) -> None:
    wanted = REGIONS.get(student.partition(".")[0])
    if _is_known(student) and region != wanted:
        raise PermanentFailure(
            _STEP,
            f"Bedrock {_VERBS[kind]} {student} only in {wanted}, this stack is in {region}",
            f"deploy the stack in {wanted} ({_PAGES[kind]})",
        )
