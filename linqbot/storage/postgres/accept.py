"""The SQL that puts deliveries into their lanes, run inside a transaction of the writer.

Each transaction first locks the lanes to which it adds, in one order. So deliveries of a lane get their numbers in the
order in which they are committed, whatever process accepted them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, TypeAlias

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import InboxLimits, keys_of, lease_over
from linqbot.storage.operations import AdvanceOp, FinishOp, FireOp, HoldOp, JoinOp, Op, OrderOp, PutOp, PutReceiptOp
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.tables import broadcasts, deliveries, journal, timers

_SHARE: Final = 8
"""A process adds to a lane this part of what fits before it counts the lane again: others add to it too."""

_COUNT_KEPT_S: Final = 60.0
_MOST_LANES: Final = 10_000
"""Lanes of which a process remembers how many deliveries fit."""

_ACCEPT: Final = "SELECT seqs, counts FROM accept_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
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


async def put(tx: Transaction, ops: Sequence[PutOp], room: InboxRoom, news: str | None) -> list[tuple[int, Delivery]]:
    """Store new deliveries, and set the result or the error of each operation. Return them with their numbers.

    Args:
        news: The notification to send if a delivery is stored; None if it is sent later in the transaction.
    """
    stored: list[tuple[int, Delivery]] = []
    for arrivals in rounds(ops):
        left = await room.ensure(tx, len(ops)) - len(stored)
        stored += await _put(tx, arrivals, room, left, news)
    new = [delivery for _, delivery in stored]
    _note_accepted(tx, new)
    return stored


async def settle(tx: Transaction, ops: Sequence[PutReceiptOp]) -> list[PutReceiptOp]:
    """Store what new receipts report, and set the result of each operation.

    Returns:
        Those that another process that serves may want as events, because its bot has handlers for them.
    """
    if not ops:
        return []
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
    for op in (others := [op for op in ops if op.delivery.type in wanted]):
        op.is_put = True
    return others


async def _put(
    tx: Transaction, arrivals: Sequence[Arrival], room: InboxRoom, left: int, news: str | None
) -> list[tuple[int, Delivery]]:
    new = [first.delivery for first, *_ in arrivals]
    unknown = room.use(new, tx.now)
    ((seqs, counts),) = await tx.fetch(
        _ACCEPT,
        [d.id for d in new],
        [d.lane for d in new],
        [d.type for d in new],
        [d.message_key for d in new],
        [d.carrier for d in new],
        [d.received_at for d in new],
        [d.body for d in new],
        tx.now,
        left,
        unknown,
        room.lane_limit,
        tx.address.channel,
        news,
    )
    room.note(unknown, counts, tx.now)
    stored: list[tuple[int, Delivery]] = []
    for seq, (first, *copies) in zip(seqs, arrivals, strict=True):
        delivery = first.delivery
        if seq in (_INBOX_FULL, _LANE_FULL):
            for op in (first, *copies):
                op.error = room.full() if seq == _INBOX_FULL else room.lane_full(delivery)
            continue
        for op in copies:
            op.result = False
        first.result = seq > 0
        if first.result:
            stored.append((seq, delivery))
    return stored


async def put_in_order(tx: Transaction, op: OrderOp) -> None:
    """Store missed deliveries and sort their lane; see `Inbox.put_in_order`."""
    if op.lease is not None:
        head = await tx.leased(op.lease)
        if head is None:
            op.error = lease_over(op.lease)
            return
        if not op.keep:
            await tx.run(
                """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1
                   WHERE seq = $1""",
                head,
            )
            await tx.set_visible([head])
            tx.changes.ended_leases.add(op.lease.token)
    known = await _known(tx, op.missed)
    new: list[Delivery] = []
    for delivery in op.missed:
        if known.isdisjoint(keys_of(delivery)):
            known.update(keys_of(delivery))
            new.append(delivery)
    await _end_waits(tx, {op.lane} if new else ())
    await _accept(tx, new)
    op.result = len(new)
    tx.changes.work = True
    await _sort(tx, op.lane)


async def fire(tx: Transaction, ops: Sequence[FireOp]) -> None:
    """Move due timers into their lanes; see `Timers.fire`."""
    for op in ops:
        due = await timers.take_due(tx, op.now, op.limit)
        op.result = len(due)
        await _accept_due(tx, due)


async def advance_broadcasts(tx: Transaction, ops: Sequence[AdvanceOp]) -> None:
    """Carry out the steps of broadcasts that are due; see `Broadcasts.advance_broadcasts`."""
    for op in ops:
        due = await broadcasts.advance(tx, op)
        op.result = len(due)
        await _accept_due(tx, due)


async def _accept_due(tx: Transaction, due: Sequence[Delivery]) -> None:
    """Store deliveries that linqbot created because they are due, except those that are known."""
    await lock_lanes(tx, due)
    known = await _known(tx, due)
    # Backlog limits do not apply: Linq would not deliver them again if they were refused.
    await _end_waits(tx, {delivery.lane for delivery in due})
    await _accept(tx, [delivery for delivery in due if delivery.id not in known])


async def put_back(tx: Transaction, ids: Sequence[str], places: Sequence[str], *, again: bool) -> int:
    """Move kept deliveries to the tails of their lanes, and return their number; see `deliveries.take_kept`."""
    moved = await deliveries.take_kept(tx, ids, places, again=again)
    new = [delivery for delivery, _, _ in moved]
    await lock_lanes(tx, new)
    await _end_waits(tx, {delivery.lane for delivery in new})
    await _accept(tx, new, replays=[replay for _, replay, _ in moved], counts=[count for _, _, count in moved])
    return len(moved)


async def lock(tx: Transaction, batch: Iterable[Op]) -> None:
    """Lock the lanes that a batch adds to, counts or takes from: all at once, and in the same order in every process.

    Otherwise two processes would often wait for each other: one adds to a lane whose head the other one ends, and ends the
    head of a lane to which the other one adds. A batch that only adds or only ends does it with its first statement.
    """
    kept, shortened = set[str](), set[str]()
    is_more = False
    for op in batch:
        match op:
            case PutReceiptOp():
                pass
            case PutOp():
                kept.add(op.delivery.lane)
            case FinishOp():
                shortened.add(op.lease.delivery.lane)
            case OrderOp():
                kept.add(op.lane)
                is_more = True
            case HoldOp():
                kept.add(op.lease.delivery.lane)
                is_more = True
            case JoinOp():
                shortened.add(op.lease.delivery.lane)
                is_more = True
            case _:
                pass
    if is_more or (kept and shortened):
        await tx.fetch("SELECT lock_lanes($1), lock_heads($2)", list(kept), list(kept | shortened) if shortened else [])


async def lock_lanes(tx: Transaction, deliveries: Collection[Delivery]) -> None:
    """Keep other transactions from adding to these lanes until the commit of this one."""
    if deliveries:
        await tx.fetch("SELECT lock_lanes($1)", [delivery.lane for delivery in deliveries])


async def _known(tx: Transaction, deliveries: Sequence[Delivery]) -> set[str]:
    """Return the ids and message keys of these deliveries that are known."""
    if not deliveries:
        return set()
    sql = "SELECT id FROM seen WHERE id = ANY($1)"
    return {row["id"] for row in await tx.fetch(sql, [key for each in deliveries for key in keys_of(each)])}


async def _accept(
    tx: Transaction, new: Sequence[Delivery], *, replays: Sequence[int] = (), counts: Sequence[int] = ()
) -> None:
    """Store deliveries at the tails of their lanes.

    Args:
        replays, counts: `replay` and `delivery_count` of each that an operator puts back; empty for new deliveries.
    """
    if not new:
        return
    headers = [json.dumps({"x-pgmq-group": delivery.lane}) for delivery in new]
    sent = await tx.fetch(
        "SELECT n FROM pgmq.send_batch($1::text, $2::jsonb[], $3::jsonb[]) AS n", tx.queue, ["{}"] * len(new), headers
    )
    # The numbers are given in the order of the array.
    seqs = sorted(row["n"] for row in sent)
    known = {key: delivery.id for delivery in new for key in keys_of(delivery)}
    await tx.run(
        """WITH d AS (
               INSERT INTO delivery (seq, id, lane, type, message_key, carrier, received_at, replay, delivery_count, put_back)
               SELECT *, $14 FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                         $7::float8[], $8::integer[], $9::integer[])),
           b AS (INSERT INTO body (seq, body) SELECT * FROM unnest($1::bigint[], $10::bytea[]))
           INSERT INTO seen (id, delivery_id, at)
           SELECT id, delivery_id, $13 FROM unnest($11::text[], $12::text[]) AS u (id, delivery_id)
           ON CONFLICT (id) DO UPDATE SET delivery_id = excluded.delivery_id, at = excluded.at""",
        seqs,
        [d.id for d in new],
        [d.lane for d in new],
        [d.type for d in new],
        [d.message_key for d in new],
        [d.carrier for d in new],
        [d.received_at for d in new],
        list(replays) or [0] * len(new),
        list(counts) or [0] * len(new),
        [d.body for d in new],
        list(known),
        list(known.values()),
        tx.now,
        bool(replays),
    )
    _note_accepted(tx, new, is_new=not replays)


def _note_accepted(tx: Transaction, new: Sequence[Delivery], *, is_new: bool = True) -> None:
    if not new:
        return
    tx.changes.work = True
    tx.changes.lanes.update(delivery.lane for delivery in new)
    tx.changes.accepted += len(new)
    if is_new:
        tx.changes.received_at = received_at(new, tx.changes.received_at)


def received_at(deliveries: Iterable[Delivery], before: float | None = None) -> float | None:
    """Return when the newest webhook among deliveries was accepted, or `before` if that is later."""
    webhooks = [d.received_at for d in deliveries if not d.is_own]
    return max([*webhooks, before or 0.0]) or None


async def _end_waits(tx: Transaction, lanes: Collection[str]) -> None:
    """Let the lanes that wait for more deliveries be leased: they get some."""
    if lanes:
        sql = (
            "SELECT min(seq) FROM delivery WHERE lane = ANY($1) AND waits = 'gathering' AND token IS NULL GROUP BY lane"
        )
        await tx.set_visible([row[0] for row in await tx.fetch(sql, list(lanes))])


async def _sort(tx: Transaction, lane: str) -> None:
    """Give the deliveries of a lane that may move their numbers in the order in which they were sent."""
    seqs = [seq for (seq,) in await tx.fetch("SELECT seq FROM delivery WHERE lane = $1", lane)]
    # Another process may be leasing the head just now. Its commit, if any, comes before the next statement.
    locks = f"SELECT msg_id FROM pgmq.q_{tx.queue} WHERE msg_id = ANY($1) ORDER BY msg_id FOR UPDATE"  # noqa: S608 - checked name
    await tx.fetch(locks, seqs)
    numbers = await deliveries.in_order(tx, seqs)
    if not numbers:
        return
    old, new = list(numbers), list(numbers.values())
    for table in ("delivery", "body"):
        # In two steps: a number is free only after the row that had it got another one.
        aside = (
            f"UPDATE {table} SET seq = -u.new FROM unnest($1::bigint[], $2::bigint[]) AS u (old, new) WHERE seq = u.old"  # noqa: S608
        )
        await tx.run(aside, old, new)
        await tx.run(f"UPDATE {table} SET seq = -seq WHERE seq = ANY($1)", [-one for one in new])  # noqa: S608
