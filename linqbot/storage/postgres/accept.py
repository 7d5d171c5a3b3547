"""The SQL that puts deliveries into their lanes, run inside a transaction of the writer.

Each transaction first locks the lanes to which it adds, in one order. So deliveries of a lane get their numbers in the
order in which they are committed, whatever process accepted them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from linqbot.errors import LaneFull, StorageBusy
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import lease_over
from linqbot.storage.operations import AdvanceOp, FinishOp, FireOp, HoldOp, JoinOp, Op, OrderOp, PutOp
from linqbot.storage.postgres.tables import broadcasts, timers
from linqbot.storage.postgres.transaction import Transaction

DELIVERY = "id, lane, type, body, received_at, message_key, carrier"
"""The columns of a `Delivery`, in the order of its fields."""


class InboxRoom:
    """The number of deliveries that fit into the inbox. They are counted only when the last count is used up.

    Other processes also add deliveries, so several processes together may exceed the limit by what each had left.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = 0

    async def ensure(self, tx: Transaction, wanted: int) -> int:
        """Return how many deliveries fit: at least `wanted`, if there is room for them."""
        if self.left < wanted:
            count = int(await tx.value("SELECT count(*) FROM delivery"))
            self.left = tx.changes.room = max(self.limit - count, 0)
        return self.left

    def full(self) -> StorageBusy:
        """Return the error for a delivery that does not fit."""
        return StorageBusy(f"The backlog is full: {self.limit} deliveries wait.")


async def put(tx: Transaction, ops: Sequence[PutOp], room: InboxRoom, lane_limit: int) -> list[tuple[int, Delivery]]:
    """Store new deliveries, and set the result or the error of each operation. Return them with their numbers."""
    if not ops:
        return []
    deliveries = [op.delivery for op in ops]
    known = await _known(tx, deliveries)
    counted = await tx.fetch(
        """SELECT lane, count(*), min(seq) FILTER (WHERE waits = 'gathering' AND token IS NULL) AS gathers
           FROM delivery WHERE lane = ANY($1) GROUP BY lane""",
        list({d.lane for d in deliveries}),
    )
    in_lane: Counter[str] = Counter({row["lane"]: row["count"] for row in counted})
    left = await room.ensure(tx, len(ops))
    new: list[Delivery] = []
    for op in ops:
        delivery = op.delivery
        if not known.isdisjoint(keys(delivery)):
            op.result = False
        elif len(new) >= left:
            op.error = room.full()
        elif in_lane[delivery.lane] >= lane_limit:
            op.error = LaneFull(f"The lane of {delivery.id} is full: {lane_limit} deliveries wait.")
        else:
            op.result = True
            known.update(keys(delivery))
            in_lane[delivery.lane] += 1
            new.append(delivery)
    lanes = {delivery.lane for delivery in new}
    await tx.set_visible([row["gathers"] for row in counted if row["gathers"] is not None and row["lane"] in lanes])
    return await _accept(tx, new)


async def put_in_order(tx: Transaction, op: OrderOp) -> None:
    """Store missed deliveries and sort their lane; see `Inbox.put_in_order`."""
    if op.lease is not None:
        head = await tx.value("SELECT seq FROM delivery WHERE token = $1 FOR UPDATE", op.lease.token)
        if head is None:
            op.error = lease_over(op.lease)
            return
        await tx.run(
            """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1
               WHERE token = $1""",
            op.lease.token,
        )
        await tx.set_visible([head])
        tx.changes.ended_leases.add(op.lease.token)
    known = await _known(tx, op.missed)
    new: list[Delivery] = []
    for delivery in op.missed:
        if known.isdisjoint(keys(delivery)):
            known.update(keys(delivery))
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
        # Without any, another process is firing them: look again.
        tx.changes.timers |= not due
        op.result = len(due)
        await lock_lanes(tx, due)
        known = await _known(tx, due)
        # Backlog limits do not apply: Linq does not deliver a timer again if it is refused.
        await _end_waits(tx, {delivery.lane for delivery in due})
        await _accept(tx, [delivery for delivery in due if delivery.id not in known])


async def advance_broadcasts(tx: Transaction, ops: Sequence[AdvanceOp]) -> None:
    """Carry out the steps of broadcasts that are due; see `Broadcasts.advance_broadcasts`."""
    for op in ops:
        due = await broadcasts.advance(tx, op.now)
        op.result = len(due)
        await lock_lanes(tx, due)
        known = await _known(tx, due)
        await _end_waits(tx, {delivery.lane for delivery in due})
        await _accept(tx, [delivery for delivery in due if delivery.id not in known])


