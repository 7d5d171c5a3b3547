"""The SQL of timers.

The due time of a timer that fires once is stored as a time of the database's clock, because any process may fire it. The
ticks of a recurring timer are times of day, which are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from linqbot.events.delivery import Delivery
from linqbot.storage.dialect import Readable, Writable, where
from linqbot.storage.inbox import Commit
from linqbot.storage.operations import ScheduleOp
from linqbot.storage.timers import PARKED_S, Timer

_COLUMNS = "id, due, lane, kind, payload, grace_s"


async def schedule(tx: Writable, timer: Timer) -> bool:
    """Store a timer. Return False if its id is on record: it waits, or it fired in the last 24 hours."""
    if await tx.value("SELECT 1 FROM seen WHERE id = $1", timer.fired(0.0).id):
        return False
    due = timer.due if timer.is_recurring else timer.due + tx.ahead_s
    row = (timer.id, due, timer.lane, timer.kind, timer.payload, timer.grace_s)
    stored = await tx.insert(
        f"timer ({_COLUMNS})", [row], "ON CONFLICT (id) DO NOTHING", off_the_record=timer.is_off_the_record
    )
    tx.changes.timers |= stored > 0
    return stored > 0


async def schedule_all(tx: Writable, ops: Sequence[ScheduleOp]) -> None:
    """Store timers, and set the results of the operations."""
    earlier = await earliest(tx) if ops else None
    for op in ops:
        op.result = await schedule(tx, op.timer)
        op.is_earliest = op.result and (earlier is None or op.timer.due < earlier)
        if op.is_earliest:
            earlier = op.timer.due


async def cancel(tx: Writable, timer_id: str) -> bool:
    """Delete a timer. Return True if it was stored."""
    gone = await tx.run("DELETE FROM timer WHERE id = $1", timer_id) > 0
    tx.changes.timers |= gone
    return gone


async def write(tx: Writable, commits: Iterable[Commit]) -> None:
    """Store what the ends of turns say of timers: those that are cancelled, new, and due again."""
    for commit in commits:
        for timer_id in commit.cancelled:
            await cancel(tx, timer_id)
        for timer in commit.timers:
            await schedule(tx, timer)
        for again in commit.rearmed:
            # Only one that is parked, and still stored.
            sql = "UPDATE timer SET due = $1 WHERE id = $2 AND due = $3"
            await tx.run(sql, again.due, again.timer_id, again.tick + PARKED_S)
            tx.changes.timers = True


async def take_due(tx: Writable, now: float, limit: int) -> list[Delivery]:
    """Remove due timers, the earliest first, and return the deliveries that they become. Recurring ones are parked.

    Args:
        now: The time of the storage's clock. The timers are compared with that of the database's clock.
    """
    there = now + tx.ahead_s
    sql = f"SELECT n, {_COLUMNS} FROM timer WHERE due <= $1 ORDER BY due, n LIMIT $2 FOR UPDATE SKIP LOCKED"  # noqa: S608
    timers = {n: Timer(*row) for n, *row in await tx.fetch(sql, there, limit)}
    if not timers:
        return []
    if once := [n for n, timer in timers.items() if not timer.is_recurring]:
        await tx.run("DELETE FROM timer WHERE n = ANY($1)", once)
    if parked := [n for n, timer in timers.items() if timer.is_recurring]:
        await tx.run("UPDATE timer SET due = due + $1 WHERE n = ANY($2)", PARKED_S, parked)
    tx.changes.timers = True
    # No delivery is older than its tick: the next tick is counted from it.
    return [timer.fired(max(there, timer.tick)) for timer in timers.values()]


async def earliest(db: Readable) -> float | None:
    """Return when the earliest timer is due; None if there is none."""
    due = await db.value("SELECT min(due) FROM timer WHERE due < $1", PARKED_S)
    return None if due is None else float(due)


async def scheduled(db: Readable, lane: str | None, limit: int) -> list[Timer]:
    """Return the timers that wait, the earliest first."""
    which, values = where(("due < $", PARKED_S), ("lane = $", lane), first=2)
    sql = f"SELECT {_COLUMNS} FROM timer {which} ORDER BY due, n LIMIT $1"  # noqa: S608 - constant text
    return [_here(db, row) for row in await db.fetch(sql, limit, *values)]


async def find(db: Readable, timer_id: str) -> Timer | None:
    """Return a timer; None if none of this id is stored."""
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM timer WHERE id = $1", timer_id)  # noqa: S608 - constant text
    return _here(db, rows[0]) if rows else None


async def recurring(db: Readable, kind: str, lane: str | None) -> list[Timer]:
    """Return the timers of a kind, those included that are parked; see `Timers.recurring`."""
    which, values = where(("kind = $", kind), ("lane = $", lane))
    sql = f"SELECT {_COLUMNS} FROM timer {which} ORDER BY n"  # noqa: S608 - constant text
    return [Timer(*row) for row in await db.fetch(sql, *values)]


def _here(db: Readable, row: Sequence[Any]) -> Timer:
    timer = Timer(*row)
    return timer if timer.is_recurring else replace(timer, due=timer.due - db.ahead_s)
