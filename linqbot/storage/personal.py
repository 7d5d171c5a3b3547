"""Personal data: the rows of each table that concern a person are found, to be exported or to be erased.

`KEPT` says for each table how they are found, so what an export shows is what `forget` erases. A record with JSON documents
concerns the person if one of them contains their handle as a value or a key. A text that people write does not count, such as
a message of another person that is this handle. The records also show which direct chats are with the person. Records of
these chats, of turns about the person, and of messages that answer the person concern them too.

The index of people (`people.py`) says in which lanes and turns the person is named. Only the rows there are read, so the search
costs what these chats have, and not what the storage has. It reads one snapshot. Only the deletion is in write transactions, each
of a few rows, so a server can write between them. The next search finds what a turn stores in the meantime.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from linqbot.linq.events.delivery import decode
from linqbot.linq.events.lane import (
    chat_of,
    chat_of_lane,
    is_lane_of_receipts,
    lane_of_chat,
    lane_of_receipts,
)
from linqbot.linq.handles import person_key
from linqbot.storage import acts, broadcasts, facts, hold_table, journal, outcomes, people, state
from linqbot.storage.acts import ActedOn, By
from linqbot.storage.contents import TABLES, select
from linqbot.storage.dialect import Readable
from linqbot.storage.op_queue import LaneTransaction
from linqbot.storage.people import IN_TABLES, NO_PLACES, WRITTEN, Places, strings
from linqbot.storage.upkeep import UNWIPED, Exported, Forgotten

Keys: TypeAlias = Mapping[str, Collection[str]]
"""The keys of the records that were found, by table; for `turn` the turns of the journal entries among them."""


class Kept(NamedTuple):
    """The way in which the rows of a person are found in a table.

    Attributes:
        about: Words for the rows.
        condition: The condition of their rows, in SQL.
        values: Returns the values of its parameters.
        key: The column with the key of a row, if the person is found by the contents of all rows. The condition is then true
            for the keys that are found.
        erase: The beginning of the statement that erases the rows, if it is no DELETE.
    """

    about: str
    condition: str
    values: Callable[[Person, Keys], tuple[Collection[str], ...]]
    key: str = ""
    erase: str = ""


def _searched(about: str, table: str) -> Kept:
    """Return the entry of a table of `IN_TABLES`: its rows are found by the index of people, and erased by their keys."""
    key = IN_TABLES[table].key
    return Kept(about, f"{key} = ANY($1)", lambda _, keys: (keys[table],), key)


KEPT: Final[Mapping[str, Kept]] = {
    "delivery": _searched("a webhook that waits", "delivery"),
    "done": _searched("a webhook that was handled", "done"),
    "dead": _searched("a webhook that was given up", "dead"),
    "journal": Kept(
        "a call to Linq, or a step of the bot",
        "turn = ANY($2) AND key = ANY($1)",
        lambda _, keys: (keys["journal"], keys["turn"]),
        IN_TABLES["journal"].key,
    ),
    "timer": _searched("a scheduled send, a timeout, or an edit that is kept", "timer"),
    "conversation": _searched("a question", "conversation"),
    "hold": _searched("a chat in which the bot is silent, or who answers there", "hold"),
    "state": Kept("a value of ctx.state", "scope = ANY($1)", lambda person, _: (person.scopes,)),
    "recipient": Kept("a message to many", "lower(handle) = ANY($1)", lambda person, _: ([person.handle],)),
    "decision": Kept("why a message was sent or not", "person = ANY($1)", lambda person, _: ([person.handle],)),
    "consent": Kept("a consent, or its end", "person = ANY($1)", lambda person, _: ([person.handle],)),
    "outcome": Kept("what became of a webhook", "lane = ANY($1)", lambda person, _: (person.lanes_of_outcomes,)),
    # It is not theirs, but names their chat until it ends.
    "broadcast": Kept(
        "a broadcast that a message of theirs began",
        "lane <> '' AND lane = ANY($1)",
        lambda person, _: (person.lanes,),
        erase="UPDATE broadcast SET lane = ''",
    ),
    # Receipts stay.
    "act": Kept(
        "what an operator has done",
        "about = ANY($1) AND counts IS NULL",
        lambda person, _: ({*person.chats, person.digest},),
        erase="UPDATE act SET target = '', about = NULL, reason = NULL",
    ),
}
"""The tables with rows of people, in the order in which an export shows them. All others hold nothing of a person."""

_MANY = 50
"""From this number of ids on, searching the decoded document is faster than searching its bytes."""


_NUMBERED: Final = ("outcome", "decision", "consent", "act")
"""The tables of which a person may have more rows than are erased at once, found without a search."""

_DOCUMENTS: Final = frozenset(name for where in IN_TABLES.values() for name in where.documents)
"""The columns with JSON documents that may contain a handle."""


StoredRow: TypeAlias = tuple[str, Mapping[str, Any]]
"""The table of a row that is searched, and its values by column."""


@dataclass(slots=True)
class Found:
    """The records that concern a person: their keys by table, and the turn of each journal entry among them."""

    keys: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    turns: dict[str, str | None] = field(default_factory=dict)
    # Ids of the deliveries that are being handled, among `deliveries`.
    leased: set[str] = field(default_factory=set)
    # Ids and chats of the conversations that other people have begun and must go on with.
    asked: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> set[str]:
        """Ids of the turns that go on, so that records about the person cannot be erased yet."""
        asked = self.asked.keys() & {*self.keys["conversation"], *self.turns.values()}
        return asked | self.leased & {*self.keys["delivery"], *self.turns.values()}

    @property
    def deliveries(self) -> set[str]:
        """Ids of the deliveries of all turns with records about the person."""
        return self.keys["delivery"] | {turn for turn in self.turns.values() if turn is not None}

    def parts(self, size: int) -> list[Found]:
        """Return the records in parts with at most `size` of each table."""
        keys = {table: sorted(found) for table, found in self.keys.items()}
        parts = []
        for start in range(0, max(map(len, keys.values()), default=0), size):
            part = defaultdict(set, {table: set(each[start : start + size]) for table, each in keys.items()})
            turns = {key: self.turns[key] for key in part["journal"]}
            parts.append(replace(self, keys=part, turns=turns))
        return parts

    @property
    def all(self) -> Keys:
        return self._with_entries(self.turns)

    @property
    def erasable(self) -> Keys:
        """The keys that can be erased now.

        The records of a running turn are excluded: its journal entries prevent it from sending twice after a crash. So are
        those of another person's question, whose handler runs again with the answer.
        """
        entries = {key: turn for key, turn in self.turns.items() if turn not in self.leased | self.asked.keys()}
        return self._with_entries(entries) | {
            "delivery": self.keys["delivery"] - self.leased,
            "conversation": self.keys["conversation"] - self.asked.keys(),
        }

    def _with_entries(self, turns: Mapping[str, str | None]) -> dict[str, Collection[str]]:
        named = {turn for turn in turns.values() if turn is not None}
        return {**{table: self.keys[table] for table in KEPT}, "journal": set(turns), "turn": named}


class Person:
    """A person whose data is looked for, with the chats, turns and messages found so far.

    `chats` are direct chats that are known to be with the person; `digest` is that of the handle in the log of acts.
    """

    def __init__(self, handle: str, chats: Collection[str], digest: str = "") -> None:
        self.chats: set[str] = set(chats)
        self.digest: str = digest
        self.handle: str = person_key(handle)
        self.named_lanes: set[str] = set()  # lanes that hold the handle
        self.erased_at = 0.0  # the time of the first transaction that erases rows, by the clock of the database
        self._turns: set[str] = set()
        self._messages: set[str] = set()
        self._chats_of_answers: set[str] = set()

    @property
    def scopes(self) -> set[str]:
        return {f"person:{self.handle}", *(f"chat:{chat}" for chat in self.chats)}

    @property
    def lanes(self) -> set[str]:
        return {lane_of_chat(chat) for chat in self.chats}

    @property
    def lanes_of_outcomes(self) -> set[str]:
        return self.lanes | {lane_of_receipts(chat) for chat in self.chats} | self.named_lanes

    async def find(self, db: Readable) -> Found:
        """Find the rows that concern the person. Each may lead to other places, whose rows are read next."""
        found, read, pending = Found(), Places(frozenset(), frozenset()), dict[tuple[str, str], Mapping[str, Any]]()
        while (new := await self._places(db, read)) != NO_PLACES:
            read = read.union(new)
            async for table, row in _rows_in(db, new):
                key = row[KEPT[table].key]
                if table == "conversation" and self._is_asked_of_another(row):
                    found.asked[key] = row["chat_id"]
                if key in found.keys[table]:
                    continue
                if self.is_named_in(*_documents(row)) or (table == "hold" and row["person"] == self.handle):
                    self._add(table, row, found)
                else:
                    pending[table, key] = row
            self._add_linked(pending, found)
        found.leased = await leased_among(db, found.deliveries)
        found.asked = {one: chat for one, chat in found.asked.items() if chat not in self.chats}
        return found

    async def _places(self, db: Readable, read: Places) -> Places:
        """Return the places, besides those that were read, where rows about the person may be."""
        named = await people.places(db, [self.handle], self.chats)
        chats = {chat for each in named.lanes if (chat := chat_of_lane(each))} | self.chats | self._chats_of_answers
        lanes = named.lanes | {
            *people.own_lanes(self.handle),
            *map(lane_of_chat, self.chats),
            *map(lane_of_receipts, chats),
        }
        lanes |= {lane_of_receipts(f"m:{one}") for one in self._messages}
        held = await db.fetch("SELECT lane FROM hold WHERE person = $1", self.handle)
        lanes = (lanes | {lane for (lane,) in held}) - read.lanes
        self.named_lanes |= {each for each in lanes if each.startswith("p:")} | {*people.own_lanes(self.handle)}
        turns = named.turns | self._turns | await outcomes.turns_in(db, lanes)
        return Places(frozenset(lanes), frozenset(turns - read.turns))

    def _add_linked(self, pending: dict[tuple[str, str], Mapping[str, Any]], found: Found) -> None:
        """Add the rows that those which were found lead to."""
        known = -1
        while known != (known := len(self.chats) + len(self._turns) + len(self._messages)):
            for (table, key), row in [*pending.items()]:
                if self._is_linked_to(row):
                    del pending[table, key]
                    self._add(table, row, found)

    def _is_asked_of_another(self, row: Mapping[str, Any]) -> bool:
        person = row["person"].partition(" ")[0]
        return row["status"] == "waiting" and person != self.handle and not self.is_named_in(row["root"])

    def is_named_in(self, *documents: bytes | str) -> bool:
        """Return True if a string or a key in a JSON document equals the handle, and remember the direct chats in it."""
        found = False
        for document in map(_encoded, documents):
            data = decode(document) if self._may_be_in(document) else None
            if self._is_value_in(data):
                found = True
                self.chats.update(self._direct_chats(data))
        return found

    def _is_value_in(self, data: Any) -> bool:
        return any(person_key(value) == self.handle for value in strings(data, without=WRITTEN))

    def _direct_chats(self, data: Any) -> Iterator[str]:
        """Yield the ids of chats that are no groups, at any depth of data; in a list, only of items that name the person."""
        if isinstance(data, dict):
            chat = data.get("chat_id") or data.get("id")
            if data.get("is_group") is False and isinstance(chat, str):
                yield chat
        if isinstance(data, dict | list):
            for value in data.values() if isinstance(data, dict) else filter(self._is_value_in, data):
                yield from self._direct_chats(value)

    def _may_be_in(self, document: bytes) -> bool:
        # Decoding is a hundred times slower. JSON may write any letter as \uXXXX.
        return not self.handle.isascii() or self.handle.encode() in document.lower() or b"\\u" in document

    def _is_linked_to(self, row: Mapping[str, Any]) -> bool:
        lane, documents = row.get("lane", ""), _documents(row)
        return (
            not self.chats.isdisjoint({row.get("chat_id"), chat_of(lane)})
            or row.get("turn", row.get("id")) in self._turns
            or any(_mentions(document, self.chats) for document in documents)
            # Receipts quote the message that they are about, also in groups.
            or (is_lane_of_receipts(lane) and any(_mentions(document, self._messages) for document in documents))
        )

    def _add(self, table: str, row: Mapping[str, Any], found: Found) -> None:
        key = row[KEPT[table].key]
        found.keys[table].add(key)
        if table == "journal":
            found.turns[key] = row["turn"]
            if row["message_id"] is not None:
                self._messages.add(row["message_id"])
            if row["chat_id"] is not None:
                self._chats_of_answers.add(row["chat_id"])
        elif table not in ("timer", "hold") and key not in found.asked:
            self._turns.add(key)


def _documents(row: Mapping[str, Any]) -> list[bytes | str]:
    return [row[name] for name in row.keys() & _DOCUMENTS if row[name]]


def _encoded(document: bytes | str) -> bytes:
    return document.encode() if isinstance(document, str) else document


def _mentions(given: bytes | str, ids: set[str]) -> bool:
    """Return True if a string in a JSON document is one of the ids, or a path through one."""
    document = _encoded(given)
    if not ids:
        return False
    if len(ids) < _MANY and not any(one.encode() in document for one in ids):
        return False
    return any(not ids.isdisjoint(value.split("/")) for value in strings(decode(document)))


_ROUNDS = 5
"""Maximum number of searches. If the last one still finds something, records are added faster than they are erased."""

_PAGE: Final = 500
"""Lanes or turns whose rows are read at once."""

ERASED_AT_ONCE: Final = 300
_FILLED_AT_ONCE: Final = 500
_PAUSE_S: Final = 0.03
"""Seconds between two transactions, in which a server writes what has arrived."""

_HEARD_S: Final = 0.1
"""Seconds in which other processes hear that the index of people has changed, before the next search."""

Read: TypeAlias = Callable[[Callable[[Readable], Any]], Awaitable[Any]]
Operate: TypeAlias = Callable[[Callable[[Any], Any]], Awaitable[Any]]


async def export(person: Person, read: Read, operate: Operate) -> Exported:
    await _complete_index(operate)
    await _add_chats(person, read)

    async def rows(db: Readable) -> dict[str, list[dict[str, Any]]]:
        async with db.snapshot():
            found = await person.find(db)
            return {
                table: [
                    dict(zip(TABLES[table], row, strict=True))
                    for row in await db.fetch(
                        select(table, db, _condition(db, table)), *_values(kept, person, found.all)
                    )
                ]
                for table, kept in KEPT.items()
            }

    return Exported(await read(rows), tuple(sorted(person.chats)))


async def forget(person: Person, by: By, read: Read, operate: Operate) -> Forgotten:
    await _complete_index(operate)
    await _add_chats(person, read)
    forgotten = Forgotten()
    for n in range(_ROUNDS):
        found = await read(lambda db: _search(db, person))
        erased = await _erase_all(person, by, found, operate, is_first=not n)
        forgotten += erased
        if n and not erased.rows:
            break
        await asyncio.sleep(_HEARD_S)
    else:
        found = await read(lambda db: _search(db, person))
    left = found.left.union(*found.erasable.values())
    if not left:
        await operate(lambda tx: people.forget(tx, person.handle, person.chats, person.erased_at))
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)))


async def _complete_index(operate: Operate) -> None:
    """Add to the index of people what a server has not yet added since the storage was migrated."""
    while await operate(_fill):  # noqa: ASYNC110 - it lets a server write, and waits for no event
        await asyncio.sleep(_PAUSE_S)


async def _fill(tx: LaneTransaction) -> int:
    return await people.fill(tx, _FILLED_AT_ONCE, is_found=journal.is_found_by_lane(tx))


async def _erase_all(person: Person, by: By, found: Found, operate: Operate, *, is_first: bool) -> Forgotten:
    """Erase rows in as many transactions as are needed for each to be short."""
    erased, parts = Forgotten(), found.parts(ERASED_AT_ONCE)
    for n in itertools.count():
        part = parts[n] if n < len(parts) else Found()
        now: Forgotten = await operate(partial(_erase, person, by, part, is_first=is_first and not n))
        erased += now
        if n + 1 >= len(parts) and max((now.rows[table] for table in _NUMBERED), default=0) < ERASED_AT_ONCE:
            return erased
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("unreachable")


async def _add_chats(person: Person, read: Read) -> None:
    person.chats |= await read(lambda db: state.chats_with(db, person.handle))


async def leased_among(db: Readable, ids: Collection[str]) -> set[str]:
    """Return those of the ids of deliveries that are being handled."""
    found = await db.fetch(f"SELECT id FROM delivery WHERE {db.of_ids} AND {db.is_leased}", sorted(ids))
    return {one for (one,) in found}


async def _search(db: Readable, person: Person) -> Found:
    async with db.snapshot():
        return await person.find(db)


_BY_PLACE: Final[Mapping[str, Sequence[tuple[str, Callable[[Places], Collection[str]]]]]] = {
    table: [
        *([(where.lane, lambda places: places.lanes)] if where.lane else []),
        *(
            [(where.chat, lambda places: {chat for each in places.lanes if (chat := chat_of_lane(each))})]
            if where.chat
            else []
        ),
        *([(where.turn, lambda places: places.turns)] if where.turn else []),
    ]
    for table, where in IN_TABLES.items()
}
"""For each table the columns by which the rows of places are found, and the values that they then have."""


async def _rows_in(db: Readable, new: Places) -> AsyncIterator[StoredRow]:
    """Yield the rows of places that `IN_TABLES` names, each with its table, perhaps more than once."""
    for table, columns in _BY_PLACE.items():
        for column, of in columns:
            values = sorted(of(new))
            for start in range(0, len(values), _PAGE):
                for row in await db.fetch(select(table, db, _among(db, table, column)), values[start : start + _PAGE]):
                    yield table, dict(zip(TABLES[table], row, strict=True))


def _among(db: Readable, table: str, column: str) -> str:
    return db.of_ids if (table, column) == ("delivery", "id") else f"{column} = ANY($1)"


def _condition(db: Readable, table: str) -> str:
    return _among(db, table, "id") if table == "delivery" else KEPT[table].condition


def _values(kept: Kept, person: Person, keys: Keys) -> list[list[str]]:
    return [list(each) for each in kept.values(person, keys)]


async def _erase(person: Person, by: By, found: Found, tx: LaneTransaction, *, is_first: bool) -> Forgotten:
    # Since the search, other deliveries may have been leased. Those that are not cannot be until the commit.
    await tx.fetch(
        f"SELECT seq FROM delivery WHERE {tx.of_ids} ORDER BY seq FOR UPDATE", sorted(found.keys["delivery"])
    )
    leased = await leased_among(tx, found.deliveries)
    keys = replace(found, leased=leased).erasable
    await broadcasts.lock(tx)
    asked = await tx.fetch("SELECT id, chat_id FROM conversation WHERE id = ANY($1)", list(keys["conversation"]))
    tx.changes.forget_conversations((chat_id, one) for one, chat_id in asked)
    chats = [chat_of_lane(lane) or "" for lane in keys["hold"]]
    # The inbox and the holds are also in memory.
    rows = Counter(delivery=await tx.forget(keys["delivery"]), hold=await hold_table.remove(tx, chats) if chats else 0)
    for table, kept in KEPT.items():
        if table not in rows:
            which = kept.condition
            if table in _NUMBERED:
                which = f"n IN (SELECT n FROM {table} WHERE {which} LIMIT {ERASED_AT_ONCE})"
            sql = f"{kept.erase or f'DELETE FROM {table}'} WHERE {which}"
            rows[table] = await tx.run(sql, *_values(kept, person, keys))
    tx.changes.timers |= rows["timer"] + rows["recipient"] > 0
    tx.changes.wakes_worker |= rows["recipient"] > 0
    # What is stored from now on is found by new rows of the index, in every process; what was stored before, by the old ones.
    tx.changes.forgets_names = True
    person.erased_at = person.erased_at or tx.now
    # The first round stores a receipt, also if nothing is kept. Bytes of what was deleted before may be left too.
    if is_first or +rows:
        await facts.write(tx, UNWIPED, "1")
        await acts.note(tx, by, "forget", [ActedOn("", person.digest)], +rows)
    return Forgotten(+rows)
