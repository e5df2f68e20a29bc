"""The two ways into the app: one for AWS clients, one for those who call the API."""

from collections.abc import Callable, Mapping
from typing import Protocol

from local import emulator
from local.emulator import Application
from local.settings import ACCOUNT, REGION

LOCAL_CALLER = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/execute-api/aws4_request"


class Service(Protocol):
    """An ASGI application that answers some paths of a door: the Bedrock stand-in, the console."""

    def handles(self, path: str) -> bool:
        """Whether a request for the path is its own."""

    async def __call__(self, scope: Mapping, receive: Callable, send: Callable) -> None:
        """Answer one request."""


def aws_door(aws: Application, bedrock: Service, changed: Callable[[], None]) -> Application:
    """The endpoint for AWS clients: Bedrock's operations from the stand-in, all others from the emulator.

    `changed` is called after each request that can have changed the emulator's state.
    """

    async def door(scope: Mapping, receive: Callable, send: Callable) -> None:
        if scope["type"] == "http" and bedrock.handles(scope["path"]):
            await bedrock(scope, receive, send)
            return
        await aws(scope, receive, send)
        if scope["type"] == "http" and emulator.may_change_state(scope["method"], scope["headers"]):
            changed()

    return door


def api_door(aws: Application, api: str, console: Service) -> Application:
    """The HTTP API at `/`, as `sam local start-api` serves it, and the console beside it.

    Like that, it asks for no credentials: a request without any is taken for the local account's. With
    credentials, it is passed on as it is.
    """
    prefix = f"/_aws/execute-api/{api}/$default"

    async def door(scope: Mapping, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return
        if console.handles(scope["path"]):
            await console(scope, receive, send)
            return
        headers = list(scope["headers"])
        if not any(name.lower() == b"authorization" for name, _ in headers):
            headers.append((b"authorization", LOCAL_CALLER.encode()))
        raw_path = prefix.encode() + (scope.get("raw_path") or scope["path"].encode())
        moved = {**scope, "path": prefix + scope["path"], "raw_path": raw_path, "headers": headers}
        await aws(moved, receive, send)

    return door
