"""Timers: at its due time a timer becomes a delivery of its lane, so it keeps the order of its chat.

Timers do not wait in the inbox, where they would block their lane. The due time of a timer that fires once is stored as a time
of the database's clock, because any process may fire it. The ticks of a recurring timer are times of day, which are the same
for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import EVERY_CHAT, OUTSIDE_CHATS, lane_of_chat
from linqbot.storage import people
from linqbot.storage.dialect import Readable, Writable, where

OUTAGE: Final = "outage"
"""The kind of a timer that stays stored as long as an outage of a chat lasts; see `features/notices.py`."""

EDIT: Final = "edit"
"""The kind of a timer that keeps an edit until its message comes; see `edits.py`. A hold does not make it stay longer."""

RECURRING: Final = frozenset({"schedule", "repeat", OUTAGE})
"""The kinds of timers that stay stored when they fire. Those of an outage are due once, the others again later."""

PARKED_S: Final = 1e12
"""Added to the due time of a recurring timer that fired, until its turn ends. Every time a bot can give is smaller."""


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Timer:
    """A delivery that is due later.

    Attributes:
        id: Unique. Scheduling the same id again keeps the timer that is stored.
        due: Unix seconds; whole ones for a recurring timer. Its turn finds it again by the second in the id of the delivery.
        lane: The lane that the timer joins when it is due, behind the deliveries that wait there.
        kind: The kind of timer, such as `send` or `schedule`. The timer becomes the delivery `i.<kind>.<id>` of type
            `linqbot.<kind>`. The id of a recurring timer's delivery ends with the due time in whole seconds, so each due
            time makes one delivery.
        payload: The body of that delivery, as JSON. It holds the handles of the people of the turn that scheduled the
            timer as values, so that `Storage.forget` finds it.
    """

    id: str
    due: float
    lane: str
    kind: str
    payload: bytes

    @property
    def is_off_the_record(self) -> bool:
        """True if no text of the timer may be kept once its delivery is handled."""
        return self.fired(0.0).is_off_the_record

    @property
    def is_recurring(self) -> bool:
        return self.kind in RECURRING

    @property
    def is_parked(self) -> bool:
        """True if the timer fired, and the turn of its delivery has not ended."""
        return self.due >= PARKED_S

    @property
    def tick(self) -> float:
        """The due time, also while the timer is parked, in Unix seconds."""
        return self.due - PARKED_S if self.is_parked else self.due

    def fired(self, now: float) -> Delivery:
        """Return the delivery that the timer becomes when it fires at `now`."""
        name = f"{self.id}.{self.tick:.0f}" if self.is_recurring else self.id
        return Delivery(f"i.{self.kind}.{name}", self.lane, f"linqbot.{self.kind}", self.payload, now)


class Rearm(NamedTuple):
    """The next due time of a recurring timer whose delivery was handled; no effect if it was cancelled or rearmed."""

    timer_id: str
    tick: float  # the due time that was handled, in Unix seconds
    due: float  # the next due time, in Unix seconds


COLUMNS = "id, due, lane, kind, payload"
_HELD = f"""timer.kind <> '{EDIT}' AND (hold.lane = timer.lane
        OR (hold.lane = '{lane_of_chat(EVERY_CHAT)}'
            AND (substr(timer.lane, 1, 2) = '{lane_of_chat("")}' OR substr(timer.lane, 1, 5) IN {OUTSIDE_CHATS})))
    AND (hold.kinds IS NULL OR hold.kinds LIKE '%,' || timer.kind || ',%')"""
"""The SQL that says that a hold concerns a timer."""


async def schedule(tx: Writable, timer: Timer) -> bool:
    """Store a timer. Return False if its id is on record: it waits, or it fired in the last 24 hours."""
    if await tx.value("SELECT 1 FROM seen WHERE id = $1", timer.fired(0.0).id):
        return False
    due = timer.due if timer.is_recurring else timer.due + tx.ahead_s
    row = (timer.id, due, timer.lane, timer.kind, timer.payload)
    stored = await tx.insert(
        f"timer ({COLUMNS})", [row], "ON CONFLICT (id) DO NOTHING", off_the_record=[timer.is_off_the_record]
    )
    tx.changes.timers |= stored > 0
    people.note_in_lane(tx, timer.lane, timer.payload)
    if timer.kind == EDIT:
        tx.changes.edited.add(timer.lane)
    return stored > 0


async def schedule_now(tx: Writable, timer: Timer) -> bool:
    before = await earliest(tx)
    is_stored = await schedule(tx, timer)
    tx.changes.wakes_worker |= is_stored and (before is None or timer.due < before)
    return is_stored


async def cancel(tx: Writable, timer_id: str) -> bool:
    gone = await tx.run("DELETE FROM timer WHERE id = $1", timer_id) > 0
    tx.changes.timers |= gone
    return gone


async def write(tx: Writable, cancelled: Iterable[str], new: Iterable[Timer], rearmed: Iterable[Rearm]) -> None:
    """Delete the timers with the ids `cancelled`, store new ones, and set the next due times of recurring ones."""
    for timer_id in cancelled:
        await cancel(tx, timer_id)
    for timer in new:
        await schedule(tx, timer)
    for again in rearmed:
        # Only one that is parked, and still stored.
        sql = "UPDATE timer SET due = $1 WHERE id = $2 AND due = $3"
        await tx.run(sql, again.due, again.timer_id, again.tick + PARKED_S)
        tx.changes.timers = True


async def take_due(tx: Writable, now: float, limit: int) -> list[Delivery]:
    """Remove due timers, the earliest first, and return the deliveries that they become. Recurring ones are parked.

    Those of a held chat stay.

    Args:
        now: The time of the storage's clock. The timers are compared with that of the database's clock.
    """
    there = now + tx.ahead_s
    sql = f"""SELECT n, {COLUMNS} FROM timer
              WHERE due <= $1 AND NOT EXISTS (SELECT 1 FROM hold WHERE until > $1 AND {_HELD})
              ORDER BY due, n LIMIT $2 FOR UPDATE SKIP LOCKED"""
    timers = {n: Timer(*row) for n, *row in await tx.fetch(sql, there, limit)}
    if not timers:
        return []
    if once := [n for n, timer in timers.items() if not timer.is_recurring]:
        await tx.run("DELETE FROM timer WHERE n = ANY($1)", once)
    if parked := [n for n, timer in timers.items() if timer.is_recurring]:
        await tx.run("UPDATE timer SET due = due + $1 WHERE n = ANY($2)", PARKED_S, parked)
    tx.changes.timers = True
    # The next tick is counted from the delivery, which is never older than its own tick: the timer was due `there`.
    return [timer.fired(there) for timer in timers.values()]


async def earliest(db: Readable) -> float | None:
    """Return when the earliest timer fires; None if there is none. Those of a held chat fire when the hold has ended."""
    # The first line reads one row by the index of `due`, however many timers there are.
    sql = f"""SELECT min(at) FROM (
                 SELECT * FROM (SELECT due AS at FROM timer WHERE due < $1 AND NOT EXISTS (SELECT 1 FROM hold WHERE {_HELD})
                                ORDER BY due LIMIT 1) AS free
                 UNION ALL
                 SELECT max(CASE WHEN due > until THEN due ELSE until END)
                 FROM hold JOIN timer ON {_HELD} WHERE due < $1 GROUP BY timer.n) AS found
              WHERE at < $1"""
    due = await db.value(sql, PARKED_S)
    return None if due is None else float(due)


async def scheduled(db: Readable, lane: str | None, limit: int) -> list[Timer]:
    which, values = where(("due < $", PARKED_S), ("lane = $", lane), first=2)
    return await _timers(db, f"{which} ORDER BY due, n LIMIT $1", limit, *values)


async def find(db: Readable, timer_id: str) -> Timer | None:
    found = await _timers(db, "WHERE id = $1", timer_id)
    return found[0] if found else None


async def recurring(db: Readable, kind: str, lane: str | None) -> list[Timer]:
    which, values = where(("kind = $", kind), ("lane = $", lane))
    return await _timers(db, f"{which} ORDER BY n", *values)


async def _timers(db: Readable, which: str, *values: object) -> list[Timer]:
    sql = f"SELECT {COLUMNS} FROM timer {which}"
    found = [Timer(*row) for row in await db.fetch(sql, *values)]
    return [timer if timer.is_recurring else replace(timer, due=timer.due - db.ahead_s) for timer in found]
