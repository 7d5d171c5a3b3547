"""The SQL that leases the heads of lanes, run inside a transaction of the writer.

A lane is hidden in pgmq until the lease of its head ends. The table `head` has the heads of all lanes, so a lease does not read
the whole queue. This module adds what pgmq does not know: a token that fences late writers, the counts of leases and crashes,
and the limits for suspects after a crash.

When a process dies, its leases are counted by the process that notices it. If other deliveries were in flight too, each of
them may be the poison message. From its second crash on, a delivery is a suspect: it is retried in shrinking groups within
one process, finally alone, so that only the poison message is dead-lettered.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Lease, lease_over
from linqbot.storage.indexes.recent import Recent
from linqbot.storage.operations import HoldOp, JoinOp, ReleaseOp, TakeOp
from linqbot.storage.postgres.tables import conversations
from linqbot.storage.postgres.transaction import Transaction

ALL_HEADS: Final = 100_000
"""Heads that are looked at while there are suspects."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of this process. `suspects` is the maximum number of suspects that may run with it; 0: it is none."""

    until: float
    suspects: int


@dataclass(slots=True)
class HeldLeases:
    """The leases that this process holds, by token, with their ends on the clock of the database."""

    by_token: dict[int, Held] = field(default_factory=dict)

    def running(self, now: float) -> list[int]:
        """Return the limits of the leases that have not run out."""
        return [held.suspects for held in self.by_token.values() if held.until > now]

    def is_draining(self, now: float) -> bool:
        """Return True while a suspect that must run alone is leased."""
        return any(held.suspects == 1 and held.until > now for held in self.by_token.values())


def allowed(heads: Iterable[tuple[int, int]], running: Iterable[int], limit: int, *, draining: bool) -> list[int]:
    """Return the heads that may be leased while there are suspects, the suspects first.

    Args:
        heads: Sequence number and limit of suspects of each free head, in order.
        running: The limits of what this process has leased.
        draining: True while a suspect that must run alone is leased.
    """
    chosen: list[int] = []
    in_force = list(running)
    free = list(heads)
    suspects = [head for head in free if head[1]]
    while suspects and len(chosen) < limit:
        seq, own = suspects[0]
        limits = [each for each in in_force if each]
        if (own == 1 and in_force) or len(limits) >= min([own, *limits]):
            break
        suspects.pop(0)
        chosen.append(seq)
        in_force.append(own)
        draining |= own == 1
    if draining or (suspects and suspects[0][1] == 1):
        return chosen
    return [*chosen, *[seq for seq, own in free if not own][: limit - len(chosen)]]


async def take(tx: Transaction, op: TakeOp, held: Mapping[int, Held], recent: Recent) -> None:
    """Lease the oldest heads, and set the result of the operation; see `Inbox.take`."""
    op.result = []
    tx.changes.taken_at = tx.now + tx.ahead_s
    # As pgmq, whole seconds.
    seconds = math.ceil(op.lease_s)
    rows = await tx.fetch(
        """SELECT h.seq, s.suspects FROM (SELECT EXISTS (SELECT FROM delivery WHERE max_concurrent_suspects > 0) AS suspects) s
           CROSS JOIN LATERAL (SELECT CASE WHEN s.suspects THEN pg_advisory_xact_lock($5) IS NULL END) l (locked)
           CROSS JOIN LATERAL lease_heads(
               $1::text, $2::integer, CASE WHEN l.locked IS NULL THEN $3::integer ELSE $4::integer END) h (seq)""",
        tx.queue,
        seconds,
        op.limit,
        ALL_HEADS,
        # While there are suspects, a claim hides all heads until its commit. Another process waits for that: it would find
        # nothing otherwise, and sleep although heads are left.
        tx.address.lock("suspects"),
    )
    seqs = sorted(row["seq"] for row in rows)
    if rows and rows[0]["suspects"]:
        seqs = await _among_suspects(tx, seqs, op.limit, held)
    if not seqs:
        return
    leased = await tx.fetch(
        """UPDATE delivery SET token = nextval('lease_token'), owner = $2, delivery_count = delivery_count + 1,
               crashes = crashes + (token IS NOT NULL)::integer
           WHERE seq = ANY($1)
           RETURNING seq, id, lane, type, received_at, message_key, carrier, token, attempts, crashes,
               delivery_count - 1 AS delivery_count, replay, put_back, max_concurrent_suspects""",
        seqs,
        tx.process,
    )
    await _delete_strays(tx, set(seqs) - {row["seq"] for row in leased})
    known: dict[int, Delivery] = {}
    for row in leased:
        stored = recent.get(row["seq"])
        # The number may belong to another delivery by now: put_in_order changes numbers.
        if stored is not None and stored.delivery.id == row["id"]:
            known[row["seq"]] = stored.delivery
    missing = [row["seq"] for row in leased if row["seq"] not in known]
    bodies: dict[int, bytes] = {}
    if missing:
        bodies = {row["seq"]: row["body"] for row in await tx.fetch("SELECT * FROM body WHERE seq = ANY($1)", missing)}
    for row in sorted(leased, key=lambda each: int(each["seq"])):
        seq = row["seq"]
        delivery = known.get(seq) or Delivery(
            row["id"],
            row["lane"],
            row["type"],
            bodies[seq],
            row["received_at"],
            row["message_key"],
            row["carrier"],
        )
        counts = row["attempts"], row["crashes"], row["delivery_count"], row["replay"]
        lease = Lease(delivery, row["token"], *counts, row["put_back"])
        op.result.append(lease)
        tx.changes.leased.append((lease, tx.now + tx.ahead_s + seconds, row["max_concurrent_suspects"]))
    # Another process may have written a conversation in the chat before. Now only this process writes there.
    if chats := {lease.delivery.lane[2:] for lease in op.result if lease.delivery.lane.startswith("c:")}:
        tx.changes.refreshed |= await conversations.in_chats(tx.connection, chats)


