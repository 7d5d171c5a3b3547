"""The SQL of timers, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3

from linqbot.events.delivery import Delivery
from linqbot.storage.sqlite.file import padding
from linqbot.storage.sqlite.statements import among
from linqbot.storage.timers import PARKED_S, Rearm, Timer


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
    """Remove due timers, the earliest first, and return the deliveries that they become. Recurring ones are parked."""
    sql = """SELECT n, id, due, lane, kind, payload, grace_s FROM timer
             WHERE due <= ? ORDER BY due, n LIMIT ?"""
    rows = db.execute(sql, (now, limit)).fetchall()
    timers = {row[0]: Timer(*row[1:]) for row in rows}
    among(db, "DELETE FROM timer WHERE n IN (*)", [n for n, timer in timers.items() if not timer.is_recurring])
    for n, timer in timers.items():
        if timer.is_recurring:
            db.execute("UPDATE timer SET due = ? WHERE n = ?", (timer.parked().due, n))
    return [timer.fired(now) for timer in timers.values()]


def rearm(db: sqlite3.Connection, again: Rearm) -> None:
    """Give a parked timer its next due time, if it is still stored."""
    parked = again.tick + PARKED_S
    db.execute("UPDATE timer SET due = ? WHERE id = ? AND due = ?", (again.due, again.timer_id, parked))


def earliest(db: sqlite3.Connection) -> float | None:
    """Return when the earliest timer is due; None if there is none."""
    (due,) = db.execute("SELECT min(due) FROM timer WHERE due < ?", (PARKED_S,)).fetchone()
    return None if due is None else float(due)


def scheduled(db: sqlite3.Connection, lane: str | None, limit: int) -> list[Timer]:
    """Return the timers that wait, the earliest first."""
    which, values = _of_lane(lane)
    sql = f"""SELECT id, due, lane, kind, payload, grace_s FROM timer
              WHERE {which} due < ? ORDER BY due, n LIMIT ?"""  # noqa: S608 - constant text
    return [Timer(*row) for row in db.execute(sql, (*values, PARKED_S, limit))]


def find(db: sqlite3.Connection, timer_id: str) -> Timer | None:
    """Return a timer; None if none of this id is stored."""
    row = db.execute("SELECT id, due, lane, kind, payload, grace_s FROM timer WHERE id = ?", (timer_id,)).fetchone()
    return row and Timer(*row)


def recurring(db: sqlite3.Connection, kind: str, lane: str | None) -> list[Timer]:
    """Return the timers of a kind, those included that are parked; see `Timers.recurring`."""
    which, values = _of_lane(lane)
    sql = f"""SELECT id, due, lane, kind, payload, grace_s FROM timer
              WHERE {which} kind = ? ORDER BY n"""  # noqa: S608 - constant text
    return [Timer(*row) for row in db.execute(sql, (*values, kind))]


def _of_lane(lane: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the condition for a lane, and its value. For `? IS NULL OR lane = ?` SQLite would use no index."""
    return ("", ()) if lane is None else ("lane = ? AND", (lane,))
