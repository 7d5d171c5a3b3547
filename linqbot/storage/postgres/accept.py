"""The SQL that puts deliveries into their lanes, run inside a transaction of the writer.

Each transaction first locks the lanes to which it adds, in one order. So deliveries of a lane get their numbers in the
order in which they are committed, whatever process accepted them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from linqbot.linq.events.delivery import Delivery
from linqbot.storage import journal, upkeep
from linqbot.storage.inbox import InboxLimits, keys_of, lease_over
from linqbot.storage.operations import FinishOp, HoldOp, JoinOp, OpsByKind, OrderOp, PutOp, PutReceiptOp, of
from linqbot.storage.postgres import leases
from linqbot.storage.postgres.transaction import Statement, Transaction

_SHARE: Final = 8
"""A process adds to a lane this part of what fits before it counts the lane again: others add to it too."""

_COUNT_KEPT_S: Final = 60.0
_MOST_LANES: Final = 10_000
"""Lanes of which a process remembers how many deliveries fit."""

_UNLIMITED: Final = 2**31 - 1
_INBOX_FULL: Final = -2
_LANE_FULL: Final = -1


class InboxRoom(InboxLimits):
    """The number of deliveries that fit into the inbox, and into each lane. They are counted only when the last count is used up.

    Other processes also add deliveries, so several processes together may exceed the limits by what each had left.
    """

    def __init__(self, limit: int, lane_limit: int) -> None:
        super().__init__(limit, lane_limit)
        self.left = 0
        self._lanes: dict[str, tuple[int, float]] = {}

    async def ensure(self, tx: Transaction, wanted: int) -> int:
        """Return how many deliveries fit: at least `wanted`, if there is room for them."""
        if self.left < wanted:
            count = int(await tx.value("SELECT count(*) FROM delivery"))
            self.left = tx.changes.room = max(self.limit - count, 0)
        return self.left

    def use(self, deliveries: Iterable[Delivery], now: float) -> list[str]:
        """Take the room that deliveries need in their lanes. Return the lanes that must be counted first."""
        unknown: list[str] = []
        for lane, wanted in Counter(delivery.lane for delivery in deliveries).items():
            left, until = self._lanes.get(lane, (0, 0.0))
            if left < wanted or until < now:
                unknown.append(lane)
            else:
                self._lanes[lane] = (left - wanted, until)
        return unknown

    def note(self, lanes: Iterable[str], counts: Iterable[int], now: float) -> None:
        """Remember how many deliveries waited in lanes."""
        if len(self._lanes) > _MOST_LANES:
            self._lanes.clear()
        for lane, count in zip(lanes, counts, strict=True):
            self._lanes[lane] = ((self.lane_limit - count) // _SHARE, now + _COUNT_KEPT_S)


Arrival: TypeAlias = list[PutOp]
"""The first `put` of a delivery in a batch, and those of its copies."""


def rounds(ops: Iterable[PutOp]) -> list[list[Arrival]]:
    """Return the arrivals in rounds, in order. In a round, no two have an id or a message key in common."""
    found: list[list[Arrival]] = []
    current: dict[str, Arrival] = {}
    for op in ops:
        own = keys_of(op.delivery)
        first = current.get(own[0])
        if first is not None and keys_of(first[0].delivery) == own:
            first.append(op)
            continue
        if not found or not current.keys().isdisjoint(own):
            current = {}
            found.append([])
        arrival = [op]
        found[-1].append(arrival)
        for key in own:
            current[key] = arrival
    return found


async def store(tx: Transaction, new: Sequence[Delivery]) -> int:
    """Store new deliveries, and return their number. Backlog limits do not apply."""
    ops = [PutOp(delivery) for delivery in new]
    await put(tx, ops)
    return sum(op.result for op in ops)


async def put(tx: Transaction, ops: Sequence[PutOp], room: InboxRoom | None = None) -> None:
    """Store new deliveries, and set the result or the error of each operation.

    With `room` None no limit applies: Linq would not deliver them again if they were refused.
    """
    for arrivals in rounds(ops):
        left = await room.ensure(tx, len(ops)) - len(tx.changes.stored) if room else _UNLIMITED
        statement = Statement(tx)
        add_arrivals(statement, arrivals, room, left)
        await statement.run()


async def put_receipts(tx: Transaction, ops: Sequence[PutReceiptOp], room: InboxRoom) -> None:
    """Store what new receipts report, and set the result of each operation.

    Those that another process that serves may want as events, because its bot has handlers for them, are stored in their lanes.
    """
    types = {op.delivery.type for op in ops}
    sql = "SELECT t FROM unnest($1::text[]) AS t WHERE EXISTS (SELECT FROM process WHERE t <> ALL(settled))"
    wanted = {row["t"] for row in await tx.fetch(sql, list(types))}
    settled = [op for op in ops if op.delivery.type not in wanted]
    # In one order in every process: two that remember the same receipts must not wait for each other.
    ids = sorted(op.delivery.id for op in settled)
    sql = (
        "INSERT INTO seen (id, delivery_id, at) SELECT id, id, $2 FROM unnest($1::text[]) AS id ON CONFLICT DO NOTHING"
    )
    new = {row["id"] for row in await tx.fetch(f"{sql} RETURNING id", ids, tx.now)}
    for op in settled:
        op.result = op.delivery.id in new
        new.discard(op.delivery.id)
    await journal.receive(tx, [op.receipt for op in settled if op.result])
    tx.changes.received_at = received_at([op.delivery for op in settled], tx.changes.received_at)
    others = [op for op in ops if op.delivery.type in wanted]
    for op in others:
        op.is_put = True
    await put(tx, others, room)


def add_arrivals(
    statement: Statement, arrivals: Sequence[Arrival], room: InboxRoom | None, left: int, news: str | None = None
) -> None:
    """Store the deliveries of one round, of which `left` fit in, and set the result or error of each operation."""
    tx, new = statement.tx, [first.delivery for first, *_ in arrivals]
    unknown = room.use(new, tx.now) if room else []

    async def note(found: Sequence[Any]) -> None:
        if room:
            room.note(unknown, found[0]["counts"], tx.now)
        for seq, (first, *copies) in zip(found[0]["seqs"], arrivals, strict=True):
            if room and seq in (_INBOX_FULL, _LANE_FULL):
                for op in (first, *copies):
                    op.error = room.full() if seq == _INBOX_FULL else room.lane_full(first.delivery)
                continue
            for op in copies:
                op.result = False
            first.result = seq > 0
            if first.result:
                tx.changes.stored.append((seq, first.delivery))
        stored = [first.delivery for first, *_ in arrivals if first.result]
        _note_accepted(tx, stored)
        tx.changes.received_at = received_at(stored, tx.changes.received_at)

    limit = room.lane_limit if room else _UNLIMITED
    values = statement.values(*_columns(new), tx.now, left, unknown, limit, tx.address.channel, news)
    statement.step("accepted", f"accept_deliveries({values}) AS done", "(done).seqs, (done).counts", note)


async def put_in_order(tx: Transaction, ops: Sequence[OrderOp]) -> None:
    """Store missed deliveries and sort their lanes; see `Storage.put_in_order`."""
    for op in ops:
        if op.lease is not None:
            head = await tx.leased(op.lease)
            if head is None:
                op.error = lease_over(op.lease)
                continue
            if not op.keep:
                await leases.give_back(tx, [head], [op.lease.token])
        op.result = await store(tx, op.missed)
        tx.changes.work = True
        seqs = [seq for (seq,) in await tx.fetch("SELECT seq FROM delivery WHERE lane = $1", op.lane)]
        # Another process may be leasing the head just now. Its commit, if any, comes before the next statement.
        locks = f"SELECT msg_id FROM pgmq.q_{tx.queue} WHERE msg_id = ANY($1) ORDER BY msg_id FOR UPDATE"  # noqa: S608 - checked name
        await tx.fetch(locks, seqs)
        await upkeep.put_in_order(tx, seqs, ("delivery", "body"))


async def number(tx: Transaction, new: Sequence[Delivery]) -> Sequence[int]:
    """Return numbers at the tails of lanes for deliveries that come back, and remember their ids."""
    lanes = [d.lane for d in new]
    await tx.fetch("SELECT lock_lanes($1)", lanes)
    # A lane that waits for more deliveries gets one.
    sql = "SELECT min(seq) FROM delivery WHERE lane = ANY($1) AND waits = 'gathering' AND token IS NULL GROUP BY lane"
    await tx.set_visible([row[0] for row in await tx.fetch(sql, lanes)])
    known = {key: (key, d.id, tx.now) for d in new for key in keys_of(d)}
    replace = "ON CONFLICT (id) DO UPDATE SET delivery_id = excluded.delivery_id, at = excluded.at"
    await tx.insert("seen (id, delivery_id, at)", list(known.values()), replace)
    _note_accepted(tx, new)
    return await tx.send(lanes)


def lock(statement: Statement, ops: OpsByKind) -> None:
    """Lock the lanes that a batch adds to, counts or takes from: all at once, and in the same order in every process.

    Otherwise two processes would often wait for each other: one adds to a lane whose head the other one ends, and ends the
    head of a lane to which the other one adds. A batch that only adds or only ends does it with its first step.
    """
    puts, orders, holds = of(ops, PutOp), of(ops, OrderOp), of(ops, HoldOp)
    ends, joins = of(ops, FinishOp), of(ops, JoinOp)
    kept = {op.delivery.lane for op in puts} | {op.lane for op in orders} | {op.lease.delivery.lane for op in holds}
    shortened = {op.lease.delivery.lane for op in ends} | {op.lease.delivery.lane for op in joins}
    if orders or holds or joins or (kept and shortened):
        heads = list(kept | shortened) if shortened else []
        statement.step("locked", f"lock_lanes({statement.values(list(kept))}), lock_heads({statement.values(heads)})")


def _columns(new: Iterable[Delivery]) -> list[list[Any]]:
    """Return the values of id, lane, type, message_key, carrier, received_at and body."""
    rows = [(d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, d.body) for d in new]
    return [list(column) for column in zip(*rows, strict=True)]


def _note_accepted(tx: Transaction, new: Sequence[Delivery]) -> None:
    tx.changes.work |= bool(new)
    tx.changes.lanes.update(delivery.lane for delivery in new)
    tx.changes.accepted += len(new)


def received_at(deliveries: Iterable[Delivery], before: float | None = None) -> float | None:
    """Return when the newest webhook among deliveries was accepted, or `before` if that is later."""
    webhooks = [d.received_at for d in deliveries if not d.is_own]
    return max([*webhooks, before or 0.0]) or None
