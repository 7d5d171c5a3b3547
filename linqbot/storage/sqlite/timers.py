"""The SQL of timers, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3

from linqbot.events.delivery import Delivery
from linqbot.storage.sqlite.statements import among
from linqbot.storage.sqlite.wipe import padding
from linqbot.storage.timers import Timer


def schedule(db: sqlite3.Connection, timer: Timer) -> bool:
    """Store a timer. Return False if its id is on record: it waits, or it fired in the last 24 hours."""
    if db.execute("SELECT 1 FROM seen WHERE id = ?", (timer.fired(0.0).id,)).fetchone():
        return False
    sql = """INSERT INTO timer (id, due, lane, kind, padding, payload, grace_s) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO NOTHING"""
    in_front = padding(timer.is_off_the_record)
    row = (timer.id, timer.due, timer.lane, timer.kind, in_front, timer.payload, timer.grace_s)
    return db.execute(sql, row).rowcount > 0


def cancel(db: sqlite3.Connection, timer_id: str) -> bool:
    """Delete a timer. Return True if it was stored."""
    return db.execute("DELETE FROM timer WHERE id = ?", (timer_id,)).rowcount > 0


def take_due(db: sqlite3.Connection, now: float, limit: int) -> list[Delivery]:
    """Remove due timers, the earliest first, and return the deliveries that they become."""
    sql = """SELECT n, id, due, lane, kind, payload, grace_s FROM timer
             WHERE due <= ? ORDER BY due, n LIMIT ?"""
    rows = db.execute(sql, (now, limit)).fetchall()
    among(db, "DELETE FROM timer WHERE n IN (*)", [row[0] for row in rows])
    return [Timer(*row[1:]).fired(now) for row in rows]


def earliest(db: sqlite3.Connection) -> float | None:
    """Return when the earliest timer is due; None if there is none."""
    (due,) = db.execute("SELECT min(due) FROM timer").fetchone()
    return None if due is None else float(due)


def scheduled(db: sqlite3.Connection, lane: str | None, limit: int) -> list[Timer]:
    """Return the timers that wait, the earliest first."""
    # Named parameters instead of ?1: early releases of Python 3.12 warn about those (python/cpython#117995).
    sql = """SELECT id, due, lane, kind, payload, grace_s FROM timer
             WHERE :lane IS NULL OR lane = :lane ORDER BY due, n LIMIT :limit"""
    return [Timer(*row) for row in db.execute(sql, {"lane": lane, "limit": limit})]
