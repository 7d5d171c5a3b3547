"""The content of an SQLite file as a whole, for `linqbot storage`. `storage/contents.py` has what PostgreSQL shares."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from linqbot.storage.contents import Contents, Role, SchemaState
from linqbot.storage.sqlite.checkup import check_up
from linqbot.storage.sqlite.file import connect, migrate, newest_schema, prepare, primary_code, transaction, unusable
from linqbot.storage.sqlite.serving_lock import ServingLock
from linqbot.storage.sqlite.statements import Transaction, outside

_MESSAGE_KEY = "m."
"""The prefix of message keys, which no id of a delivery has."""


class SQLiteContents(Contents):
    """The content of a file. It is read and written on the event loop, because only commands do so."""

    _tx: Transaction
    _seen = """SELECT known.key, delivery.id, known.at
        FROM (SELECT id AS key, seq, at FROM seen UNION ALL SELECT message_key, seq, at FROM seen) AS known
            LEFT JOIN delivery USING (seq)
        WHERE known.key IS NOT NULL ORDER BY known.key"""
    _leased = ("leased",)

    def __init__(self, path: Path, role: Role = "check") -> None:
        super().__init__(str(path), role)
        self._path = path
        # PostgreSQL has an index that prevents it.
        self._contradictions = {
            "waiting deliveries have a number twice": "SELECT count(*) - count(DISTINCT id) FROM delivery"
        }
        # The numbers of the deliveries, by id, read when they are all stored. The file has no index of these ids.
        self._seqs: dict[str, int] = {}

    async def __aexit__(self, *exc: object) -> None:
        self._opened.close()

    async def schema(self) -> SchemaState:
        """Return the state of the schema; see `Contents.schema`."""
        found = check_up(self._path)
        return SchemaState(self.name, found.schema or 0, newest_schema(), int(found.serving is not None))

    async def problems(self) -> list[str]:
        """Return what is damaged in the file, or which rows contradict each other."""
        with self._translated():
            try:
                lines = [str(line) for (line,) in await self._tx.fetch("PRAGMA integrity_check(5)") if line != "ok"]
            except sqlite3.DatabaseError as error:
                if primary_code(error) != sqlite3.SQLITE_CORRUPT:
                    raise
                lines = [str(error)]
        return [f"The file is damaged: {' '.join(line.split())}." for line in lines] or await super().problems()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self._path, error, f"The storage file {self._path} cannot be used: {error}.") from error

    async def _open(self) -> None:
        is_written = self._role in {"migrate", "target"}
        if is_written:
            prepare(self._path)
        with contextlib.ExitStack() as opened:
            if self._role != "check":
                lock = ServingLock(self._path)
                lock.acquire()
                opened.callback(lock.release)
            db = opened.enter_context(contextlib.closing(connect(self._path)))
            self._tx = outside(db, 0.0)
            if is_written:
                migrate(db, self._path)
            else:
                # The first read takes the snapshot. IMMEDIATE also makes commands such as `linqbot person forget` wait, and then fail.
                db.execute("BEGIN" if self._role == "check" else "BEGIN IMMEDIATE")
                db.execute("SELECT 1 FROM sqlite_master").fetchone()
            if self._role == "target":
                await self._begin_target()
            self._opened = opened.pop_all()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        with transaction(self._tx.db):
            yield

    async def _number(self, rows: Sequence[dict[str, Any]]) -> None:
        last = await self._tx.value("SELECT coalesce(max(seq), 0) FROM delivery")
        for seq, row in enumerate(rows, last + 1):
            row["seq"] = seq

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
