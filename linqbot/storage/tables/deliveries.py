"""The SQL of operators about deliveries: those that wait, those that are dead, and those that are kept for replays."""

from __future__ import annotations

from collections.abc import Sequence

from linqbot.events.delivery import Delivery
from linqbot.storage.dialect import Readable, Writable, where
from linqbot.storage.inbox import SEEN_KEPT_S, SOON_S, DeadDelivery
from linqbot.storage.tables import conversations, journal
from linqbot.storage.upkeep import Selection, Waiting

DELIVERY = "id, lane, type, body, received_at, message_key, carrier"
"""The columns of a `Delivery`, in the order of its fields."""

_KEPT_IN = ("done", "dead")
_PURGE_EVERY_S = 60.0
_PURGE_ROWS = 200


async def waiting(
    db: Readable, now: float, *, delivery_id: str | None, lane: str | None, event_type: str | None, limit: int
) -> list[Waiting]:
    """Return the deliveries in the inbox, in order; see `Upkeep.waiting`."""
    which, values = where(("id = $", delivery_id), ("lane = $", lane), ("type = $", event_type), first=3)
    sql = f"""SELECT id, lane, type, received_at,
                  CASE WHEN {db.is_leased} THEN 'leased' WHEN not_before > $1 THEN waits ELSE 'ready' END,
                  attempts, crashes, nullif(not_before, 0), error, replay
              FROM delivery {which} ORDER BY seq LIMIT $2"""  # noqa: S608 - constant text
    return [Waiting(*row) for row in await db.fetch(sql, now, limit, *values)]


async def oldest_and_dead(db: Readable) -> tuple[float | None, int]:
    """Return when the oldest delivery of the inbox was received, and the number of dead letters."""
    sql = "SELECT (SELECT received_at FROM delivery ORDER BY seq LIMIT 1), (SELECT count(*) FROM dead)"
    ((oldest_at, dead),) = await db.fetch(sql)
    return oldest_at, dead


async def dead_letters(
    db: Readable,
    *,
    delivery_id: str | None = None,
    lane: str | None = None,
    event_type: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 1,
) -> list[DeadDelivery]:
    """Return the dead letters, newest first."""
    which, values = where(
        ("id = $", delivery_id),
        ("lane = $", lane),
        ("type = $", event_type),
        ("dead_lettered_at >= $", since),
        ("dead_lettered_at < $", until),
        first=2,
    )
    sql = f"""SELECT {DELIVERY}, error, handler, attempts, crashes, dead_lettered_at, replay
              FROM dead {which} ORDER BY n DESC LIMIT $1"""  # noqa: S608 - constant text
    return [DeadDelivery(Delivery(*row[:7]), *row[7:]) for row in await db.fetch(sql, limit, *values)]


async def find(db: Readable, delivery_id: str) -> Delivery | None:
    """Return a delivery with its body; see `Upkeep.delivery`."""
    sql = f"SELECT {DELIVERY} FROM delivery JOIN body USING (seq) WHERE id = $1"  # noqa: S608 - constant text
    rows = await db.fetch(sql, delivery_id)
    return Delivery(*rows[0]) if rows else next(iter(await page(db, [delivery_id])), None)


async def replayable(db: Readable, selection: Selection, *, dead_only: bool) -> list[str]:
    """Return the ids that can be replayed, in the order of acceptance."""
    which, values = where(
        ("received_at >= $", selection.since),
        ("received_at < $", selection.until),
        ("type = $", selection.type),
        ("lane = $", selection.lane),
        ("id = ANY($)", selection.ids),
    )
    found: set[tuple[float, int, str]] = set()
    for table in ("dead",) if dead_only else _KEPT_IN:
        rows = await db.fetch(f"SELECT received_at, n, id FROM {table} {which}", *values)  # noqa: S608 - constant text
        found.update((received_at, n, one) for received_at, n, one in rows)
    return list(dict.fromkeys(one for _, _, one in sorted(found)))


async def page(db: Readable, ids: Sequence[str]) -> list[Delivery]:
    """Return the deliveries of these ids that are kept, in this order. A dead letter wins over an acked delivery."""
    found: dict[str, Delivery] = {}
    for table in _KEPT_IN:
        rows = await db.fetch(f"SELECT {DELIVERY} FROM {table} WHERE id = ANY($1)", ids)  # noqa: S608 - constant text
        found.update((row[0], Delivery(*row)) for row in rows)
    return [found[one] for one in ids if one in found]


async def in_order(tx: Writable, seqs: Sequence[int]) -> dict[int, int]:
    """Return new numbers by the old ones, so that deliveries of a lane are in the order in which they were sent.

    Leased deliveries, those that wait for a time, and those whose turns have journal entries keep their numbers.
    """
    sql = f"""SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq)
              WHERE NOT ({tx.is_leased}) AND coalesce(waits, 'gathering') = 'gathering'
                  AND NOT EXISTS (SELECT 1 FROM journal WHERE turn = delivery.id) AND seq = ANY($1)"""  # noqa: S608
    rows = sorted((seq, Delivery(*row).sent_at) for seq, *row in await tx.fetch(sql, seqs))
    sent = sorted(rows, key=lambda row: (row[1], row[0]))
    return {old: new for (old, _), (new, _) in zip(sent, rows, strict=True) if old != new}


async def take_kept(
    tx: Writable, ids: Sequence[str], places: Sequence[str], *, again: bool
) -> list[tuple[Delivery, int, int]]:
    """Remove kept deliveries, in this order, unless they wait in the inbox.

    Args:
        places: The tables from which they are removed; the first that holds an id is used.
        again: True for a new replay: its number rises, and no run of it has been made.
    Returns:
        Each with its `replay` and its `delivery_count` from now on.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, tuple[Delivery, int, int]] = {}
    for table in reversed(places):
        count = "delivery_count" if table == "dead" else "0"
        sql = f"SELECT {DELIVERY}, replay, {count} FROM {table} WHERE id = ANY($1) FOR UPDATE"  # noqa: S608 - constant text
        for *columns, replay, delivery_count in await tx.fetch(sql, wanted):
            delivery = Delivery(*columns)
            found[delivery.id] = delivery, replay + again, 0 if again else delivery_count
    waits = {one for (one,) in await tx.fetch("SELECT id FROM delivery WHERE id = ANY($1)", list(found))}
    taken = [one for one in wanted if one in found and one not in waits]
    for table in places:
        await tx.run(f"DELETE FROM {table} WHERE id = ANY($1)", taken)  # noqa: S608 - constant text
    return [found[one] for one in taken]


async def purge(tx: Writable, known: str) -> None:
    """Delete old rows, a few at a time, in the transaction of other operations.

    Args:
        known: The SQL that deletes the ids of deliveries that left the inbox before a time, at most a number of them.
    """
    old = "SELECT n FROM done WHERE acked_at < $1 ORDER BY acked_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    if done := [n for (n,) in await tx.fetch(old, tx.now - tx.keep_s, _PURGE_ROWS)]:
        await tx.run("DELETE FROM done WHERE n = ANY($1)", done)
    seen = await tx.run(known, tx.now - SEEN_KEPT_S - SOON_S, _PURGE_ROWS)
    entries = await journal.purge(tx, _PURGE_ROWS)
    await conversations.purge(tx)
    if max(len(done), seen, entries) < _PURGE_ROWS:
        tx.changes.purge_at = tx.now + _PURGE_EVERY_S
