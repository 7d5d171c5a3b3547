"""The index of people: in which lanes and turns a person is named, so that no other row is read to find what is kept of one.

Each row that names a person stands in a lane, which is the id of a chat for nearly all, or belongs to a turn. `IN_TABLES` says
where in each table. The table `named` has a row for each person and lane, and for a few turns: those whose calls name a person or
a chat that is not theirs. The turns of a lane are found by their outcomes, so an echo in a chat that is known adds no row.

A row is written in the transaction of the row that it finds. `KnownNames` keeps in memory what was written today, so a message of
a person in a chat writes at most one row a day. A row has a digest of the handle, and is deleted some days after the last row of
its lane is gone. `fill` makes the rows for a storage of an older linqbot, a few at a time: see `upkeep.purge`.

Next step: `personal.py` reads the rows in these lanes and turns, and decides which concern the person.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery, decode
from linqbot.linq.events.lane import (
    CHAT_OF_PAYMENT,
    chat_of,
    chat_of_lane,
    chat_of_receipts,
    lane_of_chat,
    lane_of_person,
    lane_of_post,
)
from linqbot.linq.handles import is_handle, is_sender, person_key
from linqbot.options import DAY_S
from linqbot.storage.changes import KnownNames
from linqbot.storage.dialect import Readable, Writable


class Where(NamedTuple):
    """The columns of a table that say whom a row concerns.

    Attributes:
        key: The key of a row.
        documents: Those with JSON that may name people and chats.
        lane, chat, turn: Those with a lane, the id of a chat, and the id of a delivery whose turn the row belongs to.
        person: The one with the handle of a person.
        n: The number by which `fill` reads the rows in order; empty if they are found without the index.
    """

    key: str
    documents: tuple[str, ...]
    lane: str = ""
    chat: str = ""
    turn: str = ""
    person: str = ""
    n: str = "n"


IN_TABLES: Final[Mapping[str, Where]] = {
    "delivery": Where("id", ("body",), lane="lane", turn="id", n="seq"),
    "done": Where("id", ("body",), lane="lane", turn="id"),
    "dead": Where("id", ("body",), lane="lane", turn="id"),
    "journal": Where("key", ("call", "answer", "origin"), turn="turn"),
    "timer": Where("id", ("payload",), lane="lane"),
    "conversation": Where("id", ("root", "question"), chat="chat_id", turn="id"),
    "hold": Where("lane", ("notes",), lane="lane", person="person", n=""),
}
"""The tables whose rows name people in JSON, or belong to a turn that does. Each has an index of its lane, chat or turn."""

Place: TypeAlias = str
"""A lane, or the id of a turn behind `_TURN`."""

_TURN: Final = "@"
_PAIR: Final = "p:"
_CHAT: Final = "chat:"
_OUTCOME: Final = Where("delivery", (), lane="lane")

_KEPT_S: Final = 2 * DAY_S
"""Seconds for which a row stays at least. Each process writes it again on every day on which it needs it."""


class Places(NamedTuple):
    lanes: frozenset[str]
    turns: frozenset[str]

    def union(self, other: Places) -> Places:
        return Places(self.lanes | other.lanes, self.turns | other.turns)


NO_PLACES: Final = Places(frozenset(), frozenset())


# Reading documents

WRITTEN: Final = frozenset({"value", "text", "filename", "first_name", "last_name"})
"""Keys of texts that people write: those of parts and polls, the names of files and on contact cards."""

_OF_SENDERS: Final = frozenset({"handle", "handles", "from"})
"""Keys of handles. Only there does a short code or the name of a sender differ from other words."""

_PATH: Final = b"/chats/"
_PHONES: Final = re.compile(rb"\+[0-9]+")
_PHONE: Final = re.compile(r"\+[0-9]+")
_BEFORE_AT: Final = re.compile(rb'[^\s"<>:]+')  # read backwards from the `@`
_AFTER_AT: Final = re.compile(rb'[^\s"<>]+')
_LONGEST_PART: Final = 255
"""Bytes on each side of an `@` that are looked at."""


def strings(data: Any, *, without: Collection[str] = ()) -> Iterator[str]:
    """Yield every key and string value, but those of the keys `without`, and those inside objects with `is_me`.

    The bot's own line is in every chat, so matching its number would find all data.
    """
    for _, value in _values(data, "", without):
        yield value


def _values(data: Any, key: str, without: Collection[str]) -> Iterator[tuple[str, str]]:
    if isinstance(data, str):
        yield key, data
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key, without)
    elif isinstance(data, dict) and data.get("is_me") is not True:
        for name, value in data.items():
            yield "", name
            if name not in without or not isinstance(value, str):
                yield from _values(value, name, without)


def handles_in(data: Any) -> set[str]:
    """Return the handles that decoded JSON has as values or keys, as `person_key` writes them."""
    found = set()
    for key, value in _values(data, "", WRITTEN):
        if ("+" in value or "@" in value or not value.isascii()) and _is_handle(handle := person_key(value)):
            found.add(handle)
        elif key in _OF_SENDERS and is_sender(value):
            found.add(person_key(value))
    return found


def _is_handle(value: str) -> bool:
    return is_handle(value) or _PHONE.fullmatch(value) is not None


def chats_in(data: Any) -> set[str]:
    """Return the ids of chats that decoded JSON names: by the key of an id, in an object of a chat, or in a path."""
    found = set()
    for key, value in _values(data, "", WRITTEN):
        if key.endswith("chat_id") or key == CHAT_OF_PAYMENT:
            found.add(value)
        elif key == "path":
            found.add(_chat_of_path(value.encode()).decode(errors="replace"))
    for each in _objects(data):
        if isinstance(chat := each.get("chat"), dict) and isinstance(chat.get("id"), str):
            found.add(chat["id"])
    return found - {""}


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _objects(value)


def _lines_in(data: Any) -> set[bytes]:
    return {str(each.get("handle")).encode() for each in _objects(data) if each.get("is_me") is True}


def _chat_of_path(call: bytes) -> bytes:
    """Return the id of the chat in the path of a call; empty if it has none."""
    start = call.find(_PATH)
    if start < 0:
        return b""
    end = call.find(b"/", start + len(_PATH), start + 200)
    return call[start + len(_PATH) : end if end >= 0 else start + 200].partition(b'"')[0]


def candidates_in(document: bytes) -> list[bytes] | None:
    """Return what may be handles in a document, without decoding it; None if it must be decoded to know that."""
    if b"\\" in document and b"\\u00" in document:  # JSON may write any letter so
        return None
    found: list[bytes] = _PHONES.findall(document) if b"+" in document else []
    return [*found, *_addresses_in(document)] if b"@" in document else found


def _addresses_in(document: bytes) -> Iterator[bytes]:
    for before, after in itertools.pairwise(document.split(b"@")):
        local, domain = _BEFORE_AT.match(before[: -_LONGEST_PART - 1 : -1]), _AFTER_AT.match(after[:_LONGEST_PART])
        if local and domain:
            yield local[0][::-1] + b"@" + domain[0]


# Writing


def note_deliveries(tx: Writable, deliveries: Iterable[Delivery]) -> None:
    """Note whom the bodies of deliveries name, which are stored in this transaction.

    The bodies of nearly all webhooks of a lane name the same people, which is seen without a look into them.
    """
    today, known = int(tx.now // DAY_S), tx.names.days
    for each in deliveries:
        if (sender := _only_sender(tx.names, each)) is not None:
            if known.get((each.lane, sender)) != today:
                tx.changes.named.add((sender, each.lane))
                tx.changes.names_known[each.lane, sender] = today
            continue
        found = None if each.id.startswith(OWN_DELIVERY) else candidates_in(each.body)
        if found is None or known.get((each.lane, *found)) != today:
            note_in_lane(tx, each.lane, each.body)
            if each.lane.startswith(_PAIR):
                tx.changes.named.add((each.lane.rpartition(":")[2], each.lane))
            if found is not None:
                tx.changes.names_known[each.lane, *found] = today


def _only_sender(names: KnownNames, delivery: Delivery) -> str | None:
    """Return the phone number of the sender of a message that names no handle but that and our line; None if that is not clear at once.

    Nearly every message is one. It has two phone numbers, and no more signs of which handles are made.
    """
    body = delivery.body
    if body.count(b"+") != 2 or b"@" in body or b"\\" in body or delivery.lane[:2] != "c:":
        return None
    try:
        data = delivery.decoded["data"]
        sender, line = data["sender_handle"]["handle"], data["chat"]["owner_handle"]
        ours = line["handle"]
        if sender[0] != "+" or ours[0] != "+" or sender == ours or line["is_me"] is not True:
            return None
    except (KeyError, IndexError, TypeError):
        return None
    if not sender.isascii():
        return None
    names.lines.add(ours.encode())
    return str(sender)


def note_in_lane(tx: Writable, lane: str, *documents: bytes | None) -> None:
    """Note whom the documents of a row of a lane name, which is stored in this transaction."""
    for document in documents:
        if document:
            _note_in_lane(tx, lane, decode(document))


def _note_in_lane(tx: Writable, lane: str, data: Any) -> None:
    chat = chat_of(lane)
    place = lane if chat is None else lane_of_chat(chat)
    tx.names.lines |= _lines_in(data)
    for handle in handles_in(data):
        if handle.encode() not in tx.names.lines and lane not in own_lanes(handle):
            tx.changes.named.add((handle, place))
    tx.changes.named |= {(_CHAT + each, place) for each in chats_in(data) if each != chat}


def note_entry(
    tx: Writable,
    turn: str,
    documents: Iterable[bytes | None],
    chat_id: str | None,
    origin: bytes | None,
    *,
    is_found: bool,
) -> None:
    """Note whom and which chats a journal entry names, which is stored in this transaction.

    Args:
        documents: Its call and its answer, without the texts that are not stored.
        is_found: True if its turn is found by the lane of the chat in `origin`. Then only others are noted.
    """
    given = tuple(filter(None, documents))
    known = origin if origin is not None and is_found else b""
    if known and _names_no_other(given, chat_id, known, tx.names.lines):
        return
    decoded = [decode(each) for each in (*given, origin or b"{}")]
    tx.names.lines.update(*map(_lines_in, decoded))
    people = {each for data in decoded for each in handles_in(data) if each.encode() not in tx.names.lines}
    chats = {each for data in decoded for each in chats_in(data)} | ({chat_id} if chat_id else set())
    named = {each for each in people if not _is_in(each.encode(), known)}
    named |= {_CHAT + each for each in chats if not _is_in(each.encode(), known)}
    tx.changes.named |= {(each, _TURN + turn) for each in named}


def _names_no_other(documents: Iterable[bytes], chat_id: str | None, origin: bytes, lines: Collection[bytes]) -> bool:
    """Return True if documents of a turn name no people and no chat but those of its origin."""
    if chat_id is not None and not _is_in(chat_id.encode(), origin):
        return False
    for each in documents:
        if b"+" in each or b"@" in each or b"\\" in each:
            found = candidates_in(each)
            if found is None or not all(one in lines or _is_in(one, origin) for one in found):
                return False
        if _PATH in each and not _is_in(_chat_of_path(each), origin):
            return False
    return True


def _is_in(one: bytes, origin: bytes) -> bool:
    return b'"' + one + b'"' in origin


INTO: Final = "named (who, place, at)"
REPLACE: Final = "ON CONFLICT (who, place) DO UPDATE SET at = excluded.at"


async def write(tx: Writable) -> None:
    """Store what the rows of this transaction name."""
    if tx.changes.named:
        await tx.insert(INTO, rows(tx, tx.names.install or await _install(tx)), REPLACE)
        tx.changes.named.clear()


def rows(tx: Writable, install: str) -> list[tuple[str, str, float]]:
    """Return the rows to store, in one order for every process."""
    return sorted({(_who(who, install), place, tx.now) for who, place in tx.changes.named})


def _who(named: str, install: str) -> str:
    if named.startswith(_CHAT):
        return named
    return hashlib.sha256(f"{install}|{named}".encode()).hexdigest()[:32]


async def _install(db: Readable) -> str:
    return str(await db.value("SELECT value FROM meta WHERE key = 'install'"))


# Reading


async def places(db: Readable, handles: Iterable[str], chats: Iterable[str]) -> Places:
    """Return where people and chats are named."""
    install = await _install(db)
    whos = [*(_who(each, install) for each in handles), *(_CHAT + each for each in chats)]
    found = [place for (place,) in await db.fetch("SELECT place FROM named WHERE who = ANY($1)", whos)]
    turns = frozenset(each.removeprefix(_TURN) for each in found if each.startswith(_TURN))
    return Places(frozenset(each for each in found if not each.startswith(_TURN)), turns)


def own_lanes(handle: str) -> tuple[str, str]:
    """Return the lanes of a person whose chat is not known: a post waits there until Linq was asked, a send in quiet hours."""
    return lane_of_post(handle), lane_of_person(handle)


# A storage of an older linqbot

_UNFILLED: Final = ""
"""The `who` of the rows that say which rows of a table, the `place`, are not yet in the index: those with numbers up to `at`."""


async def mark_unfilled(tx: Writable) -> None:
    """Have the index made for all rows, such as those of a copy."""
    for table, where in {**IN_TABLES, "outcome": _OUTCOME}.items():
        if where.n and (last := await tx.value(f"SELECT max({where.n}) FROM {table}")) is not None:
            await tx.insert(INTO, [(_UNFILLED, table, float(last))], REPLACE)


async def unfilled(db: Readable) -> dict[str, int]:
    """Return the tables with rows that are not yet in the index, each with the greatest number of such a row."""
    found = await db.fetch("SELECT place, at FROM named WHERE who = $1 ORDER BY place", _UNFILLED)
    return {table: int(last) for table, last in found}


async def fill(tx: Writable, limit: int, *, is_found: bool) -> int:
    """Add rows of one table to the index, the newest first, and return their number; 0 if nothing is left to do.

    For `is_found` see `note_entry`.
    """
    for table, last in (await unfilled(tx)).items():
        found = await (_of_pairs(tx) if table == "outcome" else _stored(tx, table, last, limit))
        for row in found:
            _note_stored(tx, table, tuple(row)[1:], is_found=is_found)
        if table == "outcome" or len(found) < limit:
            await tx.run("DELETE FROM named WHERE who = $1 AND place = $2", _UNFILLED, table)
        else:
            left = "UPDATE named SET at = $3 WHERE who = $1 AND place = $2"
            await tx.run(left, _UNFILLED, table, float(found[-1][0] - 1))
        await write(tx)
        return max(len(found), 1)
    return 0


async def _stored(db: Readable, table: str, last: int, limit: int) -> Sequence[Any]:
    where = IN_TABLES[table]
    columns = [each for each in (where.n, where.lane, where.chat, where.turn, *where.documents) if each]
    columns += ["chat_id"] if table == "journal" else []
    source = "delivery JOIN body USING (seq)" if table == "delivery" else table
    sql = f"SELECT {', '.join(columns)} FROM {source} WHERE {where.n} <= $1 ORDER BY {where.n} DESC LIMIT $2"
    return await db.fetch(sql, last, limit)


async def _of_pairs(db: Readable) -> Sequence[Any]:
    """Return the lanes of outcomes that are named by a line and a person."""
    return await db.fetch(f"SELECT DISTINCT 0, lane FROM outcome WHERE lane >= '{_PAIR}' AND lane < 'p;'")


def _note_stored(tx: Writable, table: str, row: tuple[Any, ...], *, is_found: bool) -> None:
    match table:
        case "journal":
            turn, call, answer, origin, chat_id = row
            note_entry(tx, turn, (call, answer), chat_id, origin, is_found=is_found)
            # Of a message that was handled, only the origin of its calls is left.
            if chat := (decode(origin) or {}).get("chat_id") if origin else None:
                note_in_lane(tx, lane_of_chat(chat), origin)
        case "outcome":
            (lane,) = row
            tx.changes.named.add((lane.rpartition(":")[2], lane))
        case "conversation":
            chat_id, _, *documents = row
            note_in_lane(tx, lane_of_chat(chat_id), *documents)
        case "timer":
            note_in_lane(tx, *row)
        case _:
            lane, _, body = row
            note_in_lane(tx, lane, body)


# Deletion


async def forget(tx: Writable, handle: str, chats: Collection[str], until: float) -> None:
    """Delete where a person is named, and the direct chats with the person, unless a row there was stored after `until`."""
    whos = [_who(handle, await _install(tx)), *(_CHAT + each for each in chats)]
    # A lane of no chat is the person's own: what is named there is erased with its rows.
    own = [each for each in (await places(tx, [handle], chats)).lanes if chat_of(each) is None]
    lanes = [*own, *(lane_of_chat(each) for each in chats)]
    await tx.run("DELETE FROM named WHERE (who = ANY($1) OR place = ANY($2)) AND at <= $3", whos, lanes, until)
    tx.changes.forgets_names = True


_PURGED_AT_ONCE: Final = 300


async def purge(tx: Writable) -> None:
    """Delete rows of places where nothing is left, among the next few rows."""
    sql = "SELECT who, place, at FROM named WHERE (who, place) > ($1, $2) ORDER BY who, place LIMIT $3"
    found = await tx.fetch(sql, *tx.names.purged_to, _PURGED_AT_ONCE)
    tx.names.purged_to = (found[-1][0], found[-1][1]) if len(found) == _PURGED_AT_ONCE else ("", "")
    old = {place for who, place, at in found if who and at < tx.now - _KEPT_S}
    if old and (gone := old - await _used(tx, old)):
        await tx.run("DELETE FROM named WHERE place = ANY($1) AND who = ANY($2)", list(gone), [row[0] for row in found])


async def _used(db: Readable, old: Collection[Place]) -> set[Place]:
    """Return those of the places where rows are left."""
    turns = [each.removeprefix(_TURN) for each in old if each.startswith(_TURN)]
    lanes = [each for each in old if not each.startswith(_TURN)]
    lanes += [f"r:{chat}" for each in lanes if (chat := chat_of_lane(each))]
    used = {_TURN + one for (one,) in await db.fetch("SELECT turn FROM journal WHERE turn = ANY($1)", turns)}
    for table in ("outcome", "done", "dead", "timer", "delivery"):
        used |= {one for (one,) in await db.fetch(f"SELECT DISTINCT lane FROM {table} WHERE lane = ANY($1)", lanes)}
    chats = [chat for each in lanes if (chat := chat_of_lane(each))]
    talks = await db.fetch("SELECT chat_id FROM conversation WHERE chat_id = ANY($1)", chats)
    used |= {lane_of_chat(one) for (one,) in talks}
    return used | {lane_of_chat(chat) for each in used if (chat := chat_of_receipts(each))}
