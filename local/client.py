"""The app as a client sees it: nothing but its two addresses, and what CloudFormation says is behind them."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import stack
from local.console import PREFIX
from local.settings import API_PORT, CREDENTIALS, HOST, PORT, REGION, STACK
from signalbox.run_table import RunTable


class NotReachable(Exception):
    """No app answers at the address; the message says how to start one."""


class ApiError(Exception):
    """The API refused a request; `status` is HTTP's, the message the API's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class App:
    """An app that is up on this machine, or a stack in an AWS account.

    `endpoint` is None, `api` an https address and `session` a person's own for the latter.
    """

    endpoint: str | None
    api: str
    bucket: str
    table: str
    bus: str
    dead_letter_queue: str = ""
    stack_name: str = STACK
    session: boto3.Session | None = None

    def client(self, service: str) -> Any:
        """A boto3 client for one of the services behind the endpoint."""
        return self._client(service, _CONFIG)

    def patient(self, service: str) -> Any:
        """A client that waits as long as a function may run, and asks once."""
        once = Config(read_timeout=_LONGEST_SECONDS, retries={"total_max_attempts": 1})
        return self._client(service, _CONFIG.merge(once))

    def _client(self, service: str, config: Config) -> Any:
        if self.session is None:
            return _session().client(service, endpoint_url=self.endpoint, config=config)
        # Its own region and addresses; AWS_ENDPOINT_URL holds for it as for the AWS CLI.
        own = config.merge(Config(region_name=self.session.region_name, proxies=None))
        return self.session.client(service, config=own)

    @property
    def port_options(self) -> str:
        """The options with which a command line reaches the same app on this machine; "" where none are needed."""
        if self.endpoint is None:
            return ""
        given = [("--port", self.endpoint, PORT), ("--api-port", self.api, API_PORT)]
        ports = [(name, urlsplit(address).port, default) for name, address, default in given]
        return "".join(f" {name} {port}" for name, port, default in ports if port != default)

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of the stack's functions."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return frozenset(
            resource["PhysicalResourceId"].rpartition(":")[2]
            for page in pages.paginate(StackName=self.stack_name)
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == "AWS::Lambda::Function"
        )

    @property
    def console(self) -> str:
        """The address of the page that shows tasks and runs."""
        return f"{self.api}{PREFIX}/"

    @cached_property
    def objects(self) -> Any:
        """S3."""
        return self.client("s3")

    @cached_property
    def bedrock(self) -> Any:
        """The stand-in's control plane."""
        return self.client("bedrock")

    @cached_property
    def run_items(self) -> Any:
        """The run table as a boto3 Table."""
        if self.session is not None:
            return self.session.resource("dynamodb").Table(self.table)
        return _session().resource("dynamodb", endpoint_url=self.endpoint, config=_CONFIG).Table(self.table)

    @cached_property
    def runs(self) -> RunTable:
        """The run table as the functions see it."""
        return RunTable(self.run_items)

    def object(self, key: str) -> bytes | None:
        """An object of the data bucket, or None."""
        try:
            return self.objects.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.objects.exceptions.NoSuchKey:
            return None

    def document(self, key: str) -> dict[str, Any] | None:
        """A JSON object of the data bucket, or None."""
        content = self.object(key)
        return None if content is None else json.loads(content)

    def route(self, query: str, task: str) -> dict[str, Any]:
        """Ask the API, over HTTP.

        Raises
        ------
        ApiError
            The API answered with an error.
        NotReachable
            Nothing listens at the API's address.
        """
        body = json.dumps({"query": query, "task": task}).encode()
        request = urllib.request.Request(
            f"{self.api}/route", data=body, headers={"content-type": "application/json"}
        )
        try:
            with _opener().open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, _message(error.read())) from error
        except OSError as error:
            raise NotReachable(f"no API answers at {self.api}: {_START}") from error


_LONGEST_SECONDS = 910
"""A little more than a function may run at most."""
_OUTPUTS = ("DataBucketName", "RunTableName", "EventBusName", "DeadLetterQueueUrl")
_START = "start the app with `python -m local up`, or name its ports with --port and --api-port"
_CONFIG = Config(
    region_name=REGION,
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 3},
    proxies={},
    s3={"addressing_style": "path"},
)


def connect(port: int, api_port: int) -> App:
    """Find the app that is up on the ports.

    Raises
    ------
    NotReachable
        None is, or it is still starting.
    """
    endpoint = f"http://{HOST}:{port}"
    quick = _CONFIG.merge(Config(connect_timeout=2, retries={"total_max_attempts": 1}))
    try:
        formation = _session().client("cloudformation", endpoint_url=endpoint, config=quick)
        outputs = stack.outputs(formation)
        names = (outputs[name] for name in _OUTPUTS)
        return App(endpoint, f"http://{HOST}:{api_port}", *names)
    except BotoCoreError as error:
        raise NotReachable(f"no app answers at {endpoint}: {_START}") from error
    except (ClientError, KeyError) as error:
        raise NotReachable(f"the app at {endpoint} is not ready yet: wait for its `ready` line") from error


def connect_stack(name: str, profile: str | None, region: str | None) -> App:
    """Find a stack in an AWS account, with a person's own credentials.

    Raises
    ------
    NotReachable
        There is no such stack there, or it is none of this project.
    """
    session = boto3.Session(profile_name=profile, region_name=region)
    try:
        found = stack.outputs(session.client("cloudformation"), name)
        names = [found[output] for output in _OUTPUTS]
    except ClientError as error:
        raise NotReachable(f"no stack {name} in {session.region_name}: {error}") from error
    except KeyError as error:
        raise NotReachable(f"the stack {name} is not of this project: it has no output {error}") from error
    return App(None, found.get("ApiUrl", ""), *names, stack_name=name, session=session)


def _session() -> boto3.Session:
    # A profile or keys that the person has for AWS are of no use here, and must not be needed.
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _message(body: bytes) -> str:
    try:
        content = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:500]
    if not isinstance(content, dict):
        return str(content)
    faults = [f"{fault.get('field')}: {fault.get('reason')}" for fault in content.get("errors") or []]
    return "; ".join(faults) or str(content.get("message") or content)
