"""The content of a PostgreSQL storage as a whole, for `linqbot storage`. `storage/contents.py` has what SQLite shares.

A source and a target hold the storage's lock alone, which every process that opens the storage shares; see `processes.enter`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Final

from linqbot.clock import SystemClock
from linqbot.errors import StorageError
from linqbot.storage.contents import TABLES, Contents, Role, SchemaState
from linqbot.storage.inbox import InboxLimits
from linqbot_postgres import processes
from linqbot_postgres.address import Address, close, translated
from linqbot_postgres.lanes import PostgresLaneTransaction
from linqbot_postgres.migrate import check_up, migrate, newest_schema
from linqbot_postgres.transaction import Memory

_ANSWER_S: Final = 3600.0
"""Seconds that one statement may take: it may sort a whole table."""


class PostgresContents(Contents):
    """The content of a storage. To check or to migrate it, no other process has to stop, as during a rolling upgrade."""

    _tx: PostgresLaneTransaction
    _seen = """SELECT seen.id, delivery.id, seen.at FROM seen LEFT JOIN delivery ON delivery.id = seen.delivery_id
        ORDER BY seen.id COLLATE "C" """
    _leased = ("token", "owner")
    _contradictions: Mapping[str, str] = {
        "waiting deliveries are not in the queue, so they are never handled": """SELECT count(*) FROM delivery
            WHERE NOT EXISTS (SELECT FROM queue WHERE queue.seq = delivery.seq)""",
        "rows of the queue belong to no delivery": """SELECT count(*) FROM queue
            WHERE NOT EXISTS (SELECT FROM delivery WHERE delivery.seq = queue.seq)""",
        "lanes have no head, or a wrong one": """SELECT count(*) FROM head
            FULL JOIN (SELECT lane, min(seq) AS seq FROM delivery GROUP BY lane) d USING (lane)
            WHERE head.seq IS DISTINCT FROM d.seq""",
    }

    def __init__(self, url: str, role: Role = "check") -> None:
        self._url = url
        self._address = Address.parse(url)
        super().__init__(self._address.name, role)

    async def schema(self) -> SchemaState:
        found = await check_up(self._url)
        return SchemaState(self.name, found.schema or 0, newest_schema(), found.serving)

    async def __aexit__(self, *exc: object) -> None:
        await close(self._tx.connection)

    async def _complete(self) -> None:
        # The planner knows nothing yet of the tables that were just filled.
        await self._tx.run(f"ANALYZE {', '.join(TABLES)}, body, queue")
        await super()._complete()

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.name)

    async def _open(self) -> None:
        connection = await self._address.connect(answer_s=_ANSWER_S)
        memory = Memory(self._address, SystemClock(), InboxLimits(), serving=False, keep_s=0.0)
        memory.process = processes.COPIED
        self._tx = PostgresLaneTransaction(connection, 0.0, memory, 0.0)
        try:
            if self._role in {"migrate", "target"}:
                await migrate(connection, self._address, create=True)
            if self._role in {"source", "target"}:
                await self._lock()
            # The transaction is idle while a copy writes or reads the other storage, which may take longer than this limit.
            await self._tx.run("SET idle_in_transaction_session_timeout = 0")
            if self._role in {"check", "source"}:
                # One transaction that is never committed: the whole content is of one moment.
                await connection.transaction(isolation="repeatable_read", readonly=True).start()
            if self._role == "target":
                await self._refuse_rows()
                memory.types = await processes.types_of(self._tx)
                self._tx.ahead_s = await processes.ahead(connection)
        except BaseException:
            connection.terminate()
            raise

    async def _lock(self) -> None:
        await self._address.refuse_pool(self._tx.connection)
        if not await processes.enter_alone(self._tx.connection, self._address):
            raise StorageError(
                f"A process uses {self.name}: a server, or a linqbot command. Stop it first: what it stores during a copy would "
                "be missing from the copy. The database notices a process that was killed within a minute."
            )

    def _transaction(self) -> AbstractAsyncContextManager[Any]:
        return self._tx.connection.transaction()

    async def _number(self, rows: Sequence[dict[str, Any]]) -> None:
        for row, seq in zip(rows, await self._tx.add_to_queue(len(rows)), strict=True):
            row |= {"seq": seq, "token": None, "owner": None}
            if row["leased"]:
                row["token"] = await self._tx.value("SELECT nextval('lease_token')")
                row["owner"] = processes.COPIED
        if any(row["leased"] for row in rows):
            lock = self._address.lock(f"process\0{processes.COPIED}")
            await self._tx.insert("process (id, lock)", [(processes.COPIED, lock)], "ON CONFLICT (id) DO NOTHING")
        waiting = [row for row in rows if row["waits"]]
        await self._tx.set_visible_at([row["seq"] for row in waiting], [row["not_before"] for row in waiting])

    async def _add_seen(self, rows: Sequence[Mapping[str, Any]]) -> None:
        # An id that no delivery has stands for a delivery that has left the inbox.
        known = [{**row, "delivery_id": row["delivery_id"] or row["id"]} for row in rows]
        await self._insert("seen", TABLES["seen"], known)
