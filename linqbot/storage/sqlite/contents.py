"""The content of an SQLite file as a whole, for `linqbot storage`. `storage/tables/contents.py` has what PostgreSQL shares."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from linqbot.storage.contents import PAGE, Row, SchemaState, Value
from linqbot.storage.dialect import drive
from linqbot.storage.sqlite.checkup import check_up
from linqbot.storage.sqlite.file import connect, migrate, newest_schema, prepare, primary_code, transaction, unusable
from linqbot.storage.sqlite.serving_lock import ServingLock
from linqbot.storage.sqlite.statements import Transaction, outside
from linqbot.storage.tables.contents import Contents, Role

T = TypeVar("T")

_MESSAGE_KEY = "m."
"""The prefix of message keys, which no id of a delivery has."""


class SQLiteContents(Contents):
    """The content of a file. To check it, no other process has to stop."""

    _tx: Transaction
    _seen = """SELECT known.key, delivery.id, known.at
        FROM (SELECT id AS key, seq, at FROM seen UNION ALL SELECT message_key, seq, at FROM seen) AS known
            LEFT JOIN delivery USING (seq)
        WHERE known.key IS NOT NULL ORDER BY known.key"""

    def __init__(self, path: Path, role: Role = "check") -> None:
        super().__init__(str(path), role)
        # PostgreSQL has an index that prevents it.
        self._contradictions = {
            "waiting deliveries have a number twice": "SELECT count(*) - count(DISTINCT id) FROM delivery"
        }
        self._path = path
        self._lock = ServingLock(path)
        # The numbers of the deliveries, by id, read when they are all stored. The file has no index of these ids.
        self._seqs: dict[str, int] = {}

    async def schema(self) -> SchemaState:
        """Return the state of the schema; see `Contents.schema`."""
        found = await asyncio.to_thread(check_up, self._path)
        return SchemaState(self.name, found.schema or 0, newest_schema(), int(found.serving is not None))

    async def migrate(self) -> SchemaState:
        """Bring the schema up to date; see `Contents.migrate`."""
        before = await self.schema()
        await asyncio.to_thread(self._migrate)
        return before

    async def __aenter__(self) -> Self:
        """Open the file; see `Contents`."""
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._opened.close)

    async def problems(self) -> list[str]:
        """Return what is damaged in the file, or which rows contradict each other."""
        damage = await self._run(self._damage())
        return [f"The file is damaged: {' '.join(line.split())}." for line in damage] or await super().problems()

    def _migrate(self) -> None:
        prepare(self._path)
        with contextlib.ExitStack() as opened:
            self._connect(opened)
            migrate(self._tx.db, self._path)

    def _connect(self, opened: contextlib.ExitStack, *, alone: bool = True) -> None:
        if alone:
            self._lock.acquire()
            opened.callback(self._lock.release)
        db = opened.enter_context(contextlib.closing(connect(self._path)))
        self._tx = outside(db, 0.0)

    def _open(self) -> None:
        if self._role == "target":
            prepare(self._path)
        with contextlib.ExitStack() as opened:
            self._connect(opened, alone=self._role != "check")
            with self._translated():
                self._begin(self._tx.db)
            self._opened = opened.pop_all()

    def _begin(self, db: sqlite3.Connection) -> None:
        if self._role == "target":
            migrate(db, self._path)
            drive(self._begin_target())
            return
        # The first read takes the snapshot. IMMEDIATE also makes commands such as `linqbot forget` wait, and then fail.
        db.execute("BEGIN IMMEDIATE" if self._role == "source" else "BEGIN")
        db.execute("SELECT 1 FROM sqlite_master").fetchone()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self._path, error, f"The storage file {self._path} cannot be used: {error}.") from error

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._translated():
            return await asyncio.to_thread(drive, work)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with transaction(self._tx.db):
            yield

    async def _pages(self, sql: str, skip: int) -> AsyncGenerator[list[Row], None]:
        with self._translated():
            cursor = await asyncio.to_thread(self._tx.db.execute, f"{sql} LIMIT -1 OFFSET ?", (skip,))
            with contextlib.closing(cursor):
                while rows := await asyncio.to_thread(cursor.fetchmany, PAGE):
                    yield [tuple(map(_comparable, row)) for row in rows]

    async def _damage(self) -> list[str]:
        try:
            return [line for (line,) in await self._tx.fetch("PRAGMA integrity_check(5)") if line != "ok"]
        except sqlite3.DatabaseError as error:
            if primary_code(error) != sqlite3.SQLITE_CORRUPT:
                raise
            return [str(error)]

    async def _number(self, lanes: Sequence[str]) -> Sequence[int]:
        last = await self._tx.value("SELECT coalesce(max(seq), 0) FROM delivery")
        return range(last + 1, last + 1 + len(lanes))

    async def _restore(self, leased: Sequence[int], waiting: Mapping[int, float]) -> None:
        await self._tx.run("UPDATE delivery SET leased = 1 WHERE seq = ANY($1)", leased)

    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self._seqs:
            self._seqs = dict(await self._tx.fetch("SELECT id, seq FROM delivery"))
        used = "SELECT max(coalesce(max(seq), 0), (SELECT coalesce(max(seq), 0) FROM seen)) FROM delivery"
        # A delivery that is gone has no number any more: each of its keys gets one.
        for free, row in enumerate(rows, await self._tx.value(used) + 1):
            key, seq = row["id"], self._seqs.get(row["delivery_id"])
            is_message = key.startswith(_MESSAGE_KEY) if seq is None else key != row["delivery_id"]
            column = "message_key" if is_message else "id"
            sql = f"""INSERT INTO seen (seq, {column}, at) VALUES ($1, $2, $3)
                      ON CONFLICT (seq) DO UPDATE SET {column} = excluded.{column}, at = max(at, excluded.at)"""  # noqa: S608
            await self._tx.run(sql, free if seq is None else seq, key, row["at"])


def _comparable(value: Value) -> Value:
    """Return a value as PostgreSQL can hold it: without U+0000, which only texts of errors may have."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
