"""The SQL that puts deliveries into their lanes, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from linqbot.errors import LaneFull
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import InboxLimits, keys_of, lease_over
from linqbot.storage.operations import AdvanceOp, FinishOp, FireOp, OrderOp, PutOp, PutReceiptOp
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.index import Reordered
from linqbot.storage.sqlite.statements import Transaction, among, insert
from linqbot.storage.tables import broadcasts, deliveries, journal, timers

_RENUMBER = (
    ("UPDATE delivery SET seq = -? WHERE seq = ?", "UPDATE delivery SET seq = ? WHERE seq = -?"),
    ("UPDATE body SET seq = -? WHERE seq = ?", "UPDATE body SET seq = ? WHERE seq = -?"),
    ("UPDATE seen SET seq = -? WHERE seq = ?", "UPDATE seen SET seq = ? WHERE seq = -?"),
)

_KEYS = ("id", "message_key")

Numbered: TypeAlias = tuple[tuple[int, Delivery], ...]
"""Deliveries with their sequence numbers, in order."""


def put(tx: Transaction, ops: Sequence[PutOp], limits: InboxLimits) -> None:
    """Store new deliveries, and set the result or the error of each operation; see `Inbox.put`."""
    if not ops:
        return
    numbered = tx.index.number([op.delivery for op in ops])
    fresh = _remember(tx, numbered)
    lanes = tx.index.lanes
    room = limits.limit - lanes.depth
    depths: dict[str, int] = {}
    new: list[tuple[int, Delivery]] = []
    duplicates: list[PutOp] = []
    refused: list[int] = []
    for op, (seq, delivery) in zip(ops, numbered, strict=True):
        lane = delivery.lane
        depth = depths[lane] if lane in depths else lanes.depth_of(lane)
        if seq not in fresh:
            duplicates.append(op)
        elif len(new) >= room:
            op.error = limits.full()
            refused.append(seq)
        elif depth >= limits.lane_limit:
            op.error = limits.lane_full(delivery)
            refused.append(seq)
        else:
            op.result = True
            depths[lane] = depth + 1
            new.append((seq, delivery))
    among(tx.db, "DELETE FROM seen WHERE seq IN (*)", refused)
    if duplicates:
        _answer_duplicates(tx, duplicates)
    _accept(tx, tuple(new), prefetch=True)


async def settle(tx: Transaction, ops: Sequence[PutReceiptOp]) -> None:
    """Store what new receipts report, and set the result of each operation."""
    numbered = tx.index.number([op.delivery for op in ops])
    fresh = _remember(tx, numbered)
    for op, (seq, _) in zip(ops, numbered, strict=True):
        op.result = seq in fresh
    await journal.receive(tx, [op.receipt for op in ops if op.result])
    _note_received(tx, [delivery for _, delivery in numbered])


def seen(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, bool]:
    """Return the known ids and message keys; see `Inbox.seen`."""
    found: dict[str, bool] = {}
    for column in _KEYS:
        sql = f"""SELECT {column}, NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = seen.seq)
                  FROM seen WHERE {column} IN (*)"""  # noqa: S608 - constant text
        found |= {key: bool(has_left) for key, has_left in among(db, sql, keys)}
    return found


def _answer_duplicates(tx: Transaction, ops: Sequence[PutOp]) -> None:
    """Set the results of deliveries whose id or message key is known. A copy of one that was refused is refused too."""
    known = seen(tx.db, [key for op in ops for key in keys_of(op.delivery)])
    for op in ops:
        if known.keys().isdisjoint(keys_of(op.delivery)):
            op.error = LaneFull(f"Another copy of {op.delivery.id} was refused at the same time.")
        else:
            op.result = False


def _remember(tx: Transaction, numbered: Numbered) -> set[int]:
    """Store the ids and message keys of deliveries. Return the numbers of those that were not known."""
    rows = [(seq, d.id, d.message_key, tx.now) for seq, d in numbered]
    before = tx.db.total_changes
    insert(tx.db, "seen (seq, id, message_key, at)", rows, "ON CONFLICT DO NOTHING")
    if tx.db.total_changes - before == len(rows):
        return {seq for seq, _ in numbered}
    stored = tx.db.execute("SELECT seq FROM seen WHERE seq >= ?", (numbered[0][0],))
    return {seq for (seq,) in stored}


def _new(tx: Transaction, deliveries: Sequence[Delivery]) -> Numbered:
    """Number deliveries and remember them. Return those that were not known."""
    numbered = tx.index.number(deliveries)
    fresh = _remember(tx, numbered)
    return tuple(one for one in numbered if one[0] in fresh)


def _accept(tx: Transaction, new: Numbered, *, prefetch: bool = False) -> None:
    """Store new deliveries at the tails of their lanes.

    Args:
        prefetch: True to store them as leased, as far as the last `take` had capacity for them.
    """
    if not new:
        return
    prefetched = tx.index.prefetchable(new) if prefetch else set()
    rows = [
        (seq, d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, leased, leased)
        for seq, d in new
        for leased in (int(seq in prefetched),)
    ]
    insert(tx.db, "delivery (seq, id, lane, type, message_key, carrier, received_at, leased, delivery_count)", rows)
    bodies = [(seq, file.padding(d.is_off_the_record), d.body) for seq, d in new]
    insert(tx.db, "body (seq, padding, body)", bodies)
    gathering = {head for _, d in new if (head := tx.index.lanes.gathering_head(d.lane)) is not None}
    if tx.changes.gathering:
        # The index does not know yet which lanes wait since an earlier operation of this batch.
        lanes = {d.lane for _, d in new}
        gathering |= {each.seq for each in tx.changes.gathering if each.lane in lanes}
    among(tx.db, "UPDATE delivery SET not_before = 0 WHERE seq IN (*)", gathering)
    tx.changes.accepted += new
    tx.changes.prefetched |= prefetched
    _note_received(tx, [delivery for _, delivery in new if not delivery.is_own])


def _note_received(tx: Transaction, webhooks: Sequence[Delivery]) -> None:
    tx.changes.received_at = max([*(d.received_at for d in webhooks), tx.changes.received_at or 0.0]) or None


async def put_in_order(tx: Transaction, op: OrderOp) -> None:
    """Store missed deliveries of a lane, and sort the lane; see `Inbox.put_in_order`."""
    given_back: tuple[int, int] | None = None
    if op.lease is not None:
        head = tx.index.lanes.leased_by(op.lease.token)
        if head is None:
            op.error = lease_over(op.lease)
            return
        if not op.keep:
            tx.db.execute("UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq = ?", (head,))
            given_back = head, op.lease.token
    new = _new(tx, op.missed)
    _accept(tx, new)
    op.result = len(new)
    # The index does not know yet which deliveries this batch stores in the lane.
    fresh = tx.db.execute("SELECT seq FROM delivery WHERE seq >= ? AND lane = ?", (tx.first_seq, op.lane))
    seqs = [*tx.index.lanes.waiting(op.lane), *(seq for (seq,) in fresh)]
    numbers = await deliveries.in_order(tx, seqs)
    for aside, back in _RENUMBER:
        # In two steps: a number is free only after the row that had it got another one.
        tx.db.executemany(aside, [(new, old) for old, new in numbers.items()])
        tx.db.executemany(back, [(new, new) for new in numbers.values()])
    tx.changes.orders += (Reordered(op.lane, given_back, numbers),)


async def fire(tx: Transaction, ops: Sequence[FireOp]) -> None:
    """Move due timers into their lanes; see `Timers.fire`."""
    for op in ops:
        due = await timers.take_due(tx, op.now, op.limit)
        # Backlog limits do not apply: Linq does not deliver a timer again if it is refused.
        _accept(tx, _new(tx, due))
        op.result = len(due)


async def advance_broadcasts(tx: Transaction, ops: Sequence[AdvanceOp], finishes: Iterable[FinishOp]) -> None:
    """Store what turns say of the people of a broadcast, and carry out the steps of broadcasts that are due."""
    updates = [update for op in finishes if op.error is None for update in op.commit.recipients]
    if not (ops or updates):
        return
    await broadcasts.update(tx, updates)
    if ops and not tx.index.is_off_the_record and file.is_off_the_record(tx.db):
        # A separate connection has stored a broadcast off the record.
        tx.begin_off_the_record()
    for op in ops:
        due = await broadcasts.advance(tx, op)
        _accept(tx, _new(tx, due))
        op.result = len(due)
    tx.changes.broadcasts = True
