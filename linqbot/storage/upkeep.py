"""Upkeep: what operators list, retry, replay, delete and back up: what waits, what is dead, and what is kept for replays.

The table `meta` holds facts about the storage itself. The handling of an event uses only the purge, and notes the time of the
last webhook. A command may call all of them in its own process while the server runs;
the server notices the changes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from linqbot.error_details import ErrorDetails, read_error
from linqbot.errors import ConfigError
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import acts, conversation_table, decisions, facts, hold_table, journal, outcomes, people
from linqbot.storage.acts import By
from linqbot.storage.dialect import Readable, Writable, where
from linqbot.storage.inbox import SEEN_KEPT_S, SOON_S, DeadDelivery
from linqbot.storage.op_queue import LaneTransaction

T = TypeVar("T")

WaitingState: TypeAlias = Literal["ready", "leased", "gathering", "retrying", "deferred"]

Progress: TypeAlias = Callable[[int, int], None]
"""A callback with the work done and the total work. It is called from time to time, from another thread."""


class Waiting(NamedTuple):
    id: str
    lane: str
    type: str
    received_at: float
    # `leased` while a turn runs. Until `not_before`: `retrying` after an error of the handler, `deferred` after an
    # error that is not the handler's, `gathering` while more messages may join it. Otherwise `ready`, also behind other
    # deliveries of the lane.
    state: WaitingState
    attempts: int  # see `Lease`, also for crashes and replay
    crashes: int
    not_before: float | None  # Unix seconds; None if it never failed and was never deferred
    error: str | None  # the reason for the last retry or deferral; it quotes no text of a person
    replay: int = 0
    details: ErrorDetails | None = None  # see `DeadLetter`


@dataclass(frozen=True, slots=True)
class InboxCounts:
    """Counts of what is stored, found without reading bodies."""

    waiting: int  # number of deliveries in the inbox, including those that are being handled
    oldest_at: float | None  # Unix time at which the oldest of them was received; None if there is none
    dead: int  # number of dead letters


class Selection(NamedTuple):
    """A selection of deliveries: those that match every field. None matches any value.

    Attributes:
        since, until: Unix seconds of the time of acceptance; `until` is excluded.
    """

    ids: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    type: str | None = None
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """All that is kept of a person: rows by table, in the columns of `contents.TABLES`, and the known direct chats."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    chats: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        return +Counter({table: len(found) for table, found in self.rows.items()})


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The counts of what was erased about a person."""

    rows: Counter[str] = field(default_factory=Counter)  # number of rows by table
    # Ids of deliveries that are being handled now, or wait for another person's answer. They stay until their turns end,
    # with their journal entries and whatever these turns store. Call `forget` again then, with `chats`.
    left: tuple[str, ...] = ()
    chats: tuple[str, ...] = ()  # ids of the direct chats with the person that are known now
    # True if the bytes have left the SQLite file too; in PostgreSQL, if their space was freed, so that the server may
    # overwrite it. False if copies may be left in the free space of an SQLite file, which is large, was busy, or whose
    # disk has no room for a copy: `Storage.wipe` with `whole` removes them.
    wiped: bool = True

    def __add__(self, later: Forgotten) -> Forgotten:
        """Return the sum of the counts, with `left` and `wiped` of the later call."""
        return replace(later, rows=self.rows + later.rows, chats=tuple(sorted({*self.chats, *later.chats})))


COPYING: Final = "copying"
"""The key under which an unfinished copy names its source."""

UNWIPED: Final = "unwiped"
"""The key that is there while bytes of purged text are left on the disk."""

DELIVERY = "id, lane, type, body, received_at, message_key, carrier"
"""The columns of a `Delivery`, in the order of its fields."""

CHECK: Final = "check"
"""The key of the bytes without a meaning by which a process finds out if deliveries can be stored."""

TROUBLES: Final = "troubles"
"""The key of the open troubles and of what the owner knows about them; see `server/troubles.py`."""

_KEPT_IN = ("done", "dead")
_PURGE_EVERY_S = 60.0
_PURGE_ROWS = 200
_FILL_EVERY_S = 1.0
FILLED_ROWS = 100
"""Rows that are added at once to the index of people: some milliseconds of work."""


async def waiting(db: Readable, now: float, limit: int, *conditions: tuple[str, object]) -> list[Waiting]:
    which, values = where(*conditions, first=3)
    sql = f"""SELECT id, lane, type, received_at,
                  CASE WHEN {db.is_leased} THEN 'leased' WHEN not_before > $1 THEN waits ELSE 'ready' END,
                  attempts, crashes, nullif(not_before, 0), error, replay
              FROM delivery {which} ORDER BY seq LIMIT $2"""
    found = []
    for *columns, error, replay in await db.fetch(sql, now, limit, *values):
        said, details = (None, None) if error is None else read_error(error)
        found.append(Waiting._make((*columns, said, replay, details)))
    return found


async def oldest_and_dead(db: Readable) -> tuple[float | None, int]:
    sql = "SELECT (SELECT received_at FROM delivery ORDER BY seq LIMIT 1), (SELECT count(*) FROM dead)"
    ((oldest_at, dead),) = await db.fetch(sql)
    return oldest_at, dead


async def oldest_webhooks(db: Readable, limit: int) -> list[float]:
    """See `Storage.oldest_webhooks`. Reads the first rows only, past those that are no webhooks or were put back."""
    sql = "SELECT received_at FROM delivery WHERE id LIKE 'w.%' AND NOT put_back ORDER BY seq LIMIT $1"
    return sorted(at for (at,) in await db.fetch(sql, limit))


async def given_up(db: Readable, since: float, limit: int) -> int:
    """See `Storage.given_up`. Reads the newest rows only: they are in the order in which they were given up."""
    sql = """SELECT count(*) FROM (SELECT dead_lettered_at FROM dead ORDER BY n DESC LIMIT $2) AS newest
             WHERE dead_lettered_at >= $1"""
    return int(await db.value(sql, since, limit))


async def dead_letters(db: Readable, limit: int, *conditions: tuple[str, object]) -> list[DeadDelivery]:
    which, values = where(*conditions, first=2)
    sql = f"""SELECT {DELIVERY}, error, handler, attempts, crashes, dead_lettered_at, replay
              FROM dead {which} ORDER BY n DESC LIMIT $1"""
    found = []
    for *columns, error, handler, attempts, crashes, at, replay in await db.fetch(sql, limit, *values):
        said, details = read_error(error)
        found.append(DeadDelivery(Delivery(*columns), said, handler, attempts, crashes, at, replay, details))
    return found


async def find(db: Readable, delivery_id: str) -> Delivery | None:
    sql = f"SELECT {DELIVERY} FROM delivery JOIN body USING (seq) WHERE id = $1"
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
        rows = await db.fetch(f"SELECT received_at, n, id FROM {table} {which}", *values)
        found.update((received_at, n, one) for received_at, n, one in rows)
    return list(dict.fromkeys(one for _, _, one in sorted(found)))


async def page(db: Readable, ids: Sequence[str]) -> list[Delivery]:
    """Return the deliveries of these ids that are kept, in this order. A dead letter wins over an acked delivery."""
    found: dict[str, Delivery] = {}
    for table in _KEPT_IN:
        rows = await db.fetch(f"SELECT {DELIVERY} FROM {table} WHERE id = ANY($1)", ids)
        found.update((row[0], Delivery(*row)) for row in rows)
    return [found[one] for one in ids if one in found]


async def put_in_order(tx: Writable, seqs: Sequence[int], tables: Sequence[str]) -> dict[int, int]:
    """Number the deliveries of a lane in the order in which they were sent, and return the new numbers by the old ones.

    Leased deliveries, those that wait for a time, and those whose turns have journal entries keep their numbers.
    """
    sql = f"""SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq)
              WHERE NOT ({tx.is_leased}) AND coalesce(waits, 'gathering') = 'gathering'
                  AND NOT EXISTS (SELECT 1 FROM journal WHERE turn = delivery.id) AND seq = ANY($1)"""
    rows = sorted((seq, Delivery(*row).sent_at) for seq, *row in await tx.fetch(sql, seqs))
    sent = sorted(rows, key=lambda row: (row[1], row[0]))
    numbers = {old: new for (old, _), (new, _) in zip(sent, rows, strict=True) if old != new}
    for table in tables if numbers else ():
        # In two steps: a number is free only after the row that had it got another one.
        await tx.run_each(f"UPDATE {table} SET seq = -$2::bigint WHERE seq = $1", list(numbers.items()))
        await tx.run(f"UPDATE {table} SET seq = -seq WHERE seq = ANY($1)", [-new for new in numbers.values()])
    return numbers


async def put_back(
    tx: LaneTransaction, ids: Sequence[str], places: Sequence[str], *, again: bool, by: By | None = None
) -> int:
    """Move kept deliveries to the tails of their lanes, in this order, and return their number.

    Those that wait in the inbox are left out. Of `places`, the tables from which they are removed, the first that holds
    an id is used.

    Args:
        again: True for a new replay: its number rises, and no run of it has been made.
        by: The operator, for the log.
    """
    moved = await _take_kept(tx, ids, places, again=again)
    targets = [acts.of_lane(delivery.id, delivery.lane) for delivery, _, _ in moved]
    return await acts.noting(tx, put_again(tx, moved), by, "replay" if again else "retry", *targets)


async def put_again(tx: LaneTransaction, moved: Sequence[tuple[Delivery, int, int]]) -> int:
    """Put deliveries that have left the inbox, with `replay` and `delivery_count`, back to the tails of their lanes."""
    if not moved:
        return 0
    seqs = await tx.number([delivery for delivery, _, _ in moved])
    columns = "seq, id, lane, type, message_key, carrier, received_at, put_back, replay, delivery_count"
    rows = [
        (seq, d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, True, replay, count)
        for seq, (d, replay, count) in zip(seqs, moved, strict=True)
    ]
    await tx.insert(f"delivery ({columns})", rows)
    bodies = [(seq, d.body) for seq, (d, *_) in zip(seqs, moved, strict=True)]
    await tx.insert("body (seq, body)", bodies, off_the_record=[d.is_off_the_record for d, *_ in moved])
    return len(moved)


async def _take_kept(
    tx: Writable, ids: Sequence[str], places: Sequence[str], *, again: bool
) -> list[tuple[Delivery, int, int]]:
    """Remove kept deliveries. Return each with its `replay` and its `delivery_count` from now on."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, tuple[Delivery, int, int]] = {}
    for table in reversed(places):
        count = "delivery_count" if table == "dead" else "0"
        sql = f"SELECT {DELIVERY}, replay, {count} FROM {table} WHERE id = ANY($1) FOR UPDATE"
        for *columns, replay, delivery_count in await tx.fetch(sql, wanted):
            delivery = Delivery(*columns)
            found[delivery.id] = delivery, replay + again, 0 if again else delivery_count
    waits = {one for (one,) in await tx.fetch("SELECT id FROM delivery WHERE id = ANY($1)", list(found))}
    taken = [one for one in wanted if one in found and one not in waits]
    for table in places:
        await tx.run(f"DELETE FROM {table} WHERE id = ANY($1)", taken)
    return [found[one] for one in taken]


