"""Which S3 is meant: AWS, with a person's own credentials, or the app on this machine."""

from collections.abc import Callable
from functools import cache
from typing import Any

from local.data.command import CannotUse


def s3_client(port: int | None, profile: str | None, region: str | None) -> Callable[[], Any]:
    """Return what makes the client when it is first needed: of the app on a port, or of AWS."""

    @cache
    def client() -> Any:
        if port is not None:
            return _app(port, None, None, None).objects
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            return boto3.Session(profile_name=profile, region_name=region).client("s3")
        except BotoCoreError as error:
            raise CannotUse(str(error)) from error

    return client


def query_log_of(
    port: int, stack_name: str | None, profile: str | None, region: str | None
) -> tuple[str, Any]:
    """Return the bucket with the queries that a router keeps, and the client that reads it.

    Raises
    ------
    CannotUse
        There is no such app or stack, or it is older than its query log.
    """
    from local.stack import outputs

    app = _app(port, stack_name, profile, region)
    bucket = outputs(app.client("cloudformation"), app.stack_name).get("QueryLogBucketName")
    if not bucket:
        raise CannotUse("the stack has no bucket for queries: deploy it again")
    return bucket, app.objects


def _app(port: int, stack_name: str | None, profile: str | None, region: str | None) -> Any:
    from botocore.exceptions import BotoCoreError

    from local.client import NotReachable, connect, connect_stack
    from local.settings import API_PORT

    try:
        return connect_stack(stack_name, profile, region) if stack_name else connect(port, API_PORT)
    except (NotReachable, BotoCoreError) as error:
        raise CannotUse(str(error)) from error
