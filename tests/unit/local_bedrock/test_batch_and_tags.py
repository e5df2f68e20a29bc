"""Batch inference and the tags of resources."""

import json

import pytest

from local.bedrock.objects import Objects

JOB = {
    "jobName": "batch",
    "clientRequestToken": "batch",
    "roleArn": "arn:aws:iam::000000000000:role/batch",
    "modelId": "local.teacher",
    "modelInvocationType": "Converse",
    "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://data-bucket/in/records.jsonl"}},
    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://data-bucket/out/"}},
}


@pytest.fixture
def bucket(monkeypatch) -> dict[str, bytes]:
    objects: dict[str, bytes] = {}
    monkeypatch.setattr(Objects, "read", lambda self, uri: objects[uri])
    monkeypatch.setattr(Objects, "write", lambda self, uri, body: objects.update({uri: body}))
    return objects


def test_a_batch_is_answered_record_by_record(make, faults, bucket, weighted_pairs) -> None:
    call = make(batch_minimum_records=3)
    call.stand_in.teach("", weighted_pairs)
    good = {"messages": [{"role": "user", "content": [{"text": "thunder"}]}]}
    records = [{"recordId": "A", "modelInput": good}, {"modelInput": {"messages": []}}]
    bucket["s3://data-bucket/in/records.jsonl"] = (
        "\n".join(map(json.dumps, records)).encode() + b"\nnonsense\n"
    )
    arn = call("CreateModelInvocationJob", **JOB)["jobArn"]
    assert call("CreateModelInvocationJob", **JOB)["jobArn"] == arn
    faults.release_jobs()
    call.stand_in._batch._workers.close()
    job = call("GetModelInvocationJob", jobIdentifier=arn)
    assert job["status"] == "Completed"
    assert job["jobName"] == call("ListModelInvocationJobs")["invocationJobSummaries"][0]["jobName"]
    folder = f"s3://data-bucket/out/{arn.rsplit('/', 1)[1]}"
    lines = [json.loads(line) for line in bucket[f"{folder}/records.jsonl.out"].splitlines()]
    assert lines[0]["recordId"] == "A"
    assert lines[0]["modelInput"] == good
    assert '"audio": 0.9' in lines[0]["modelOutput"]["output"]["message"]["content"][0]["text"]
    assert [line["error"]["errorCode"] for line in lines[1:]] == [400, 400]
    manifest = json.loads(bucket[f"{folder}/manifest.json.out"])
    assert (manifest["totalRecordCount"], manifest["successRecordCount"], manifest["errorRecordCount"]) == (
        3,
        1,
        2,
    )
    ((_, entry),) = call.stand_in._context.store.unannounced()
    detail = json.loads(entry["Detail"])
    assert entry["DetailType"] == "Batch Inference Job State Change"
    assert (detail["status"], detail["batchJobArn"], detail["batchModelId"]) == (
        "Completed",
        arn,
        "local.teacher",
    )


def test_too_few_records_fail_the_job(call, faults, bucket) -> None:
    bucket["s3://data-bucket/in/records.jsonl"] = b"{}"
    arn = call("CreateModelInvocationJob", **JOB)["jobArn"]
    faults.release_jobs()
    call.stand_in._batch._workers.close()
    job = call("GetModelInvocationJob", jobIdentifier=arn)
    assert (job["status"], job["message"]) == ("Failed", "The input has 1 records; a job takes at least 100.")


def test_a_batch_can_be_stopped(call, refused) -> None:
    arn = call("CreateModelInvocationJob", **JOB)["jobArn"]
    call("StopModelInvocationJob", jobIdentifier=arn)
    assert call("GetModelInvocationJob", jobIdentifier=arn.rsplit("/", 1)[1])["status"] == "Stopped"
    with refused("ConflictException"):
        call("StopModelInvocationJob", jobIdentifier=arn)
    with refused("ValidationException", "identifier is invalid"):
        call(
            "CreateModelInvocationJob",
            **{**JOB, "jobName": "x", "clientRequestToken": "x", "modelId": "a.bb-cc"},
        )


def test_tags_can_be_changed(call, distillation, refused) -> None:
    arn = call("CreateModelCustomizationJob", **distillation)["jobArn"]
    call("TagResource", resourceARN=arn, tags=[{"key": "run", "value": "1"}, {"key": "task", "value": "t"}])
    call("UntagResource", resourceARN=arn, tagKeys=["task"])
    assert call("ListTagsForResource", resourceARN=arn)["tags"] == [{"key": "run", "value": "1"}]
    with refused("ValidationException", "aws:"):
        call("TagResource", resourceARN=arn, tags=[{"key": "AWS:x", "value": "1"}])
    with refused("TooManyTagsException"):
        call("TagResource", resourceARN=arn, tags=[{"key": f"k{n}", "value": ""} for n in range(50)])
    with refused("ResourceNotFoundException"):
        call("ListTagsForResource", resourceARN=arn[:-12] + "0" * 12)
