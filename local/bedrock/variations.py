"""What the local teacher says when it is asked to write queries: known ones, crossed with each other.

It has no ideas of its own. A query is the first words of one known query and the last words of another, so what it
writes is only as varied as what it knows, and reads accordingly.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

from local.bedrock.text import bucket

_MOST = 100


def wish(message: str) -> dict[str, Any] | None:
    """Return what a message asks to be written: a JSON object with a number of `queries`; None if it does not."""
    try:
        asked = json.loads(message)
    except (ValueError, RecursionError):
        return None
    wanted = isinstance(asked, dict) and isinstance(asked.get("queries"), int)
    return asked if wanted and 0 < asked["queries"] <= _MOST else None


def write(message: str, asked: dict[str, Any], known: Sequence[str]) -> str:
    """Return a JSON array of as many queries as are asked for; the same for the same message.

    Parameters
    ----------
    known
        The queries that it learnt; the message's own examples are crossed with them.
    """
    examples = [text for text in asked.get("examples") or [] if isinstance(text, str)]
    sources = [text.split() for text in (*examples, *known) if text.split()]
    if not sources:
        return "[]"
    chosen = random.Random(bucket(message, 2**62, "write"))
    queries = []
    for _ in range(asked["queries"]):
        one, other = chosen.choice(sources), chosen.choice(sources)
        queries.append(" ".join([*one[: (len(one) + 1) // 2], *other[len(other) // 2 :]]))
    return json.dumps(queries, ensure_ascii=False)