async def purge(tx: LaneTransaction, outcomes_s: float) -> None:
    """Delete old rows, a few at a time, in the transaction of other operations."""
    old = "SELECT n FROM done WHERE acked_at < $1 ORDER BY acked_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    if done := [n for (n,) in await tx.fetch(old, tx.now - tx.keep_s, _PURGE_ROWS)]:
        await tx.run("DELETE FROM done WHERE n = ANY($1)", done)
    # A clock that is ahead would delete what it still needs when it is right again. It accepts no webhook meanwhile.
    heard_at = float(await facts.read(tx, "active_at") or tx.now)
    seen = await tx.run(tx.old_ids, min(heard_at, tx.now) - SEEN_KEPT_S - SOON_S, _PURGE_ROWS)
    entries = await journal.purge(tx, _PURGE_ROWS, max(tx.keep_s, outcomes_s))
    ended = await outcomes.purge(tx, outcomes_s, _PURGE_ROWS)
    await conversation_table.purge(tx)
    await hold_table.purge(tx)
    await decisions.purge(tx)
    await people.purge(tx)
    if max(len(done), seen, entries, ended) < _PURGE_ROWS:
        tx.changes.purge_at = tx.now + _PURGE_EVERY_S


async def fill_index(tx: LaneTransaction) -> None:
    """Add a few rows of a storage of an older linqbot to the index of people, in the transaction of other operations."""
    is_left = await people.fill(tx, FILLED_ROWS, is_found=journal.is_found_by_lane(tx))
    tx.changes.fill_at = tx.now + (_FILL_EVERY_S if is_left else math.inf)


