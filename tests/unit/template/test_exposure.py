"""Nothing is public, nothing travels or lies unencrypted."""

import re
from typing import Any

import pytest

from tests.unit.template.stack import ACCOUNT, KMS_KEY_ARN, REGION, Stack, as_list

RESOURCE_POLICIES = (
    "DataBucketPolicy",
    "QueryLogBucketPolicy",
    "NotificationTopicPolicy",
    "DeadLetterQueuePolicy",
)

CALLERS = ("events.amazonaws.com", "apigateway.amazonaws.com")


def statements(stack: Stack, policy: str) -> list[dict[str, Any]]:
    """Return the statements of a resource's policy."""
    return stack[policy]["PolicyDocument"]["Statement"]


def test_every_policy_of_a_resource_is_looked_at(stack: Stack) -> None:
    kinds = ("S3::BucketPolicy", "SNS::TopicPolicy", "SQS::QueuePolicy")

    assert {one.name for kind in kinds for one in stack.of_type(kind)} == set(RESOURCE_POLICIES)
    assert not stack.of_type("Lambda::Url")
    assert not stack.of_type("Events::EventBusPolicy")


@pytest.mark.parametrize("policy", RESOURCE_POLICIES)
def test_what_is_allowed_is_allowed_to_a_service_for_things_of_this_stack(stack: Stack, policy: str) -> None:
    for statement in statements(stack, policy):
        if statement["Effect"] == "Allow":
            assert set(statement["Principal"]) == {"Service"}
            assert statement["Condition"]["ArnEquals"]["aws:SourceArn"]


@pytest.mark.parametrize("policy", RESOURCE_POLICIES)
def test_nothing_travels_unencrypted(stack: Stack, policy: str) -> None:
    (denied,) = (statement for statement in statements(stack, policy) if statement["Effect"] == "Deny")

    assert denied["Principal"] == "*"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_bucket_denies_it_for_itself_and_all_objects(stack: Stack) -> None:
    (denied,) = statements(stack, "DataBucketPolicy")

    assert denied["Action"] == "s3:*"
    assert denied["Resource"] == [stack.arn("DataBucket"), stack.arn("DataBucket") + "/*"]


def test_the_dead_letters_take_from_each_rule_of_this_stack_and_from_nothing_else(stack: Stack) -> None:
    (allowed,) = (one for one in statements(stack, "DeadLetterQueuePolicy") if one["Effect"] == "Allow")
    rules = [stack.arn(rule.name) for rule in stack.of_type("Events::Rule")]

    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert sorted(allowed["Condition"]["ArnEquals"]["aws:SourceArn"]) == sorted(rules)


def test_the_topic_takes_from_each_alarm_of_this_stack_and_from_nothing_else(stack: Stack) -> None:
    (allowed,) = (one for one in statements(stack, "NotificationTopicPolicy") if one["Effect"] == "Allow")
    alarms = [stack.arn(alarm.name) for alarm in stack.of_type("CloudWatch::Alarm")]

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert sorted(allowed["Condition"]["ArnEquals"]["aws:SourceArn"]) == sorted(alarms)


