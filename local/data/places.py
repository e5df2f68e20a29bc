"""Which S3 an s3:// address is in: AWS, with a person's own credentials, or the app on this machine."""

from collections.abc import Callable
from functools import cache
from typing import Any

from local.data.command import CannotUse


def s3_client(port: int | None, profile: str | None, region: str | None) -> Callable[[], Any]:
    """Return what makes the client when it is first needed."""

    @cache
    def client() -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        if port is not None:
            return _on_this_machine(port)
        try:
            return boto3.Session(profile_name=profile, region_name=region).client("s3")
        except BotoCoreError as error:
            raise CannotUse(str(error)) from error

    return client


def _on_this_machine(port: int) -> Any:
    from local.client import NotReachable, connect
    from local.settings import API_PORT

    try:
        return connect(port, API_PORT).objects
    except NotReachable as error:
        raise CannotUse(str(error)) from error