async def release(tx: Transaction, ops: Iterable[ReleaseOp]) -> None:
    """Give back leases that no turn has used. They count as nothing."""
    tokens = [lease.token for op in ops for lease in op.leases]
    if tokens:
        await give_back(tx, "token = ANY($1)", tokens)


async def give_back(tx: Transaction, where: str, value: object) -> None:
    """Give back the leases for which a condition on `$1` holds. They count as nothing."""
    rows = await tx.fetch(f"SELECT token FROM delivery WHERE {where} FOR UPDATE", value)  # noqa: S608 - constant text
    tokens = [row["token"] for row in rows]
    if not tokens:
        return
    gone = await tx.fetch(
        """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1
           WHERE token = ANY($1) RETURNING seq""",
        tokens,
    )
    await tx.set_visible([row["seq"] for row in gone])
    tx.changes.ended_leases |= set(tokens)
    tx.changes.work = True


async def hold(tx: Transaction, ops: Iterable[HoldOp]) -> None:
    """Give back leases that were not used. Their lanes wait for more deliveries; see `Inbox.hold`."""
    for op in ops:
        # `accept.lock` has the lane, so a `put` into it comes before or after all of this.
        row = await tx.fetch(
            """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1,
                   waits = 'gathering', not_before = $2
               WHERE token = $1
               RETURNING seq, (SELECT count(*) FROM delivery AS other WHERE other.lane = delivery.lane) AS count""",
            op.lease.token,
            op.until,
        )
        tx.changes.ended_leases.add(op.lease.token)
        if not row:
            op.error = lease_over(op.lease)
            continue
        ((seq, count),) = row
        if count > 1 + op.known:
            await tx.set_visible([seq])
        else:
            await tx.set_visible_at([seq], [op.until])
        tx.changes.work = True


async def join(tx: Transaction, ops: Iterable[JoinOp]) -> None:
    """Put one delivery in the place of several; see `Inbox.join`."""
    for op in ops:
        head = await tx.value("SELECT seq FROM delivery WHERE token = $1 FOR UPDATE", op.lease.token)
        if head is None:
            op.error = lease_over(op.lease)
            continue
        await tx.run("UPDATE body SET body = $2 WHERE seq = $1", head, op.joined.body)
        if op.again:
            await tx.run("UPDATE delivery SET replay = replay + 1 WHERE seq = $1", head)
        sql = "DELETE FROM delivery WHERE lane = $1 AND id = ANY($2) AND seq <> $3 RETURNING seq, id, message_key"
        rows = await tx.fetch(sql, op.lease.delivery.lane, list(op.ids), head)
        gone = [row["seq"] for row in rows]
        keys = [key for row in rows for key in (row["id"], row["message_key"]) if key]
        await tx.run("UPDATE seen SET at = $1 WHERE id = ANY($2)", tx.now, keys)
        await tx.run("DELETE FROM body WHERE seq = ANY($1)", gone)
        await tx.fetch("SELECT pgmq.delete($1::text, $2::bigint[])", tx.queue, gone)
        tx.changes.joined.append((head, op.joined, gone, op.again))


async def count_crash(tx: Transaction, processes: Collection[str]) -> None:
    """Count the crash of processes for the deliveries that they had leased, and let others lease these."""
    for process in sorted(processes):
        (count,) = (await tx.fetch("SELECT count(*) FROM delivery WHERE owner = $1", process))[0]
        rows = await tx.fetch(
            """UPDATE delivery SET crashes = crashes + $2, crashed_with_others = crashed_with_others + $3,
                   max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN $4 ELSE 0 END,
                   token = NULL, owner = NULL
               WHERE owner = $1 RETURNING seq""",
            process,
            int(count == 1),
            int(count > 1),
            max(1, count // 4),
        )
        await tx.set_visible([row["seq"] for row in rows])
        await tx.run("DELETE FROM process WHERE id = $1", process)
        await tx.run("DELETE FROM meta WHERE key = $1", f"check {process}")
        tx.changes.work = True


async def _among_suspects(tx: Transaction, seqs: list[int], limit: int, held: Mapping[int, Held]) -> list[int]:
    """Return those of the leased heads that may run; the others become visible again."""
    rows = await tx.fetch("SELECT seq, max_concurrent_suspects FROM delivery WHERE seq = ANY($1)", seqs)
    limits = {row["seq"]: row["max_concurrent_suspects"] for row in rows}
    leases = HeldLeases(dict(held))
    now = tx.now + tx.ahead_s
    running = leases.running(now)
    heads = [(seq, limits.get(seq, 0)) for seq in seqs]
    chosen = allowed(heads, running, limit, draining=leases.is_draining(now))
    await tx.set_visible([seq for seq in seqs if seq not in set(chosen)])
    return chosen


async def _delete_strays(tx: Transaction, seqs: Collection[int]) -> None:
    """Delete messages of pgmq without a delivery. There are none, unless a delivery was deleted by hand."""
    if seqs:
        await tx.fetch("SELECT pgmq.delete($1::text, $2::bigint[])", tx.queue, sorted(seqs))