def test_the_bucket_is_closed_versioned_and_tidy(stack: Stack) -> None:
    bucket = stack["DataBucket"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    cleaned = {key for rule in bucket["LifecycleConfiguration"]["Rules"] for key in rule}
    assert {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"} <= cleaned
    assert "Expiration" not in cleaned


def test_only_this_stack_calls_its_functions(stack: Stack) -> None:
    for permission in stack.of_type("Lambda::Permission"):
        properties = permission.properties
        assert properties["Principal"] in CALLERS, permission.name
        assert f":{REGION}:{ACCOUNT}:" in properties["SourceArn"], permission.name


def test_the_api_asks_for_an_iam_signature(stack: Stack) -> None:
    routes = stack.of_type("ApiGatewayV2::Route")

    assert {route.properties["AuthorizationType"] for route in routes} == {"AWS_IAM"}
    assert not stack.of_type("ApiGatewayV2::Authorizer")


def test_the_api_asks_for_a_token_if_it_is_told_whose() -> None:
    stack = Stack(JwtIssuer="https://issuer.example.com", JwtAudience="searcher")

    for route in stack.of_type("ApiGatewayV2::Route"):
        assert route.properties["AuthorizationType"] == "JWT"
        assert route.properties["AuthorizerId"] == "RouteApiAuthorizer"
    assert stack["RouteApiAuthorizer"]["JwtConfiguration"] == {
        "Issuer": "https://issuer.example.com",
        "Audience": ["searcher"],
    }


@pytest.mark.parametrize("half", [{"JwtIssuer": "https://issuer.example.com"}, {"JwtAudience": "searcher"}])
def test_half_of_a_token_setting_opens_nothing(half: dict[str, str]) -> None:
    routes = Stack(**half).of_type("ApiGatewayV2::Route")

    assert {route.properties["AuthorizationType"] for route in routes} == {"AWS_IAM"}


def test_the_api_is_throttled_and_logged_without_queries(stack: Stack) -> None:
    stage = stack["RouteApiStage"]

    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] > 0
    assert stage["AccessLogSettings"]["DestinationArn"] == stack.arn("RouteApiLogGroup")
    assert "path" not in stage["AccessLogSettings"]["Format"].lower()
    assert "CorsConfiguration" not in stack["RouteApi"]


def test_pages_of_named_origins_may_call_the_api_and_of_no_others() -> None:
    stack = Stack(CorsOrigins="https://search.example.com,https://staging.example.com")

    cors = stack["RouteApi"]["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://search.example.com", "https://staging.example.com"]
    assert cors["AllowMethods"] == ["GET", "POST"]
    assert "AllowCredentials" not in cors
    assert {route.properties["AuthorizationType"] for route in stack.of_type("ApiGatewayV2::Route")} == {
        "AWS_IAM"
    }


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "https://*",
        "https://*.example.com",
        "http://example.com",
        "https://a.example,*",
        "https://a.example/x",
        "null",
    ],
)
def test_no_origin_that_stands_for_others_can_be_named(stack: Stack, origins: str) -> None:
    pattern = stack.template["Parameters"]["CorsOrigins"]["AllowedPattern"]

    assert re.fullmatch(pattern, "https://search.example.com,https://staging.example.com")
    assert not re.fullmatch(pattern, origins)


def test_no_parameter_opens_the_api(stack: Stack) -> None:
    for parameters in ({}, {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "searcher"}):
        for route in Stack(**parameters).of_type("ApiGatewayV2::Route"):
            assert route.properties["AuthorizationType"] in {"AWS_IAM", "JWT"}
    written = {str(one["Properties"]["AuthorizationType"]) for one in stack.template["Resources"].values()
               if one["Type"] == "AWS::ApiGatewayV2::Route"}  # fmt: skip
    assert written == {str({"Fn::If": ["HasJwt", "JWT", "AWS_IAM"]})}
    assert not any(
        route.properties["RouteKey"] == "$default" for route in stack.of_type("ApiGatewayV2::Route")
    )


def test_everything_is_encrypted_by_default(stack: Stack) -> None:
    (encryption,) = stack["DataBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert stack["DeadLetterQueue"]["SqsManagedSseEnabled"] is True
    assert stack["NotificationTopic"]["KmsMasterKeyId"] == stack.arn("NotificationKey")
    assert stack["NotificationKey"]["EnableKeyRotation"] is True
    assert "SSESpecification" not in stack["RunTable"]  # then with a key that AWS owns


def test_everything_is_encrypted_with_a_key_of_ones_own(stack_with_key: Stack) -> None:
    (encryption,) = stack_with_key["DataBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert encryption["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": KMS_KEY_ARN,
    }
    assert encryption["BucketKeyEnabled"] is True
    assert stack_with_key["DeadLetterQueue"]["KmsMasterKeyId"] == KMS_KEY_ARN
    assert "SqsManagedSseEnabled" not in stack_with_key["DeadLetterQueue"]
    assert stack_with_key["NotificationTopic"]["KmsMasterKeyId"] == KMS_KEY_ARN
    assert stack_with_key["RunTable"]["SSESpecification"]["KMSMasterKeyId"] == KMS_KEY_ARN
    variables = stack_with_key["DistillFunction"]["Environment"]["Variables"]
    assert variables["CUSTOM_MODEL_KMS_KEY_ARN"] == KMS_KEY_ARN
    assert not stack_with_key.of_type("KMS::Key")


def test_only_the_account_and_its_alarms_use_the_topics_key(stack: Stack) -> None:
    account, alarms = stack["NotificationKey"]["KeyPolicy"]["Statement"]

    assert account["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert set(as_list(alarms["Action"])) == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_mail_is_sent_to_whoever_is_named() -> None:
    (subscription,) = Stack(NotificationEmail="team@example.com").of_type("SNS::Subscription")

    assert subscription.properties["Endpoint"] == "team@example.com"
    assert not Stack().of_type("SNS::Subscription")


def test_the_table_can_be_restored_and_protected(stack: Stack) -> None:
    table = stack["RunTable"]

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is False
    assert Stack(ProtectData="true")["RunTable"]["DeletionProtectionEnabled"] is True
