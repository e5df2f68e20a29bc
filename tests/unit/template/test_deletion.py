"""`sam delete` leaves nothing behind: what holds data, or is made outside CloudFormation, is in docs/cleanup.md."""

import re

import pytest

from tests.unit.template.stack import PROJECT, Stack

PAGE = (PROJECT / "docs" / "cleanup.md").read_text()
DELETION = PAGE[PAGE.index("## Delete the stack") :]

HOLDS_DATA = {
    "AWS::S3::Bucket": "`DataBucket`",
    "AWS::DynamoDB::Table": "`RunTable`",
    "AWS::KMS::Key": "`NotificationKey`",
    "AWS::SQS::Queue": "dead letters",
    "AWS::Events::Archive": "archived events",
    "AWS::Logs::LogGroup": "log groups",
}
"""Types that hold data, by what the page calls those of this stack."""
KEEPS_NO_DATA = re.compile(
    r"AWS::(IAM|Lambda|ApiGatewayV2|CloudWatch|CodeDeploy|SNS)::|"
    r"AWS::Events::(Rule|EventBus)|AWS::S3::BucketPolicy|AWS::SQS::QueuePolicy"
)
MADE_BY_CALLS = {
    "bedrock:CreateModelCustomizationJob": "records of customization jobs",
    "bedrock:CreateCustomModelDeployment": "custom models, deployments, judge's jobs",
    "bedrock:CreateProvisionedModelThroughput": "custom models, deployments, judge's jobs",
    "bedrock:CreateEvaluationJob": "custom models, deployments, judge's jobs",
    "bedrock:CreateModelInvocationJob": "records of batch inference jobs",
    "xray:PutTraceSegments": "traces",
    "s3:PutObject": "objects of all versions",
}
"""Actions of the functions' roles by which something comes to be that CloudFormation knows nothing of."""


def test_every_resource_is_deleted_with_the_stack() -> None:
    kept = {
        resource["Type"]
        for name, resource in Stack().template["Resources"].items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }
    # SAM retains versions of a function over updates; with the function all of them are deleted.
    assert kept == {"AWS::Lambda::Version"}
    assert "| versions of the route function |" in DELETION


def test_whatever_holds_data_is_on_the_page() -> None:
    for name, resource in Stack().template["Resources"].items():
        kind = resource["Type"]
        if kind in HOLDS_DATA:
            assert HOLDS_DATA[kind] in DELETION, name
        else:
            assert KEEPS_NO_DATA.match(kind), f"{name}: does {kind} hold data that outlives the stack?"


def test_what_an_update_would_leave_is_on_the_page() -> None:
    for name, resource in Stack().template["Resources"].items():
        if resource.get("UpdateReplacePolicy", "Delete") != "Delete":
            assert f"`{name}`" in DELETION


def test_no_function_makes_its_log_group_itself() -> None:
    stack = Stack()
    groups = {
        name for name, one in stack.template["Resources"].items() if one["Type"] == "AWS::Logs::LogGroup"
    }
    for function in stack.of_type("Lambda::Function"):
        group = function.properties["LoggingConfig"]["LogGroup"]
        assert any(group in (name, stack[name].get("LogGroupName")) for name in groups)


@pytest.mark.parametrize("action", MADE_BY_CALLS)
def test_what_calls_make_is_on_the_page(action: str) -> None:
    assert f"| {MADE_BY_CALLS[action]}" in DELETION


def test_every_bucket_is_on_the_page_by_name_and_emptied_before_the_stack_is_deleted() -> None:
    commands = DELETION[DELETION.index("```bash") : DELETION.index("sam delete")]
    emptied = {"DataBucket": "local clean --everything", "QueryLogBucket": "aws s3 rm"}
    names = {name for name, one in Stack().template["Resources"].items() if one["Type"] == "AWS::S3::Bucket"}
    assert names == emptied.keys()
    for name, command in emptied.items():
        assert f"| `{name}`" in DELETION
        assert command in commands


def test_no_role_may_make_anything_else() -> None:
    stack = Stack()
    actions = {
        action
        for role in stack.of_type("IAM::Role")
        for policy in role.properties.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }
    makes = {
        action
        for action in actions
        if re.match(r"(bedrock|s3|lambda|logs|kms):Create(?!LogStream|Grant)", action)
    }
    assert makes <= MADE_BY_CALLS.keys()
