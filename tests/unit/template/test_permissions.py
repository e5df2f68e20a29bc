"""What each role may do, and who may take it on."""

import pytest

from signalbox.store import CONSOLE
from tests.unit.template.authorization import is_of_type, resource_types
from tests.unit.template.stack import ACCOUNT, KMS_KEY_ARN, REGION, Stack, as_list

OWN_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
CALLED_BY_EVENTS = OWN_LOG | TRACES | {"sqs:SendMessage"}
STEP = CALLED_BY_EVENTS | {"events:PutEvents", "dynamodb:GetItem", "dynamodb:UpdateItem"}
RUN_OBJECTS = {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
DEPLOYERS = ("RouteDeploymentRole",)
READS_NOTHING = (*DEPLOYERS, "RewardRole")
SERVICE_ROLES = ("CustomizationRole", "EvaluationRole", "BatchRole")
KEY = {"kms:Decrypt", "kms:GenerateDataKey"}

ACTIONS = {
    "GenerateRole": STEP
    | RUN_OBJECTS
    | {
        "s3:GetObjectVersion",
        "s3:ListBucketVersions",
        "dynamodb:PutItem",
        "bedrock:InvokeModel",
        "bedrock:CreateModelInvocationJob",
        "bedrock:ListModelInvocationJobs",
        "bedrock:GetModelInvocationJob",
        "iam:PassRole",
    },
    "ValidateRole": STEP | RUN_OBJECTS | {"s3:GetObjectVersion", "s3:ListBucketVersions", "dynamodb:PutItem"},
    "DistillRole": STEP
    | RUN_OBJECTS
    | {
        "bedrock:GetFoundationModel",
        "bedrock:CreateModelCustomizationJob",
        "bedrock:GetModelCustomizationJob",
        "bedrock:TagResource",
        "iam:PassRole",
    },
    "RewardRole": OWN_LOG | TRACES,
    "DeployRole": STEP
    | {
        "bedrock:GetModelCustomizationJob",
        "bedrock:GetCustomModel",
        "bedrock:CreateCustomModelDeployment",
        "bedrock:GetCustomModelDeployment",
        "bedrock:DeleteCustomModelDeployment",
        "bedrock:CreateProvisionedModelThroughput",
        "bedrock:GetProvisionedModelThroughput",
        "bedrock:DeleteProvisionedModelThroughput",
        "bedrock:DeleteCustomModel",
        "bedrock:ListEvaluationJobs",
        "bedrock:StopEvaluationJob",
        "bedrock:BatchDeleteEvaluationJob",
        "bedrock:StopModelCustomizationJob",
        "bedrock:TagResource",
        "dynamodb:ConditionCheckItem",
    },
    "EvaluateRole": STEP
    | RUN_OBJECTS
    | {
        "bedrock:InvokeModel",
        "bedrock:CreateEvaluationJob",
        "bedrock:ListEvaluationJobs",
        "bedrock:TagResource",
        "iam:PassRole",
    },
    "JudgeRole": STEP | RUN_OBJECTS | {"bedrock:GetEvaluationJob", "bedrock:StopEvaluationJob"},
    "PromoteRole": STEP
    | RUN_OBJECTS
    | {
        "bedrock:InvokeModel",
        "bedrock:GetCustomModelDeployment",
        "bedrock:GetProvisionedModelThroughput",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "cloudwatch:GetMetricData",
    },
    "NotifyRole": CALLED_BY_EVENTS | KEY | {"sns:Publish", "s3:GetObject"},
    "CleanRole": CALLED_BY_EVENTS
    | {"dynamodb:GetItem", "dynamodb:DeleteItem", "s3:ListBucketVersions", "s3:DeleteObjectVersion"},
    "WatchRole": STEP
    | RUN_OBJECTS
    | {
        "dynamodb:Query",
        "dynamodb:PutItem",
        "s3:ListBucketVersions",
        "bedrock:StopModelInvocationJob",
    },
    "RouteRole": OWN_LOG
    | TRACES
    | {"dynamodb:GetItem", "dynamodb:Query", "s3:GetObject", "s3:ListBucket", "bedrock:InvokeModel"},
    "RouteDeploymentRole": {
        "lambda:GetAlias",
        "lambda:UpdateAlias",
        "lambda:GetProvisionedConcurrencyConfig",
        "cloudwatch:DescribeAlarms",
    },
    "CustomizationRole": RUN_OBJECTS | {"bedrock:InvokeModel", "lambda:InvokeFunction"},
    "EvaluationRole": RUN_OBJECTS
    | {
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
        "s3:ListBucketMultipartUploads",
        "bedrock:InvokeModel",
        "bedrock:CreateModelInvocationJob",
        "bedrock:StopModelInvocationJob",
    },
    "BatchRole": RUN_OBJECTS | {"bedrock:InvokeModel"},
}
OF_KEY = {
    "DistillRole": {"kms:DescribeKey", "kms:CreateGrant"},
    "CustomizationRole": {"kms:DescribeKey", "kms:CreateGrant"},
    "EvaluationRole": {"kms:DescribeKey"},
    "BatchRole": {"kms:DescribeKey"},
}
"""What a role may do with a key of one's own beyond reading and writing with it."""
UNLIMITED = TRACES | {
    "bedrock:ListEvaluationJobs",
    "bedrock:ListModelInvocationJobs",
    "cloudwatch:GetMetricData",
}
"""Actions that AWS lets be limited to no resource. Of GetMetricData its references disagree: the CloudWatch user guide
("permissions reference") says so, the service authorization reference names the account's one dataset."""


def actions(stack: Stack, role: str) -> set[str]:
    """Return the actions that a role is allowed."""
    return {action for statement in stack.statements(role) for action in as_list(statement["Action"])}


def test_every_role_is_in_the_table(stack: Stack) -> None:
    assert {role.name for role in stack.of_type("IAM::Role")} == set(ACTIONS)


@pytest.mark.parametrize("role", ACTIONS)
def test_a_role_may_do_what_it_does_and_no_more(stack: Stack, role: str) -> None:
    assert actions(stack, role) == ACTIONS[role]


def test_only_the_customization_role_calls_a_function_and_only_the_one_that_grades(stack: Stack) -> None:
    may_call = {
        role: statement["Resource"]
        for role in ACTIONS
        for statement in stack.statements(role)
        if "lambda:InvokeFunction" in as_list(statement["Action"])
    }
    assert may_call == {"CustomizationRole": stack.arn("RewardFunction")}


@pytest.mark.parametrize("role", ACTIONS)
def test_a_key_of_ones_own_adds_its_use_and_no_more(stack_with_key: Stack, role: str) -> None:
    added = KEY | OF_KEY.get(role, set()) if role not in READS_NOTHING else set()

    assert actions(stack_with_key, role) == ACTIONS[role] | added
    for statement in stack_with_key.statements(role):
        if as_list(statement["Action"])[0].startswith("kms:"):
            assert statement["Resource"] == KMS_KEY_ARN
            assert "kms:ViaService" in statement["Condition"]["StringEquals"]


@pytest.mark.parametrize("role", ACTIONS)
def test_a_statement_names_resources_wherever_aws_lets_it(stack_with_key: Stack, role: str) -> None:
    for statement in stack_with_key.statements(role):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            assert "*" not in action
            named = as_list(statement["Resource"])
            if (kinds := resource_types(action)) and action not in UNLIMITED:
                service = action.partition(":")[0]
                applies = [arn for arn in named if any(is_of_type(arn, service, kind) for kind in kinds)]
                assert applies, f"{action} does not apply to {named}"
                assert "*" not in named
            else:
                assert action in UNLIMITED, f"{action} cannot be limited to a resource: say why it is needed"


def test_no_statement_names_a_resource_that_none_of_its_actions_applies_to(stack_with_key: Stack) -> None:
    for role in ACTIONS:
        for statement in stack_with_key.statements(role):
            named = as_list(statement["Action"])
            kinds = {(action.partition(":")[0], kind) for action in named for kind in resource_types(action)}
            if ("bedrock", "foundation-model") in kinds:
                # It stands for a model; the reference does not say so of every action.
                kinds.add(("bedrock", "inference-profile"))
            for arn in as_list(statement["Resource"]):
                assert arn == "*" or any(is_of_type(arn, *kind) for kind in kinds), (role, arn)


def test_objects_are_named_by_prefix(stack: Stack) -> None:
    of_bucket = stack.arn("DataBucket")
    for role in ACTIONS:
        for statement in stack.statements(role):
            for arn in as_list(statement["Resource"]):
                if arn.startswith(f"{of_bucket}/"):
                    prefix = arn.removeprefix(f"{of_bucket}/").partition("/")[0]
                    assert prefix in {"requests", "generations", "datasets", "tasks", "runs"}, (role, arn)


@pytest.mark.parametrize("role", ["WatchRole", "PromoteRole", "RouteRole"])
def test_a_query_goes_to_the_index_and_not_to_the_table(stack: Stack, role: str) -> None:
    (query,) = (one for one in stack.statements(role) if "dynamodb:Query" in as_list(one["Action"]))
    indexes = {index["IndexName"] for index in stack["RunTable"]["GlobalSecondaryIndexes"]}

    assert set(as_list(query["Resource"])) <= {f"{stack.arn('RunTable')}/index/{name}" for name in indexes}


def test_only_bedrock_is_handed_a_role_and_only_its_own(stack: Stack) -> None:
    handed = {
        role: statement
        for role in ACTIONS
        for statement in stack.statements(role)
        if "iam:PassRole" in as_list(statement["Action"])
    }

    assert {role: statement["Resource"] for role, statement in handed.items()} == {
        "DistillRole": stack.arn("CustomizationRole"),
        "EvaluateRole": stack.arn("EvaluationRole"),
        "GenerateRole": stack.arn("BatchRole"),
    }
    for statement in handed.values():
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


def test_a_model_of_another_region_is_asked_only_through_a_profile_of_this_account(stack: Stack) -> None:
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/*"
    for role in ACTIONS:
        for statement in stack.statements(role):
            elsewhere = any(arn.startswith("arn:aws:bedrock:*:") for arn in as_list(statement["Resource"]))
            if elsewhere and "bedrock:InvokeModel" in as_list(statement["Action"]):
                assert statement["Condition"] == {"ArnLike": {"bedrock:InferenceProfileArn": profile}}


@pytest.mark.parametrize("role", [role for role in ACTIONS if role not in SERVICE_ROLES + DEPLOYERS])
def test_only_lambda_takes_on_a_functions_role(stack: Stack, role: str) -> None:
    (statement,) = stack[role]["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize(
    ("role", "jobs"),
    [
        ("CustomizationRole", "model-customization-job"),
        ("EvaluationRole", "evaluation-job"),
        ("BatchRole", "model-invocation-job"),
    ],
)
def test_only_bedrock_takes_on_a_service_role_and_only_for_jobs_of_this_account(
    stack: Stack, role: str, jobs: str
) -> None:
    (statement,) = stack[role]["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:{jobs}/*"},
    }


def test_only_codedeploy_takes_on_the_role_that_moves_queries_and_only_to_the_routes_versions(
    stack: Stack,
) -> None:
    (statement,) = stack["RouteDeploymentRole"]["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "codedeploy.amazonaws.com"}
    function = stack.arn("RouteFunction")
    named = {arn for one in stack.statements("RouteDeploymentRole") for arn in as_list(one["Resource"])}
    alarms = {stack.arn("RouteVersionErrorAlarm"), stack.arn("RouteVersionFallbackAlarm")}
    assert named == {function, f"{function}:live", f"{function}:*"} | alarms


def test_each_function_has_a_role_of_its_own(stack: Stack) -> None:
    for function in stack.of_type("Lambda::Function"):
        role = function.name.replace("Function", "Role")
        assert function.properties["Role"] == stack.arn(role)


def test_the_boundary_is_on_every_role_if_there_is_one(stack: Stack) -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    bounded = Stack(PermissionsBoundaryArn=boundary)

    assert all(role.properties["PermissionsBoundary"] == boundary for role in bounded.of_type("IAM::Role"))
    assert not any("PermissionsBoundary" in role.properties for role in stack.of_type("IAM::Role"))


def test_watch_writes_the_console_and_no_object_of_a_run(stack: Stack) -> None:
    (write,) = (one for one in stack.statements("WatchRole") if "s3:PutObject" in as_list(one["Action"]))

    assert write["Resource"] == f"{stack.arn('DataBucket')}/{CONSOLE}"


def test_notify_reads_reports_and_nothing_else_of_the_bucket(stack: Stack) -> None:
    (read,) = (one for one in stack.statements("NotifyRole") if "s3:GetObject" in as_list(one["Action"]))

    assert read["Resource"] == f"{stack.arn('DataBucket')}/runs/*/report.html"


def test_no_function_can_put_a_decision_of_a_persons_on_the_bus(stack: Stack) -> None:
    putting = [
        one
        for role in stack.of_type("IAM::Role")
        for one in stack.statements(role.name)
        if "events:PutEvents" in as_list(one["Action"])
    ]
    assert len(putting) >= 7
    for statement in putting:
        assert statement["Condition"] == {"StringEquals": {"events:source": "signalbox"}}
