"""The SQL of broadcasts.

One process at a time carries out steps, because a step depends on all broadcasts of its line. `next_at` is on the clock of
the database.
"""

from __future__ import annotations

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
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.operations import AdvanceOp
from linqbot.types.proactive import Broadcast, BroadcastStatus, Recipient, RecipientOutcome

_FACTS = "n, status, name, line, per_minute, content, created_at, off_the_record, lane"
_STORED = "status, name, line, per_minute, content, created_at, off_the_record, lane"


async def start(tx: Writable, new: NewBroadcast, people: Sequence[str]) -> bool:
    """Store a broadcast; see `Broadcasts.start_broadcast`."""
    facts = (new.name, new.line, new.per_minute, new.content, new.created_at, new.off_the_record, new.lane)
    is_new = await tx.insert(
        f"broadcast ({_STORED})",
        [("running", *facts)],
        "ON CONFLICT (name) DO NOTHING",
        off_the_record=new.off_the_record,
    )
    if not is_new:
        return False
    broadcast = await tx.value("SELECT n FROM broadcast WHERE name = $1", new.name)
    rows = [(broadcast, n, handle, "pending") for n, handle in enumerate(people, 1)]
    await tx.insert("recipient (broadcast, n, handle, outcome)", rows)
    tx.changes.broadcasts = True
    return True


async def order(tx: Writable, name: str, order: Order) -> bool:
    """Pause, resume or cancel a broadcast; see `Broadcasts.order_broadcast`."""
    allowed, status = ALLOWED[order]
    await _lock(tx)
    rows = await tx.fetch("SELECT n, status FROM broadcast WHERE name = $1 AND ended_at IS NULL", name)
    if not rows or rows[0][1] not in allowed:
        return False
    n = rows[0][0]
    await tx.run("UPDATE broadcast SET status = $1 WHERE n = $2", status, n)
    if order == "cancel":
        sql = "UPDATE recipient SET outcome = 'cancelled', at = $1 WHERE broadcast = $2 AND outcome = 'pending'"
        await tx.run(sql, tx.now, n)
    tx.changes.broadcasts = True
    return True


async def update(tx: Writable, updates: Iterable[RecipientUpdate]) -> None:
    """Store the outcomes of people."""
    # PostgreSQL cannot hold U+0000.
    rows = [
        (each.outcome, each.reason and each.reason.replace("\0", "\ufffd"), tx.now, each.broadcast, each.n)
        for each in updates
    ]
    if rows:
        sql = """UPDATE recipient SET outcome = $1, reason = $2, at = $3
                 WHERE broadcast = (SELECT n FROM broadcast WHERE name = $4) AND n = $5"""
        await tx.run_each(sql, rows)
        tx.changes.broadcasts = True


async def advance(tx: Writable, op: AdvanceOp) -> list[Delivery]:
    """Carry out the steps that are due, and return the deliveries to store; see `Broadcasts.advance_broadcasts`."""
    await _lock(tx)
    due: list[Delivery] = []
    for step in await _steps(tx, op.now + tx.ahead_s):
        if step.at <= op.now + tx.ahead_s:
            sql = f"SELECT {_FACTS} FROM broadcast WHERE name = $1"  # noqa: S608 - constant text
            n, status, new = _read((await tx.fetch(sql, step.broadcast))[0])
            if step.what == "end":
                due.append(await _end(tx, n, status, new, op.now))
                op.leaves_text |= new.off_the_record
            else:
                due.append(await _send(tx, n, new, op.now))
    tx.changes.broadcasts |= bool(due)
    return due


async def next_at(db: Readable, now: float) -> float | None:
    """Return when the next step is due; None if there is none. Both times are on the clock of the database."""
    return earliest(await _steps(db, now))


async def find(db: Readable, name: str) -> Broadcast | None:
    """Return a broadcast with its counts; None if none of this name is stored."""
    rows = await db.fetch(f"SELECT {_FACTS} FROM broadcast WHERE name = $1", name)  # noqa: S608 - constant text
    return await _report(db, *_read(rows[0])) if rows else None


