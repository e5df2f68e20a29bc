"""Provisioned throughput: its states, its quotas, its commitments, what answers through it."""

import json

import pytest

from local.bedrock import faults as faults_module
from local.bedrock import names
from local.bedrock.custom_models import KIND, model_path
from local.bedrock.store import Resource
from local.bedrock.student import Examples, train


@pytest.fixture
def model(weighted_pairs):
    """Put a trained custom model into a stand-in: `model(call) -> ARN`."""

    def model(call) -> str:
        context = call.stand_in._context
        arn = names.custom_model("local.student", names.new_id())
        base = names.foundation_model("local.student")
        document = {"modelArn": arn, "modelName": "task", "creationTime": 1.0, "baseModelArn": base}
        context.store.add(Resource(arn, KIND, "task", "Active", 1.0, None, "", document))
        student, _ = train(
            Examples(*map(list, zip(*weighted_pairs, strict=True))), Examples([], []), 1, "JSON"
        )
        student.save(model_path(context.folder, arn))
        return arn

    return model


def create(call, model_arn: str, name: str = "t", units: int = 1, **changes) -> str:
    request = {"provisionedModelName": name, "modelId": model_arn, "modelUnits": units, **changes}
    return call("CreateProvisionedModelThroughput", **request)["provisionedModelArn"]


def test_it_is_created_then_in_service_and_found_by_name_and_arn(make, model) -> None:
    slow = make(deployment_seconds=60.0)
    made = model(slow)
    arn = create(slow, made, clientRequestToken="t")
    assert create(slow, made, clientRequestToken="t") == arn
    assert slow("GetProvisionedModelThroughput", provisionedModelId="t")["status"] == "Creating"
    quick = make(deployment_seconds=0.0)
    create(quick, made, "u")
    found = quick("GetProvisionedModelThroughput", provisionedModelId="u")
    assert (found["status"], found["modelArn"], found["modelUnits"]) == ("InService", made, 1)
    assert "commitmentExpirationTime" not in found
    listed = quick("ListProvisionedModelThroughputs", statusEquals="Creating")["provisionedModelSummaries"]
    assert [item["provisionedModelArn"] for item in listed] == [arn]


def test_an_account_has_so_many_model_units_of_each_kind(make, model, refused) -> None:
    call = make(model_units=2, committed_model_units=1)
    made = model(call)
    create(call, made, "a")
    with refused("ServiceQuotaExceededException", "no commitment model units reserved for local.student"):
        create(call, made, "b", units=2)
    create(call, made, "b")
    create(call, made, "c", commitmentDuration="OneMonth")
    with refused("ServiceQuotaExceededException", "commitment model units"):
        create(call, made, "d", commitmentDuration="OneMonth")


def test_units_are_free_again_once_it_is_deleted(make, model, refused) -> None:
    call = make(deployment_seconds=0.0, model_units=1)
    made = model(call)
    arn = create(call, made, "a")
    call("DeleteProvisionedModelThroughput", provisionedModelId=arn)
    create(call, made, "b")
    with refused("ResourceNotFoundException"):
        call("GetProvisionedModelThroughput", provisionedModelId=arn)


def test_a_commitment_is_not_deleted_before_its_term_is_over(make, model, refused) -> None:
    call = make(deployment_seconds=0.0, committed_model_units=1)
    arn = create(call, model(call), commitmentDuration="SixMonths")
    found = call("GetProvisionedModelThroughput", provisionedModelId=arn)
    assert (found["commitmentExpirationTime"] - found["creationTime"]).days == 180
    with refused("ConflictException", "commitment term"):
        call("DeleteProvisionedModelThroughput", provisionedModelId=arn)


def test_only_custom_models_have_it_here_and_one_that_has_it_stays(make, model, refused) -> None:
    call = make(deployment_seconds=60.0)
    with refused("ResourceNotFoundException", "custom model"):
        create(call, names.foundation_model("local.student"))
    made = model(call)
    create(call, made)
    with refused("ConflictException", "being created"):
        call("DeleteProvisionedModelThroughput", provisionedModelId="t")
    with refused("ConflictException", "is used by"):
        call("DeleteCustomModel", modelIdentifier=made)


def test_converse_answers_through_it_once_it_is_in_service(make, model) -> None:
    request = {"messages": [{"role": "user", "content": [{"text": "crowd noise"}]}]}
    slow = make(deployment_seconds=60.0)
    made = model(slow)
    arn = create(slow, made, "a")
    with pytest.raises(Exception, match="ModelNotReadyException 429"):
        slow("Converse", modelId=arn, **request)
    quick = make(deployment_seconds=0.0)
    arn = create(quick, made, "b")
    answer = quick("Converse", modelId=arn, **request)["output"]["message"]["content"][0]["text"]
    assert isinstance(json.loads(answer), dict)


def test_it_fails_when_a_fault_says_so(make, model) -> None:
    call = make(deployment_seconds=0.0)
    call.stand_in.faults.fail(faults_module.THROUGHPUT, "No capacity.")
    create(call, model(call))
    found = call("GetProvisionedModelThroughput", provisionedModelId="t")
    assert (found["status"], found["failureMessage"]) == ("Failed", "No capacity.")
