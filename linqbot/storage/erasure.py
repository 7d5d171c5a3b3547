"""Erase a person: find the records that concern the person, and delete them, also while servers use the storage.

A record concerns the person if its JSON contains their handle as a value. A text that people write does not count, such as
a message of another person that is this handle. The records also show which direct chats are with the person. Records of
these chats, of turns about the person, and of messages that answer the person concern them too.

The search reads all records, from one snapshot. Only the deletion is a write transaction. The next search finds what a
turn stores between the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from linqbot.linq.events.delivery import decode
from linqbot.linq.events.lane import (
    chat_of_lane,
    chat_of_receipts,
    is_lane_of_receipts,
    lane_of_chat,
    lane_of_receipts,
)
from linqbot.storage import broadcasts, consents, decisions, mutes, outcomes, state
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.mutes import Mute
from linqbot.storage.upkeep import Forgotten

Place: TypeAlias = Literal["delivery", "done", "dead", "timer", "conversation", "entry"]

_WRITTEN = frozenset({"value", "text", "filename", "first_name", "last_name"})
"""Keys of texts that people write: those of parts and polls, the names of files and on contact cards."""

_MANY = 50
"""From this number of ids on, searching the decoded document is faster than searching its bytes."""


class StoredRecord(NamedTuple):
    """A stored record, in the form in which `Person.find` searches it."""

    # The table: deliveries are in the inbox (`delivery`), kept after their ack (`done`), or dead letters (`dead`).
    # `entry` is a journal entry.
    place: Place
    key: str  # the id; for a journal entry its idempotency key
    lane: str  # the lane; for a journal entry the lane of the chat that its call wrote to, or empty if there is none
    documents: tuple[bytes | None, ...]  # JSON documents that may contain a handle
    turn: str | None = None  # for a journal entry or a conversation
    message_id: str | None = None  # for a journal entry only
    leased: bool = False  # True for a delivery that is being handled


@dataclass(slots=True)
class Found:
    """The keys of the records that concern a person."""

    keys: defaultdict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))  # the keys by place
    turns: dict[str, str | None] = field(default_factory=dict)  # the turn of each journal entry in `keys`
    # Ids of all deliveries that are being handled, also of those that do not concern the person.
    leased: set[str] = field(default_factory=set)

    @property
    def left(self) -> set[str]:
        """Ids of deliveries that are being handled, so that records about the person cannot be erased yet."""
        return self.leased & {*self.keys["delivery"], *self.turns.values()}

    @property
    def erasable(self) -> dict[Place, set[str]]:
        """The keys that can be erased now, by place.

        The records of a running turn are excluded: its journal entries prevent it from sending twice after a crash.
        """
        entries = {key for key, turn in self.turns.items() if turn not in self.leased}
        places = {place: self.keys[place] for place in get_args(Place)}
        return places | {"delivery": self.keys["delivery"] - self.leased, "entry": entries}


class Person:
    """A person to be forgotten, with the chats, turns and messages found so far.

    Args:
        handle: E.164, or an e-mail address in any case.
        chats: Ids of direct chats that are known to be with the person.
    """

    def __init__(self, handle: str, chats: Collection[str]) -> None:
        self.chats = set(chats)
        self.handle = handle.casefold()
        self._turns: set[str] = set()
        self._messages: set[str] = set()

    @property
    def scopes(self) -> set[str]:
        return {f"person:{self.handle}", *(f"chat:{chat}".lower() for chat in self.chats)}

    @property
    def lanes(self) -> set[str]:
        return {lane_of_chat(chat) for chat in self.chats}

    async def lanes_of_outcomes(self, db: Readable) -> list[str]:
        receipts = (lane_of_receipts(chat) for chat in self.chats)
        return [*self.lanes, *receipts, *await outcomes.lanes_naming(db, self.handle)]

    def is_of(self, mute: Mute) -> bool:
        owner = None if mute.handoff is None else mute.handoff.owner
        return self.handle in (mute.person, owner) or mute.chat_id in self.chats

    async def find(self, records: Callable[[], AsyncIterator[StoredRecord]]) -> Found:
        """Find the records that concern the person.

        `records` is called several times, because each record that is found may link to others.
        """
        found = Found()
        async for record in records():
            if record.leased:
                found.leased.add(record.key)
            if self.is_named_in(*record.documents):
                self._add(record, found)
        known = -1
        while known != (known := len(self.chats) + len(self._turns) + len(self._messages)):
            if known:
                async for record in records():
                    if record.key not in found.keys[record.place] and self._is_linked_to(record):
                        self._add(record, found)
        return found

    def is_named_in(self, *documents: bytes | None) -> bool:
        """Return True if a string in a JSON document equals the handle, and remember the direct chats in it."""
        found = False
        for document in documents:
            data = decode(document) if document and self._may_be_in(document) else None
            if any(value.casefold() == self.handle for value in _strings(data, without=_WRITTEN)):
                found = True
                self.chats.update(_direct_chats(data))
        return found

    def _may_be_in(self, document: bytes) -> bool:
        # Decoding is a hundred times slower. JSON may write any letter as \uXXXX.
        return not self.handle.isascii() or self.handle.encode() in document.lower() or b"\\u" in document

    def _is_linked_to(self, record: StoredRecord) -> bool:
        return (
            chat_of_lane(record.lane) in self.chats
            or chat_of_receipts(record.lane) in self.chats
            or record.turn in self._turns
            or any(_mentions(document, self.chats) for document in record.documents)
            # Receipts quote the message that they are about, also in groups.
            or (
                is_lane_of_receipts(record.lane)
                and any(_mentions(document, self._messages) for document in record.documents)
            )
        )

    def _add(self, record: StoredRecord, found: Found) -> None:
        found.keys[record.place].add(record.key)
        if record.place == "entry":
            found.turns[record.key] = record.turn
        elif record.place != "timer":
            self._turns.add(record.key)
        if record.message_id is not None:
            self._messages.add(record.message_id)


def _mentions(document: bytes | None, ids: set[str]) -> bool:
    """Return True if a string in a JSON document is one of the ids, or a path through one."""
    if not document or not ids:
        return False
    if len(ids) < _MANY and not any(one.encode() in document for one in ids):
        return False
    return any(not ids.isdisjoint(value.split("/")) for value in _strings(decode(document)))


def _strings(data: Any, *, without: Collection[str] = ()) -> Iterator[str]:
    """Yield every string value, but those of the keys `without`, and those inside objects with `is_me`.

    The bot's own line is in every chat, so matching its number would erase all data.
    """
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value, without=without)
    elif isinstance(data, dict) and data.get("is_me") is not True:
        for key, value in data.items():
            if key not in without or not isinstance(value, str):
                yield from _strings(value, without=without)


def _direct_chats(data: Any) -> Iterator[str]:
    """Yield the ids of the chats that a document marks as no groups, at any depth."""
    if isinstance(data, dict):
        chat = data.get("chat_id") or data.get("id")
        if data.get("is_group") is False and isinstance(chat, str):
            yield chat
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _direct_chats(value)


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
    """Erase what concerns a person, until a search finds nothing more; see `Storage.forget`."""
    person = Person(handle, {*chats, *await read(lambda db: state.chats_with(db, handle.casefold()))})
    forgotten = Forgotten(recipients=await operate(lambda tx: broadcasts.forget(tx, handle)))
    for _ in range(_ROUNDS):
        found, has_more = await read(lambda db: _search(db, person))
        if not any(found.erasable.values()) and not has_more:
            break
        forgotten += await operate(partial(_erase, person, found, forget_waiting))
    else:
        found, _ = await read(lambda db: _search(db, person))
    left = found.left.union(*found.erasable.values())
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)))


async def _search(db: Readable, person: Person) -> tuple[Found, bool]:
    """Return the records that concern a person, and True if there is more about the person, from one snapshot.

    That is state, a mute, a decision, a consent, or outcomes of deliveries.
    """
    sql = "SELECT 1 FROM state WHERE lower(scope) = ANY($1) LIMIT 1"
    ended = "SELECT 1 FROM outcome WHERE lane = ANY($1) LIMIT 1"
    async with db.snapshot():
        found = await person.find(lambda: _records(db))
        has_more = any(map(person.is_of, await mutes.stored(db))) or await decisions.has(db, person.handle)
        has_more = has_more or await consents.has(db, person.handle)
        has_more = has_more or await db.value(sql, list(person.scopes)) is not None
        return found, has_more or await db.value(ended, await person.lanes_of_outcomes(db)) is not None


async def _records(db: Readable) -> AsyncIterator[StoredRecord]:
    sql = f"SELECT id, lane, body, {db.is_leased} FROM delivery JOIN body USING (seq)"  # noqa: S608 - constant text
    async for key, lane, body, leased in _rows(db, sql):
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
    # Since the search, other deliveries may have been leased. Those that are not cannot be until the commit.
    sql = "SELECT seq FROM delivery WHERE id = ANY($1) ORDER BY seq FOR UPDATE"
    await tx.fetch(sql, sorted(found.keys["delivery"]))
    leased = {one for (one,) in await tx.fetch(f"SELECT id FROM delivery WHERE {tx.is_leased}")}  # noqa: S608
    keys = replace(found, leased=leased).erasable
    await tx.run("UPDATE broadcast SET lane = '' WHERE lane = ANY($1)", list(person.lanes))
    turns = {turn for key in keys["entry"] if (turn := found.turns[key]) is not None}
    asked = await tx.fetch("SELECT id, chat_id FROM conversation WHERE id = ANY($1)", list(keys["conversation"]))
    tx.changes.forget_conversations((chat_id, one) for one, chat_id in asked)
    tx.changes.timers |= bool(keys["timer"])
    muted = {mute.chat_id for mute in await mutes.stored(tx) if person.is_of(mute)}
    if muted:
        await mutes.remove(tx, muted)
    await decisions.forget(tx, person.handle)
    await consents.forget(tx, person.handle)
    entries = "DELETE FROM journal WHERE turn = ANY($2) AND key = ANY($1)"
    return Forgotten(
        waiting=await forget_waiting(tx, keys["delivery"]),
        done=await tx.run("DELETE FROM done WHERE id = ANY($1)", list(keys["done"])),
        dead=await tx.run("DELETE FROM dead WHERE id = ANY($1)", list(keys["dead"])),
        entries=await tx.run(entries, list(keys["entry"]), list(turns)),
        timers=await tx.run("DELETE FROM timer WHERE id = ANY($1)", list(keys["timer"])),
        conversations=await tx.run("DELETE FROM conversation WHERE id = ANY($1)", list(keys["conversation"])),
        state=await tx.run("DELETE FROM state WHERE lower(scope) = ANY($1)", list(person.scopes)),
        outcomes=await tx.run("DELETE FROM outcome WHERE lane = ANY($1)", await person.lanes_of_outcomes(tx)),
    )
