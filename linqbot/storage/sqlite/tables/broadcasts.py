"""The SQL of broadcasts. The writer runs `advance` and `update`; a separate connection runs `start` and `order`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from linqbot.events.delivery import Delivery
from linqbot.storage.broadcasts import (
    ALLOWED,
    BroadcastStep,
    NewBroadcast,
    OpenBroadcast,
    Order,
    RecipientUpdate,
    counted,
    done_delivery,
    earliest,
    steps,
)
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.statements import insert
from linqbot.types.proactive import Broadcast, BroadcastStatus, Recipient, RecipientOutcome

_FACTS = "n, status, name, line, per_minute, content, created_at, off_the_record, lane"


def start(db: sqlite3.Connection, new: NewBroadcast, people: Sequence[str]) -> bool:
    """Store a broadcast, in a transaction of its own; see `Broadcasts.start_broadcast`."""
    with transaction(db):
        sql = """INSERT INTO broadcast (name, line, status, per_minute, created_at, off_the_record, lane, padding, content)
                 VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"""
        padding = file.padding(new.off_the_record)
        facts = (new.name, new.line, new.per_minute, new.created_at, new.off_the_record, new.lane)
        row = (*facts, padding, new.content)
        stored = db.execute(sql, row)
        if not stored.rowcount:
            return False
        if new.off_the_record:
            file.note_off_the_record(db)
        rows = [(stored.lastrowid, n, handle, "pending") for n, handle in enumerate(people, 1)]
        insert(db, "recipient (broadcast, n, handle, outcome)", rows)
    return True


def order(db: sqlite3.Connection, name: str, order: Order, now: float) -> bool:
    """Pause, resume or cancel a broadcast, in a transaction of its own; see `Broadcasts.order_broadcast`."""
    allowed, status = ALLOWED[order]
    with transaction(db):
        found = db.execute("SELECT n, status FROM broadcast WHERE name = ? AND ended_at IS NULL", (name,)).fetchone()
        if found is None or found[1] not in allowed:
            return False
        db.execute("UPDATE broadcast SET status = ? WHERE n = ?", (status, found[0]))
        if order == "cancel":
            sql = "UPDATE recipient SET outcome = 'cancelled', at = ? WHERE broadcast = ? AND outcome = 'pending'"
            db.execute(sql, (now, found[0]))
    return True


def find(db: sqlite3.Connection, name: str) -> Broadcast | None:
    """Return a broadcast with its counts; None if none of this name is stored."""
    row = db.execute(f"SELECT {_FACTS} FROM broadcast WHERE name = ?", (name,)).fetchone()  # noqa: S608 - constant text
    return row and _report(db, *_read(row))


def newest(db: sqlite3.Connection, limit: int) -> list[Broadcast]:
    """Return the broadcasts with their counts, the newest first."""
    sql = f"SELECT {_FACTS} FROM broadcast ORDER BY n DESC LIMIT ?"  # noqa: S608 - constant text
    return [_report(db, *_read(row)) for row in db.execute(sql, (limit,)).fetchall()]


def recipients(
    db: sqlite3.Connection, name: str, outcome: RecipientOutcome | None, after: int, limit: int
) -> list[Recipient]:
    """Return rows of a broadcast; see `Broadcasts.recipients`."""
    sql = """SELECT n, handle, outcome, reason, at FROM recipient
             WHERE broadcast = (SELECT n FROM broadcast WHERE name = :name) AND n > :after
                 AND (:outcome IS NULL OR outcome = :outcome) ORDER BY n LIMIT :limit"""
    rows = db.execute(sql, {"name": name, "outcome": outcome, "after": after, "limit": limit})
    return [
        Recipient(n, handle, found, reason, None if at is None else datetime.fromtimestamp(at, UTC))
        for n, handle, found, reason, at in rows
    ]


def next_at(db: sqlite3.Connection, now: float) -> float | None:
    """Return when the next step is due; None if there is none."""
    return earliest(_steps(db, now))


def update(db: sqlite3.Connection, updates: Iterable[RecipientUpdate], now: float) -> None:
    """Store the outcomes of people, in a transaction of the writer."""
    sql = """UPDATE recipient SET outcome = ?, reason = ?, at = ?
             WHERE broadcast = (SELECT n FROM broadcast WHERE name = ?) AND n = ?"""
    db.executemany(sql, [(each.outcome, each.reason, now, each.broadcast, each.n) for each in updates])


def advance(db: sqlite3.Connection, now: float) -> tuple[list[Delivery], bool]:
    """Carry out the steps that are due, in a transaction of the writer.

    Returns:
        The deliveries to store, and True if a content off the record was deleted.
    """
    due: list[Delivery] = []
    is_private = False
    for step in _steps(db, now):
        if step.at <= now:
            sql = f"SELECT {_FACTS} FROM broadcast WHERE name = ?"  # noqa: S608 - constant text
            n, status, new = _read(db.execute(sql, (step.broadcast,)).fetchone())
            if step.what == "end":
                due.append(_end(db, n, status, new, now))
                is_private |= new.off_the_record
            else:
                due.append(_send(db, n, new, now))
    return due, is_private


def forget(db: sqlite3.Connection, handle: str) -> int:
    """Delete the rows of a person, and return their number."""
    return db.execute("DELETE FROM recipient WHERE lower(handle) = ?", (handle.lower(),)).rowcount


def _steps(db: sqlite3.Connection, now: float) -> list[BroadcastStep]:
    sql = """SELECT name, line, status, next_at, ended_at IS NOT NULL,
                 EXISTS (SELECT 1 FROM recipient WHERE broadcast = broadcast.n AND outcome = 'pending'),
                 (SELECT count(*) FROM recipient WHERE broadcast = broadcast.n AND outcome = 'under_way')
             FROM broadcast
             WHERE ended_at IS NULL OR next_at > ? ORDER BY n"""
    rows = db.execute(sql, (now,))
    return steps(
        [
            OpenBroadcast(name, line, status, next_at, bool(has_ended), bool(has_pending), under_way)
            for name, line, status, next_at, has_ended, has_pending, under_way in rows
        ]
    )


def _read(row: Sequence[Any]) -> tuple[int, BroadcastStatus, NewBroadcast]:
    n, status, name, line, per_minute, content, created_at, off_the_record, lane = row
    return n, status, NewBroadcast(name, line, per_minute, content, created_at, bool(off_the_record), lane)


def _report(db: sqlite3.Connection, n: int, status: BroadcastStatus, new: NewBroadcast) -> Broadcast:
    sql = "SELECT outcome, count(*) FROM recipient WHERE broadcast = ? GROUP BY outcome"
    return counted(new.stored(status), dict(db.execute(sql, (n,)).fetchall()))


def _end(db: sqlite3.Connection, n: int, status: BroadcastStatus, new: NewBroadcast, now: float) -> Delivery:
    status = "cancelled" if status == "cancelled" else "done"
    sql = "UPDATE broadcast SET ended_at = ?, content = x'', padding = NULL, lane = '', status = ? WHERE n = ?"
    db.execute(sql, (now, status, n))
    return done_delivery(_report(db, n, status, new), new.lane, now)


def _send(db: sqlite3.Connection, n: int, new: NewBroadcast, now: float) -> Delivery:
    sql = "SELECT n, handle FROM recipient WHERE broadcast = ? AND outcome = 'pending' ORDER BY n LIMIT 1"
    person, handle = db.execute(sql, (n,)).fetchone()
    sql = "UPDATE recipient SET outcome = 'under_way', at = ? WHERE broadcast = ? AND n = ?"
    db.execute(sql, (now, n, person))
    db.execute("UPDATE broadcast SET next_at = ? WHERE n = ?", (now + 60.0 / new.per_minute, n))
    return new.delivery(person, handle, now)
