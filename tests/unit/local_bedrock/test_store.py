"""The store: transactions, resources, events that wait, lessons."""

from pathlib import Path

import pytest

from local.bedrock.store import Resource, Store


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


def resource(arn: str = "arn:1", name: str = "one", **members: object) -> Resource:
    return Resource(arn, "job", name, "InProgress", 1.0, f"token-{name}", "hash", {"member": 1, **members})


def test_a_resource_is_found_by_arn_name_and_token(store: Store) -> None:
    store.add(resource())
    assert store.get("arn:1") == store.find("job", "one") == store.find("job", "arn:1") == resource()
    assert store.by_token("job", "token-one") == resource()
    assert store.find("model", "one") is None


def test_a_change_sets_and_removes_members(store: Store) -> None:
    store.add(resource())
    changed = store.change("arn:1", "Failed", member=None, other=2)
    assert (changed.status, changed.document) == ("Failed", {"other": 2})
    assert [item.arn for item in store.all("job", ["Failed"])] == ["arn:1"]
    assert store.all("job", ["InProgress"]) == []


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    store.add(resource())

    def fail() -> None:
        with store.transaction():
            store.change("arn:1", "Completed")
            store.announce({"DetailType": "x"})
            store.add(resource("arn:2", "two"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get("arn:1") == resource()
    assert store.get("arn:2") is None
    assert store.unannounced() == []


def test_another_process_sees_what_was_written(store: Store, tmp_path: Path) -> None:
    store.add(resource())
    store.announce({"DetailType": "x"})
    store.learn("p", [("q", "a")])
    other = Store(tmp_path)
    assert other.get("arn:1") == resource()
    assert [entry for _, entry in other.unannounced()] == [{"DetailType": "x"}]
    other.learn("p", [("q", "a"), ("q", "b")])
    other.close()
    assert store.lessons("p") == [("q", "a"), ("q", "b")]


def test_a_name_is_taken_once_in_its_kind(store: Store) -> None:
    store.add(resource())
    with pytest.raises(Exception, match="UNIQUE"):
        store.add(resource("arn:2"))


def test_removing_a_resource_removes_its_tags(store: Store) -> None:
    store.add(resource())
    store.tag("arn:1", {"a": "1"})
    store.tag("arn:1", {"a": "2", "b": "3"})
    store.untag("arn:1", ["b", "never"])
    assert store.tags("arn:1") == {"a": "2"}
    store.remove("arn:1")
    assert store.tags("arn:1") == {}
    store.add(resource("arn:3"))
