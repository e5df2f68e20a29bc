"""What can go wrong with one call at AWS, and what botocore makes of it."""

import io
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.response import StreamingBody


class Crash(BaseException):
    """The sandbox is gone: no handler and no `except Exception` sees it."""


@dataclass(frozen=True)
class Call:
    """One call at AWS: the n-th (from 0) of the k-th invocation (from 0) of a function."""

    function: str
    invocation: int
    number: int
    service: str
    operation: str

    def __str__(self) -> str:
        return f"{self.function}[{self.invocation}] call {self.number} {self.service}:{self.operation}"


_THROTTLED = {
    "dynamodb": ("ThrottlingException", 400),
    "s3": ("SlowDown", 503),
    "events": ("ThrottlingException", 400),
    "sns": ("Throttled", 429),
    "cloudwatch": ("Throttling", 400),
    "bedrock": ("ThrottlingException", 429),
    "bedrock-runtime": ("ThrottlingException", 429),
}
_QUOTA = {
    "dynamodb": ("RequestLimitExceeded", 400),
    "events": ("LimitExceededException", 400),
    "bedrock": ("ServiceQuotaExceededException", 400),
    "bedrock-runtime": ("ServiceQuotaExceededException", 400),
}
_DENIED = {
    "s3": ("AccessDenied", 403),
    "sns": ("AuthorizationError", 403),
    "cloudwatch": ("AccessDenied", 403),
}
_BROKEN = {
    "dynamodb": ("InternalServerError", 500),
    "s3": ("InternalError", 500),
    "events": ("InternalException", 500),
    "sns": ("InternalError", 500),
    "cloudwatch": ("InternalServiceFault", 500),
    "bedrock": ("InternalServerException", 500),
    "bedrock-runtime": ("ServiceUnavailableException", 503),
}
ANSWERS = {
    "throttled": lambda service: _THROTTLED[service],
    "quota exceeded": lambda service: _QUOTA.get(service),
    "denied": lambda service: _DENIED.get(service, ("AccessDeniedException", 403)),
    "broken": lambda service: _BROKEN[service],
}
"""By kind of fault, the error code and status that a service answers with; None where it has no such answer."""
TIMEOUTS = {"connect timeout": ConnectTimeoutError, "read timeout": ReadTimeoutError}
BEFORE = ("crash before", *TIMEOUTS, *ANSWERS)
AFTER = ("crash after", "cut off", "answer lost")
"""The call takes effect; then the sandbox dies, or Lambda cuts it off and tries again, or the answer never arrives."""
KINDS = (*BEFORE, *AFTER, "denied for good", "partly refused", "body cut", "twice", "frozen")
TRANSIENT = tuple(kind for kind in KINDS if not kind.startswith("denied"))


def applies(kind: str, call: Call) -> bool:
    """Tell whether a kind of fault can befall a call."""
    if kind in ANSWERS:
        return ANSWERS[kind](call.service) is not None
    if kind == "partly refused":
        return call.operation == "PutEvents"
    if kind == "body cut":
        return call.operation == "GetObject"
    return True


def error_answer(kind: str, service: str, operation: str) -> tuple[Any, dict[str, Any]]:
    """Return what botocore takes for a service's answer, and turns into the error of its model."""
    code, status = ANSWERS[kind](service)
    if operation == "HeadObject":  # which has no body to name a code in
        code = str(status)
    answer = {
        "Error": {"Code": code, "Message": f"scripted: {kind}"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 3},
    }
    return SimpleNamespace(status_code=status), answer


class _Cut(io.RawIOBase):
    def read(self, *_: Any) -> bytes:
        raise ReadTimeoutError(endpoint_url="scripted")


def cut_body() -> StreamingBody:
    """Return a body whose connection breaks while it is read."""
    return StreamingBody(_Cut(), 1)
