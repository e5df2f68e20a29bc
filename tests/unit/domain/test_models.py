"""Which models Bedrock customizes: told before any money is spent."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from signalbox.bedrock import FoundationModel
from signalbox.customization import Customization, Distillation, FineTuning, ReinforcementFineTuning
from signalbox.failure import PermanentFailure
from signalbox.models import check_customization, foundation_id

SOUND = FoundationModel(legacy=False, end_of_life=None, customizations=frozenset({"DISTILLATION"}))


@dataclass
class Catalogue:
    """Foundation models in memory: every one is there and sound but those named."""

    region: str = "us-east-1"
    others: dict[str, FoundationModel | None] = field(default_factory=dict)

    def foundation_model(self, model_id: str) -> FoundationModel | None:
        return self.others.get(model_id, SOUND)


@pytest.mark.parametrize(
    ("model_id", "foundation"),
    [
        ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("us-gov.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("global.anthropic.claude-x-v1:0", "anthropic.claude-x-v1:0"),
        ("amazon.nova-micro-v1:0:128k", "amazon.nova-micro-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k", "amazon.nova-micro-v1:0"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ("local.teacher", "local.teacher"),
    ],
)
def test_profiles_variants_and_arns_are_traced_to_the_foundation_model(
    model_id: str, foundation: str
) -> None:
    assert foundation_id(model_id) == foundation


@pytest.mark.parametrize(
    ("teacher", "student", "region"),
    [
        ("us.amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0:128k", "us-east-1"),
        ("amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0:300k", "us-east-1"),
        ("meta.llama3-1-405b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0:128k", "us-west-2"),
        ("local.teacher", "local.student", "us-east-1"),
        ("vendor.new-teacher-v1:0", "vendor.new-student-v1:0", "eu-west-1"),
    ],
)
def test_a_pair_that_bedrock_distils_or_that_is_newer_than_the_table_passes(
    teacher: str, student: str, region: str
) -> None:
    check_customization(Distillation(teacher=teacher, student=student), Catalogue(region))


@pytest.mark.parametrize(
    ("teacher", "student", "region", "reason", "remedy"),
    [
        ("amazon.nova-premier-v1:0", "amazon.nova-micro-v1:0", "us-east-1", "end of life on 2026-09-14", "nova-pro"),
        ("amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0", "us-east-1", "does not distil", "amazon.nova-pro-v1:0"),
        ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", "us-east-1", "does not distil", "for this student: none ("),
        ("amazon.nova-pro-v1:0", "meta.llama3-1-8b-instruct-v1:0", "us-west-2", "does not distil", "meta.llama"),
        ("amazon.nova-pro-v1:0", "amazon.nova-micro-v1:0", "us-west-2", "only in us-east-1", "us-east-1"),
        ("meta.llama3-1-405b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0", "us-east-1", "only in us-west-2", ""),
        ("meta.llama3-3-70b-instruct-v1:0", "meta.llama3-2-1b-instruct-v1:0", "us-west-2", "not deploy", "llama3-3"),
        ("meta.llama3-1-405b-instruct-v1:0", "meta.llama3-1-8b-instruct-v1:0:128k", "us-west-2", "not deploy", "meta"),
    ],
)  # fmt: skip
def test_any_other_is_refused_with_what_to_change(
    teacher: str, student: str, region: str, reason: str, remedy: str
) -> None:
    with pytest.raises(PermanentFailure, match=reason) as refused:
        check_customization(Distillation(teacher=teacher, student=student), Catalogue(region))
    assert remedy in refused.value.failure.remedy


def test_the_variant_of_a_student_may_be_known_by_its_plain_id_only() -> None:
    catalogue = Catalogue(others={"amazon.nova-micro-v1:0:128k": None})
    check_customization(
        Distillation(teacher="amazon.nova-pro-v1:0", student="amazon.nova-micro-v1:0:128k"), catalogue
    )


@pytest.mark.parametrize(("days", "refused"), [(-1, True), (0, True), (1, False)])
def test_a_model_is_refused_from_the_day_of_its_end_of_life(days: int, refused: bool) -> None:
    end = datetime.now(UTC) + timedelta(days=days)
    aged = FoundationModel(legacy=False, end_of_life=end, customizations=frozenset({"DISTILLATION"}))
    wanted = Distillation(teacher="local.teacher", student="local.student")
    catalogue = Catalogue(others={"local.teacher": aged})
    if not refused:
        check_customization(wanted, catalogue)
        return
    with pytest.raises(PermanentFailure, match=r"local.teacher reached its end of life"):
        check_customization(wanted, catalogue)


TUNABLE = FoundationModel(legacy=False, end_of_life=None, customizations=frozenset({"FINE_TUNING"}))


@pytest.mark.parametrize(
    "wanted",
    [
        FineTuning(student="amazon.nova-micro-v1:0:128k"),
        FineTuning(student="amazon.nova-2-lite-v1:0:256k"),
        FineTuning(student="local.student", teacher="local.teacher"),
        ReinforcementFineTuning(student="amazon.nova-2-lite-v1:0:256k"),
    ],
)
def test_a_model_that_is_tuned_on_records_needs_no_teacher(wanted: Customization) -> None:
    offered = {wanted.student: TUNABLE, str(wanted.teacher): None}
    check_customization(wanted, Catalogue(others=offered))


@pytest.mark.parametrize(
    ("wanted", "region", "reason", "remedy"),
    [
        (FineTuning(student="amazon.nova-micro-v1:0"), "us-west-2", "fine-tunes .* only in us-east-1", "us-east-1"),
        (FineTuning(student="amazon.nova-premier-v1:0"), "us-east-1", "cannot be the student", "amazon.nova-micro"),
        (FineTuning(student="meta.llama3-3-70b-instruct-v1:0"), "us-west-2", "cannot be the student of FINE", "nova"),
        (
            ReinforcementFineTuning(student="amazon.nova-micro-v1:0:128k"),
            "us-east-1",
            "nova-micro-v1:0 cannot be the student of REINFORCEMENT_FINE_TUNING",
            "name one of amazon.nova-2-lite-v1:0 ",
        ),
        (FineTuning(student="local.student"), "eu-west-1", "does not offer FINE_TUNING", "fine-tuning in"),
        (
            ReinforcementFineTuning(student="local.student"),
            "eu-west-1",
            "does not offer REINFORCEMENT_FINE_TUNING",
            "Customize a model with reinforcement fine-tuning",
        ),
    ],
)  # fmt: skip
def test_a_model_that_is_not_tuned_so_or_not_there_is_refused(
    wanted: Customization, region: str, reason: str, remedy: str
) -> None:
    with pytest.raises(PermanentFailure, match=reason) as refused:
        check_customization(wanted, Catalogue(region))
    assert remedy in refused.value.failure.remedy


BOTH = FoundationModel(False, None, frozenset({"FINE_TUNING", "REINFORCEMENT_FINE_TUNING"}))


@pytest.mark.parametrize("tuned", [FineTuning, ReinforcementFineTuning])
@pytest.mark.parametrize(
    ("student", "region"),
    [
        ("amazon.nova-canvas-v1:0", "us-east-1"),
        ("amazon.titan-image-generator-v2:0", "us-east-1"),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", "us-west-2"),
        ("meta.llama3-2-11b-instruct-v1:0:128k", "us-west-2"),
        ("meta.llama3-2-90b-instruct-v1:0:128k", "us-west-2"),
        ("vendor.model-v1:0", "us-east-1"),
    ],
)
def test_a_model_that_the_tables_do_not_have_is_not_tuned_whatever_bedrock_offers(
    tuned: type[FineTuning] | type[ReinforcementFineTuning], student: str, region: str
) -> None:
    with pytest.raises(PermanentFailure, match="cannot be the student of") as refused:
        check_customization(tuned(student=student), Catalogue(region, {student: BOTH}))
    assert "name one of amazon.nova-2-lite-v1:0" in refused.value.failure.remedy


@pytest.mark.parametrize(
    "student",
    [
        "us.amazon.nova-2-lite-v1:0",
        "global.amazon.nova-2-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-2-lite-v1:0",
    ],
)
def test_an_inference_profile_is_no_student(student: str) -> None:
    with pytest.raises(PermanentFailure, match="is an inference profile") as refused:
        check_customization(FineTuning(student=student), Catalogue(others={student: BOTH}))
    assert "name the model as customization.student: amazon.nova-2-lite-v1:0," in refused.value.failure.remedy


def test_a_model_s_own_arn_is_a_student() -> None:
    student = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-lite-v1:0:256k"
    check_customization(FineTuning(student=student), Catalogue(others={student: BOTH}))


def test_a_legacy_student_is_not_tuned_either() -> None:
    legacy = FoundationModel(legacy=True, end_of_life=None, customizations=frozenset({"FINE_TUNING"}))
    with pytest.raises(PermanentFailure, match="is Legacy"):
        check_customization(
            FineTuning(student="amazon.nova-lite-v1:0"), Catalogue(others={"amazon.nova-lite-v1:0": legacy})
        )
