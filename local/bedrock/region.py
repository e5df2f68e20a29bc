"""The region that a request is signed for, on which it depends what can be customized.

Every model that Bedrock customizes and deploys on demand is customized in one region or two
(docs.aws.amazon.com/bedrock/latest/userguide/custom-model-fine-tuning.html, prerequisites-model-distillation.html);
those of the stand-in are in the region that Amazon Nova is customized in.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from local.bedrock import names

CUSTOMIZES = frozenset({"us-east-1"})

_SIGNED = re.compile(r"Credential=[^/]*/\d{8}/([a-z0-9-]+)/")
_current: ContextVar[str] = ContextVar("region", default=names.REGION)


@contextmanager
def requested(headers: Mapping[str, str]) -> Iterator[None]:
    """Take the region of a request's signature for that of all that is done for it; without one, the stand-in's."""
    found = _SIGNED.search(headers.get("authorization", ""))
    token = _current.set(found[1] if found else names.REGION)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str:
    """Return the region that the request at hand is for."""
    return _current.get()


def customizes() -> bool:
    """Tell whether models can be customized in it."""
    return current() in CUSTOMIZES
