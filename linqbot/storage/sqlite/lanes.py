"""The lanes in an SQLite file: the index in memory chooses among them, and the rows follow.

A row on disk says only that it is leased, so that the next start can count a crash. Turns that end together share
statements. `storage/operations.py` calls these steps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import ClassVar, TypeAlias

from linqbot.errors import LaneFull
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import edits, journal, operations, people, upkeep
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import SOON_S, Ack, Defer, Lease, Retry, keys_of
from linqbot.storage.indexes import LaneLease
from linqbot.storage.op_queue import FinishOp, PutOp, PutReceiptOp, ReleaseOp, TakeOp
from linqbot.storage.sqlite.transaction import Index, IndexChanges, Transaction

_KEYS = ("id", "message_key")

Numbered: TypeAlias = tuple[tuple[int, Delivery], ...]
"""Deliveries with their sequence numbers, in order."""


async def seen(db: Readable, keys: Collection[str]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for column in _KEYS:
        sql = f"""SELECT {column}, NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = seen.seq)
                  FROM seen WHERE {column} = ANY($1)"""
        found |= {key: bool(has_left) for key, has_left in await db.fetch(sql, keys)}
    return found


async def stored(db: Readable, seqs: Sequence[int]) -> dict[int, Delivery]:
    """Return deliveries from disk, by their sequence numbers."""
    sql = f"SELECT seq, {upkeep.DELIVERY} FROM delivery JOIN body USING (seq) WHERE seq = ANY($1)"
    return {seq: Delivery(*columns) for seq, *columns in await db.fetch(sql, seqs)}


class SQLiteLaneTransaction(Transaction):
    """An open transaction; see `op_queue.LaneTransaction`."""

    # The ids of what is still in the inbox are as young as its first delivery, or younger.
    old_ids: ClassVar[str] = """DELETE FROM seen WHERE at < $1 AND seq IN (
        SELECT seq FROM seen WHERE seq < ifnull((SELECT min(seq) FROM delivery), 1 << 62) ORDER BY seq LIMIT $2)"""

    async def put(self, ops: Sequence[PutOp]) -> None:
        limits = self.index.limits
        numbered = self.index.number([op.delivery for op in ops])
        fresh = await self._remember(numbered)
        lanes = self.index.lanes
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
        await self._among("DELETE FROM seen WHERE seq = ANY($1)", refused)
        if duplicates:
            await self._answer_duplicates(duplicates)
        await self._accept(tuple(new), prefetch=True)

    async def put_receipts(self, ops: Sequence[PutReceiptOp]) -> None:
        numbered = self.index.number([op.delivery for op in ops])
        fresh = await self._remember(numbered)
        for op, (seq, _) in zip(ops, numbered, strict=True):
            op.result = seq in fresh
        await journal.receive(self, [op.receipt for op in ops if op.result])
        self.changes.note_received([delivery for _, delivery in numbered])

    async def _answer_duplicates(self, ops: Sequence[PutOp]) -> None:
        """Set the results of deliveries whose id or message key is known. A copy of one that was refused is refused too."""
        known = await seen(self, [key for op in ops for key in keys_of(op.delivery)])
        for op in ops:
            if known.keys().isdisjoint(keys_of(op.delivery)):
                op.error = LaneFull(f"Another copy of {op.delivery.id} was refused at the same time.")
            else:
                op.result = False

    async def _remember(self, numbered: Numbered) -> set[int]:
        """Store the ids and message keys of deliveries. Return the numbers of those that were not known."""
        rows = [(seq, d.id, d.message_key, self.now) for seq, d in numbered]
        if await self.insert("seen (seq, id, message_key, at)", rows, "ON CONFLICT DO NOTHING") == len(rows):
            return {seq for seq, _ in numbered}
        return {seq for (seq,) in await self.fetch("SELECT seq FROM seen WHERE seq >= $1", numbered[0][0])}

    async def _new(self, deliveries: Sequence[Delivery]) -> Numbered:
        numbered = self.index.number(deliveries)
        fresh = await self._remember(numbered)
        return tuple(one for one in numbered if one[0] in fresh)

    async def _accept(self, new: Numbered, *, prefetch: bool = False) -> None:
        """Store new deliveries in their lanes; with `prefetch` as leased, as far as the last `take` had capacity."""
        if not new:
            return
        self.changes.wakes_worker = True
        prefetched = self.index.prefetchable(new) if prefetch else set()
        rows = [
            (seq, d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, leased, leased)
            for seq, d in new
            for leased in (int(seq in prefetched),)
        ]
        await self.insert(
            "delivery (seq, id, lane, type, message_key, carrier, received_at, leased, delivery_count)", rows
        )
        bodies, private = [(seq, d.body) for seq, d in new], [d.is_off_the_record for _, d in new]
        await self.insert("body (seq, body)", bodies, off_the_record=private)
        gathering = self.index.lanes.gathering_heads([d.lane for _, d in new])
        if self.changes.gathering:
            # The index does not know yet which lanes wait since an earlier operation of this batch.
            gathering |= {self.changes.gathering[d.lane] for _, d in new if d.lane in self.changes.gathering}
        await self._among("UPDATE delivery SET not_before = 0 WHERE seq = ANY($1)", gathering)
        people.note_deliveries(self, [d for _, d in new])
        self.changes.accepted += new
        self.changes.prefetched |= prefetched
        self.changes.edited.update(d.lane for _, d in new if d.type == edits.TYPE)
        self.changes.note_received([delivery for _, delivery in new if not delivery.is_internal])

    async def put_in_order(self, lane: str, missed: Sequence[Delivery], lease: Lease | None, *, keep: bool) -> int:
        self.changes.wakes_worker = True
        if lease is not None:
            head = await operations.leased(self, lease)
            if not keep:
                await self.give_back([head])
                self.changes.ending.add(head)
                self.changes.ended_leases.add(lease.token)
                self.changes.after.append(partial(self.index.lanes.release, lease.token))
        new = await self._new(missed)
        await self._accept(new)
        numbers = await upkeep.put_in_order(self, self._waiting(lane), ("delivery", "body", "seen"))
        # A `take` of this batch would find another delivery under the number of the head: the index follows after the commit.
        self.changes.ending |= numbers.keys()
        self.changes.after.append(partial(self.index.lanes.renumber, lane, numbers))
        self.changes.after.append(partial(self.index.recent.forget, numbers))
        return len(new)

    def _waiting(self, lane: str) -> list[int]:
        """Return the sequence numbers in the lane, also of what this batch stores, which the index does not know yet."""
        return [*self.index.lanes.waiting(lane), *(seq for seq, each in self.changes.accepted if each.lane == lane)]

    async def store(self, deliveries: Sequence[Delivery]) -> None:
        await self._accept(await self._new(deliveries))

    async def number(self, deliveries: Sequence[Delivery]) -> Sequence[int]:
        first = await self.value("SELECT coalesce(max(seq), 0) + 1 FROM seen")
        for seq, d in enumerate(deliveries, first):
            await self.run("DELETE FROM seen WHERE id = $1 OR message_key = $2", d.id, d.message_key)
            await self.insert("seen (seq, id, message_key, at)", [(seq, d.id, d.message_key, self.now)])
        # Lanes that wait for more deliveries get some.
        sql = "UPDATE delivery SET not_before = 0 WHERE waits = 'gathering' AND NOT leased AND lane = ANY($1)"
        await self.run(sql, [d.lane for d in deliveries])
        return range(first, first + len(deliveries))

    async def forget(self, ids: Collection[str]) -> int:
        seqs = [seq for (seq,) in await self.fetch(f"SELECT seq FROM delivery WHERE {self.of_ids}", list(ids))]
        await self._delete(seqs, seqs)
        return len(seqs)

    async def _delete(self, seqs: Collection[int], seen: Collection[int]) -> None:
        """Delete deliveries. Those that are `seen` stay known for a day from now, because Linq may deliver them again.

        The row that `seq` names is gone, so they no longer count as waiting.
        """
        await self._among("UPDATE seen SET at = $2 WHERE seq = ANY($1)", seen, self.now)
        await self._among("DELETE FROM body WHERE seq = ANY($1)", seqs)
        await self._among("DELETE FROM delivery WHERE seq = ANY($1)", seqs)

    async def _among(self, sql: str, values: Collection[int], *more: object) -> None:
        if values:
            await self.run(sql, list(values), *more)

    async def take(self, ops: Sequence[TakeOp]) -> None:
        for op in ops:
            until = self.monotonic + op.lease_s
            leases = self.index.lease(op.limit, self.changes, now=self.now, monotonic=self.monotonic, until=until)
            self.changes.capacity = op.limit - len(leases)
            op.result = await self._leased(leases) if leases else []

    async def _leased(self, leases: Sequence[LaneLease]) -> list[Lease]:
        """Note in the rows that they are leased, and return the leases."""
        seqs = [lease.seq for lease in leases]
        overdue = [lease.seq for lease in leases if lease.overdue]
        await self._among("UPDATE delivery SET crashes = crashes + 1 WHERE seq = ANY($1)", overdue)
        sql = "SELECT seq, attempts, crashes, delivery_count, replay, put_back FROM delivery WHERE seq = ANY($1)"
        counts = {seq: (*numbers, bool(put_back)) for seq, *numbers, put_back in await self.fetch(sql, seqs)}
        await self.run("UPDATE delivery SET leased = 1, delivery_count = delivery_count + 1 WHERE seq = ANY($1)", seqs)
        deliveries = self.index.recent.among(seqs)
        if missing := [seq for seq in seqs if seq not in deliveries]:
            deliveries |= await stored(self, missing)
        found = [Lease(deliveries[lease.seq], lease.token, *counts[lease.seq]) for lease in leases]
        if edited := self.index.edited | self.changes.edited:
            await self._mark_early([each.delivery.lane for each in found if each.is_first_run], edited)
        return found

    async def _mark_early(self, lanes: Sequence[str], edited: Collection[str]) -> None:
        if found := [lane for lane in lanes if lane in edited]:
            await edits.mark_early(self, found)

    async def release(self, ops: Sequence[ReleaseOp]) -> None:
        """Release leases, first in the index, so that a `take` in the same batch can lease these lanes, then in the rows."""
        self.changes.wakes_worker = True
        await self.give_back(self.index.release(lease for op in ops for lease in op.leases))

    async def give_back(self, seqs: Sequence[int]) -> None:
        """Mark deliveries as free, as if they had never been leased."""
        await self._among(
            "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq = ANY($1)", seqs
        )

    async def gather(self, lease: Lease, until: float, known: int) -> None:
        seq = await operations.leased(self, lease)
        has_grown = len(self._waiting(lease.delivery.lane)) > 1 + known
        sql = """UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1, waits = 'gathering', not_before = $1
                 WHERE seq = $2"""
        await self.run(sql, 0.0 if has_grown else until, seq)
        self.changes.wakes_worker = True
        self.changes.gathering[lease.delivery.lane] = seq
        self.changes.ending.add(seq)
        self.changes.ended_leases.add(lease.token)
        self.changes.after.append(partial(self.index.lanes.gather, lease.token, until, known=known))

    async def join(self, lease: Lease, ids: Sequence[str], head: int) -> None:
        _, *behind = self.index.lanes.waiting(lease.delivery.lane)
        rows = await self.fetch("SELECT seq, id FROM delivery WHERE seq = ANY($1)", behind)
        gone = [seq for seq, one in rows if one in ids]
        await self._delete(gone, gone)
        self.changes.ending.add(head)
        self.changes.joined.append(lease.token)
        self.changes.after.append(partial(self.index.lanes.join, lease.token, gone))
        self.changes.after.append(partial(self.index.recent.forget, (head, *gone)))

    async def has_room(self) -> bool:
        return self.index.lanes.depth < self.index.limits.limit

    async def in_force(self, leases: Sequence[Lease]) -> dict[int, int]:
        tokens = [lease.token for lease in leases if lease.token not in self.changes.ended_leases]
        return {token: seq for token in tokens if (seq := self.index.lanes.leased_by(token)) is not None}

    async def postpone(self, ops: Mapping[int, FinishOp]) -> None:
        for seq, op in ops.items():
            end = op.commit.outcome
            assert isinstance(end, Retry | Defer)
            self.changes.ending.add(seq)
            self.changes.ended_leases.add(op.lease.token)
            self.changes.after.append(partial(self.index.lanes.wait, op.lease.token, end.at))

    async def remove(self, ops: Mapping[int, FinishOp], ending: Collection[int]) -> None:
        await journal.settle(self, [entry for seq in ending for entry in ops[seq].commit.entries], ended=True)
        await self._delete(ops, [seq for seq, op in ops.items() if self.now - op.lease.delivery.received_at > SOON_S])
        searched = [op for seq, op in ops.items() if not (op.commit.has_all_entries and seq in ending)]
        await journal.end(self, [op.lease.delivery.id for op in searched if isinstance(op.commit.outcome, Ack)])
        self.changes.ending |= ops.keys()
        self.changes.ended_leases.update(op.lease.token for op in ops.values())
        self.changes.removed = tuple((seq, op.lease.token) for seq, op in ops.items())


def outside(db: sqlite3.Connection, now: float) -> SQLiteLaneTransaction:
    """Return the transaction of a method for operators. Nothing applies its changes: the index is read again."""
    return SQLiteLaneTransaction(db, Index(), IndexChanges(), now, monotonic=0.0, keep_s=0.0)
