"""The SQL of timers, run inside a transaction of the writer."""

from __future__ import annotations

from linqbot.events.delivery import Delivery
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.timers import PARKED_S, Rearm, Timer

_COLUMNS = "id, due, lane, kind, payload, grace_s"


async def schedule(tx: Transaction, timer: Timer) -> bool:
    """Store a timer. Return False if its id is on record: it waits, or it fired in the last 24 hours."""
    sql = f"""INSERT INTO timer ({_COLUMNS}) SELECT $1, $2, $3, $4, $5, $6
              WHERE NOT EXISTS (SELECT FROM seen WHERE id = $7) ON CONFLICT (id) DO NOTHING"""  # noqa: S608
    row = (timer.id, timer.due, timer.lane, timer.kind, timer.payload, timer.grace_s)
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
        now: The time of the storage's clock. The timers are compared with the later of it and the clock of the database.
    """
    sql = f"""SELECT n, {_COLUMNS} FROM timer WHERE due <= $1 ORDER BY due, n LIMIT $2
              FOR UPDATE SKIP LOCKED"""  # noqa: S608 - constant text
    rows = await tx.fetch(sql, now + max(tx.ahead_s, 0.0), limit)
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
    return [timer.fired(now) for timer in timers.values()]


async def rearm(tx: Transaction, again: Rearm) -> None:
    """Give a parked timer its next due time, if it is still stored."""
    sql = "UPDATE timer SET due = $1 WHERE id = $2 AND due = $3"
    await tx.run(sql, again.due, again.timer_id, again.tick + PARKED_S)
    tx.changes.timers = True


async def earliest(connection: Connection) -> float | None:
    """Return when the earliest timer is due; None if there is none."""
    due = await connection.fetchval("SELECT min(due) FROM timer WHERE due < $1", PARKED_S)
    return None if due is None else float(due)


async def scheduled(connection: Connection, lane: str | None, limit: int) -> list[Timer]:
    """Return the timers that wait, the earliest first."""
    sql = f"""SELECT {_COLUMNS} FROM timer WHERE ($1::text IS NULL OR lane = $1) AND due < $2
              ORDER BY due, n LIMIT $3"""  # noqa: S608 - constant text
    return [Timer(*row) for row in await connection.fetch(sql, lane, PARKED_S, limit)]


async def find(connection: Connection, timer_id: str) -> Timer | None:
    """Return a timer; None if none of this id is stored."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM timer WHERE id = $1", timer_id)  # noqa: S608 - constant text
    return None if row is None else Timer(*row)


async def recurring(connection: Connection, kind: str) -> list[Timer]:
    """Return the timers of a kind, those included that are parked."""
    sql = f"SELECT {_COLUMNS} FROM timer WHERE kind = $1 ORDER BY n"  # noqa: S608 - constant text
    return [Timer(*row) for row in await connection.fetch(sql, kind)]
