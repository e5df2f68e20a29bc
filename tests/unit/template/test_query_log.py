"""What people searched for lies in a bucket of its own, for days that the stack names, and only if it is asked for."""

from typing import Any

from tests.unit.template.stack import KMS_KEY_ARN, Stack


def bucket(stack: Stack) -> dict[str, Any]:
    return stack["QueryLogBucket"]


def test_by_default_no_query_is_kept_and_none_could_be(stack: Stack) -> None:
    assert stack["RouteFunction"]["Environment"]["Variables"]["QUERY_LOG_SHARE"] in ("0", 0)
    assert "KeepQueriesPolicy" not in stack.resources
    for role in stack.of_type("IAM::Role"):
        resources = str([statement["Resource"] for statement in stack.statements(role.name)])
        assert stack.arn("QueryLogBucket") not in resources, role.name


def test_the_router_alone_may_write_them_and_nobody_read_them() -> None:
    stack = Stack(QueryLogShare="0.01")
    named = {
        role.name: [
            (statement["Action"], statement["Resource"])
            for statement in stack.statements(role.name)
            if stack.arn("QueryLogBucket") in str(statement["Resource"])
        ]
        for role in stack.of_type("IAM::Role")
    }
    assert {role: allowed for role, allowed in named.items() if allowed} == {
        "RouteRole": [("s3:PutObject", stack.arn("QueryLogBucket") + "/*")]
    }


def test_they_are_deleted_after_the_days_and_no_version_stays() -> None:
    (rule,) = bucket(Stack(QueryLogDays="7"))["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], str(rule["ExpirationInDays"])) == ("Enabled", "7")
    assert "Prefix" not in rule
    assert "VersioningConfiguration" not in bucket(Stack())


def test_the_bucket_is_closed_and_encrypted_and_announces_nothing(stack: Stack) -> None:
    assert set(bucket(stack)["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket(stack)["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "NotificationConfiguration" not in bucket(stack)
    (denied,) = stack["QueryLogBucketPolicy"]["PolicyDocument"]["Statement"]
    assert denied["Resource"] == [stack.arn("QueryLogBucket"), stack.arn("QueryLogBucket") + "/*"]
    for parameters, algorithm in (({}, "AES256"), ({"KmsKeyArn": KMS_KEY_ARN}, "aws:kms")):
        (rule,) = bucket(Stack(**parameters))["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == algorithm
