"""Writes down what each handler calls at AWS, at the level of botocore: of every client, whoever made it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import botocore.handlers
from botocore import xform_name

from signalbox import publication
from tests.integration import cloud as account
from tests.integration.cloud import FUNCTIONS, Cloud
from tests.privileges.accesses import Access, accesses, accesses_of_absence
from tests.quick_moto import quick_aws

_ASKED = "signalbox asked"
_BEDROCK = ("bedrock", "bedrock-runtime")


@dataclass
class Recorder:
    """What was called, by function.

    Attributes
    ----------
    function : str | None
        Which handler runs at the moment; calls of the tests themselves are not recorded.
    calls : list[tuple[str, str]]
        Each call that a handler made: function, and service:Operation.
    accesses : dict[str, dict[Access, None]]
        What IAM was asked for each function, in order, each once.
    unknown : set[str]
        Operations of which the table of accesses knows nothing.
    """

    function: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    accesses: dict[str, dict[Access, None]] = field(default_factory=lambda: {name: {} for name in FUNCTIONS})
    unknown: set[str] = field(default_factory=set)

    def called(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        """Take a call, or the signing of an address that stands for one, before it is made."""
        service = model.service_model.service_name
        context[_ASKED] = dict(params)
        if self.function is None:
            return
        self.calls.append((self.function, f"{service}:{model.name}"))
        try:
            self._add(accesses(service, model.name, params))
        except KeyError as unknown:
            self.unknown.add(str(unknown))

    def answered(self, http_response: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        """Take an answer: that an object is not there is told only to who may list."""
        missing = http_response.status_code == 404 and model.name in ("GetObject", "HeadObject")
        if self.function is not None and missing:
            self._add(accesses_of_absence(context[_ASKED]))

    def _add(self, asked: list[Access]) -> None:
        assert self.function is not None
        self.accesses[self.function].update(dict.fromkeys(asked))

    @contextmanager
    def acting(self, function: str) -> Iterator[None]:
        """Attribute calls to a function meanwhile."""
        self.function = function
        try:
            yield
        finally:
            self.function = None

    @contextmanager
    def recording(self, student: bytes) -> Iterator[Cloud]:
        """Deploy the app into an empty account and write down what its handlers call there."""
        # What is drawn is not what is asked.
        drawn = mock.patch.object(publication, "render", lambda content: "")
        with quick_aws(), drawn, self._listening(), Cloud(student).connected() as cloud:
            invoke = cloud.invoke

            def recorded(function: str, event: dict[str, Any]) -> Any:
                with self.acting(function):
                    return invoke(function, event)

            cloud.invoke = recorded  # type: ignore[method-assign]
            with self._bedrock_by_botocore(cloud):
                yield cloud

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let every client that is made from here on report, as moto does it, and forget those made before."""
        hooks = [("provide-client-params", self.called), ("after-call", self.answered)]
        _forget_clients()
        botocore.handlers.BUILTIN_HANDLERS.extend(hooks)
        try:
            yield
        finally:
            for hook in hooks:
                botocore.handlers.BUILTIN_HANDLERS.remove(hook)
            _forget_clients()

    @contextmanager
    def _bedrock_by_botocore(self, cloud: Cloud) -> Iterator[None]:
        """Put botocore's own clients before the scripted Bedrock, which otherwise stands in for them."""
        made = boto3.client

        def client(name: str, **options: Any) -> Any:
            if name not in _BEDROCK:
                return made(name, **options)
            real = account._client(name)
            real.meta.events.register_first(f"before-call.{name}", answer, unique_id="scripted")
            return real

        def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
            parsed = getattr(cloud.bedrock, xform_name(model.name))(**context[_ASKED])
            return SimpleNamespace(status_code=200), parsed

        with mock.patch.object(boto3, "client", client):
            yield


def _forget_clients() -> None:
    """Forget what the account and the handlers keep from one test to the next."""
    for kept in (account._session, account._client, account._resource):
        kept.cache_clear()
    for function in FUNCTIONS:
        for value in vars(account._app(function)).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
