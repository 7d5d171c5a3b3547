"""Erase a person from the SQLite file, over a separate connection, also while a server uses the file.

The search reads the whole file and must not block the server, so only the deletion is a write transaction. The next
search finds what a turn stores between the two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from linqbot.events.lane import lane_of_chat
from linqbot.storage.dialect import drive
from linqbot.storage.erasure import Found, Person, StoredRecord
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.statements import SQLiteReader, among, outside
from linqbot.storage.tables import broadcasts, state
from linqbot.storage.upkeep import Forgotten

_ROUNDS = 5
"""Maximum number of searches. If the last one still finds something, records are added faster than they are erased."""


def forget(db: sqlite3.Connection, handle: str, chats: Collection[str], now: float) -> Forgotten:
    """Erase a person; see `Upkeep.forget`."""
    person = Person(handle, {*chats, *drive(state.chats_with(SQLiteReader(db), handle.casefold()))})
    with transaction(db):
        forgotten = Forgotten(recipients=drive(broadcasts.forget(outside(db, now), handle)))
    for _ in range(_ROUNDS):
        found, scopes = _search(db, person)
        if not any(found.erasable.values()) and not scopes:
            break
        forgotten += _erase(db, person, found, now)
    else:
        found, _ = _search(db, person)
    left = found.left.union(*found.erasable.values())
    return replace(forgotten, left=tuple(sorted(left)), chats=tuple(sorted(person.chats)), wiped=file.wipe(db))


def _search(db: sqlite3.Connection, person: Person) -> tuple[Found, set[str]]:
    """Return the records that concern the person, and the scopes of their state, from one snapshot of the file."""
    db.execute("BEGIN")
    try:
        found = person.find(lambda: _records(db))
        return found, {
            scope for (scope,) in among(db, "SELECT scope FROM state WHERE lower(scope) IN (*)", person.scopes)
        }
    finally:
        db.execute("ROLLBACK")


def _records(db: sqlite3.Connection) -> Iterator[StoredRecord]:
    sql = "SELECT id, lane, body, leased FROM delivery JOIN body USING (seq)"
    for key, lane, body, leased in db.execute(sql):
        yield StoredRecord("delivery", key, lane, (body,), leased=bool(leased))
    for key, lane, body in db.execute("SELECT id, lane, body FROM done"):
        yield StoredRecord("done", key, lane, (body,))
    for key, lane, body in db.execute("SELECT id, lane, body FROM dead"):
        yield StoredRecord("dead", key, lane, (body,))
    for key, lane, payload in db.execute("SELECT id, lane, payload FROM timer"):
        yield StoredRecord("timer", key, lane, (payload,))
    for key, chat, root, question in db.execute("SELECT id, chat_id, root, question FROM conversation"):
        yield StoredRecord("conversation", key, lane_of_chat(chat), (root, question), key)
    sql = "SELECT key, chat_id, call, answer, origin, turn, message_id FROM journal"
    for key, chat, *documents, turn, message_id in db.execute(sql):
        yield StoredRecord("entry", key, lane_of_chat(chat) if chat else "", tuple(documents), turn, message_id)


def _erase(db: sqlite3.Connection, person: Person, found: Found, now: float) -> Forgotten:
    with transaction(db):
        # Since the search, other deliveries may have been leased.
        leased = {key for (key,) in db.execute("SELECT id FROM delivery WHERE leased")}
        keys = replace(found, leased=leased).erasable
        among(db, "UPDATE broadcast SET lane = '' WHERE lane IN (*)", person.lanes)
        return Forgotten(
            waiting=_forget_waiting(db, keys["delivery"], now),
            done=_count(db, "DELETE FROM done WHERE id IN (*)", keys["done"]),
            dead=_count(db, "DELETE FROM dead WHERE id IN (*)", keys["dead"]),
            entries=_delete_entries(db, [(found.turns[key], key) for key in keys["entry"]]),
            timers=_count(db, "DELETE FROM timer WHERE id IN (*)", keys["timer"]),
            conversations=_count(db, "DELETE FROM conversation WHERE id IN (*)", keys["conversation"]),
            state=_count(db, "DELETE FROM state WHERE lower(scope) IN (*)", person.scopes),
        )


def _forget_waiting(db: sqlite3.Connection, ids: Collection[str], now: float) -> int:
    seqs = [seq for (seq,) in among(db, "SELECT seq FROM delivery WHERE id IN (*)", ids)]
    # Their ids stay known for a day, as after an ack, because Linq may deliver them again. The row that `seq` names is
    # gone, so they no longer count as waiting.
    among(db, "UPDATE seen SET at = ? WHERE seq IN (*)", seqs, now)
    among(db, "DELETE FROM body WHERE seq IN (*)", seqs)
    return _count(db, "DELETE FROM delivery WHERE seq IN (*)", seqs)


def _delete_entries(db: sqlite3.Connection, keys: Sequence[tuple[str | None, str]]) -> int:
    before = db.total_changes
    db.executemany("DELETE FROM journal WHERE turn = ? AND key = ?", keys)
    return db.total_changes - before


def _count(db: sqlite3.Connection, sql: str, values: Collection[Any]) -> int:
    """Run a statement for all `values`, and return the number of rows that it changed."""
    before = db.total_changes
    among(db, sql, values)
    return db.total_changes - before
