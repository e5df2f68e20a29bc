"""AWS in memory, as far as the domain uses it: no sockets, and real ClientErrors."""

import copy
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from tests.builders import client_error

Item = dict[str, Any]


class FakeTable:
    """The run table: the conditions and updates that RunTable writes, and its index."""

    name = "runs"

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.fail_next: Exception | None = None
        self.meta = SimpleNamespace(client=SimpleNamespace(transact_write_items=self._transact))

    def get_item(self, Key: Item, ConsistentRead: bool) -> Item:  # noqa: N803 (boto3's own names)
        self._maybe_fail()
        assert ConsistentRead, "the run table is the truth: it is read consistently"
        return {"Item": copy.deepcopy(self.items[Key["id"]])} if Key["id"] in self.items else {}

    def put_item(self, **request: Any) -> None:
        self._maybe_fail()
        self._check(request["Item"]["id"], request)
        self.items[request["Item"]["id"]] = copy.deepcopy(request["Item"])

    def update_item(self, **request: Any) -> None:
        self._maybe_fail()
        self._check(request["Key"]["id"], request)
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        item = self.items[request["Key"]["id"]]
        sets, _, removes = request["UpdateExpression"].partition("REMOVE")
        for name, value in re.findall(r"(#\w+) = (:\w+)", sets):
            item[names[name]] = copy.deepcopy(values[value])
        for name in re.findall(r"#\w+", removes):
            item.pop(names[name], None)

    def delete_item(self, **request: Any) -> None:
        self._maybe_fail()
        self._check(request["Key"]["id"], request)
        self.items.pop(request["Key"]["id"], None)

    def query(self, IndexName: str, **query: Any) -> Item:  # noqa: N803
        """One item a page, so that whoever forgets to turn the page is found out."""
        self._maybe_fail()
        key, order = {"active-runs": ("active", "updated_at"), "runs-by-task": ("task", "created_at")}[
            IndexName
        ]
        assert query["KeyConditionExpression"] == "#key = :value"
        assert query["ExpressionAttributeNames"] == {"#key": key}
        value = query["ExpressionAttributeValues"][":value"]
        found = [item for item in self.items.values() if item.get(key) == value and order in item]
        forward = query.get("ScanIndexForward", True)
        places = sorted(((item[order], item["id"]) for item in found), reverse=not forward)
        if start := query.get("ExclusiveStartKey"):
            after = (start[order], start["id"])
            places = [place for place in places if (place > after if forward else place < after)]
        if not places:
            return {"Items": []}
        (ordered, identifier), *others = places
        last = {"LastEvaluatedKey": {order: ordered, "id": identifier}} if others else {}
        return {"Items": [copy.deepcopy(self.items[identifier])]} | last

    def _transact(self, TransactItems: list[Item]) -> None:  # noqa: N803
        self._maybe_fail()
        before = copy.deepcopy(self.items)
        try:
            for item in TransactItems:
                if "Update" in item:
                    self.update_item(**item["Update"])
                elif "ConditionCheck" in item:
                    self._check(item["ConditionCheck"]["Key"]["id"], item["ConditionCheck"])
                elif "Delete" in item:
                    self.items.pop(item["Delete"]["Key"]["id"], None)
                else:
                    self.put_item(**item["Put"])
        except Exception as error:
            self.items = before
            if not isinstance(error, ClientError):
                raise
            cancelled = client_error("TransactionCanceledException", operation="TransactWriteItems")
            cancelled.response["CancellationReasons"] = [{"Code": "ConditionalCheckFailed"}, {"Code": "None"}]
            raise cancelled from error

    def _check(self, identifier: str, request: Item) -> None:
        """Check clauses joined by AND: attribute_not_exists(name) or name = :value."""
        item = self.items.get(identifier, {})
        names, values = (
            request.get("ExpressionAttributeNames", {}),
            request.get("ExpressionAttributeValues", {}),
        )
        for clause in request["ConditionExpression"].split(" AND "):
            absent, equal = re.fullmatch(r"attribute_not_exists\((#?\w+)\)|(#?\w+ = :\w+)", clause).groups()
            name, _, value = (equal or absent).partition(" = ")
            found = item.get(names.get(name, name))
            if found != (values[value] if equal else None):
                raise client_error("ConditionalCheckFailedException")

    def _maybe_fail(self) -> None:
        error, self.fail_next = self.fail_next, None
        if error is not None:
            raise error


class FakeClient:
    """DynamoDB's plain client over a fake table, as far as live pointers are read with it."""

    def __init__(self, table: FakeTable) -> None:
        self._table = table

    def get_item(self, Key: Item, **_: Any) -> Item:  # noqa: N803
        found = self._table.get_item(Key={"id": Key["id"]["S"]}, ConsistentRead=True)
        return {"Item": _typed(found["Item"])} if "Item" in found else {}

    def query(self, ExpressionAttributeValues: Item, **_: Any) -> Item:  # noqa: N803
        (wanted,) = (value["S"] for value in ExpressionAttributeValues.values())
        return {
            "Items": [_typed(item) for item in self._table.items.values() if item.get("active") == wanted]
        }


