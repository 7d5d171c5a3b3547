"""The SQL of timers, run inside a transaction of the writer.

The due time of a timer that fires once is stored as a time of the database's clock, because any process may fire it. The
ticks of a recurring timer are times of day, which are the same for all.
"""

from __future__ import annotations

from dataclasses import replace

from linqbot.events.delivery import Delivery
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.timers import PARKED_S, Rearm, Timer

_COLUMNS = "id, due, lane, kind, payload, grace_s"


async def schedule(tx: Transaction, timer: Timer) -> bool:
    """Store a timer. Return False if its id is on record: it waits, or it fired in the last 24 hours."""
    sql = f"""INSERT INTO timer ({_COLUMNS}) SELECT $1, $2, $3, $4, $5, $6
              WHERE NOT EXISTS (SELECT FROM seen WHERE id = $7) ON CONFLICT (id) DO NOTHING"""  # noqa: S608
    due = timer.due if timer.is_recurring else timer.due + tx.ahead_s
    row = (timer.id, due, timer.lane, timer.kind, timer.payload, timer.grace_s)
    stored = await tx.run(sql, *row, timer.fired(0.0).id) > 0
    tx.changes.timers |= stored
    return stored


async def cancel(tx: Transaction, timer_id: str) -> bool:
    """Delete a timer. Return True if it was stored."""
    gone = await tx.run("DELETE FROM timer WHERE id = $1", timer_id) > 0
    tx.changes.timers |= gone
    return gone


async def take_due(tx: Transaction, now: float, limit: int) -> list[Delivery]:
    """Remove due timers, the earliest first, and return the deliveries that they become. Recurring ones are parked.

    Args:
        now: The time of the storage's clock. The timers are compared with that of the database's clock.
    """
    there = now + tx.ahead_s
    sql = f"""SELECT n, {_COLUMNS} FROM timer WHERE due <= $1 ORDER BY due, n LIMIT $2
              FOR UPDATE SKIP LOCKED"""  # noqa: S608 - constant text
    rows = await tx.fetch(sql, there, limit)
    timers = {row[0]: Timer(*row[1:]) for row in rows}
    if not timers:
        return []
    once = [n for n, timer in timers.items() if not timer.is_recurring]
    parked = [n for n, timer in timers.items() if timer.is_recurring]
    if once:
        await tx.run("DELETE FROM timer WHERE n = ANY($1)", once)
    if parked:
        await tx.run("UPDATE timer SET due = due + $2 WHERE n = ANY($1)", parked, PARKED_S)
    tx.changes.timers = True
    # No delivery is older than its tick: the next tick is counted from it.
    return [timer.fired(max(there, timer.tick)) for timer in timers.values()]


async def rearm(tx: Transaction, again: Rearm) -> None:
    """Give a parked timer its next due time, if it is still stored."""
    sql = "UPDATE timer SET due = $1 WHERE id = $2 AND due = $3"
    await tx.run(sql, again.due, again.timer_id, again.tick + PARKED_S)
    tx.changes.timers = True


async def earliest(connection: Connection) -> float | None:
    """Return when the earliest timer is due; None if there is none."""
    due = await connection.fetchval("SELECT min(due) FROM timer WHERE due < $1", PARKED_S)
    return None if due is None else float(due)


async def scheduled(connection: Connection, ahead_s: float, lane: str | None, limit: int) -> list[Timer]:
    """Return the timers that wait, the earliest first, with due times of the storage's clock."""
    which, values = _of_lane(lane, 3)
    sql = f"""SELECT {_COLUMNS} FROM timer WHERE due < $1 {which}
              ORDER BY due, n LIMIT $2"""  # noqa: S608 - constant text
    return [_here(Timer(*row), ahead_s) for row in await connection.fetch(sql, PARKED_S, limit, *values)]


def _here(timer: Timer, ahead_s: float) -> Timer:
    return timer if timer.is_recurring else replace(timer, due=timer.due - ahead_s)


async def find(connection: Connection, ahead_s: float, timer_id: str) -> Timer | None:
    """Return a timer, with a due time of the storage's clock; None if none of this id is stored."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM timer WHERE id = $1", timer_id)  # noqa: S608 - constant text
    return None if row is None else _here(Timer(*row), ahead_s)


async def recurring(connection: Connection, kind: str, lane: str | None) -> list[Timer]:
    """Return the timers of a kind, those included that are parked; see `Timers.recurring`."""
    which, values = _of_lane(lane, 2)
    sql = f"SELECT {_COLUMNS} FROM timer WHERE kind = $1 {which} ORDER BY n"  # noqa: S608 - constant text
    return [Timer(*row) for row in await connection.fetch(sql, kind, *values)]


def _of_lane(lane: str | None, at: int) -> tuple[str, tuple[str, ...]]:
    """Return the condition for a lane, whose value is the parameter `at`. `$1 IS NULL OR lane = $1` may use no index."""
    return ("", ()) if lane is None else (f"AND lane = ${at}", (lane,))
