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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import asyncpg

from linqbot.events.delivery import Delivery
from linqbot.events.lane import chat_of_lane
from linqbot.storage.inbox import Lease, lease_over
from linqbot.storage.indexes import Recent
from linqbot.storage.operations import HoldOp, JoinOp, ProgressOp, ReleaseOp, TakeOp
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.tables import conversations

ALL_HEADS: Final = 100_000
"""Heads that are looked at while there are suspects."""


LeasedRow: TypeAlias = asyncpg.Record | tuple[Any, ...]
"""A row of the type `leased` of the schema."""


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


_LONGEST_S: Final = 2**31 - 1

_SUSPECTS: Final = 0
"""The number in the only row of `lease` while there are suspects, if this process may not choose among them."""


def _seconds(op: TakeOp) -> int:
    """Return the seconds of a lease: whole ones, as in pgmq, and no more than an integer of PostgreSQL holds."""
    return min(math.ceil(op.lease_s), _LONGEST_S)


def arguments(tx: Transaction, op: TakeOp, *, may_choose: bool) -> tuple[object, ...]:
    """Return the six arguments of the function `lease`.

    Args:
        may_choose: True if another statement follows in the transaction, so that this process can choose among suspects.
    """
    return _seconds(op), op.limit, tx.process, may_choose, ALL_HEADS, tx.address.lock("suspects")


async def take(tx: Transaction, op: TakeOp, held: Mapping[int, Held], recent: Recent) -> None:
    """Lease the oldest heads, and set the result of the operation; see `Inbox.take`."""
    rows = await tx.fetch("SELECT * FROM lease($1, $2, $3, $4, $5, $6)", *arguments(tx, op, may_choose=True))
    tx.changes.has_suspects = bool(rows) and rows[0]["token"] is None
    if tx.changes.has_suspects:
        chosen = await _among_suspects(tx, sorted(row["seq"] for row in rows), op.limit, held)
        rows = await tx.fetch("SELECT * FROM lease_deliveries($1, $2)", chosen, tx.process) if chosen else []
    await refresh(tx, note(tx, op, rows, recent))


def note(tx: Transaction, op: TakeOp, rows: Sequence[LeasedRow], recent: Recent) -> list[str]:
    """Set the result of the operation to the leases of these rows. Return those of their chats that have conversations."""
    op.result = []
    tx.changes.taken_at = now = tx.now
    if rows and rows[0][0] == _SUSPECTS:
        tx.changes.has_suspects = True
        return []
    until = now + _seconds(op)
    asking: list[str] = []
    for row in sorted(rows, key=_first):
        seq, token, name, lane, kind, body, received_at, message_key, carrier, attempts, crashes, count, *others = row
        replay, put_back, suspects, asks = others
        stored = recent.get(seq)
        # The number may belong to another delivery by now: put_in_order changes numbers. And others may have joined this one,
        # in another process, or in a commit whose answer was lost.
        if stored is not None and stored.delivery.id == name and stored.delivery.body == body:
            delivery = stored.delivery
        else:
            delivery = Delivery(name, lane, kind, body, received_at, message_key, carrier)
        lease = Lease(delivery, token, attempts, crashes, count, replay, put_back)
        op.result.append(lease)
        tx.changes.leased.append((lease, until, suspects))
        if (chat_id := chat_of_lane(lane)) is None:
            continue
        if asks:
            asking.append(chat_id)
        else:
            # Another process may have ended its conversations.
            tx.changes.refreshed[chat_id] = []
    return asking


async def refresh(tx: Transaction, chats: Sequence[str]) -> None:
    """Read the conversations of leased chats: another process may have written one. Now only this process writes there."""
    if chats:
        tx.changes.refreshed |= await conversations.in_chats(tx, chats)


