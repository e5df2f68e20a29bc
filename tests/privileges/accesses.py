"""What IAM is asked when an AWS operation is called: actions, the resources they are for, what conditions may look at.

Source: Service Authorization Reference, the pages of each service; where it says less than the services do, the
comment names the page that says more.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.template.stack import ACCOUNT, REGION, Stack

_BEDROCK = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:"
_FOUNDATION_MODEL = "arn:aws:bedrock:{region}::foundation-model/{model}"
PROFILE_REGIONS = (REGION, "us-east-2", "us-west-2")
"""Among which the system's inference profiles of the United States choose."""
_NEW = "abcdefghwxyz"
"""Stands for the identifier that AWS gives what is created."""


@dataclass(frozen=True)
class Access:
    """One question to IAM: may this be done to that, given these values of condition keys?"""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        given = "".join(f" [{key}={value}]" for key, value in self.context.items())
        return f"{self.action} on {self.resource}{given}"


Parameters = Mapping[str, Any]


def accesses(service: str, operation: str, parameters: Parameters) -> list[Access]:
    """Return what IAM is asked when an operation is called.

    Raises
    ------
    KeyError
        If this table does not know the operation: look it up and add it.
    """
    return list(_OPERATIONS[f"{service}:{operation}"](parameters))


def accesses_of_absence(parameters: Parameters) -> list[Access]:
    """Return what S3 asks besides before it admits that an object is not there; otherwise it answers 403, not 404.

    Source: Amazon S3 API reference, GetObject and HeadObject, "Permissions".
    """
    return [Access("s3:ListBucket", _bucket(parameters))]


def accesses_of_service(stack: Stack, function: str) -> Iterator[Access]:
    """Yield what Lambda itself does with a function's role, as the function is configured.

    Source: AWS Lambda developer guide, "Defining Lambda function permissions with an execution role".
    """
    properties = stack[function]
    if properties.get("TracingConfig", {}).get("Mode") == "Active":
        for action in ("PutTraceSegments", "PutTelemetryRecords"):
            yield Access(f"xray:{action}", "*")
    group = stack.arn(properties["LoggingConfig"]["LogGroup"]).removesuffix("*")
    for action in ("CreateLogStream", "PutLogEvents"):
        yield Access(f"logs:{action}", f"{group}log-stream:2026/11/21/[$LATEST]0123456789abcdef")
    for invocation in stack.of_type("Lambda::EventInvokeConfig"):
        if invocation.properties["FunctionName"] == function:
            yield Access(
                "sqs:SendMessage", invocation.properties["DestinationConfig"]["OnFailure"]["Destination"]
            )


