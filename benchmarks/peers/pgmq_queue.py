"""Events through plain SQL of pgmq, with what a webhook needs: one transaction for 100 events, duplicates refused, chats locked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import asyncpg
from peers.events import Event, drained

LEFT = "SELECT count(*) FROM (SELECT FROM pgmq.q_inbox LIMIT 1) AS events"
LEASE_S = 60


async def prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE SCHEMA pgmq")
        sql = files("linqbot.storage.postgres") / "schema" / "pgmq-1.13.0.sql"
        await connection.execute(sql.read_text())
        await connection.execute("SELECT pgmq.create('inbox')")
        await connection.execute("CREATE TABLE seen (id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
        await connection.execute("ALTER TABLE pgmq.q_inbox SET (autovacuum_vacuum_scale_factor = 0)")
        await connection.execute("ALTER TABLE pgmq.q_inbox SET (autovacuum_vacuum_threshold = 5000)")
    finally:
        await connection.close()


async def accept(url: str, events: Sequence[Event], at_once: int) -> None:
    """Store events, `at_once` of them in one transaction."""
    connection = await asyncpg.connect(url)
    try:
        for start in range(0, len(events), at_once):
            await _accept(connection, events[start : start + at_once])
    finally:
        await connection.close()


async def _accept(connection: Any, events: Sequence[Event]) -> None:
    async with connection.transaction():
        locks = sorted({_lock(event.chat) for event in events})
        await connection.execute("SELECT pg_advisory_xact_lock(n) FROM unnest($1::bigint[]) AS n", locks)
        sql = "INSERT INTO seen (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING id"
        new = {row["id"] for row in await connection.fetch(sql, [event.id for event in events])}
        kept = [event for event in events if event.id in new]
        await connection.execute(
            "SELECT pgmq.send_batch('inbox', $1::jsonb[], $2::jsonb[])",
            [event.body.decode() for event in kept],
            [json.dumps({"x-pgmq-group": event.chat}) for event in kept],
        )


def _lock(chat: str) -> int:
    return int.from_bytes(hashlib.blake2b(chat.encode(), digest_size=8).digest(), "big", signed=True)


async def work(url: str) -> None:
    """Lease events and ack them, until the process is ended."""
    connection = await asyncpg.connect(url)
    try:
        await drained(_Leases(connection))
    finally:
        await connection.close()


class _Leases:
    """pgmq as `drained` calls it. Acks that arrive while a statement runs are committed together by the next one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._free = asyncio.Lock()
        self._acked: list[tuple[int, int]] = []
        self._committed: asyncio.Future[None] | None = None

    async def take(self, limit: int) -> list[Any]:
        async with self._free:
            sql = "SELECT msg_id, read_ct, message FROM pgmq.read_grouped_head('inbox', $1, $2)"
            found: list[Any] = await self._connection.fetch(sql, LEASE_S, limit)
        return found

    async def ack(self, lease: Any) -> None:
        self._acked.append((lease["msg_id"], lease["read_ct"]))
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
            asyncio.ensure_future(self._commit()).add_done_callback(lambda done: done.result())
        await self._committed

    async def _commit(self) -> None:
        async with self._free:
            acked, self._acked = self._acked, []
            committed, self._committed = self._committed, None
            sql = """WITH held AS (
                    SELECT q.msg_id FROM pgmq.q_inbox q JOIN unnest($1::bigint[], $2::integer[]) AS u (msg_id, read_ct)
                    USING (msg_id, read_ct) ORDER BY q.msg_id FOR UPDATE OF q)
                SELECT pgmq.delete('inbox', array_agg(msg_id)) FROM held"""
            await self._connection.execute(sql, [one for one, _ in acked], [count for _, count in acked])
        assert committed is not None
        committed.set_result(None)

    async def wait(self) -> None:
        await asyncio.sleep(0.02)
