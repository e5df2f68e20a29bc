"""Reading and writing S3 objects, through the same endpoint as the rest of the app."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock import names
from local.bedrock.errors import DatasetError


class Objects:
    """S3 behind `aws_endpoint`.

    Parameters
    ----------
    aws_endpoint
        URL of the local AWS endpoint. Calls that find nobody there are retried for about half a minute, so
        that a job that is resumed while the app still starts finds its data.
    """

    def __init__(self, aws_endpoint: str) -> None:
        import boto3
        from botocore.config import Config

        self._client: Any = boto3.client(
            "s3",
            endpoint_url=aws_endpoint,
            region_name=names.REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "total_max_attempts": 8},
                read_timeout=60,
            ),
        )

    def read(self, uri: str) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        DatasetError
            It cannot be read; the message says why.
        """
        bucket, key = split(uri)
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise DatasetError(f"Unable to read {uri}: {error}") from error

    def write(self, uri: str, body: bytes) -> None:
        """Put an object.

        Raises
        ------
        DatasetError
            It cannot be written; the message says why.
        """
        bucket, key = split(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=body)
        except (ClientError, BotoCoreError) as error:
            raise DatasetError(f"Unable to write {uri}: {error}") from error

    def below(self, uri: str) -> Iterator[str]:
        """Yield the URIs of the `.jsonl` objects at `uri`: itself, or all below it when it is a prefix."""
        if uri.endswith(".jsonl"):
            yield uri
            return
        bucket, prefix = split(uri)
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    if item["Key"].endswith(".jsonl"):
                        yield f"s3://{bucket}/{item['Key']}"
        except (ClientError, BotoCoreError) as error:
            raise DatasetError(f"Unable to list {uri}: {error}") from error


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join(uri: str, *parts: str) -> str:
    """Return the URI of something below a prefix."""
    return "/".join([uri.rstrip("/"), *parts])