async def newest(db: Readable, limit: int) -> list[Broadcast]:
    """Return the broadcasts with their counts, the newest first."""
    sql = f"SELECT {_FACTS} FROM broadcast ORDER BY n DESC LIMIT $1"  # noqa: S608 - constant text
    return [await _report(db, *_read(row)) for row in await db.fetch(sql, limit)]


async def recipients(
    db: Readable, name: str, outcome: RecipientOutcome | None, after: int, limit: int
) -> list[Recipient]:
    """Return rows of a broadcast; see `Broadcasts.recipients`."""
    sql = """SELECT n, handle, outcome, reason, at FROM recipient
             WHERE broadcast = (SELECT n FROM broadcast WHERE name = $1) AND n > $2
                 AND ($3::text IS NULL OR outcome = $3) ORDER BY n LIMIT $4"""
    return [
        Recipient(n, handle, found, reason, None if at is None else datetime.fromtimestamp(at, UTC))
        for n, handle, found, reason, at in await db.fetch(sql, name, after, outcome, limit)
    ]


async def forget(tx: Writable, handle: str) -> int:
    """Delete the rows of a person, and return their number."""
    await _lock(tx)
    gone = await tx.run("DELETE FROM recipient WHERE lower(handle) = lower($1)", handle)
    tx.changes.broadcasts |= gone > 0
    return gone


async def _lock(tx: Writable) -> None:
    await tx.lock(["broadcasts"])


async def _steps(db: Readable, now: float) -> list[BroadcastStep]:
    sql = """SELECT name, line, status, next_at, ended_at IS NOT NULL,
                 EXISTS (SELECT 1 FROM recipient WHERE broadcast = broadcast.n AND outcome = 'pending'),
                 (SELECT count(*) FROM recipient WHERE broadcast = broadcast.n AND outcome = 'under_way')
             FROM broadcast
             WHERE ended_at IS NULL OR next_at > $1 ORDER BY n"""
    return steps(
        [
            OpenBroadcast(name, line, status, next_at, bool(has_ended), bool(has_pending), under_way)
            for name, line, status, next_at, has_ended, has_pending, under_way in await db.fetch(sql, now)
        ]
    )


def _read(row: Any) -> tuple[int, BroadcastStatus, NewBroadcast]:
    n, status, name, line, per_minute, content, created_at, off_the_record, lane = row
    return n, status, NewBroadcast(name, line, per_minute, content, created_at, bool(off_the_record), lane)


async def _report(db: Readable, n: int, status: BroadcastStatus, new: NewBroadcast) -> Broadcast:
    counts = await db.fetch("SELECT outcome, count(*) FROM recipient WHERE broadcast = $1 GROUP BY outcome", n)
    return counted(new.stored(status), dict(counts))


async def _end(tx: Writable, n: int, status: BroadcastStatus, new: NewBroadcast, now: float) -> Delivery:
    status = "cancelled" if status == "cancelled" else "done"
    sql = f"""UPDATE broadcast SET ended_at = $1, content = $2, lane = '', status = $3{tx.no_padding}
              WHERE n = $4"""  # noqa: S608 - constant text
    await tx.run(sql, now, b"", status, n)
    return done_delivery(await _report(tx, n, status, new), new.lane, now)


async def _send(tx: Writable, n: int, new: NewBroadcast, now: float) -> Delivery:
    sql = "SELECT n, handle FROM recipient WHERE broadcast = $1 AND outcome = 'pending' ORDER BY n LIMIT 1"
    person, handle = (await tx.fetch(sql, n))[0]
    sql = "UPDATE recipient SET outcome = 'under_way', at = $1 WHERE broadcast = $2 AND n = $3"
    await tx.run(sql, now, n, person)
    await tx.run("UPDATE broadcast SET next_at = $1 WHERE n = $2", now + tx.ahead_s + 60.0 / new.per_minute, n)
    return new.delivery(person, handle, now)
