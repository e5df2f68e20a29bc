"""What jobs, models and deployments have in common: creation with a token, tags, lists in pages."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from local.bedrock.errors import BedrockError, conflict, invalid
from local.bedrock.store import Resource, Store

MAXIMUM_TAGS = 50
_PAGE = 100


def fingerprint(parameters: dict[str, Any]) -> str:
    """Return a hash of a create request without its clientRequestToken."""
    same = {name: value for name, value in parameters.items() if name != "clientRequestToken"}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def created_before(store: Store, kind: str, parameters: dict[str, Any]) -> Resource | None:
    """Return what an earlier request with the same clientRequestToken made.

    Raises
    ------
    BedrockError
        `ConflictException` when that request had other parameters.
    """
    token = parameters.get("clientRequestToken")
    before = store.by_token(kind, token) if token else None
    if before and before.fingerprint != fingerprint(parameters):
        raise conflict(
            "The client request token was used before with other parameters. Try again with a new token."
        )
    return before


def tag_map(tags: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return a request's list of tags as a mapping, refusing what AWS refuses in any tag."""
    pairs = list(tags)
    result = {tag["key"]: tag["value"] for tag in pairs}
    if len(result) != len(pairs):
        raise invalid("The tags hold the same key more than once.")
    if any(key.casefold().startswith("aws:") for key in result):
        raise invalid("Tag keys that start with aws: are reserved.")
    refuse_too_many(result)
    return result


def refuse_too_many(tags: dict[str, str]) -> None:
    """Raise `TooManyTagsException` for more tags than a resource may have."""
    if len(tags) > MAXIMUM_TAGS:
        raise BedrockError("TooManyTagsException", f"A resource can have at most {MAXIMUM_TAGS} tags.")


def page(
    summaries: Sequence[dict[str, Any]],
    parameters: dict[str, Any],
    member: str,
    *,
    created: str = "creationTime",
    name: str,
    equal: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return one page of a List operation.

    Parameters
    ----------
    summaries
        All summaries.
    parameters
        The request: `nameContains`, filters on the creation time, `maxResults`, `nextToken`, `sortOrder`.
    member
        The response member that holds the list.
    created, name
        The summaries' members for the time of creation and the name.
    equal
        Request parameter to summary member: where the parameter is given, the member must equal it.
    """
    chosen = [item for item in summaries if parameters.get("nameContains", "") in item[name]]
    for parameter, its_member in (equal or {}).items():
        if parameter in parameters:
            chosen = [item for item in chosen if item.get(its_member) == parameters[parameter]]
    after = [value for key, value in parameters.items() if key.endswith("After")]
    before = [value for key, value in parameters.items() if key.endswith("Before")]
    chosen = [i for i in chosen if all(i[created] > t for t in after) and all(i[created] < t for t in before)]
    chosen.sort(key=lambda item: item[created], reverse=parameters.get("sortOrder") != "Ascending")
    start = _offset(parameters.get("nextToken"))
    end = start + parameters.get("maxResults", _PAGE)
    result: dict[str, Any] = {member: chosen[start:end]}
    if end < len(chosen):
        result["nextToken"] = base64.urlsafe_b64encode(f"from {end}".encode()).decode()
    return result


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("from "))
    except ValueError as error:
        raise invalid("The nextToken is invalid.") from error
