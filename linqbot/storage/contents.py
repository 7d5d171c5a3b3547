"""The whole content of a storage, table by table and in order: what `linqbot storage` counts, compares and copies.

The rows are the same for every backend. Numbers that a backend gives to its rows are left out; their order is kept. So two
storages hold the same if and only if their digests are equal. `tables/contents.py` has the SQL.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.errors import ConfigError, StorageError
from linqbot.storage.dialect import Readable

Value: TypeAlias = str | bytes | float | int | None
Row: TypeAlias = tuple[Value, ...]

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(columns.split())
    for table, columns in {
        "meta": "key value",
        "delivery": """id lane type message_key carrier received_at replay put_back delivery_count attempts crashes
            crashed_with_others max_concurrent_suspects progress crashes_before_progress leased waits not_before error
            body""",
        "seen": "id delivery_id at",
        "dead": """id lane type message_key carrier received_at error handler replay delivery_count attempts crashes
            dead_lettered_at body""",
        "done": "id lane type message_key carrier received_at replay acked_at body",
        "journal": """turn replay slot key safety call status first_at answer message_id chat_id delivery digest origin
            off_the_record texts ended_at""",
        "state": "scope name value person",
        "timer": "id due lane kind payload grace_s",
        "conversation": """id replay chat_id person handler status asked_at until question off_the_record root""",
        "broadcast": "name line status per_minute created_at next_at ended_at off_the_record lane content",
        "recipient": "broadcast n handle outcome reason at",
    }.items()
}
"""The columns of each table, as every backend gives and takes them. A later table may name rows of an earlier one.

The order of the rows: `meta` by key, `seen` by id, `state` by scope and name, each compared by byte; `recipient` by broadcast
and n; `delivery` in the order of the inbox; all others in the order in which they were stored.

`meta` has only the rows `active_at`, `first_active_at` and `install`. `delivery.leased` is 1 if a process died during the turn.
`seen.delivery_id` is None if the delivery has left the inbox. `recipient.broadcast` is the name of the broadcast.
"""

COPYING: Final = "copying"
"""The key of the table `meta` under which an unfinished copy has its `CopyMark`."""

PAGE: Final = 200
"""Rows that are read or written at once."""


@dataclass(frozen=True, slots=True)
class Digest:
    """The content of a storage in a few bytes.

    Attributes:
        rows: Number of rows, by table.
        hashes: SHA-256 of the rows, by table, in hex.
    """

    rows: Mapping[str, int]
    hashes: Mapping[str, str]

    @property
    def total(self) -> int:
        """The number of all rows."""
        return sum(self.rows.values())

    @property
    def whole(self) -> str:
        """SHA-256 of all tables, in hex."""
        return hashlib.sha256(" ".join(self.hashes[table] for table in TABLES).encode()).hexdigest()


class Hashing:
    """Computes the digest of rows that are added in order."""

    def __init__(self) -> None:
        self._rows = dict.fromkeys(TABLES, 0)
        self._hashes = {table: hashlib.sha256() for table in TABLES}

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Add the next rows of a table."""
        into = self._hashes[table]
        for row in rows:
            self._rows[table] += 1
            for value in row:
                into.update(_encoded(value))

    def digest(self) -> Digest:
        """Return the digest of what was added."""
        return Digest(dict(self._rows), {table: each.hexdigest() for table, each in self._hashes.items()})


@dataclass(frozen=True, slots=True)
class CopyMark:
    """The record of an unfinished copy, in the storage that is written. It changes in the commit that stores rows.

    Attributes:
        source: The name of the storage that is copied.
        digest: The `Digest.whole` of that storage.
        rows: Number of rows that were stored, by table.
    """

    source: str
    digest: str
    rows: Mapping[str, int]

    def to_json(self) -> str:
        """Return the mark as JSON."""
        return to_json({"source": self.source, "digest": self.digest, "rows": dict(self.rows)}).decode()

    @classmethod
    def from_json(cls, text: str) -> CopyMark:
        """Return the mark that `to_json` wrote."""
        return cls(**from_json(text))

    @property
    def refusal(self) -> str:
        """The reason why the storage cannot be used, as sentences."""
        return (
            f"holds an unfinished copy of {self.source}. Run linqbot storage copy again to finish it, or delete it and begin "
            "again."
        )


async def mark_of(db: Readable) -> CopyMark | None:
    """Return the mark of an unfinished copy; None if the storage is complete."""
    text = await db.value("SELECT value FROM meta WHERE key = $1", COPYING)
    return CopyMark.from_json(text) if text else None


async def refuse_unfinished(db: Readable, name: str) -> None:
    """Check that a storage is complete.

    Args:
        name: Its place, for the message.
    Raises:
        ConfigError: it holds an unfinished copy of another storage.
    """
    if (mark := await mark_of(db)) is not None:
        raise ConfigError(f"{name} {mark.refusal}")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The number of the schema of a storage, and the newest number that this release knows.

    Attributes:
        have: 0 if the storage does not exist or is empty.
        serving: Number of processes that serve the storage now.
    """

    name: str
    have: int
    newest: int
    serving: int

    def require_current(self) -> None:
        """Check that the schema is the newest.

        Raises:
            StorageError: it is older, or there is no storage.
        """
        if not self.have:
            raise StorageError(f"There is no storage {self.name}. Check the URL.")
        if self.have != self.newest:
            raise StorageError(
                f"{self.name} has schema {self.have}, and this linqbot works with schema {self.newest}. Run linqbot storage "
                "migrate first."
            )


def _encoded(value: Value) -> bytes:
    """Return a value so that no two different rows have the same bytes. True and 1 are equal, as in SQLite."""
    match value:
        case None:
            return b"n"
        case str():
            text = value.encode("utf-8", "surrogatepass")
            return b"s%d:%s" % (len(text), text)
        case bytes():
            return b"b%d:%s" % (len(value), value)
        case float():
            return b"f" + struct.pack(">d", value)
        case _:
            return b"i%d;" % value
