"""The whole content of a storage, by table and in order: `linqbot storage` counts, checks, compares and copies it.

The rows are the same for every backend. Numbers that a backend gives to its rows are left out; their order is kept. So
two storages hold the same if and only if their digests are equal.
"""

from __future__ import annotations

import hashlib
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic_core import to_json

from linqbot.characters import storable
from linqbot.errors import StorageError, StorageMisplaced
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import (
    acts,
    consents,
    conversation_table,
    decisions,
    facts,
    hold_table,
    journal,
    outcomes,
    people,
    state,
    timers,
    upkeep,
)
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.timers import Timer

Role: TypeAlias = Literal["check", "migrate", "source", "target"]
"""The purpose for which a storage is opened: to be read as it is now, to get the newest schema, or to be one side of a copy."""

Value: TypeAlias = str | bytes | float | int | None
Row: TypeAlias = tuple[Value, ...]

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(columns.replace(",", " ").split())
    for table, columns in {
        "meta": "key value",
        "delivery": """id lane type message_key carrier received_at replay put_back delivery_count attempts crashes
            crashed_with_others max_concurrent_suspects progress crashes_before_progress leased waits not_before error
            early body""",
        "seen": "id delivery_id at",
        "dead": """id lane type message_key carrier received_at error handler replay delivery_count attempts crashes
            dead_lettered_at body""",
        "done": "id lane type message_key carrier received_at replay acked_at body",
        "journal": journal.EVERY_COLUMN,
        "state": state.COLUMNS,
        "timer": timers.COLUMNS,
        "conversation": conversation_table.COLUMNS,
        "hold": hold_table.COLUMNS,
        "outcome": outcomes.COLUMNS,
        "consent": consents.COLUMNS,
        "decision": decisions.COLUMNS,
        "act": acts.COLUMNS,
        "broadcast": "name line status per_minute created_at next_at ended_at off_the_record lane purpose content",
        "recipient": "broadcast n handle outcome reason at",
    }.items()
}
"""The columns of each table, as every backend gives and takes them. A later table may name rows of an earlier one.

The order of the rows: `meta` by key, `seen` by id, `state` by scope and name, `hold` by lane, each compared by byte; `recipient` by broadcast
and n; `delivery` in the order of the inbox; all others in the order in which they were stored.

`meta` has only the rows `active_at`, `first_active_at`, `install` and `troubles`. `delivery.leased` is 1 if a process died during the turn.
`seen.delivery_id` is None if the delivery has left the inbox. `recipient.broadcast` is the name of the broadcast.
"""

PAGE: Final = 200
"""Rows that are read or written at once."""


_FROM: Final = {
    "delivery": "delivery JOIN body USING (seq)",
    "recipient": "recipient LEFT JOIN broadcast ON broadcast.n = broadcast",
}
_ORDER: Final = {
    "meta": "key",
    "delivery": "seq",
    "state": "scope, name",
    "hold": "lane",
    "recipient": "broadcast, recipient.n",
}
_NAMED: Final = {("recipient", "broadcast"): "name", ("recipient", "n"): "recipient.n"}


def select(table: str, db: Readable, condition: str) -> str:
    """Return the SQL that reads the rows of a table in order, in its `TABLES`; not for `seen`."""
    columns = (
        f"{db.is_leased} AS leased" if name == "leased" else _NAMED.get((table, name), name) for name in TABLES[table]
    )
    source, order = _FROM.get(table, table), _ORDER.get(table, "n")
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {condition} ORDER BY {order}"


_CONTRADICTIONS: Final = {
    "waiting deliveries have no body": """SELECT count(*) FROM delivery
        WHERE NOT EXISTS (SELECT 1 FROM body WHERE body.seq = delivery.seq)""",
    "bodies belong to no delivery": """SELECT count(*) FROM body
        WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = body.seq)""",
    "recipients belong to no broadcast": """SELECT count(*) FROM recipient
        WHERE NOT EXISTS (SELECT 1 FROM broadcast WHERE broadcast.n = recipient.broadcast)""",
}
_BOOLEANS: Final = frozenset({"early", "put_back", "off_the_record", "texts"})


