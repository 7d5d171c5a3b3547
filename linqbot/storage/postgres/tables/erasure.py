"""Erase a person from the database, also while servers use it.

The search reads all records, in a thread and from one snapshot. Only the deletion is a write transaction. The next search
finds what a turn stores between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from typing import Any, Final, TypeAlias

from linqbot.events.lane import lane_of_chat
from linqbot.storage.erasure import Found, Person, StoredRecord
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.server.link import ServerLink
from linqbot.storage.postgres.transaction import PostgresReader, Transaction
from linqbot.storage.tables import broadcasts, state
from linqbot.storage.upkeep import Forgotten

Erase: TypeAlias = Callable[[Transaction], Awaitable[Forgotten]]

TABLES: Final = "delivery, body, seen, done, dead, timer, conversation, journal, state, recipient"
"""The tables that may hold records about a person."""

_ROUNDS = 5
"""Maximum number of searches. If the last one still finds something, records are added faster than they are erased."""
_ROWS = 500


async def forget(
    link: ServerLink,
    operate: Callable[[Erase], Awaitable[Forgotten]],
    handle: str,
    chats: Collection[str],
) -> Forgotten:
    """Erase a person; see `Upkeep.forget`.

    Args:
        operate: Runs the deletion in a transaction of the writer.
    """
    async with link.reading() as connection:
        stored = await state.chats_with(PostgresReader(connection, 0.0), handle.casefold())
    person = Person(handle, {*chats, *stored})
    forgotten = await operate(_forgetting_broadcasts(handle))
    for _ in range(_ROUNDS):
        found, scopes = await _search(link, person)
        if not any(found.erasable.values()) and not scopes:
            break
        forgotten += await operate(_erasing(person, found))
    else:
        found, _ = await _search(link, person)
    left = found.left.union(*found.erasable.values())
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)))


async def _search(link: ServerLink, person: Person) -> tuple[Found, bool]:
    """Return the records that concern the person, and True if there is state of theirs, from one snapshot."""
    loop = asyncio.get_running_loop()
    async with link.reading() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await asyncio.to_thread(person.find, lambda: _records(connection, loop))
        sql = "SELECT EXISTS (SELECT FROM state WHERE lower(scope) = ANY($1))"
        return found, bool(await connection.fetchval(sql, list(person.scopes)))


def _records(connection: Connection, loop: asyncio.AbstractEventLoop) -> Iterator[StoredRecord]:
    """Yield all records. It runs in a thread, and reads the rows through the event loop a few at a time."""

    def rows(sql: str) -> Iterator[Any]:
        cursor = asyncio.run_coroutine_threadsafe(_opened(connection, sql), loop).result()
        while found := asyncio.run_coroutine_threadsafe(cursor.fetch(_ROWS), loop).result():
            yield from found

    for key, lane, body, leased in rows("SELECT id, lane, body, token IS NOT NULL FROM delivery JOIN body USING (seq)"):
        yield StoredRecord("delivery", key, lane, (body,), leased=leased)
    for key, lane, body in rows("SELECT id, lane, body FROM done"):
        yield StoredRecord("done", key, lane, (body,))
    for key, lane, body in rows("SELECT id, lane, body FROM dead"):
        yield StoredRecord("dead", key, lane, (body,))
    for key, lane, payload in rows("SELECT id, lane, payload FROM timer"):
        yield StoredRecord("timer", key, lane, (payload,))
    for key, chat, root, question in rows("SELECT id, chat_id, root, question FROM conversation"):
        yield StoredRecord("conversation", key, lane_of_chat(chat), (root, question), key)
    sql = "SELECT key, chat_id, turn, message_id, call, answer, origin FROM journal"
    for key, chat, turn, message_id, *documents in rows(sql):
        yield StoredRecord("entry", key, lane_of_chat(chat) if chat else "", tuple(documents), turn, message_id)


async def _opened(connection: Connection, sql: str) -> Any:
    return await connection.cursor(sql)


def _forgetting_broadcasts(handle: str) -> Erase:
    async def erase(tx: Transaction) -> Forgotten:
        return Forgotten(recipients=await broadcasts.forget(tx, handle))

    return erase


def _erasing(person: Person, found: Found) -> Erase:
    async def erase(tx: Transaction) -> Forgotten:
        # Since the search, other deliveries may have been leased. Those that are not cannot be until the commit.
        await tx.fetch(
            "SELECT seq FROM delivery WHERE id = ANY($1) ORDER BY seq FOR UPDATE", sorted(found.keys["delivery"])
        )
        leased = {row["id"] for row in await tx.fetch("SELECT id FROM delivery WHERE token IS NOT NULL")}
        keys = replace(found, leased=leased).erasable
        await tx.run("UPDATE broadcast SET lane = '' WHERE lane = ANY($1)", list(person.lanes))
        turns = {turn for key in keys["entry"] if (turn := found.turns[key]) is not None}
        entries = "DELETE FROM journal WHERE turn = ANY($2) AND key = ANY($1)"
        return Forgotten(
            waiting=await _forget_waiting(tx, keys["delivery"]),
            done=await tx.run("DELETE FROM done WHERE id = ANY($1)", list(keys["done"])),
            dead=await tx.run("DELETE FROM dead WHERE id = ANY($1)", list(keys["dead"])),
            entries=await tx.run(entries, list(keys["entry"]), list(turns)),
            timers=await _forget_timers(tx, keys["timer"]),
            conversations=await _forget_conversations(tx, keys["conversation"]),
            state=await tx.run("DELETE FROM state WHERE lower(scope) = ANY($1)", list(person.scopes)),
        )

    return erase


async def _forget_waiting(tx: Transaction, ids: Collection[str]) -> int:
    if not ids:
        return 0
    gone = await tx.fetch("DELETE FROM delivery WHERE id = ANY($1) RETURNING seq, id, message_key", list(ids))
    seqs = [row["seq"] for row in gone]
    await tx.run("DELETE FROM body WHERE seq = ANY($1)", seqs)
    await tx.fetch("SELECT pgmq.delete($1::text, $2::bigint[])", tx.queue, seqs)
    # Their ids stay known for a day, as after an ack, because Linq may deliver them again.
    keys = [key for row in gone for key in (row["id"], row["message_key"]) if key]
    await tx.run("UPDATE seen SET at = $1 WHERE id = ANY($2)", tx.now, keys)
    tx.changes.work = True
    return len(gone)


async def _forget_timers(tx: Transaction, ids: Collection[str]) -> int:
    tx.changes.timers |= bool(ids)
    return await tx.run("DELETE FROM timer WHERE id = ANY($1)", list(ids))


async def _forget_conversations(tx: Transaction, ids: Collection[str]) -> int:
    gone = await tx.fetch("DELETE FROM conversation WHERE id = ANY($1) RETURNING id, chat_id", list(ids))
    tx.changes.forget_conversations((row["chat_id"], row["id"]) for row in gone)
    return len(gone)
