"""Deployments: their states, their quota, what answers through them."""

import json

import pytest

from local.bedrock import faults as faults_module
from local.bedrock import names
from local.bedrock.custom_models import KIND, model_path
from local.bedrock.store import Resource
from local.bedrock.student import Examples, train


@pytest.fixture
def model(weighted_pairs):
    """Put a trained custom model into a stand-in: `model(call, name) -> ARN`."""

    def model(call, name: str = "task") -> str:
        context = call.stand_in._context
        arn = names.custom_model("local.student", names.new_id())
        document = {
            "modelArn": arn,
            "modelName": name,
            "creationTime": 1.0,
            "baseModelArn": names.foundation_model("local.student"),
        }
        context.store.add(Resource(arn, KIND, name, "Active", 1.0, None, "", document))
        student, _ = train(
            Examples(*map(list, zip(*weighted_pairs, strict=True))), Examples([], []), 1, "JSON"
        )
        student.save(model_path(context.folder, arn))
        return arn

    return model


def test_a_deployment_is_created_then_active(make, model) -> None:
    slow = make(deployment_seconds=60.0)
    arn = model(slow)
    created = slow(
        "CreateCustomModelDeployment", modelDeploymentName="d", modelArn=arn, clientRequestToken="d"
    )
    identifier = created["customModelDeploymentArn"]
    assert slow("GetCustomModelDeployment", customModelDeploymentIdentifier="d")["status"] == "Creating"
    same = slow("CreateCustomModelDeployment", modelDeploymentName="d", modelArn=arn, clientRequestToken="d")
    assert same == created
    quick = make(deployment_seconds=0.0)
    quick("CreateCustomModelDeployment", modelDeploymentName="e", modelArn=arn)
    deployment = quick("GetCustomModelDeployment", customModelDeploymentIdentifier="e")
    assert (deployment["status"], deployment["modelArn"]) == ("Active", arn)
    listed = quick("ListCustomModelDeployments", statusEquals="Creating")["modelDeploymentSummaries"]
    assert [item["customModelDeploymentArn"] for item in listed] == [identifier]


def test_two_deployments_may_be_in_creation(make, model, refused) -> None:
    call = make(deployment_seconds=60.0)
    arn = model(call)
    for name in ("a", "b"):
        call("CreateCustomModelDeployment", modelDeploymentName=name, modelArn=arn)
    with refused("ServiceQuotaExceededException", "2 custom model deployments in creation"):
        call("CreateCustomModelDeployment", modelDeploymentName="c", modelArn=arn)


def test_what_is_refused(make, model, refused) -> None:
    call = make(deployment_seconds=0.0)
    arn = model(call)
    call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=arn)
    with refused("ValidationException", "currently in use"):
        call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=arn)
    unknown = names.custom_model("local.student", "0" * 12)
    with refused("ResourceNotFoundException", "custom model"):
        call("CreateCustomModelDeployment", modelDeploymentName="b", modelArn=unknown)
    with refused("ConflictException", "used by the deployment"):
        call("DeleteCustomModel", modelIdentifier=arn)
    for operation in ("GetCustomModelDeployment", "DeleteCustomModelDeployment"):
        with refused("ResourceNotFoundException"):
            call(operation, customModelDeploymentIdentifier="unheard-of")


def test_a_deployment_in_creation_cannot_be_deleted_and_does_not_answer(make, model, refused) -> None:
    call = make(deployment_seconds=60.0)
    arn = call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=model(call))
    with refused("ConflictException"):
        call("DeleteCustomModelDeployment", customModelDeploymentIdentifier="a")
    messages = [{"role": "user", "content": [{"text": "q"}]}]
    with pytest.raises(Exception, match="ModelNotReadyException 429"):
        call("Converse", modelId=arn["customModelDeploymentArn"], messages=messages)


def test_deleting_leaves_nothing(make, model, refused) -> None:
    call = make(deployment_seconds=0.0)
    arn = model(call)
    call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=arn)
    call("DeleteCustomModelDeployment", customModelDeploymentIdentifier="a")
    call("DeleteCustomModel", modelIdentifier=arn)
    with refused("ResourceNotFoundException"):
        call("GetCustomModel", modelIdentifier=arn)
    assert not model_path(call.stand_in._context.folder, arn).exists()


def test_a_scripted_failure_fails_the_deployment(make, model, faults) -> None:
    call = make(deployment_seconds=0.0)
    faults.fail(faults_module.DEPLOYMENT, "No capacity.")
    call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=model(call))
    deployment = call("GetCustomModelDeployment", customModelDeploymentIdentifier="a")
    assert (deployment["status"], deployment["failureMessage"]) == ("Failed", "No capacity.")


def test_an_update_swaps_the_model(make, model) -> None:
    call = make(deployment_seconds=0.0)
    old, new = model(call, "old"), model(call, "new")
    call("CreateCustomModelDeployment", modelDeploymentName="a", modelArn=old)
    call("UpdateCustomModelDeployment", customModelDeploymentIdentifier="a", modelArn=new)
    deployment = call("GetCustomModelDeployment", customModelDeploymentIdentifier="a")
    assert deployment["modelArn"] == new
    assert deployment["updateDetails"] == {"modelArn": new, "updateStatus": "UpdateCompleted"}


def test_the_deployed_student_answers(make, model) -> None:
    call = make(deployment_seconds=0.0, kept_models=1)
    for name in ("a", "b", "c"):
        arn = call("CreateCustomModelDeployment", modelDeploymentName=name, modelArn=model(call, name))
        answer = call(
            "Converse",
            modelId=arn["customModelDeploymentArn"],
            messages=[{"role": "user", "content": [{"text": "thunder at noon"}]}],
        )
        assert json.loads(answer["output"]["message"]["content"][0]["text"])["audio"] >= 0.9
