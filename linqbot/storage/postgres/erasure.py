"""Erase a person from the database. The search runs in a thread. `storage/tables/erasure.py` has what SQLite shares."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from typing import Any, Final, TypeAlias

from linqbot.storage.erasure import Found, Person
from linqbot.storage.postgres import leases
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.server.link import ServerLink
from linqbot.storage.postgres.transaction import PostgresReader, Transaction
from linqbot.storage.tables import broadcasts, erasure, state
from linqbot.storage.upkeep import Forgotten

Operate: TypeAlias = Callable[[Callable[[Transaction], Awaitable[Any]]], Awaitable[Any]]

TABLES: Final = "delivery, body, seen, done, dead, timer, conversation, journal, state, recipient"
"""The tables that may hold records about a person."""

_ROWS = 500


async def forget(link: ServerLink, operate: Operate, handle: str, chats: Collection[str]) -> Forgotten:
    """Erase a person; see `Upkeep.forget`.

    Args:
        operate: Runs the deletion in a transaction of the writer.
    """
    async with link.reading() as connection:
        stored = await state.chats_with(PostgresReader(connection, 0.0), handle.casefold())
    person = Person(handle, {*chats, *stored})
    loop = asyncio.get_running_loop()

    async def search() -> tuple[Found, bool]:
        async with link.reading() as connection:
            reader = PostgresReader(connection, 0.0)
            async with reader.snapshot():
                rows = _reading(connection, loop)
                found = await asyncio.to_thread(person.find, lambda: erasure.records(rows, reader.is_leased))
                return found, await erasure.has_state(reader, person)

    async def erase(found: Found) -> Forgotten:
        async def work(tx: Transaction) -> Forgotten:
            waiting, forgotten = await erasure.erase(tx, person, found)
            return replace(forgotten, waiting=await _forget_waiting(tx, waiting))

        forgotten: Forgotten = await operate(work)
        return forgotten

    recipients = await operate(lambda tx: broadcasts.forget(tx, handle))
    return replace(await erasure.forget(person, search, erase), recipients=recipients)


def _reading(connection: Connection, loop: asyncio.AbstractEventLoop) -> Callable[[str], Iterator[Any]]:
    """Return a function for a thread that reads the rows of a query through the event loop, a few at a time."""

    def rows(sql: str) -> Iterator[Any]:
        cursor = asyncio.run_coroutine_threadsafe(_opened(connection, sql), loop).result()
        while found := asyncio.run_coroutine_threadsafe(cursor.fetch(_ROWS), loop).result():
            yield from found

    return rows


async def _opened(connection: Connection, sql: str) -> Any:
    return await connection.cursor(sql)


async def _forget_waiting(tx: Transaction, ids: Collection[str]) -> int:
    if not ids:
        return 0
    gone = await tx.fetch("DELETE FROM delivery WHERE id = ANY($1) RETURNING seq, id, message_key", list(ids))
    await leases.end_deleted(tx, gone)
    tx.changes.work = True
    return len(gone)
