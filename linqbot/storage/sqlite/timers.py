"""Timers in SQLite: the statements, run inside a transaction of the writer's."""

from __future__ import annotations

import sqlite3

from linqbot.events.delivery import Delivery
from linqbot.storage.sqlite.statements import among
from linqbot.storage.sqlite.wipe import padding
from linqbot.storage.timers import Timer


def schedule(db: sqlite3.Connection, timer: Timer) -> bool:
    """Store a timer; False when its id is on record, or it fired lately."""
    if db.execute("SELECT 1 FROM seen WHERE id = ?", (timer.fired(0.0).id,)).fetchone():
        return False
    sql = """INSERT INTO timer (id, due, lane, kind, padding, payload, grace_s) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO NOTHING"""
    in_front = padding(timer.is_off_the_record)
    row = (timer.id, timer.due, timer.lane, timer.kind, in_front, timer.payload, timer.grace_s)
    return db.execute(sql, row).rowcount > 0


def cancel(db: sqlite3.Connection, timer_id: str) -> bool:
    """Forget a timer; True if it was there."""
    return db.execute("DELETE FROM timer WHERE id = ?", (timer_id,)).rowcount > 0


def take_due(db: sqlite3.Connection, now: float, limit: int) -> list[Delivery]:
    """Remove what is due, the earliest first, and return the deliveries it becomes."""
    sql = """SELECT n, id, due, lane, kind, payload, grace_s FROM timer
             WHERE due <= ? ORDER BY due, n LIMIT ?"""
    rows = db.execute(sql, (now, limit)).fetchall()
    among(db, "DELETE FROM timer WHERE n IN (*)", [row[0] for row in rows])
    return [Timer(*row[1:]).fired(now) for row in rows]


def earliest(db: sqlite3.Connection) -> float | None:
    """When the next one is due."""
    (due,) = db.execute("SELECT min(due) FROM timer").fetchone()
    return None if due is None else float(due)


def scheduled(db: sqlite3.Connection, lane: str | None, limit: int) -> list[Timer]:
    """What waits, the earliest first."""
    # Named, not ?1, of which early releases of Python 3.12 warn (python/cpython#117995).
    sql = """SELECT id, due, lane, kind, payload, grace_s FROM timer
             WHERE :lane IS NULL OR lane = :lane ORDER BY due, n LIMIT :limit"""
    return [Timer(*row) for row in db.execute(sql, {"lane": lane, "limit": limit})]