def accesses_of_keys(stack: Stack, access: Access) -> Iterator[Access]:
    """Yield what the services ask of KMS on the caller's behalf for an access to something encrypted.

    Sources: the sections on encryption at rest of the guides of S3, SQS, SNS, DynamoDB and Bedrock.
    """
    service = access.action.partition(":")[0]
    for action in _KEY_ACTIONS.get(access.action, _KEY_ACTIONS.get(service, ())):
        if key := _key_of(stack, service):
            yield Access(f"kms:{action}", key, {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"})


_BOTH = ("Decrypt", "GenerateDataKey")
_KEY_ACTIONS = {
    "s3:GetObject": ("Decrypt",),
    "s3:GetObjectVersion": ("Decrypt",),
    "s3:PutObject": ("GenerateDataKey",),
    "dynamodb": _BOTH,
    "sqs:SendMessage": _BOTH,
    "sns:Publish": _BOTH,
    # Amazon Bedrock user guide, "Encryption of custom models": of who starts the job, and of who asks the model.
    "bedrock:CreateModelCustomizationJob": ("DescribeKey", "CreateGrant", *_BOTH),
    "bedrock:InvokeModel": ("Decrypt",),
    "bedrock:CreateCustomModelDeployment": ("Decrypt",),
    "bedrock:CreateProvisionedModelThroughput": ("Decrypt",),
}


def _key_of(stack: Stack, service: str) -> str | None:
    """Return the key that encrypts what this stack keeps in a service, unless AWS owns it."""
    match service:
        case "s3":
            (rule,) = stack["DataBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            return rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        case "dynamodb":
            return stack["RunTable"].get("SSESpecification", {}).get("KMSMasterKeyId")
        case "sqs":
            return stack["DeadLetterQueue"].get("KmsMasterKeyId")
        case "sns":
            return stack["NotificationTopic"].get("KmsMasterKeyId")
        case _:
            return stack["DistillFunction"]["Environment"]["Variables"]["CUSTOM_MODEL_KMS_KEY_ARN"] or None


def _bucket(parameters: Parameters) -> str:
    return f"arn:aws:s3:::{parameters['Bucket']}"


def _on_object(action: str) -> Callable[[Parameters], Iterator[Access]]:
    """An operation on an object; of a version of it AWS asks for another action (S3 API reference, GetObject)."""

    def of(parameters: Parameters) -> Iterator[Access]:
        version = "Version" if parameters.get("VersionId") else ""
        yield Access(f"s3:{action}{version}", f"{_bucket(parameters)}/{parameters['Key']}")

    return of


def _puts_object(parameters: Parameters) -> Iterator[Access]:
    """Yield what putting an object asks for; whoever compares it with what stands there must be allowed to read that.

    Source: Amazon S3 user guide, "How to prevent object overwrites with conditional writes".
    """
    yield from _on_object("PutObject")(parameters)
    if "IfMatch" in parameters:
        yield from _on_object("GetObject")(parameters)


def _deletes(parameters: Parameters) -> Iterator[Access]:
    for each in parameters["Delete"]["Objects"]:
        yield from _on_object("DeleteObject")({"Bucket": parameters["Bucket"], **each})


def _on_bucket(action: str) -> Callable[[Parameters], Iterator[Access]]:
    def of(parameters: Parameters) -> Iterator[Access]:
        given = {"s3:prefix": parameters["Prefix"]} if "Prefix" in parameters else {}
        yield Access(f"s3:{action}", _bucket(parameters), given)

    return of


def _table(name: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def _on_table(action: str) -> Callable[[Parameters], Iterator[Access]]:
    def of(parameters: Parameters) -> Iterator[Access]:
        index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
        yield Access(f"dynamodb:{action}", _table(parameters["TableName"]) + index)

    return of


_WRITES = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _transaction(parameters: Parameters) -> Iterator[Access]:
    """A transaction asks for what its parts ask for (DynamoDB developer guide, "Using IAM with transactions")."""
    for write in parameters["TransactItems"]:
        ((kind, part),) = write.items()
        yield Access(f"dynamodb:{_WRITES[kind]}", _table(part["TableName"]))


def _puts_events(parameters: Parameters) -> Iterator[Access]:
    for entry in parameters["Entries"]:
        bus = entry.get("EventBusName", "default")
        context = {"events:source": entry["Source"]}
        yield Access("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}", context)


def _foundation_model(model: str, region: str = REGION) -> str:
    return _FOUNDATION_MODEL.format(region=region, model=model)


def _on_model(action: str, model: str) -> Iterator[Access]:
    """A model by its ARN, its id, or the id of an inference profile, which stands for it in several regions.

    Source: Amazon Bedrock user guide, "Prerequisites for inference profiles".
    """
    if model.startswith("arn:"):
        yield Access(action, model)
    elif model.split(".")[0] in ("us", "eu", "apac", "global"):
        profile = f"{_BEDROCK}inference-profile/{model}"
        yield Access(action, profile)
        for region in PROFILE_REGIONS:
            of_profile = _foundation_model(model.partition(".")[2], region)
            yield Access(action, of_profile, {"bedrock:InferenceProfileArn": profile})
    else:
        yield Access(action, _foundation_model(model))


def _passes_role(parameters: Parameters) -> Access:
    return Access("iam:PassRole", parameters["roleArn"], {"iam:PassedToService": "bedrock.amazonaws.com"})


def _tags(parameters: Parameters, field_name: str, kind: str) -> Iterator[Access]:
    if parameters.get(field_name):
        yield Access("bedrock:TagResource", f"{_BEDROCK}{kind}/{_NEW}")


def _creates_customization(parameters: Parameters) -> Iterator[Access]:
    base = parameters["baseModelIdentifier"]
    yield Access("bedrock:CreateModelCustomizationJob", _foundation_model(base))
    yield Access("bedrock:CreateModelCustomizationJob", f"{_BEDROCK}custom-model/{base}/{_NEW}")
    yield from _tags(parameters, "jobTags", f"model-customization-job/{base}")
    yield from _tags(parameters, "customModelTags", f"custom-model/{base}")
    yield _passes_role(parameters)


def _creates_deployment(parameters: Parameters) -> Iterator[Access]:
    yield Access("bedrock:CreateCustomModelDeployment", parameters["modelArn"])
    yield from _tags(parameters, "tags", "custom-model-deployment")


def _creates_throughput(parameters: Parameters) -> Iterator[Access]:
    yield Access("bedrock:CreateProvisionedModelThroughput", parameters["modelId"])
    yield from _tags(parameters, "tags", "provisioned-model")


def _creates_evaluation(parameters: Parameters) -> Iterator[Access]:
    automated = parameters["evaluationConfig"]["automated"]
    judges = [automated["evaluatorModelConfig"]] if "evaluatorModelConfig" in automated else []
    if "customMetricConfig" in automated:
        judges.append(automated["customMetricConfig"]["evaluatorModelConfig"])
    for judge in judges:
        (model,) = judge["bedrockEvaluatorModels"]
        yield from _on_model("bedrock:CreateEvaluationJob", model["modelIdentifier"])
    yield from _tags(parameters, "jobTags", "evaluation-job")
    yield _passes_role(parameters)


def _creates_batch(parameters: Parameters) -> Iterator[Access]:
    """Source: Amazon Bedrock user guide, "Prerequisites for inference profiles", which names the action."""
    yield from _on_model("bedrock:CreateModelInvocationJob", parameters["modelId"])
    yield _passes_role(parameters)


def _by_name_or_arn(action: str, kind: str, parameter: str) -> Callable[[Parameters], Iterator[Access]]:
    def of(parameters: Parameters) -> Iterator[Access]:
        name = parameters[parameter]
        yield Access(f"bedrock:{action}", name if name.startswith("arn:") else f"{_BEDROCK}{kind}/{name}")

    return of


_OPERATIONS: dict[str, Callable[[Parameters], Iterator[Access]]] = {
    "s3:GetObject": _on_object("GetObject"),
    "s3:HeadObject": _on_object("GetObject"),
    "s3:PutObject": _puts_object,
    "s3:DeleteObject": _on_object("DeleteObject"),
    "s3:DeleteObjects": _deletes,
    "s3:ListObjectsV2": _on_bucket("ListBucket"),
    "s3:ListObjectVersions": _on_bucket("ListBucketVersions"),
    **{
        f"dynamodb:{name}": _on_table(name)
        for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")
    },
    "dynamodb:TransactWriteItems": _transaction,
    "events:PutEvents": _puts_events,
    "sns:Publish": lambda parameters: iter([Access("sns:Publish", parameters["TopicArn"])]),
    "cloudwatch:GetMetricData": lambda parameters: iter([Access("cloudwatch:GetMetricData", "*")]),
    "bedrock:GetFoundationModel": lambda parameters: _on_model(
        "bedrock:GetFoundationModel", parameters["modelIdentifier"]
    ),
    "bedrock:CreateModelCustomizationJob": _creates_customization,
    "bedrock:GetModelCustomizationJob": _by_name_or_arn(
        "GetModelCustomizationJob", "model-customization-job", "jobIdentifier"
    ),
    "bedrock:StopModelCustomizationJob": _by_name_or_arn(
        "StopModelCustomizationJob", "model-customization-job", "jobIdentifier"
    ),
    "bedrock:DeleteCustomModel": _by_name_or_arn("DeleteCustomModel", "custom-model", "modelIdentifier"),
    "bedrock:GetCustomModel": _by_name_or_arn("GetCustomModel", "custom-model", "modelIdentifier"),
    "bedrock:CreateCustomModelDeployment": _creates_deployment,
    "bedrock:GetCustomModelDeployment": _by_name_or_arn(
        "GetCustomModelDeployment", "custom-model-deployment", "customModelDeploymentIdentifier"
    ),
    "bedrock:DeleteCustomModelDeployment": _by_name_or_arn(
        "DeleteCustomModelDeployment", "custom-model-deployment", "customModelDeploymentIdentifier"
    ),
    "bedrock:CreateProvisionedModelThroughput": _creates_throughput,
    "bedrock:GetProvisionedModelThroughput": _by_name_or_arn(
        "GetProvisionedModelThroughput", "provisioned-model", "provisionedModelId"
    ),
    "bedrock:DeleteProvisionedModelThroughput": _by_name_or_arn(
        "DeleteProvisionedModelThroughput", "provisioned-model", "provisionedModelId"
    ),
    "bedrock:CreateEvaluationJob": _creates_evaluation,
    "bedrock:ListEvaluationJobs": lambda parameters: iter([Access("bedrock:ListEvaluationJobs", "*")]),
    "bedrock:GetEvaluationJob": _by_name_or_arn("GetEvaluationJob", "evaluation-job", "jobIdentifier"),
    "bedrock:BatchDeleteEvaluationJob": lambda parameters: (
        Access("bedrock:BatchDeleteEvaluationJob", arn) for arn in parameters["jobIdentifiers"]
    ),
    "bedrock:StopEvaluationJob": _by_name_or_arn("StopEvaluationJob", "evaluation-job", "jobIdentifier"),
    "bedrock:CreateModelInvocationJob": _creates_batch,
    "bedrock:ListModelInvocationJobs": lambda parameters: iter(
        [Access("bedrock:ListModelInvocationJobs", "*")]
    ),
    "bedrock:GetModelInvocationJob": _by_name_or_arn(
        "GetModelInvocationJob", "model-invocation-job", "jobIdentifier"
    ),
    "bedrock:StopModelInvocationJob": _by_name_or_arn(
        "StopModelInvocationJob", "model-invocation-job", "jobIdentifier"
    ),
    "bedrock-runtime:Converse": lambda parameters: _on_model("bedrock:InvokeModel", parameters["modelId"]),
}