async def release(tx: Transaction, ops: Iterable[ReleaseOp]) -> None:
    """Give back leases that no turn has used. They count as nothing."""
    found = [lease for op in ops for lease in op.leases]
    if found:
        lanes, tokens = [lease.delivery.lane for lease in found], [lease.token for lease in found]
        rows = await tx.fetch("SELECT token, seq FROM leases_of($1, $2)", lanes, tokens)
        await give_back(tx, [row["seq"] for row in rows], tokens)


async def give_back(tx: Transaction, seqs: Sequence[int], tokens: Sequence[int]) -> None:
    """Give back the leases of these deliveries that have these tokens. They count as nothing."""
    sql = "SELECT seq, token FROM delivery WHERE seq = ANY($1) AND token = ANY($2) ORDER BY seq FOR UPDATE"
    rows = await tx.fetch(sql, list(seqs), list(tokens)) if seqs else []
    if not rows:
        return
    gone = [row["seq"] for row in rows]
    sql = "UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1 WHERE seq = ANY($1)"
    await tx.run(sql, gone)
    await tx.set_visible(gone)
    tx.changes.ended_leases |= {row["token"] for row in rows}
    tx.changes.work = True


async def hold(tx: Transaction, ops: Iterable[HoldOp]) -> None:
    """Give back leases that were not used. Their lanes wait for more deliveries; see `Inbox.hold`."""
    for op in ops:
        # `accept.lock` has the lane, so a `put` into it comes before or after all of this.
        row = await tx.fetch(
            """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1,
                   waits = 'gathering', not_before = $2
               WHERE seq = (SELECT seq FROM head WHERE lane = $3) AND token = $1
               RETURNING seq, (SELECT count(*) FROM delivery AS other WHERE other.lane = $3) AS count""",
            op.lease.token,
            op.until,
            op.lease.delivery.lane,
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
        head = await tx.leased(op.lease)
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


async def note_progress(tx: Transaction, ops: Iterable[ProgressOp]) -> None:
    """Note how far turns have come that have crashed; see `Inbox.note_progress`."""
    for op in ops:
        if (seq := await tx.leased(op.lease)) is None:
            op.error = lease_over(op.lease)
            continue
        sql = "UPDATE delivery SET progress = $2, crashes_before_progress = crashes WHERE seq = $1 AND progress <> $2"
        await tx.run(sql, seq, op.progress)
        op.result = await tx.value("SELECT crashes_before_progress FROM delivery WHERE seq = $1", seq)


async def count_crash(tx: Transaction, processes: Collection[str]) -> None:
    """Count the crash of processes for the deliveries that they had leased, and let others lease these."""
    for process in sorted(processes):
        owned = [row["seq"] for row in await tx.fetch("SELECT seq FROM leases_owned_by($1) AS seq", process)]
        count = len(owned)
        await tx.run(
            """UPDATE delivery SET crashes = crashes + $2, crashed_with_others = crashed_with_others + $3,
                   max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN $4 ELSE 0 END,
                   token = NULL, owner = NULL
               WHERE seq = ANY($1)""",
            owned,
            int(count == 1),
            int(count > 1),
            max(1, count // 4),
        )
        await tx.set_visible(owned)
        await tx.run("DELETE FROM process WHERE id = $1", process)
        await tx.run("DELETE FROM meta WHERE key = $1", f"check {process}")
        tx.changes.work = True


async def _among_suspects(tx: Transaction, seqs: list[int], limit: int, held: Mapping[int, Held]) -> list[int]:
    """Return those of the leased heads that may run; the others become visible again."""
    rows = await tx.fetch("SELECT seq, max_concurrent_suspects FROM delivery WHERE seq = ANY($1)", seqs)
    limits = {row["seq"]: row["max_concurrent_suspects"] for row in rows}
    leases = HeldLeases(dict(held))
    running = leases.running(tx.now)
    heads = [(seq, limits.get(seq, 0)) for seq in seqs]
    chosen = allowed(heads, running, limit, draining=leases.is_draining(tx.now))
    await tx.set_visible([seq for seq in seqs if seq not in set(chosen)])
    return chosen


def _first(row: LeasedRow) -> int:
    seq: int = row[0]
    return seq
