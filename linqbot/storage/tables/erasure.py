"""The SQL that erases a person, also while servers use the storage.

The search reads all records, from one snapshot. Only the deletion is a write transaction. The next search finds what a
turn stores between the two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from linqbot.events.lane import lane_of_chat
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.erasure import Found, Person, Place, StoredRecord
from linqbot.storage.upkeep import Forgotten

_ROUNDS = 5
"""Maximum number of searches. If the last one still finds something, records are added faster than they are erased."""

_KEPT_IN: Final[tuple[Place, ...]] = ("done", "dead")


async def forget(
    person: Person,
    search: Callable[[], Awaitable[tuple[Found, bool]]],
    erase: Callable[[Found], Awaitable[Forgotten]],
) -> Forgotten:
    """Search for the records that concern a person and erase them, until none is left; see `Upkeep.forget`.

    Args:
        search: Returns the records, and True if there is state of the person, from one snapshot.
        erase: Erases what was found, in one transaction, with `erase` of this module.
    """
    forgotten = Forgotten()
    for _ in range(_ROUNDS):
        found, has_state = await search()
        if not any(found.erasable.values()) and not has_state:
            break
        forgotten += await erase(found)
    else:
        found, _ = await search()
    left = found.left.union(*found.erasable.values())
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)))


def records(rows: Callable[[str], Iterable[Any]], is_leased: str) -> Iterator[StoredRecord]:
    """Yield all records.

    Args:
        rows: Yields the rows of a query.
        is_leased: See `Readable.is_leased`.
    """
    for key, lane, body, leased in rows(f"SELECT id, lane, body, {is_leased} FROM delivery JOIN body USING (seq)"):  # noqa: S608
        yield StoredRecord("delivery", key, lane, (body,), leased=bool(leased))
    for table in _KEPT_IN:
        for key, lane, body in rows(f"SELECT id, lane, body FROM {table}"):  # noqa: S608 - constant text
            yield StoredRecord(table, key, lane, (body,))
    for key, lane, payload in rows("SELECT id, lane, payload FROM timer"):
        yield StoredRecord("timer", key, lane, (payload,))
    for key, chat, root, question in rows("SELECT id, chat_id, root, question FROM conversation"):
        yield StoredRecord("conversation", key, lane_of_chat(chat), (root, question), key)
    sql = "SELECT key, chat_id, turn, message_id, call, answer, origin FROM journal"
    for key, chat, turn, message_id, *documents in rows(sql):
        yield StoredRecord("entry", key, lane_of_chat(chat) if chat else "", tuple(documents), turn, message_id)


async def has_state(db: Readable, person: Person) -> bool:
    """Return True if there is state of the person."""
    sql = "SELECT 1 FROM state WHERE lower(scope) = ANY($1) LIMIT 1"
    return await db.value(sql, list(person.scopes)) is not None


async def erase(tx: Writable, person: Person, found: Found) -> tuple[Collection[str], Forgotten]:
    """Erase what was found, except deliveries in the inbox. Return the ids of these, and the numbers of the others."""
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
    return keys["delivery"], Forgotten(
        done=await tx.run("DELETE FROM done WHERE id = ANY($1)", list(keys["done"])),
        dead=await tx.run("DELETE FROM dead WHERE id = ANY($1)", list(keys["dead"])),
        entries=await tx.run(entries, list(keys["entry"]), list(turns)),
        timers=await tx.run("DELETE FROM timer WHERE id = ANY($1)", list(keys["timer"])),
        conversations=await tx.run("DELETE FROM conversation WHERE id = ANY($1)", list(keys["conversation"])),
        state=await tx.run("DELETE FROM state WHERE lower(scope) = ANY($1)", list(person.scopes)),
    )
