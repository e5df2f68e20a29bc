"""A fingerprint of all that is left when an invocation is over: what has the same one goes on in the same way.

What follows depends on the table, the objects, Bedrock, the events under way, and what a warm `watch` remembers; no
other handler of the pipeline keeps anything from one invocation to the next. Moments in the table count by how long ago
they were, in units of five minutes; what is drawn at random, and how long something took to the millisecond, leads
nowhere else.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from signalbox.store import CONSOLE
from tests.faults.sandbox import remembered
from tests.faults.world import World, foreseen

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")
_AT_RANDOM = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids of events, versions and tokens
    r"|(?<=/)\d{12}\b"  # the numbers in Bedrock's ARNs
)
_MEASURED = r"[a-z0-9_]*(?:_ms|latency|seconds|per_1000|per_million|usd)[a-z0-9_]*"
_TAKEN = re.compile(rf'(\\?"{_MEASURED}\\?": ?)(?:[-\d.e+]+|\[[^\]]*\]|\{{[^}}]*\}})')
_UNIT_SECONDS = 300


def fingerprint(world: World) -> bytes:
    """Return what stands for the world between two deliveries."""
    now = datetime.now(UTC)
    digest = hashlib.sha256()
    for text in _texts(world):
        steady = _TAKEN.sub(r"\1#", _AT_RANDOM.sub("#", text))
        digest.update(_MOMENT.sub(lambda found: _age(found[0], now), steady).encode())
    for name, versions in sorted(world.versions().items()):
        if name != CONSOLE:  # which nothing reads
            read = versions[-1:] if name.startswith("runs/") else versions
            digest.update(name.encode() + b"".join(_content(version, body) for version, body in read))
    return digest.digest()


def _texts(world: World) -> Iterator[str]:
    items = sorted(world.items(), key=lambda item: item["id"]["S"])
    yield from (json.dumps(item, sort_keys=True) for item in items)
    bedrock = world.bedrock
    made = [
        bedrock.jobs,
        bedrock.deployments,
        bedrock.throughputs,
        bedrock.evaluations,
        bedrock.deleted_models,
        bedrock.lost,
    ]
    yield from (json.dumps(each, default=_plain, sort_keys=True) for each in made)
    for delivery in world.pending:
        yield f"{delivery.function} {json.dumps(delivery.event, sort_keys=True)}"
    told = {(event["detail-type"], event["detail"].get("run_id", "")) for event in world.announced}
    yield str(sorted(told))
    yield str(sorted({f"{function} {error}" for function, error in world.crashes if not foreseen(error)}))
    if world.warm:
        yield from remembered(world.warm)


@functools.lru_cache(1 << 12)
def _content(version: str, body: bytes) -> bytes:
    """Return what stands for an object's version, whenever it was written."""
    text = _TAKEN.sub(r"\1#", _AT_RANDOM.sub("#", body.decode(errors="replace")))
    return hashlib.sha256(_MOMENT.sub("<>", text).encode()).digest()


def _age(moment: str, now: datetime) -> str:
    at = datetime.fromisoformat(moment)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return f"<{round((now - at).total_seconds() / _UNIT_SECONDS)}>"


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, set) else str(value)
