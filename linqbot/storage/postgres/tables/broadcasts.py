"""The SQL of broadcasts, run inside a transaction of the writer.

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
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.transaction import Transaction
from linqbot.types.proactive import Broadcast, BroadcastStatus, Recipient, RecipientOutcome

_FACTS = "n, status, name, line, per_minute, content, created_at, off_the_record, lane"


async def start(tx: Transaction, new: NewBroadcast, people: Sequence[str]) -> bool:
    """Store a broadcast; see `Broadcasts.start_broadcast`."""
    n = await tx.value(
        """INSERT INTO broadcast (name, line, status, per_minute, created_at, off_the_record, lane, content)
           VALUES ($1, $2, 'running', $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING n""",
        new.name,
        new.line,
        new.per_minute,
        new.created_at,
        new.off_the_record,
        new.lane,
        new.content,
    )
    if n is None:
        return False
    await tx.run(
        """INSERT INTO recipient (broadcast, n, handle, outcome)
           SELECT $1, u.n, u.handle, 'pending' FROM unnest($2::text[]) WITH ORDINALITY AS u (handle, n)""",
        n,
        list(people),
    )
    tx.changes.broadcasts = True
    return True


async def order(tx: Transaction, name: str, order: Order) -> bool:
    """Pause, resume or cancel a broadcast; see `Broadcasts.order_broadcast`."""
    allowed, status = ALLOWED[order]
    await _lock(tx)
    rows = await tx.fetch("SELECT n, status FROM broadcast WHERE name = $1 AND ended_at IS NULL", name)
    if not rows or rows[0]["status"] not in allowed:
        return False
    n = rows[0]["n"]
    await tx.run("UPDATE broadcast SET status = $1 WHERE n = $2", status, n)
    if order == "cancel":
        sql = "UPDATE recipient SET outcome = 'cancelled', at = $1 WHERE broadcast = $2 AND outcome = 'pending'"
        await tx.run(sql, tx.now, n)
    tx.changes.broadcasts = True
    return True


async def update(tx: Transaction, updates: Iterable[RecipientUpdate]) -> None:
    """Store the outcomes of people."""
    for each in updates:
        await tx.run(
            """UPDATE recipient SET outcome = $1, reason = $2, at = $3
               WHERE broadcast = (SELECT n FROM broadcast WHERE name = $4) AND n = $5""",
            each.outcome,
            None if each.reason is None else each.reason.replace("\0", "\ufffd"),
            tx.now,
            each.broadcast,
            each.n,
        )
        tx.changes.broadcasts = True


async def advance(tx: Transaction, now: float) -> list[Delivery]:
    """Carry out the steps that are due, and return the deliveries to store; see `Broadcasts.advance_broadcasts`."""
    await _lock(tx)
    due: list[Delivery] = []
    for step in await _steps(tx.connection, now + tx.ahead_s):
        if step.at <= now + tx.ahead_s:
            sql = f"SELECT {_FACTS} FROM broadcast WHERE name = $1"  # noqa: S608 - constant text
            n, status, new = _read((await tx.fetch(sql, step.broadcast))[0])
            due.append(await (_end(tx, n, status, new, now) if step.what == "end" else _send(tx, n, new, now)))
    tx.changes.broadcasts |= bool(due)
    return due


async def next_at(connection: Connection, now: float) -> float | None:
    """Return when the next step is due; None if there is none. Both times are on the clock of the database."""
    return earliest(await _steps(connection, now))


async def find(connection: Connection, name: str) -> Broadcast | None:
    """Return a broadcast with its counts; None if none of this name is stored."""
    row = await connection.fetchrow(f"SELECT {_FACTS} FROM broadcast WHERE name = $1", name)  # noqa: S608 - constant text
    return None if row is None else await _report(connection, *_read(row))


async def newest(connection: Connection, limit: int) -> list[Broadcast]:
    """Return the broadcasts with their counts, the newest first."""
    sql = f"SELECT {_FACTS} FROM broadcast ORDER BY n DESC LIMIT $1"  # noqa: S608 - constant text
    return [await _report(connection, *_read(row)) for row in await connection.fetch(sql, limit)]


async def recipients(
    connection: Connection, name: str, outcome: RecipientOutcome | None, after: int, limit: int
) -> list[Recipient]:
    """Return rows of a broadcast; see `Broadcasts.recipients`."""
    sql = """SELECT n, handle, outcome, reason, at FROM recipient
             WHERE broadcast = (SELECT n FROM broadcast WHERE name = $1) AND n > $2
                 AND ($3::text IS NULL OR outcome = $3) ORDER BY n LIMIT $4"""
    return [
        Recipient(n, handle, found, reason, None if at is None else datetime.fromtimestamp(at, UTC))
        for n, handle, found, reason, at in await connection.fetch(sql, name, after, outcome, limit)
    ]


async def forget(tx: Transaction, handle: str) -> int:
    """Delete the rows of a person, and return their number."""
    await _lock(tx)
    gone = await tx.run("DELETE FROM recipient WHERE lower(handle) = lower($1)", handle)
    tx.changes.broadcasts |= gone > 0
    return gone


async def _lock(tx: Transaction) -> None:
    await tx.lock(["broadcasts"])


async def _steps(connection: Connection, now: float) -> list[BroadcastStep]:
    sql = """SELECT name, line, status, next_at, ended_at IS NOT NULL,
                 EXISTS (SELECT FROM recipient WHERE broadcast = broadcast.n AND outcome = 'pending'),
                 (SELECT count(*) FROM recipient WHERE broadcast = broadcast.n AND outcome = 'under_way')
             FROM broadcast
             WHERE ended_at IS NULL OR next_at > $1 ORDER BY n"""
    return steps([OpenBroadcast(*row) for row in await connection.fetch(sql, now)])


def _read(row: Any) -> tuple[int, BroadcastStatus, NewBroadcast]:
    n, status, *facts = row
    return n, status, NewBroadcast(*facts)


async def _report(connection: Connection, n: int, status: BroadcastStatus, new: NewBroadcast) -> Broadcast:
    sql = "SELECT outcome, count(*) FROM recipient WHERE broadcast = $1 GROUP BY outcome"
    return counted(new.stored(status), {row[0]: row[1] for row in await connection.fetch(sql, n)})


async def _end(tx: Transaction, n: int, status: BroadcastStatus, new: NewBroadcast, now: float) -> Delivery:
    status = "cancelled" if status == "cancelled" else "done"
    await tx.run(
        "UPDATE broadcast SET ended_at = $1, content = '', lane = '', status = $2 WHERE n = $3", now, status, n
    )
    return done_delivery(await _report(tx.connection, n, status, new), new.lane, now)


async def _send(tx: Transaction, n: int, new: NewBroadcast, now: float) -> Delivery:
    sql = "SELECT n, handle FROM recipient WHERE broadcast = $1 AND outcome = 'pending' ORDER BY n LIMIT 1"
    person, handle = (await tx.fetch(sql, n))[0]
    sql = "UPDATE recipient SET outcome = 'under_way', at = $1 WHERE broadcast = $2 AND n = $3"
    await tx.run(sql, now, n, person)
    await tx.run("UPDATE broadcast SET next_at = $1 WHERE n = $2", now + tx.ahead_s + 60.0 / new.per_minute, n)
    return new.delivery(person, handle, now)
