"""What the stand-in remembers: one SQLite file, every change a transaction that is on disk when it returns.

Resources are documents (the members that the Get operation answers) with a few columns to look them up by. An
event is written in the same transaction as the change that it tells of and deleted once it was delivered, so
that a crash between the two delays it but never loses it.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    arn TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL,
    token TEXT, fingerprint TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (kind, name));
CREATE INDEX IF NOT EXISTS resources_by_token ON resources (kind, token);
CREATE TABLE IF NOT EXISTS tags (arn TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (arn, key));
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lessons (
    id INTEGER PRIMARY KEY AUTOINCREMENT, prompt TEXT NOT NULL, query TEXT NOT NULL, answer TEXT NOT NULL,
    UNIQUE (prompt, query, answer));
"""


@dataclass(frozen=True)
class Resource:
    """A job, custom model or deployment.

    `created` is in seconds since 1970, `token` its clientRequestToken, `fingerprint` a hash of its request.
    """

    arn: str
    kind: str
    name: str
    status: str
    created: float
    token: str | None
    fingerprint: str
    document: dict[str, Any]


class Store:
    """The SQLite file of a state folder; several threads and processes may use it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(
            folder / "bedrock.sqlite3", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block one; nested blocks join the outer one."""
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._connection.execute("BEGIN IMMEDIATE")
                yield
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            except BaseException:
                if self._depth == 1 and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _query(self, statement: str, *values: Any) -> list[tuple]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def add(self, resource: Resource) -> None:
        """Insert a resource; its ARN, and its name within its kind, must be free."""
        with self.transaction():
            self._query(
                "INSERT INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                resource.arn,
                resource.kind,
                resource.name,
                resource.status,
                resource.created,
                resource.token,
                resource.fingerprint,
                json.dumps(resource.document),
            )

    def change(self, arn: str, status: str, **members: Any) -> Resource:
        """Set the status and some members of a resource's document; a member of None is removed."""
        with self.transaction():
            resource = self.get(arn)
            if resource is None:
                raise KeyError(arn)
            document = {
                name: item for name, item in {**resource.document, **members}.items() if item is not None
            }
            self._query(
                "UPDATE resources SET status = ?, document = ? WHERE arn = ?",
                status,
                json.dumps(document),
                arn,
            )
            changed = self.get(arn)
        assert changed is not None
        return changed

    def remove(self, arn: str) -> None:
        """Delete a resource and its tags."""
        with self.transaction():
            self._query("DELETE FROM resources WHERE arn = ?", arn)
            self._query("DELETE FROM tags WHERE arn = ?", arn)

    def get(self, arn: str) -> Resource | None:
        """Return the resource with this ARN, or None."""
        return self._one("arn = ?", arn)

    def find(self, kind: str, identifier: str) -> Resource | None:
        """Return the resource of this kind with this ARN or name, or None."""
        return self._one("kind = ? AND (arn = ? OR name = ?)", kind, identifier, identifier)

    def by_token(self, kind: str, token: str) -> Resource | None:
        """Return the resource of this kind that was created with this clientRequestToken, or None."""
        return self._one("kind = ? AND token = ?", kind, token)

    def all(self, kind: str, statuses: Iterable[str] = ()) -> list[Resource]:
        """Return the resources of a kind, oldest first, with one of `statuses` if any are given."""
        rows = self._query("SELECT * FROM resources WHERE kind = ? ORDER BY created, arn", kind)
        wanted = set(statuses)
        return [_resource(row) for row in rows if not wanted or row[3] in wanted]

    def _one(self, condition: str, *values: str) -> Resource | None:
        rows = self._query(f"SELECT * FROM resources WHERE {condition}", *values)
        return _resource(rows[0]) if rows else None

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource."""
        return dict(self._query("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", arn))

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        """Add tags, or overwrite their values."""
        with self.transaction():
            for key, value in tags.items():
                self._query("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", arn, key, value)

    def untag(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags."""
        with self.transaction():
            for key in keys:
                self._query("DELETE FROM tags WHERE arn = ? AND key = ?", arn, key)

    def announce(self, entry: dict[str, Any]) -> None:
        """Put an event among those to be delivered, in the transaction of the change that it tells of."""
        with self.transaction():
            self._query("INSERT INTO events (entry) VALUES (?)", json.dumps(entry))

    def unannounced(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the events that were not delivered yet, oldest first, with their ids."""
        return [
            (row[0], json.loads(row[1])) for row in self._query("SELECT id, entry FROM events ORDER BY id")
        ]

    def announced(self, identifier: int) -> None:
        """Forget an event that was delivered."""
        with self.transaction():
            self._query("DELETE FROM events WHERE id = ?", identifier)

    def learn(self, prompt: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember pairs of query and answer under a system prompt; each different pair is kept once."""
        with self._lock, self.transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO lessons (prompt, query, answer) VALUES (?, ?, ?)",
                ((prompt, query, answer) for query, answer in pairs),
            )

    def newest_lesson(self) -> int:
        """Return a number that grows with every lesson that is learnt."""
        return self._query("SELECT COALESCE(MAX(id), 0) FROM lessons")[0][0]

    def prompts(self) -> dict[str, int]:
        """Return each system prompt that lessons are known for, with its newest lesson's id."""
        return dict(self._query("SELECT prompt, MAX(id) FROM lessons GROUP BY prompt"))

    def lessons(self, prompt: str) -> list[tuple[str, str]]:
        """Return the pairs of query and answer under a system prompt, in the order of learning."""
        return self._query("SELECT query, answer FROM lessons WHERE prompt = ? ORDER BY id", prompt)


def _resource(row: tuple) -> Resource:
    return Resource(*row[:7], document=json.loads(row[7]))
