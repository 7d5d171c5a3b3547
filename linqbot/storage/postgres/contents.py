"""The content of a PostgreSQL storage as a whole, for `linqbot storage`. `storage/tables/contents.py` has what SQLite shares.

A source and a target hold the storage's lock alone, which every process that opens the storage shares; see `processes.enter`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self, TypeVar

import asyncpg

from linqbot.errors import StorageError
from linqbot.storage.contents import PAGE, TABLES, Row, SchemaState
from linqbot.storage.postgres import processes
from linqbot.storage.postgres.queries import check_up
from linqbot.storage.postgres.server.address import Address, translated
from linqbot.storage.postgres.server.migrate import migrate, newest_schema
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.tables.contents import Contents, Role

T = TypeVar("T")

_CONTRADICTIONS: Final = {
    "waiting deliveries are not in the queue of pgmq, so they are never handled": """SELECT count(*) FROM delivery
        WHERE NOT EXISTS (SELECT FROM pgmq.q_{queue} WHERE msg_id = seq)""",
    "messages in the queue of pgmq belong to no delivery": """SELECT count(*) FROM pgmq.q_{queue}
        WHERE NOT EXISTS (SELECT FROM delivery WHERE seq = msg_id)""",
    "waiting deliveries are in the queue of another lane": """SELECT count(*) FROM delivery JOIN pgmq.q_{queue}
        ON msg_id = seq WHERE headers ->> 'x-pgmq-group' IS DISTINCT FROM lane""",
    "lanes have no head, or a wrong one": """SELECT count(*) FROM head
        FULL JOIN (SELECT lane, min(seq) AS seq FROM delivery GROUP BY lane) d USING (lane)
        WHERE head.seq IS DISTINCT FROM d.seq""",
}
_ANSWER_S: Final = 3600.0
"""Seconds that one statement may take: it may sort a whole table."""


class PostgresContents(Contents):
    """The content of a storage. To check or to migrate it, no other process has to stop, as during a rolling upgrade."""

    _tx: Transaction
    _seen = """SELECT seen.id, delivery.id, seen.at FROM seen LEFT JOIN delivery ON delivery.id = seen.delivery_id
        ORDER BY seen.id COLLATE "C" """

    def __init__(self, url: str, role: Role = "check") -> None:
        self._url = url
        self._address = Address.parse(url)
        super().__init__(self._address.name, role)
        self._contradictions = {what: sql.format(queue=self._address.schema) for what, sql in _CONTRADICTIONS.items()}

    async def schema(self) -> SchemaState:
        """Return the state of the schema; see `Contents.schema`."""
        found = await check_up(self._url)
        return SchemaState(self.name, found.schema or 0, newest_schema(), found.serving)

    async def migrate(self) -> SchemaState:
        """Bring the schema up to date; see `Contents.migrate`."""
        before = await self.schema()
        with translated(self.name):
            await self._connect()
            try:
                await migrate(self._tx.connection, self._address, create=True, movable_clock=False)
            finally:
                await self._tx.connection.close()
        return before

    async def __aenter__(self) -> Self:
        """Connect; see `Contents`."""
        with translated(self.name):
            await self._connect()
            try:
                await self._begin()
            except BaseException:
                self._tx.connection.terminate()
                raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._tx.connection.close(timeout=5.0)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._tx.connection.terminate()

    async def complete(self) -> None:
        """Remove the mark; see `Contents.complete`."""
        # The planner knows nothing yet of the tables that were just filled.
        await self._run(self._tx.run(f"ANALYZE {', '.join(TABLES)}, body, pgmq.q_{self._tx.queue}"))
        await super().complete()

    async def _connect(self) -> None:
        connection = await self._address.connect(answer_s=_ANSWER_S)
        self._tx = Transaction(connection, 0.0, self._address, processes.COPIED, 0.0, 0.0, {})

    async def _begin(self) -> None:
        tx = self._tx
        if self._role == "target":
            await migrate(tx.connection, self._address, create=True, movable_clock=False)
        if self._role != "check":
            await self._lock()
        if self._role == "target":
            await self._begin_target()
            tx.types = await processes.types_of(tx)
            tx.ahead_s = await processes.ahead(tx.connection)
            return
        # The transaction is idle while a copy writes and compares the rows, which may take longer than this limit.
        await tx.run("SET idle_in_transaction_session_timeout = 0")
        # One transaction that is never committed: the whole content is of one moment.
        await tx.connection.transaction(isolation="repeatable_read", readonly=True).start()

    async def _lock(self) -> None:
        other = await self._address.connect()
        try:
            await self._address.refuse_shared(self._tx.connection, other)
        finally:
            await other.close()
        if not await processes.enter_alone(self._tx.connection, self._address):
            raise StorageError(
                f"A process uses {self.name}: a server, or a linqbot command. Stop it first: what it stores during a copy would "
                "be missing from the copy. The database notices a process that was killed within a minute."
            )

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with translated(self.name):
            return await work

    def _transaction(self) -> AbstractAsyncContextManager[Any]:
        return self._tx.connection.transaction()

    async def _pages(self, sql: str, skip: int) -> AsyncGenerator[list[Row], None]:
        # Nested in the snapshot, if there is one: a cursor needs a transaction.
        with translated(self.name):
            async with self._transaction():
                cursor = await self._tx.connection.cursor(f"{sql} OFFSET $1", skip)
                while rows := await cursor.fetch(PAGE):
                    yield [tuple(row) for row in rows]

    async def _number(self, lanes: Sequence[str]) -> Sequence[int]:
        headers = [json.dumps({"x-pgmq-group": lane}) for lane in lanes]
        sql = "SELECT n FROM pgmq.send_batch($1::text, $2::jsonb[], $3::jsonb[]) AS n"
        # The numbers are given in the order of the array.
        return sorted(n for (n,) in await self._tx.fetch(sql, self._tx.queue, ["{}"] * len(lanes), headers))

    async def _restore(self, leased: Sequence[int], waiting: Mapping[int, float]) -> None:
        if leased:
            lock = self._address.lock(f"process\0{processes.COPIED}")
            sql = "INSERT INTO process (id, lock) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
            await self._tx.run(sql, processes.COPIED, lock)
            sql = "UPDATE delivery SET token = nextval('lease_token'), owner = $1 WHERE seq = ANY($2)"
            await self._tx.run(sql, processes.COPIED, leased)
        await self._tx.set_visible_at([*waiting], [*waiting.values()])

    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        # An id that no delivery has stands for a delivery that has left the inbox.
        known = [{**row, "delivery_id": row["delivery_id"] or row["id"]} for row in rows]
        await self._insert("seen", TABLES["seen"], known)
