"""The Bedrock stand-in as an ASGI application, to be mounted by path beside the local AWS."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.bedrock import catalogue, region, wire
from local.bedrock.announcer import Announcer, Emit
from local.bedrock.batch import InvocationJobs
from local.bedrock.configuration import Configuration
from local.bedrock.context import Context
from local.bedrock.custom_models import CustomModels
from local.bedrock.customization import CustomizationJobs
from local.bedrock.deployments import Deployments
from local.bedrock.errors import BedrockError, not_found
from local.bedrock.evaluation import EvaluationJobs
from local.bedrock.faults import Faults
from local.bedrock.inference import Inference
from local.bedrock.provisioned import ProvisionedThroughputs
from local.bedrock.records import pairs_of
from local.bedrock.resources import refuse_too_many, tag_map
from local.bedrock.store import Resource, Store

_LOGGER = logging.getLogger(__name__)
_LARGEST_BODY = 25 * 1024 * 1024
_THREADS = 8


class BedrockStandIn:
    """A stand-in for Amazon Bedrock with models of its own, `local.*`: not Bedrock, and none of its models.

    Parameters
    ----------
    state_folder
        Where everything is kept; created when it is not there.
    aws_endpoint
        URL of the local AWS endpoint, for S3.
    emit
        Puts an entry, as PutEvents takes it, on the default event bus. Called from a thread of the stand-in,
        one entry at a time; when it raises, the entry is delivered later.
    configuration, faults
        Quotas and delays, and faults to provoke; by default what the environment says.
    """

    def __init__(
        self,
        state_folder: Path,
        aws_endpoint: str,
        emit: Emit,
        configuration: Configuration | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults.from_environment()
        store = Store(Path(state_folder))
        self._context = Context(
            folder=Path(state_folder).resolve(),
            aws_endpoint=aws_endpoint,
            store=store,
            configuration=configuration or Configuration.from_environment(),
            faults=self.faults,
            announcer=Announcer(store, emit),
            closing=threading.Event(),
        )
        custom_models, deployments = CustomModels(self._context), Deployments(self._context)
        provisioned = ProvisionedThroughputs(self._context)
        inference = Inference(self._context, custom_models, (deployments, provisioned))
        self._customization = CustomizationJobs(self._context, inference.warm_up)
        self._evaluation = EvaluationJobs(self._context)
        self._batch = InvocationJobs(self._context, inference)
        parts = (
            self._customization,
            custom_models,
            deployments,
            provisioned,
            self._evaluation,
            self._batch,
        )
        control_plane = {name: operation for part in parts for name, operation in part.operations.items()}
        control_plane |= _Catalogue.operations | _Tags(store).operations
        self._operations = {**control_plane, **inference.operations}
        self._routes = wire.Routes({wire.CONTROL_PLANE: control_plane, wire.RUNTIME: inference.operations})
        self._threads = ThreadPoolExecutor(_THREADS, "bedrock-request")

    def startup(self) -> None:
        """Resume what an earlier process left unfinished. Call it when S3 and the event bus can be used."""
        self._context.announcer.start()
        self._customization.resume()
        self._evaluation.resume()
        self._batch.resume()

    def shutdown(self) -> None:
        """Stop all work and every child process; unfinished jobs are resumed by the next `startup`."""
        self._context.closing.set()
        self._customization.close()
        self._evaluation.close()
        self._batch.close()
        self._threads.shutdown(wait=True)
        self._context.announcer.stop()
        self._context.store.close()

    def teach(self, prompt: str, records: Iterable[dict[str, Any] | tuple[str, str]]) -> None:
        """Let the teacher learn labelled records.

        Parameters
        ----------
        prompt
            The system prompt under which they are remembered; records that bring one of their own keep that.
        records
            `bedrock-conversation-2024` objects, or pairs of query and answer. Unlabelled ones are passed
            over.
        """
        by_prompt: dict[str, list[tuple[str, str]]] = {}
        for its_prompt, query, answer in pairs_of(records):
            by_prompt.setdefault(its_prompt or prompt, []).append((query, answer))
        for its_prompt, pairs in by_prompt.items():
            self._context.store.learn(its_prompt, pairs)

    def handles(self, path: str) -> bool:
        """Return whether a request to `path` is for Bedrock."""
        return self._routes.handles(path)

    def handle(self, request: wire.Request) -> wire.Response:
        """Answer one request; never raises."""
        try:
            return self._answer(request)
        except BedrockError as error:
            return wire.render_error(error)
        except Exception:
            _LOGGER.exception("%s %s broke", request.method, request.path)
            return wire.render_error(
                BedrockError("InternalServerException", "The local stand-in broke; see its log.")
            )

    def _answer(self, request: wire.Request) -> wire.Response:
        found = self._routes.match(request.method, request.path)
        if found is None:
            raise BedrockError(
                "UnknownOperationException", f"No operation answers {request.method} {request.path}."
            )
        operation, labels = found
        parameters = wire.parse(operation, labels, request)
        self.faults.strike(operation.name)
        with region.requested(request.headers):
            return wire.render(operation, self._operations[operation.name](parameters))

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one ASGI 3 connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            error = BedrockError(
                "RequestEntityTooLargeException", f"The body is larger than {_LARGEST_BODY} bytes."
            )
            response = wire.render_error(error)
        else:
            raw_path = scope.get("raw_path") or scope["path"].encode()
            request = wire.Request(
                scope["method"],
                raw_path.decode("ascii", "replace").split("?", 1)[0],
                scope.get("query_string", b"").decode("ascii", "replace"),
                {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
                body,
            )
            response = await self._handle_in_thread(request)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _handle_in_thread(self, request: wire.Request) -> wire.Response:
        if self._context.closing.is_set():
            return wire.render_error(BedrockError("ServiceUnavailableException", "The stand-in is closing."))
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.handle, request)

    async def _live(
        self, receive: Callable[[], Awaitable[dict]], send: Callable[[dict], Awaitable[None]]
    ) -> None:
        while True:
            kind = (await receive())["type"]
            await asyncio.to_thread(self.startup if kind == "lifespan.startup" else self.shutdown)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


async def _body(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes | None:
    """Return the request's body; None when it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= _LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= _LARGEST_BODY else None