def _typed(item: Item) -> Item:
    return {name: {"S": value} for name, value in item.items()}


class FakeEvents:
    """An EventBridge client that keeps what is put; `refuses` lets it take nothing."""

    def __init__(self) -> None:
        self.entries: list[Item] = []
        self.refuses = False

    def put_events(self, Entries: list[Item]) -> Item:  # noqa: N803
        if self.refuses:
            return {"FailedEntryCount": len(Entries), "Entries": [{"ErrorCode": "InternalFailure"}]}
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    @property
    def names(self) -> list[str]:
        """The kinds of the events, in order."""
        return [entry["DetailType"] for entry in self.entries]


class FakeS3:
    """An S3 client over a dictionary by key; lists come in pages of two."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: list[tuple[str, datetime]] = []
        self.version_ids: Callable[[int], str] = "v{}".format
        self.content_types: dict[str, str] = {}
        self.fail_next: Exception | None = None

    def put_object(
        self,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: Any,  # noqa: N803
        ContentType: str,  # noqa: N803
        IfMatch: str = "",  # noqa: N803
        IfNoneMatch: str = "",  # noqa: N803
        **_: str,
    ) -> Item:
        stands = self._tag(Key)
        if (IfMatch and IfMatch != stands) or (IfNoneMatch and stands):
            raise client_error("PreconditionFailed", status=412)
        content = Body if isinstance(Body, bytes) else Body.read()
        self.objects[Key], self.content_types[Key] = content, ContentType
        self.versions.append((Key, datetime.now(UTC)))
        return {"ETag": self._tag(Key)}

    def _tag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key]).hexdigest()}"' if key in self.objects else ""

    def get_object(self, Bucket: str, Key: str, VersionId: str = "") -> Item:  # noqa: N803
        error, self.fail_next = self.fail_next, None
        if error is not None:
            raise error
        if Key not in self.objects:
            raise client_error("NoSuchVersion" if VersionId else "NoSuchKey", status=404)
        body = io.BytesIO(self.objects[Key])
        chunks = lambda size: iter(lambda: body.read(size), b"")  # noqa: E731
        lines = lambda size: (line.rstrip(b"\n") for line in body)  # noqa: E731
        return {"Body": SimpleNamespace(read=body.read, iter_chunks=chunks, iter_lines=lines)}

    def head_object(self, Bucket: str, Key: str) -> Item:  # noqa: N803
        try:
            self.get_object(Bucket, Key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":  # a HEAD has no body to say so in
                raise client_error("404", status=404) from error
            raise
        return {"ETag": self._tag(Key)}

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int) -> Item:  # noqa: N803
        return {
            "Contents": [
                entry
                for page in self._pages("list_objects_v2", Prefix, "")
                for entry in page.get("Contents", ())
            ][:MaxKeys]
        }

    def list_object_versions(
        self,
        Bucket: str,  # noqa: N803
        Prefix: str,  # noqa: N803
        KeyMarker: str = "",  # noqa: N803
        VersionIdMarker: str = "",  # noqa: N803
    ) -> Item:
        pages = self._pages("list_object_versions", Prefix, "")
        found = [entry for page in pages for entry in page.get("Versions", ()) if entry["Key"] > KeyMarker]
        found.sort(key=lambda entry: entry["Key"])
        page: Item = {"Versions": found[:2]} if found else {}
        if len(found) <= 2:
            return page | {"IsTruncated": False}
        last = {"NextKeyMarker": found[1]["Key"], "NextVersionIdMarker": found[1]["VersionId"]}
        return page | {"IsTruncated": True} | last

    def get_paginator(self, operation: str) -> Any:
        def paginate(Bucket: str, Prefix: str, Delimiter: str = "") -> Iterator[Item]:  # noqa: N803
            return self._pages(operation, Prefix, Delimiter)

        return SimpleNamespace(paginate=paginate)

    def _pages(self, operation: str, prefix: str, delimiter: str) -> Iterator[Item]:
        if delimiter:
            below = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
            folders = sorted({key.split(delimiter)[0] for key in below if delimiter in key})
            found = [{"Prefix": f"{prefix}{folder}{delimiter}"} for folder in folders]
            name = "CommonPrefixes"
        elif operation == "list_objects_v2":
            found = [{"Key": key, "ETag": self._tag(key)} for key in self.objects if key.startswith(prefix)]
            name = "Contents"
        else:
            found = [
                {
                    "Key": key,
                    "LastModified": at,
                    "VersionId": self.version_ids(place),
                    "ETag": '"e"',
                    "Size": 1,
                }
                for place, (key, at) in enumerate(self.versions)
                if key.startswith(prefix)
            ]
            name = "Versions"
        for start in range(0, len(found), 2):
            yield {name: found[start : start + 2]}
        yield {}  # a page without any entry lacks the key
