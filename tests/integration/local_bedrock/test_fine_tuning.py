"""The app's own adapter starts fine-tuning jobs at the stand-in, as it does at Bedrock."""

import csv
import io
from typing import Any

import boto3
import pytest

from signalbox.bedrock import Bedrock as Adapter
from signalbox.customization import FineTuning
from signalbox.failure import PermanentFailure
from signalbox.losses import rows
from signalbox.models import check_customization
from tests.integration.local_bedrock.conftest import KEYS

BUCKET = "data-bucket"
WANTED = FineTuning(student="local.student", hyperparameters={"epochCount": 3, "learningRate": 2e-5})


@pytest.fixture
def adapter(bedrock: Any) -> Adapter:
    return Adapter(bedrock.control, bedrock.runtime)


def start(adapter: Adapter, name: str, training: str = "train.jsonl", validation: str = "") -> str:
    return adapter.start_customization(
        name,
        WANTED,
        role_arn="arn:aws:iam::000000000000:role/customization",
        training=f"s3://{BUCKET}/{training}",
        output=f"s3://{BUCKET}/runs/{name}/customization/",
        kms_key_arn="",
        validation=f"s3://{BUCKET}/{validation}" if validation else "",
    )


def test_a_job_is_started_checked_and_leaves_its_losses(adapter: Adapter, bedrock: Any, s3: Any) -> None:
    check_customization(WANTED, adapter)
    records = s3.get_object(Bucket=BUCKET, Key="train.jsonl")["Body"].read().splitlines()
    s3.put_object(Bucket=BUCKET, Key="validation_set.jsonl", Body=b"\n".join(records[:12]))
    arn = start(adapter, "fine-tuned", validation="validation_set.jsonl")
    bedrock.events.wait_for(jobArn=arn, jobStatus="Completed")
    job = bedrock.control.get_model_customization_job(jobIdentifier=arn)
    assert job["hyperParameters"] == {"epochCount": "3", "learningRate": "0.00002"}
    (loss,) = (each["validationLoss"] for each in job["validationMetrics"])
    key = next(
        entry["Key"]
        for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/fine-tuned/customization/")["Contents"]
        if entry["Key"].endswith("/validation_metrics.csv")
    )
    content = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert csv.DictReader(io.StringIO(content.decode())).fieldnames == [
        "step_number", "epoch_number", "validation_loss", "perplexity"
    ]  # fmt: skip
    assert [epoch for epoch, _ in rows([content], "epoch_number", "validation_loss")] == [1, 2, 3]
    assert list(rows([content], "validation_loss"))[-1] == (pytest.approx(loss, abs=1e-5),)


def test_a_job_on_records_that_it_does_not_take_fails_with_the_reason(
    adapter: Adapter, bedrock: Any, s3: Any
) -> None:
    records = s3.get_object(Bucket=BUCKET, Key="train.jsonl")["Body"].read()
    s3.put_object(Bucket=BUCKET, Key="reserved.jsonl", Body=records.replace(b"sunset", b"User: sunset", 1))
    arn = start(adapter, "reserved", training="reserved.jsonl")
    bedrock.events.wait_for(jobArn=arn, jobStatus="Failed")
    job = adapter.customization_job(arn)
    assert job is not None
    assert job.message == "Record 1 of the dataset has the reserved word User:."


def test_elsewhere_than_in_their_region_models_are_not_customized(bedrock: Any) -> None:
    elsewhere = boto3.client("bedrock", endpoint_url=bedrock.url, **(KEYS | {"region_name": "eu-west-1"}))
    adapter = Adapter(elsewhere, bedrock.runtime)
    with pytest.raises(PermanentFailure, match=r"does not offer FINE_TUNING for local\.student in eu-west-1"):
        check_customization(WANTED, adapter)
    with pytest.raises(PermanentFailure, match=r"local\.student can't be customized in eu-west-1"):
        start(adapter, "elsewhere")