class _Catalogue:
    """The operations on foundation models."""

    @staticmethod
    def get(parameters: dict[str, Any]) -> dict[str, Any]:
        """GetFoundationModel."""
        model = catalogue.resolve(parameters["modelIdentifier"])
        if model is None:
            raise not_found("Could not resolve the foundation model from the provided model identifier.")
        return {"modelDetails": model.details()}

    @staticmethod
    def list_all(parameters: dict[str, Any]) -> dict[str, Any]:
        """ListFoundationModels."""
        filters = {
            "byCustomizationType": "customizationsSupported",
            "byOutputModality": "outputModalities",
            "byInferenceType": "inferenceTypesSupported",
            "byProvider": "providerName",
        }
        summaries = [model.details() for model in catalogue.MODELS]
        for parameter, member in filters.items():
            if parameter in parameters:
                summaries = [item for item in summaries if parameters[parameter] in item[member]]
        return {"modelSummaries": summaries}

    operations = {"GetFoundationModel": get, "ListFoundationModels": list_all}  # noqa: RUF012


class _Tags:
    """The operations on the tags of resources."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.operations = {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_all,
        }

    def tag(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """TagResource."""
        arn, tags = self._find(parameters).arn, tag_map(parameters["tags"])
        with self._store.transaction():
            refuse_too_many({**self._store.tags(arn), **tags})
            self._store.tag(arn, tags)
        return {}

    def untag(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UntagResource."""
        self._store.untag(self._find(parameters).arn, parameters["tagKeys"])
        return {}

    def list_all(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        tags = self._store.tags(self._find(parameters).arn)
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    def _find(self, parameters: dict[str, Any]) -> Resource:
        resource = self._store.get(parameters["resourceARN"])
        if resource is None:
            raise not_found("The specified resource wasn't found.")
        return resource