@dataclass(frozen=True, slots=True)
class Digest:
    """The content of a storage in a few bytes."""

    rows: Mapping[str, int]  # number of rows, by table
    hashes: Mapping[str, str]  # SHA-256 of the rows, by table, in hex

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    @property
    def whole(self) -> str:
        """SHA-256 of all tables, in hex."""
        return hashlib.sha256(" ".join(self.hashes[table] for table in TABLES).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The number of the schema of a storage, and the newest number that this release knows."""

    name: str
    have: int  # 0 if the storage does not exist or is empty
    newest: int
    serving: int  # number of processes that serve the storage now

    def require_current(self) -> None:
        """Check that the schema is the newest. Raises StorageError if it is older, StorageMisplaced if there is no storage."""
        if not self.have:
            raise StorageMisplaced(f"There is no storage {self.name}. Check the URL.")
        if self.have != self.newest:
            raise StorageError(
                f"{self.name} has schema {self.have}, and this linqbot works with schema {self.newest}. Run linqbot storage "
                "migrate first."
            )


class Contents(ABC):
    """The content of a storage: as it is at one moment, or, of a target, as it is written. Use as `async with`.

    To open it to be migrated, or as a target, creates it if it is missing, and brings its schema up to date. No other process
    can use a source or a target meanwhile, nor a file that is migrated.

    Args:
        name: The place of the storage, for messages; without a password.
    """

    _tx: Writable
    _seen: ClassVar[str]
    """The SQL that reads the rows of `seen`."""
    _leased: ClassVar[tuple[str, ...]]
    """The columns of `delivery` that say that it is leased."""
    _contradictions: Mapping[str, str]
    """The SQL that counts what contradicts each other in this backend alone, by the words for it."""

    def __init__(self, name: str, role: Role) -> None:
        self.name = name
        self._role = role

    async def __aenter__(self) -> Self:
        """Open the storage.

        Raises:
            ConfigError: another process serves the file; it is one of another program; or the rights do not suffice.
            StorageError: another process uses the database; a target holds rows; or a newer linqbot has written the schema.
            StorageUnavailable: the storage cannot be read or written.
        """
        with self._translated():
            await self._open()
        return self

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @abstractmethod
    async def schema(self) -> SchemaState:
        """Return the state of the schema of a storage that is not open, and may not exist."""

    async def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        unordered = {table: self._select(table).rpartition(" ORDER BY ")[0] for table in TABLES}
        with self._translated():
            return {
                table: await self._tx.value(f"SELECT count(*) FROM ({sql}) AS found")
                for table, sql in unordered.items()
            }

    async def pages(self, table: str) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of a table in order, at most `PAGE` at a time."""
        with self._translated():
            async with aclosing(self._tx.pages(self._select(table), PAGE)) as pages:
                async for rows in pages:
                    yield [tuple(map(_comparable, row)) for row in rows]

    async def digest(self, progress: Callable[[int], None], *, to: Contents | None = None) -> Digest:
        """Read all rows, add them to a target if one is given, and return their digest.

        `progress` is called with the number of rows that were read.
        """
        rows, hashes = dict.fromkeys(TABLES, 0), {}
        for table in TABLES:
            hashed = hashlib.sha256()
            async with aclosing(self.pages(table)) as pages:
                async for page in pages:
                    for row in page:
                        for value in row:
                            hashed.update(_encoded(value))
                    if to is not None:
                        await to.add(table, page)
                    rows[table] += len(page)
                    progress(sum(rows.values()))
            hashes[table] = hashed.hexdigest()
        return Digest(rows, hashes)

    async def problems(self) -> list[str]:
        """Return the contradictions between the rows of this storage, a sentence each; an intact storage has none."""
        found = []
        with self._translated():
            for what, sql in {**_CONTRADICTIONS, **self._contradictions}.items():
                if count := await self._tx.value(sql):
                    found.append(f"{count} {what}.")
            if (refusal := await upkeep.refusal(self._tx)) is not None:
                found.append(f"The storage {refusal}")
        return found

    @asynccontextmanager
    async def filling(self, source: str) -> AsyncIterator[None]:
        """Fill a target with the rows of a storage in the block, in one commit, without which it cannot be served."""
        with self._translated():
            await facts.write(self._tx, upkeep.COPYING, to_json({"source": source}).decode())
            async with self._transaction():
                yield
                await self._complete()

    async def add(self, table: str, rows: Sequence[Row]) -> None:
        """Store rows in a target that is being filled, behind those of earlier calls."""
        with self._translated():
            await self._add(table, [dict(zip(TABLES[table], row, strict=True)) for row in rows])

    async def _complete(self) -> None:
        await people.mark_unfilled(self._tx)
        await facts.remove(self._tx, upkeep.COPYING)

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        pass

    @abstractmethod
    async def _open(self) -> None:
        """Open the storage, as its role says; a target with `_refuse_rows`."""

    @abstractmethod
    def _transaction(self) -> AbstractAsyncContextManager[Any]:
        """Commit what is written over `_tx` inside, or nothing of it."""

    @abstractmethod
    async def _number(self, rows: Sequence[dict[str, Any]]) -> None:
        """Give further deliveries their `seq`, in order, and the columns of `_leased`."""

    @abstractmethod
    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        pass

    async def _refuse_rows(self) -> None:
        """Raise StorageError if the storage holds rows."""
        rows = sum(count for table, count in (await self.counts()).items() if table != "meta")
        if rows:
            raise StorageError(
                f"{self.name} holds {rows} rows already. A copy overwrites nothing: name another storage, or empty this one."
            )

    def _select(self, table: str) -> str:
        if table == "seen":
            return self._seen
        # These keys have the same order in every language.
        facts = "key IN ('active_at', 'first_active_at', 'install', 'troubles')"
        return select(table, self._tx, facts if table == "meta" else "true")

    async def _add(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        match table:
            case "meta":
                for row in rows:
                    await facts.write(self._tx, row["key"], row["value"])
            case "delivery":
                await self._number(rows)
                columns = [name for name in TABLES["delivery"] if name not in {"leased", "body"}]
                await self._insert("delivery", ["seq", *columns, *self._leased], rows)
                await self._insert("body", ["seq", "body"], rows)
            case "seen":
                await self._add_seen(rows)
            case "recipient":
                numbers = dict(await self._tx.fetch("SELECT name, n FROM broadcast"))
                await self._insert(
                    table, TABLES[table], [row | {"broadcast": numbers[row["broadcast"]]} for row in rows]
                )
            case _:
                await self._insert(table, TABLES[table], rows)

    async def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        values = [tuple(bool(row[name]) if name in _BOOLEANS else row[name] for name in columns) for row in rows]
        private = [_is_off_the_record(table, row) for row in rows] if table in _WITH_TEXTS else None
        await self._tx.insert(f"{table} ({', '.join(columns)})", values, off_the_record=private)


_WITH_TEXTS: Final = frozenset({"body", "dead", "timer", "journal", "conversation", "broadcast"})
"""The tables that may hold texts off the record."""


def _is_off_the_record(table: str, row: Mapping[str, Any]) -> bool:
    match table:
        case "body" | "dead":
            fields = ("id", "lane", "type", "body", "received_at")
            return Delivery(*(row[name] for name in fields)).is_off_the_record
        case "timer":
            return Timer(*(row[name] for name in TABLES["timer"])).is_off_the_record
        case "journal":
            return bool(row["off_the_record"] and row["texts"])
        case "broadcast":
            return bool(row["off_the_record"] and row["content"])
        case _:
            return bool(row["off_the_record"])


def _comparable(value: Value) -> Value:
    """Return a value as PostgreSQL can hold it: without U+0000, which only texts of errors may have."""
    return storable(value) if isinstance(value, str) else value


def _encoded(value: Value) -> bytes:
    """Return a value so that no two different rows have the same bytes. True and 1 are equal, as in SQLite."""
    match value:
        case None:
            return b"n"
        case str():
            text = value.encode()
            return b"s%d:%s" % (len(text), text)
        case bytes():
            return b"b%d:%s" % (len(value), value)
        case float():
            return b"f" + struct.pack(">d", value)
        case _:
            return b"i%d;" % value
