"""Deployments of both kinds: made once, found by what they are called, and deleted when that is possible."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from signalbox.bedrock import Bedrock, Busy
from signalbox.deployments import Committed, Deployments
from signalbox.failure import PermanentFailure
from signalbox.task import Deployment
from tests.scripted_bedrock import ScriptedBedrock

ON_DEMAND, PROVISIONED = Deployment(), Deployment(type="provisioned")
KINDS = pytest.mark.parametrize("wanted", [ON_DEMAND, PROVISIONED], ids=lambda wanted: wanted.type)
CREATE = {
    "on_demand": "CreateCustomModelDeployment",
    "provisioned": "CreateProvisionedModelThroughput",
}


@pytest.fixture
def script() -> ScriptedBedrock:
    return ScriptedBedrock()


@pytest.fixture
def deployments(script: ScriptedBedrock) -> Deployments:
    return Deployments(Bedrock(script, script))


@pytest.fixture
def model(script: ScriptedBedrock) -> str:
    arn = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0:128k/abcdefghwxyz"
    script.jobs["clip-1"] = {"arn": "arn:job", "status": "Completed", "model_arn": arn}
    return arn


@KINDS
def test_a_deployment_that_was_made_is_found_and_not_made_again(
    deployments: Deployments, script: ScriptedBedrock, model: str, wanted: Deployment
) -> None:
    arn = deployments.create("clip-1", model, wanted)

    assert deployments.create("clip-1", model, wanted) == arn
    assert script.calls[CREATE[wanted.type]] == 1
    assert deployments.find(arn) == deployments.named("clip-1", wanted)
    assert not deployments.find(arn).is_ready


@KINDS
def test_it_is_ready_in_the_words_of_its_kind(
    deployments: Deployments, script: ScriptedBedrock, model: str, wanted: Deployment
) -> None:
    arn = deployments.create("clip-1", model, wanted)
    script.work(None, print)

    assert deployments.find(arn).is_ready


@KINDS
@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("ServiceQuotaExceededException", Busy),
        ("ThrottlingException", Busy),
        ("AccessDeniedException", PermanentFailure),
        ("InternalServerException", ClientError),
    ],
)
def test_a_refusal_that_passes_is_told_from_one_that_stands(
    deployments: Deployments,
    script: ScriptedBedrock,
    model: str,
    wanted: Deployment,
    code: str,
    raised: type[Exception],
) -> None:
    script.refuse(CREATE[wanted.type], code, "because")

    with pytest.raises(raised, match="because"):
        deployments.create("clip-1", model, wanted)


@KINDS
def test_what_is_not_there_is_none_and_deleted_already(deployments: Deployments, wanted: Deployment) -> None:
    kind = {"on_demand": "custom-model-deployment", "provisioned": "provisioned-model"}[wanted.type]
    arn = f"arn:aws:bedrock:us-east-1:123456789012:{kind}/abcdefghwxyz"

    assert deployments.named("clip-1", wanted) is None
    assert deployments.find(arn) is None
    deployments.delete(arn)


@KINDS
def test_what_is_being_created_is_deleted_later(
    deployments: Deployments, script: ScriptedBedrock, model: str, wanted: Deployment
) -> None:
    arn = deployments.create("clip-1", model, wanted)

    with pytest.raises(Busy):
        deployments.delete(arn)
    script.work(None, print)
    deployments.delete(arn)
    assert deployments.find(arn) is None


def test_a_commitment_is_not_tried_to_be_deleted_before_its_term_is_over(
    deployments: Deployments, script: ScriptedBedrock, model: str
) -> None:
    script.committed_until = datetime.now(UTC) + timedelta(days=1)
    arn = deployments.create(
        "clip-1", model, Deployment(type="provisioned", model_units=2, commitment="six_months")
    )
    script.work(None, print)
    request = script.throughputs["clip-1"]["request"]
    assert (request["modelUnits"], request["commitmentDuration"]) == (2, "SixMonths")

    with pytest.raises(Committed) as committed:
        deployments.delete(arn)

    assert committed.value.until == script.committed_until
    assert script.calls["DeleteProvisionedModelThroughput"] == 0
    script.committed_until = datetime.now(UTC) - timedelta(seconds=1)
    deployments.delete(arn)
    assert script.throughputs == {}
