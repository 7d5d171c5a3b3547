"""Queries for operators and turns, over a connection that may not write."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.sqlite.statements import among
from linqbot.storage.upkeep import Selection, Waiting

DELIVERY = "id, lane, type, body, received_at, message_key, carrier"
_KEYS = ("id", "message_key")
_DEAD = f"SELECT {DELIVERY}, error, handler, attempts, crashes, dead_lettered_at, replay FROM dead"  # noqa: S608 - constant text
_KEPT_IN = ("done", "dead")


def seen(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, bool]:
    """Return the known ids and message keys; see `Inbox.seen`."""
    found: dict[str, bool] = {}
    for column in _KEYS:
        sql = f"""SELECT {column}, NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = seen.seq)
                  FROM seen WHERE {column} IN (*)"""  # noqa: S608 - constant text
        found |= {key: bool(has_left) for key, has_left in among(db, sql, keys)}
    return found


def waiting(
    db: sqlite3.Connection, now: float, *, delivery_id: str | None, lane: str | None, event_type: str | None, limit: int
) -> list[Waiting]:
    """Return the deliveries in the inbox, in order; see `Upkeep.waiting`."""
    where, values = _where(("id = ?", delivery_id), ("lane = ?", lane), ("type = ?", event_type))
    sql = f"""SELECT id, lane, type, received_at,
                  CASE WHEN leased THEN 'leased' WHEN not_before > ? THEN waits ELSE 'ready' END,
                  attempts, crashes, nullif(not_before, 0), error, replay
              FROM delivery {where} ORDER BY seq LIMIT ?"""  # noqa: S608 - constant text
    return [Waiting(*row) for row in db.execute(sql, (now, *values, limit))]


def oldest_and_dead(db: sqlite3.Connection) -> tuple[float | None, int]:
    """Return when the oldest delivery of the inbox was received, and the number of dead letters."""
    sql = "SELECT (SELECT received_at FROM delivery ORDER BY seq LIMIT 1), (SELECT count(*) FROM dead)"
    oldest_at, dead = db.execute(sql).fetchone()
    return oldest_at, dead


def dead_letters(
    db: sqlite3.Connection,
    *,
    delivery_id: str | None = None,
    lane: str | None = None,
    event_type: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int = 1,
) -> list[DeadDelivery]:
    """Return the dead letters, newest first."""
    where, values = _where(
        ("id = ?", delivery_id),
        ("lane = ?", lane),
        ("type = ?", event_type),
        ("dead_lettered_at >= ?", since),
        ("dead_lettered_at < ?", until),
    )
    rows = db.execute(f"{_DEAD} {where} ORDER BY n DESC LIMIT ?", (*values, limit))
    return [DeadDelivery(Delivery(*row[:7]), *row[7:]) for row in rows]


def delivery(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """Return a delivery with its body; see `Upkeep.delivery`."""
    inbox = f"SELECT {DELIVERY} FROM delivery JOIN body USING (seq) WHERE id = ?"  # noqa: S608 - constant text
    row = db.execute(inbox, (delivery_id,)).fetchone()
    return Delivery(*row) if row else next(iter(page(db, [delivery_id])), None)


def replayable(db: sqlite3.Connection, selection: Selection, *, dead_only: bool) -> list[str]:
    """Return the ids that can be replayed, in the order of acceptance."""
    where, values = _where(
        ("received_at >= ?", selection.since),
        ("received_at < ?", selection.until),
        ("type = ?", selection.type),
        ("lane = ?", selection.lane),
    )
    found: set[tuple[float, int, str]] = set()
    for table in ("dead",) if dead_only else _KEPT_IN:
        sql = f"SELECT received_at, n, id FROM {table} {where}"  # noqa: S608 - constant text
        if selection.ids is None:
            found.update(db.execute(sql, values))
        else:
            found.update(among(db, f"{sql} {'AND' if where else 'WHERE'} id IN (*)", selection.ids, *values))
    return list(dict.fromkeys(delivery_id for _, _, delivery_id in sorted(found)))


def page(db: sqlite3.Connection, ids: Sequence[str]) -> list[Delivery]:
    """Return the deliveries of these ids that are kept, in this order. A dead letter wins over an acked delivery."""
    found: dict[str, Delivery] = {}
    for table in _KEPT_IN:
        rows = among(db, f"SELECT {DELIVERY} FROM {table} WHERE id IN (*)", ids)  # noqa: S608 - constant text
        found.update((row[0], Delivery(*row)) for row in rows)
    return [found[delivery_id] for delivery_id in ids if delivery_id in found]


def _where(*conditions: tuple[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return a WHERE clause of the conditions that have a value, and these values."""
    given = [(condition, value) for condition, value in conditions if value is not None]
    return ("WHERE " if given else "") + " AND ".join(c for c, _ in given), tuple(v for _, v in given)
