"""The lanes in an SQLite file: the index in memory chooses among them, and the rows follow.

A row on disk says only that it is leased, so that the next start can count a crash. Turns that end together share
statements. `storage/operations.py` calls these steps, inside a transaction of the writer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from linqbot.errors import LaneFull
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import journal, operations, outcomes, upkeep
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import SOON_S, Ack, Defer, Lease, Retry, keys_of
from linqbot.storage.indexes import LaneLease
from linqbot.storage.operations import LaneSteps
from linqbot.storage.sqlite import file
from linqbot.storage.sqlite.transaction import Transaction

_KEYS = ("id", "message_key")

Numbered: TypeAlias = tuple[tuple[int, Delivery], ...]
"""Deliveries with their sequence numbers, in order."""


async def _put(tx: Transaction, ops: Sequence[operations.PutOp]) -> None:
    limits = tx.index.limits
    numbered = tx.index.number([op.delivery for op in ops])
    fresh = await _remember(tx, numbered)
    lanes = tx.index.lanes
    room = limits.limit - lanes.depth
    depths: dict[str, int] = {}
    new: list[tuple[int, Delivery]] = []
    duplicates: list[operations.PutOp] = []
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
    await _among(tx, "DELETE FROM seen WHERE seq = ANY($1)", refused)
    if duplicates:
        await _answer_duplicates(tx, duplicates)
    await _accept(tx, tuple(new), prefetch=True)


async def _put_receipts(tx: Transaction, ops: Sequence[operations.PutReceiptOp]) -> None:
    numbered = tx.index.number([op.delivery for op in ops])
    fresh = await _remember(tx, numbered)
    for op, (seq, _) in zip(ops, numbered, strict=True):
        op.result = seq in fresh
    await journal.receive(tx, [op.receipt for op in ops if op.result])
    _note_received(tx, [delivery for _, delivery in numbered])


async def seen(db: Readable, keys: Collection[str]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for column in _KEYS:
        sql = f"""SELECT {column}, NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = seen.seq)
                  FROM seen WHERE {column} = ANY($1)"""  # noqa: S608 - constant text
        found |= {key: bool(has_left) for key, has_left in await db.fetch(sql, keys)}
    return found


async def _answer_duplicates(tx: Transaction, ops: Sequence[operations.PutOp]) -> None:
    """Set the results of deliveries whose id or message key is known. A copy of one that was refused is refused too."""
    known = await seen(tx, [key for op in ops for key in keys_of(op.delivery)])
    for op in ops:
        if known.keys().isdisjoint(keys_of(op.delivery)):
            op.error = LaneFull(f"Another copy of {op.delivery.id} was refused at the same time.")
        else:
            op.result = False


async def _remember(tx: Transaction, numbered: Numbered) -> set[int]:
    """Store the ids and message keys of deliveries. Return the numbers of those that were not known."""
    rows = [(seq, d.id, d.message_key, tx.now) for seq, d in numbered]
    if await tx.insert("seen (seq, id, message_key, at)", rows, "ON CONFLICT DO NOTHING") == len(rows):
        return {seq for seq, _ in numbered}
    return {seq for (seq,) in await tx.fetch("SELECT seq FROM seen WHERE seq >= $1", numbered[0][0])}


async def _new(tx: Transaction, deliveries: Sequence[Delivery]) -> Numbered:
    numbered = tx.index.number(deliveries)
    fresh = await _remember(tx, numbered)
    return tuple(one for one in numbered if one[0] in fresh)


async def _accept(tx: Transaction, new: Numbered, *, prefetch: bool = False) -> None:
    """Store new deliveries in their lanes; with `prefetch` as leased, as far as the last `take` had capacity."""
    if not new:
        return
    tx.changes.news = True
    private = {seq for seq, d in new if d.is_off_the_record}
    if private:
        tx.begin_off_the_record()
    prefetched = tx.index.prefetchable(new) if prefetch else set()
    rows = [
        (seq, d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, leased, leased)
        for seq, d in new
        for leased in (int(seq in prefetched),)
    ]
    await tx.insert("delivery (seq, id, lane, type, message_key, carrier, received_at, leased, delivery_count)", rows)
    bodies = [(seq, file.PADDING if seq in private else None, d.body) for seq, d in new]
    await tx.insert("body (seq, padding, body)", bodies)
    gathering = tx.index.lanes.gathering_heads([d.lane for _, d in new])
    if tx.changes.gathering:
        # The index does not know yet which lanes wait since an earlier operation of this batch.
        gathering |= {tx.changes.gathering[d.lane] for _, d in new if d.lane in tx.changes.gathering}
    await _among(tx, "UPDATE delivery SET not_before = 0 WHERE seq = ANY($1)", gathering)
    tx.changes.accepted += new
    tx.changes.prefetched |= prefetched
    _note_received(tx, [delivery for _, delivery in new if not delivery.is_own])


def _note_received(tx: Transaction, webhooks: Sequence[Delivery]) -> None:
    tx.changes.received_at = max([*(d.received_at for d in webhooks), tx.changes.received_at or 0.0]) or None


async def _put_in_order(tx: Transaction, op: operations.OrderOp) -> int:
    tx.changes.news = True
    if op.lease is not None:
        head = await operations.leased(tx, LANES, op.lease)
        if not op.keep:
            await give_back(tx, [head])
            tx.changes.ending.add(head)
            tx.changes.orders.append(partial(tx.index.lanes.release, op.lease.token))
    new = await _new(tx, op.missed)
    await _accept(tx, new)
    # The index does not know yet which deliveries this batch stores in the lane.
    fresh = await tx.fetch("SELECT seq FROM delivery WHERE seq >= $1 AND lane = $2", tx.first_seq, op.lane)
    seqs = [*tx.index.lanes.waiting(op.lane), *(seq for (seq,) in fresh)]
    numbers = await upkeep.put_in_order(tx, seqs, ("delivery", "body", "seen"))
    # A `take` of this batch would find another delivery under the number of the head: the index follows after the commit.
    tx.changes.ending |= numbers.keys()
    tx.changes.orders.append(partial(tx.index.lanes.renumber, op.lane, numbers))
    tx.changes.orders.append(partial(tx.index.recent.forget, numbers))
    return len(new)


async def _store(tx: Transaction, deliveries: Sequence[Delivery]) -> None:
    await _accept(tx, await _new(tx, deliveries))


async def _number(tx: Transaction, deliveries: Sequence[Delivery]) -> Sequence[int]:
    first = await tx.value("SELECT coalesce(max(seq), 0) + 1 FROM seen")
    for seq, d in enumerate(deliveries, first):
        await tx.run("DELETE FROM seen WHERE id = $1 OR message_key = $2", d.id, d.message_key)
        await tx.insert("seen (seq, id, message_key, at)", [(seq, d.id, d.message_key, tx.now)])
    # Lanes that wait for more deliveries get some.
    sql = "UPDATE delivery SET not_before = 0 WHERE waits = 'gathering' AND NOT leased AND lane = ANY($1)"
    await tx.run(sql, [d.lane for d in deliveries])
    return range(first, first + len(deliveries))


async def _forget(tx: Transaction, ids: Collection[str]) -> int:
    seqs = [seq for (seq,) in await tx.fetch("SELECT seq FROM delivery WHERE id = ANY($1)", list(ids))]
    await _delete(tx, seqs, seqs)
    return len(seqs)


async def _delete(tx: Transaction, seqs: Collection[int], seen: Collection[int]) -> None:
    """Delete deliveries. Those that are `seen` stay known for a day from now, because Linq may deliver them again.

    The row that `seq` names is gone, so they no longer count as waiting.
    """
    await _among(tx, "UPDATE seen SET at = $2 WHERE seq = ANY($1)", seen, tx.now)
    await _among(tx, "DELETE FROM body WHERE seq = ANY($1)", seqs)
    await _among(tx, "DELETE FROM delivery WHERE seq = ANY($1)", seqs)


async def _among(tx: Transaction, sql: str, values: Collection[int], *more: object) -> None:
    if values:
        await tx.run(sql, list(values), *more)


async def _take(tx: Transaction, ops: Sequence[operations.TakeOp]) -> None:
    for op in ops:
        until = tx.monotonic + op.lease_s
        leases = tx.index.lease(op.limit, tx.changes, now=tx.now, monotonic=tx.monotonic, until=until)
        tx.changes.capacity = op.limit - len(leases)
        op.result = await _leased(tx, leases) if leases else []


async def _leased(tx: Transaction, leases: Sequence[LaneLease]) -> list[Lease]:
    """Note in the rows that they are leased, and return the leases."""
    seqs = [lease.seq for lease in leases]
    overdue = [lease.seq for lease in leases if lease.overdue]
    await _among(tx, "UPDATE delivery SET crashes = crashes + 1 WHERE seq = ANY($1)", overdue)
    sql = "SELECT seq, attempts, crashes, delivery_count, replay, put_back FROM delivery WHERE seq = ANY($1)"
    counts = {seq: (*numbers, bool(put_back)) for seq, *numbers, put_back in await tx.fetch(sql, seqs)}
    await tx.run("UPDATE delivery SET leased = 1, delivery_count = delivery_count + 1 WHERE seq = ANY($1)", seqs)
    deliveries = tx.index.recent.among(seqs)
    if missing := [seq for seq in seqs if seq not in deliveries]:
        deliveries |= await stored(tx, missing)
    return [Lease(deliveries[lease.seq], lease.token, *counts[lease.seq]) for lease in leases]


async def stored(db: Readable, seqs: Sequence[int]) -> dict[int, Delivery]:
    """Return deliveries from disk, by their sequence numbers."""
    sql = f"SELECT seq, {upkeep.DELIVERY} FROM delivery JOIN body USING (seq) WHERE seq = ANY($1)"  # noqa: S608 - constant text
    return {seq: Delivery(*columns) for seq, *columns in await db.fetch(sql, seqs)}


async def _release(tx: Transaction, ops: Sequence[operations.ReleaseOp]) -> None:
    """Release leases, first in the index, so that a `take` in the same batch can lease these lanes, then in the rows."""
    tx.changes.news = True
    await give_back(tx, tx.index.release(lease for op in ops for lease in op.leases))


async def give_back(tx: Transaction, seqs: Sequence[int]) -> None:
    """Mark deliveries as free, as if they had never been leased."""
    await _among(tx, "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq = ANY($1)", seqs)


async def _hold(tx: Transaction, op: operations.HoldOp) -> None:
    seq, lane = await operations.leased(tx, LANES, op.lease), op.lease.delivery.lane
    has_grown = tx.index.lanes.depth_of(lane) > 1 + op.known
    sql = """UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1, waits = 'gathering', not_before = $1
             WHERE seq = $2"""
    await tx.run(sql, 0.0 if has_grown else op.until, seq)
    tx.changes.news = True
    tx.changes.gathering[lane] = seq
    tx.changes.ending.add(seq)
    tx.changes.after.append(partial(tx.index.lanes.hold, op.lease.token, op.until, known=op.known))


async def _join(tx: Transaction, op: operations.JoinOp) -> None:
    head = await operations.leased(tx, LANES, op.lease)
    behind = tx.index.lanes.behind(op.lease.delivery.lane, tx.index.lanes.depth)
    rows = await tx.fetch("SELECT seq, id FROM delivery WHERE seq = ANY($1)", behind)
    gone = [seq for seq, one in rows if one in op.ids]
    if op.is_recorded:
        await outcomes.write_joined(tx, op.joined.lane, op.ids, op.joined.id)
    await _delete(tx, gone, gone)
    await tx.run("UPDATE body SET body = $1 WHERE seq = $2", op.joined.body, head)
    if op.again:
        await tx.run("UPDATE delivery SET replay = replay + 1 WHERE seq = $1", head)
    tx.changes.ending.add(head)
    tx.changes.joined.append(op.lease.token)
    tx.changes.after.append(partial(tx.index.lanes.join, op.lease.token, gone))
    tx.changes.after.append(partial(tx.index.recent.forget, (head, *gone)))


async def _has_room(tx: Transaction) -> bool:
    return tx.index.lanes.depth < tx.index.limits.limit


async def _held(tx: Transaction, leases: Sequence[Lease]) -> dict[int, int]:
    return {lease.token: seq for lease in leases if (seq := tx.index.lanes.leased_by(lease.token)) is not None}


async def _postpone(tx: Transaction, ops: Mapping[int, operations.FinishOp]) -> None:
    for seq, op in ops.items():
        end = op.commit.outcome
        assert isinstance(end, Retry | Defer)
        tx.changes.ending.add(seq)
        tx.changes.after.append(partial(tx.index.lanes.wait, op.lease.token, end.at))


async def _remove(tx: Transaction, ops: Mapping[int, operations.FinishOp], ending: Collection[int]) -> None:
    await journal.settle(tx, [entry for seq in ending for entry in ops[seq].commit.entries], ended=True)
    await _delete(tx, ops, [seq for seq, op in ops.items() if tx.now - op.lease.delivery.received_at > SOON_S])
    searched = [op for seq, op in ops.items() if not (op.commit.has_all_entries and seq in ending)]
    await journal.end(tx, [op.lease.delivery.id for op in searched if isinstance(op.commit.outcome, Ack)])
    tx.changes.ending |= ops.keys()
    tx.changes.removed = tuple((seq, op.lease.token) for seq, op in ops.items())


LANES: Final = LaneSteps(
    steps={
        operations.ReleaseOp: _release,
        operations.HoldOp: operations.each(_hold),
        operations.JoinOp: operations.each(_join),
        operations.PutOp: _put,
        operations.PutReceiptOp: _put_receipts,
        operations.OrderOp: operations.each(_put_in_order),
        operations.TakeOp: _take,
    },
    held=_held,
    postpone=_postpone,
    remove=_remove,
    store=_store,
    number=_number,
    forget=_forget,
    has_room=_has_room,
    # The ids of what is still in the inbox are as young as its first delivery, or younger.
    old_ids="""DELETE FROM seen WHERE at < $1 AND seq IN (
        SELECT seq FROM seen WHERE seq < ifnull((SELECT min(seq) FROM delivery), 1 << 62) ORDER BY seq LIMIT $2)""",
)