async def purge_dead(tx: Writable, before: float, limit: int) -> int:
    """Delete old dead letters, and the texts in their journal entries; see `Storage.purge`. Return their number."""
    sql = "SELECT id FROM dead WHERE dead_lettered_at < $1 ORDER BY dead_lettered_at LIMIT $2 FOR UPDATE"
    if ids := [one for (one,) in await tx.fetch(sql, before, limit)]:
        await tx.run("DELETE FROM dead WHERE id = ANY($1)", ids)
        await journal.end(tx, ids)
        await journal.forget_texts(tx, ids)
        await facts.write(tx, UNWIPED, "1")
    return len(ids)


async def old_dead_letters(db: Readable, before: float) -> int:
    return int(await db.value("SELECT count(*) FROM dead WHERE dead_lettered_at < $1", before))


async def note_activity(tx: Writable, at: float, noted_at: float, *, after_s: float) -> None:
    """Store when a webhook was last accepted, if that is at least `after_s` later than the time that is known to be stored.

    Seldom, because each time costs a page of a file, and processes would wait for each other to write this row.
    """
    if at <= noted_at or at < noted_at + after_s:
        return
    # Another process may have stored a later time.
    sql = """INSERT INTO meta (key, value) VALUES ('active_at', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE CAST(excluded.value AS double precision) > CAST(meta.value AS double precision)"""
    await tx.run(sql, repr(at))
    await tx.run("INSERT INTO meta (key, value) VALUES ('first_active_at', $1) ON CONFLICT (key) DO NOTHING", repr(at))
    tx.changes.noted_at = at


async def last_activity(db: Readable) -> float | None:
    """Return when the newest webhook was accepted, as far as it is stored; None if none was."""
    sql = """SELECT max(at) FROM (SELECT CAST(value AS double precision) AS at FROM meta WHERE key = 'active_at'
                                  UNION ALL SELECT * FROM (SELECT received_at FROM delivery WHERE id LIKE 'w.%'
                                                            ORDER BY seq DESC LIMIT 1) AS newest) AS known"""
    newest: float | None = await db.value(sql)
    return newest


async def refusal(db: Readable) -> str | None:
    """Return the reason why the storage cannot be used, as sentences; None if no copy into it was interrupted."""
    mark = await facts.read(db, COPYING)
    return mark and (
        f"was to hold a copy of {json.loads(mark)['source']}, which was interrupted. Run linqbot storage copy again."
    )


async def refuse_unfinished(db: Readable, name: str) -> None:
    """Raise ConfigError if the storage, which the message names, was to hold a copy that was interrupted."""
    if (reason := await refusal(db)) is not None:
        raise ConfigError(f"{name} {reason}")