async def put_back(tx: Transaction, ids: Sequence[str], places: Sequence[str], *, again: bool) -> int:
    """Move kept deliveries to the tails of their lanes, in this order, and return their number.

    Args:
        places: The tables from which they come; the first that holds an id is used.
        again: True for a new replay: its number rises, and no run of it has been made.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, tuple[Delivery, int, int]] = {}
    for table in reversed(places):
        count = "delivery_count" if table == "dead" else "0"
        sql = f"SELECT {DELIVERY}, replay, {count} FROM {table} WHERE id = ANY($1) FOR UPDATE"  # noqa: S608 - constant text
        for *columns, replay, delivery_count in await tx.fetch(sql, wanted):
            delivery = Delivery(*columns)
            found[delivery.id] = (delivery, replay + again, 0 if again else delivery_count)
    await lock_lanes(tx, [delivery for delivery, _, _ in found.values()])
    waits = {row["id"] for row in await tx.fetch("SELECT id FROM delivery WHERE id = ANY($1)", list(found))}
    moved = [found[one] for one in wanted if one in found and one not in waits]
    gone = [delivery.id for delivery, _, _ in moved]
    for table in places:
        await tx.run(f"DELETE FROM {table} WHERE id = ANY($1)", gone)  # noqa: S608 - constant text
    await _end_waits(tx, {delivery.lane for delivery, _, _ in moved})
    await _accept(
        tx,
        [delivery for delivery, _, _ in moved],
        replays=[replay for _, replay, _ in moved],
        counts=[count for _, _, count in moved],
    )
    return len(moved)


async def lock(tx: Transaction, batch: Iterable[Op]) -> None:
    """Lock the lanes that a batch adds to, counts or takes from: all at once, and in the same order in every process.

    Otherwise two processes would often wait for each other: one adds to a lane whose head the other one ends, and ends the
    head of a lane to which the other one adds.
    """
    kept, shortened = set[str](), set[str]()
    for op in batch:
        match op:
            case PutOp():
                kept.add(op.delivery.lane)
            case OrderOp():
                kept.add(op.lane)
            case HoldOp():
                kept.add(op.lease.delivery.lane)
            case FinishOp() | JoinOp():
                shortened.add(op.lease.delivery.lane)
            case _:
                pass
    await tx.lock(map(_lock_of, kept))
    if shortened:
        await tx.fetch("SELECT FROM head WHERE lane = ANY($1) ORDER BY lane FOR UPDATE", list(kept | shortened))


async def lock_lanes(tx: Transaction, deliveries: Collection[Delivery]) -> None:
    """Keep other transactions from adding to these lanes until the commit of this one."""
    await tx.lock(_lock_of(delivery.lane) for delivery in deliveries)


def _lock_of(lane: str) -> str:
    return f"lane\0{lane}"


def keys(delivery: Delivery) -> tuple[str, ...]:
    """Return the ids by which a second copy of the delivery is recognised."""
    return (delivery.id,) if delivery.message_key is None else (delivery.id, delivery.message_key)


async def _known(tx: Transaction, deliveries: Sequence[Delivery]) -> set[str]:
    """Return the ids and message keys of these deliveries that are known."""
    if not deliveries:
        return set()
    sql = "SELECT id FROM seen WHERE id = ANY($1)"
    return {row["id"] for row in await tx.fetch(sql, [key for each in deliveries for key in keys(each)])}


async def _accept(
    tx: Transaction, new: Sequence[Delivery], *, replays: Sequence[int] = (), counts: Sequence[int] = ()
) -> list[tuple[int, Delivery]]:
    """Store deliveries at the tails of their lanes, and return them with their numbers.

    Args:
        replays, counts: `replay` and `delivery_count` of each that an operator puts back; empty for new deliveries.
    """
    if not new:
        return []
    headers = [json.dumps({"x-pgmq-group": delivery.lane}) for delivery in new]
    sent = await tx.fetch(
        "SELECT n FROM pgmq.send_batch($1::text, $2::jsonb[], $3::jsonb[]) AS n", tx.queue, ["{}"] * len(new), headers
    )
    # The numbers are given in the order of the array.
    seqs = sorted(row["n"] for row in sent)
    known = {key: delivery.id for delivery in new for key in keys(delivery)}
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
    tx.changes.work = True
    tx.changes.lanes.update(delivery.lane for delivery in new)
    tx.changes.accepted += len(new)
    if not replays:
        webhooks = [d.received_at for d in new if d.id.startswith("w.")]
        tx.changes.received_at = max([*webhooks, tx.changes.received_at or 0.0]) or None
    return list(zip(seqs, new, strict=True))


async def _end_waits(tx: Transaction, lanes: Collection[str]) -> None:
    """Let the lanes that wait for more deliveries be leased: they get some."""
    if lanes:
        sql = (
            "SELECT min(seq) FROM delivery WHERE lane = ANY($1) AND waits = 'gathering' AND token IS NULL GROUP BY lane"
        )
        await tx.set_visible([row[0] for row in await tx.fetch(sql, list(lanes))])


async def _sort(tx: Transaction, lane: str) -> None:
    """Give the deliveries of a lane that may move their numbers in the order in which they were sent."""
    waiting = await tx.fetch("SELECT seq FROM delivery WHERE lane = $1", lane)
    # Another process may be leasing the head just now. Its commit, if any, comes before the next statement.
    locks = f"SELECT msg_id FROM pgmq.q_{tx.queue} WHERE msg_id = ANY($1) ORDER BY msg_id FOR UPDATE"  # noqa: S608 - checked name
    await tx.fetch(locks, [row["seq"] for row in waiting])
    sql = f"""SELECT seq, {DELIVERY} FROM delivery JOIN body USING (seq)
              WHERE lane = $1 AND token IS NULL AND coalesce(waits, 'gathering') = 'gathering'
                  AND NOT EXISTS (SELECT FROM journal WHERE turn = delivery.id)"""  # noqa: S608 - constant text
    found = await tx.fetch(sql, lane)
    rows = sorted((row[0], Delivery(*row[1:]).sent_at) for row in found)
    in_order = sorted(rows, key=lambda row: (row[1], row[0]))
    moved = [(old, new) for (old, _), (new, _) in zip(in_order, rows, strict=True) if old != new]
    if not moved:
        return
    old, new = [pair[0] for pair in moved], [pair[1] for pair in moved]
    for table in ("delivery", "body"):
        # In two steps: a number is free only after the row that had it got another one.
        aside = (
            f"UPDATE {table} SET seq = -u.new FROM unnest($1::bigint[], $2::bigint[]) AS u (old, new) WHERE seq = u.old"  # noqa: S608
        )
        await tx.run(aside, old, new)
        await tx.run(f"UPDATE {table} SET seq = -seq WHERE seq = ANY($1)", [-one for one in new])  # noqa: S608
