"""ARNs as Bedrock forms them; every pattern is the service model's own."""

import secrets
import string

ACCOUNT = "000000000000"
REGION = "us-east-1"

_ALPHABET = string.ascii_lowercase + string.digits
_PREFIX = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:"


def new_id() -> str:
    """Return twelve random characters of [a-z0-9], the last part of every ARN here."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


def foundation_model(model_id: str) -> str:
    """Return the ARN of a foundation model."""
    return f"arn:aws:bedrock:{REGION}::foundation-model/{model_id}"


def customization_job(base_model: str, identifier: str) -> str:
    """Return the ARN of a model customization job."""
    return f"{_PREFIX}model-customization-job/{base_model}/{identifier}"


def custom_model(base_model: str, identifier: str) -> str:
    """Return the ARN of a custom model."""
    return f"{_PREFIX}custom-model/{base_model}/{identifier}"


def deployment(identifier: str) -> str:
    """Return the ARN of a custom model deployment."""
    return f"{_PREFIX}custom-model-deployment/{identifier}"


def provisioned_model(identifier: str) -> str:
    """Return the ARN of provisioned throughput."""
    return f"{_PREFIX}provisioned-model/{identifier}"


def evaluation_job(identifier: str) -> str:
    """Return the ARN of an evaluation job."""
    return f"{_PREFIX}evaluation-job/{identifier}"


def invocation_job(identifier: str) -> str:
    """Return the ARN of a model invocation (batch inference) job."""
    return f"{_PREFIX}model-invocation-job/{identifier}"


def last_part(arn: str) -> str:
    """Return what stands behind the last slash: the id of the resource."""
    return arn.rsplit("/", 1)[-1]
