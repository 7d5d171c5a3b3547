"""The SQL that erases a person, also while servers use the storage.

The search reads all records, from one snapshot. Only the deletion is a write transaction. The next search finds what a
turn stores between the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, Final

from linqbot.events.lane import lane_of_chat
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.erasure import Found, Person, Place, StoredRecord
from linqbot.storage.tables import broadcasts, state
from linqbot.storage.upkeep import Forgotten

_ROUNDS = 5
"""Maximum number of searches. If the last one still finds something, records are added faster than they are erased."""

_PAGE = 500

_KEPT_IN: Final[tuple[Place, ...]] = ("done", "dead")


async def forget(
    handle: str,
    chats: Collection[str],
    read: Callable[[Callable[[Readable], Any]], Awaitable[Any]],
    operate: Callable[[Callable[[Any], Any]], Awaitable[Any]],
    forget_waiting: Callable[[Any, Collection[str]], Awaitable[int]],
) -> Forgotten:
    """Erase what concerns a person, until a search finds nothing more; see `Upkeep.forget`.

    Args:
        read: Runs a query.
        operate: Runs `work` in a transaction.
        forget_waiting: Erases the deliveries with these ids from the inbox, in a transaction, and returns their number.
    """
    person = Person(handle, {*chats, *await read(lambda db: state.chats_with(db, handle.casefold()))})
    forgotten = Forgotten(recipients=await operate(lambda tx: broadcasts.forget(tx, handle)))
    for _ in range(_ROUNDS):
        found, has_state = await read(lambda db: _search(db, person))
        if not any(found.erasable.values()) and not has_state:
            break
        forgotten += await operate(partial(_erase, person, found, forget_waiting))
    else:
        found, _ = await read(lambda db: _search(db, person))
    left = found.left.union(*found.erasable.values())
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)))


async def _search(db: Readable, person: Person) -> tuple[Found, bool]:
    """Return the records that concern a person, and True if there is state of the person, from one snapshot."""
    sql = "SELECT 1 FROM state WHERE lower(scope) = ANY($1) LIMIT 1"
    async with db.snapshot():
        found = await person.find(lambda: _records(db))
        return found, await db.value(sql, list(person.scopes)) is not None


async def _records(db: Readable) -> AsyncIterator[StoredRecord]:
    """Yield all records."""
    async for key, lane, body, leased in _rows(
        db,
        f"SELECT id, lane, body, {db.is_leased} FROM delivery JOIN body USING (seq)",  # noqa: S608 - constant text
    ):
        yield StoredRecord("delivery", key, lane, (body,), leased=bool(leased))
    for table in _KEPT_IN:
        async for key, lane, body in _rows(db, f"SELECT id, lane, body FROM {table}"):  # noqa: S608 - constant text
            yield StoredRecord(table, key, lane, (body,))
    async for key, lane, payload in _rows(db, "SELECT id, lane, payload FROM timer"):
        yield StoredRecord("timer", key, lane, (payload,))
    async for key, chat, root, question in _rows(db, "SELECT id, chat_id, root, question FROM conversation"):
        yield StoredRecord("conversation", key, lane_of_chat(chat), (root, question), key)
    sql = "SELECT key, chat_id, turn, message_id, call, answer, origin FROM journal"
    async for key, chat, turn, message_id, *documents in _rows(db, sql):
        yield StoredRecord("entry", key, lane_of_chat(chat) if chat else "", tuple(documents), turn, message_id)


async def _rows(db: Readable, sql: str) -> AsyncIterator[Any]:
    async for page in db.pages(sql, _PAGE):
        for row in page:
            yield row


async def _erase(
    person: Person, found: Found, forget_waiting: Callable[[Any, Collection[str]], Awaitable[int]], tx: Writable
) -> Forgotten:
    """Erase what was found, and return its numbers."""
    # Since the search, other deliveries may have been leased. Those that are not cannot be until the commit.
    await tx.fetch(
        "SELECT seq FROM delivery WHERE id = ANY($1) ORDER BY seq FOR UPDATE", sorted(found.keys["delivery"])
    )
    leased = {one for (one,) in await tx.fetch(f"SELECT id FROM delivery WHERE {tx.is_leased}")}  # noqa: S608
    keys = replace(found, leased=leased).erasable
    await tx.run("UPDATE broadcast SET lane = '' WHERE lane = ANY($1)", list(person.lanes))
    turns = {turn for key in keys["entry"] if (turn := found.turns[key]) is not None}
    asked = await tx.fetch("SELECT id, chat_id FROM conversation WHERE id = ANY($1)", list(keys["conversation"]))
    tx.changes.forget_conversations((chat_id, one) for one, chat_id in asked)
    tx.changes.timers |= bool(keys["timer"])
    entries = "DELETE FROM journal WHERE turn = ANY($2) AND key = ANY($1)"
    return Forgotten(
        waiting=await forget_waiting(tx, keys["delivery"]),
        done=await tx.run("DELETE FROM done WHERE id = ANY($1)", list(keys["done"])),
        dead=await tx.run("DELETE FROM dead WHERE id = ANY($1)", list(keys["dead"])),
        entries=await tx.run(entries, list(keys["entry"]), list(turns)),
        timers=await tx.run("DELETE FROM timer WHERE id = ANY($1)", list(keys["timer"])),
        conversations=await tx.run("DELETE FROM conversation WHERE id = ANY($1)", list(keys["conversation"])),
        state=await tx.run("DELETE FROM state WHERE lower(scope) = ANY($1)", list(person.scopes)),
    )
