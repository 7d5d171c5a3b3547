"""The SQL that leases the heads of lanes, gives leases back, and ends turns, run inside a transaction of the writer.

A lane is hidden in pgmq until the lease of its head ends. The table `head` has the heads of all lanes, so a lease does not read
the whole queue. This module adds what pgmq does not know: a token that fences late writers, the counts of leases and crashes,
and the limits for suspects after a crash. Turns that end together share each statement.

When a process dies, its leases are counted by the process that notices it. If other deliveries were in flight too, each of
them may be the poison message. From its second crash on, a delivery is a suspect: it is retried in shrinking groups within
one process, finally alone, so that only the poison message is dead-lettered.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from linqbot.errors import LeaseLost
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.storage import conversations, journal, operations
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import SOON_S, Ack, Defer, Lease, Retry, lease_over
from linqbot.storage.indexes import Recent, may_run
from linqbot.storage.postgres.transaction import Statement, Taken, Transaction
from linqbot.storage.state import StateBatch
from linqbot.storage.upkeep import DELIVERY

ALL_HEADS: Final = 100_000
"""Heads that are looked at while there are suspects."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of this process. `suspects` is the maximum number of suspects that may run with it; 0: it is none."""

    until: float
    suspects: int


def allowed(heads: Sequence[tuple[int, int]], running: Iterable[int], limit: int) -> list[int]:
    """Return the heads that may be leased while there are suspects, the suspects first; `running` are limits too."""
    chosen: list[int] = []
    in_force = list(running)
    suspects = [head for head in heads if head[1]]
    while suspects and len(chosen) < limit:
        seq, own = suspects[0]
        if not may_run(own, in_force):
            break
        suspects.pop(0)
        chosen.append(seq)
        in_force.append(own)
    # A suspect that must run alone waits until nothing else runs.
    if 1 in in_force or (suspects and suspects[0][1] == 1):
        return chosen
    return [*chosen, *[seq for seq, own in heads if not own][: limit - len(chosen)]]


_LONGEST_S: Final = 2**31 - 1

_SUSPECTS: Final = 0
"""The number in the only row of `lease` while there are suspects, if this process may not choose among them."""


def _seconds(op: operations.TakeOp) -> int:
    """Return the seconds of a lease: whole ones, as in pgmq, and no more than an integer of PostgreSQL holds."""
    return min(math.ceil(op.lease_s), _LONGEST_S)


def take(statement: Statement, op: operations.TakeOp, recent: Recent, held: Mapping[int, Held] | None = None) -> None:
    """Lease the oldest heads, and set the result of the operation; see `Storage.take`.

    `held` are the leases of this process, to choose among suspects in further statements; None if no statement follows.
    """
    tx = statement.tx

    async def note(rows: Sequence[Any]) -> None:
        await _note(tx, op, rows, recent, held)

    values = statement.values(
        _seconds(op), op.limit, tx.process, held is not None, ALL_HEADS, tx.address.lock("suspects")
    )
    # As this statement finds the queue at its start. Its own leases are added later. Other processes know when theirs end.
    now = statement.values(tx.now)
    due = f"SELECT extract(epoch FROM min(vt))::float8 FROM pgmq.q_{tx.queue} WHERE vt > to_timestamp({now})"  # noqa: S608
    statement.step("taken", f"lease({values}) AS one", f"(one).*, ({due}) AS due", note)


async def _note(
    tx: Transaction, op: operations.TakeOp, rows: Sequence[Any], recent: Recent, held: Mapping[int, Held] | None
) -> None:
    """Set the result of the operation to the leases of these rows. Read the conversations of their chats."""
    due = rows[0]["due"]
    if held is not None:
        suspects = sorted(row["seq"] for row in rows if row["seq"] is not None and row["token"] is None)
        tx.changes.has_suspects = bool(suspects)
        if suspects:
            chosen = await _among_suspects(tx, suspects, op.limit, held)
            rows = await tx.fetch("SELECT * FROM lease_deliveries($1, $2)", chosen, tx.process) if chosen else []
    op.result = []
    until = tx.now + _seconds(op)
    asking: list[str] = []
    for row in sorted((row for row in rows if row[0] is not None), key=itemgetter(0)):
        if row[0] == _SUSPECTS:
            tx.changes.has_suspects = True
            return
        seq, token, name, lane, kind, body, received_at, message_key, carrier, attempts, crashes, count, *others = row
        replay, put_back, suspects, asks, *_ = others
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
        # Another process may have written or ended a conversation of the chat. Now only this process writes there.
        if asks:
            asking.append(chat_id)
        else:
            tx.changes.refreshed[chat_id] = []
    if asking:
        tx.changes.refreshed |= await conversations.in_chats(tx, asking)
    if op.result:
        due = until if due is None else min(due, until)
    is_all = 0 < len(op.result) < op.limit and not tx.changes.has_suspects
    tx.changes.taken = Taken(tx.now, due, tx.changes.news, is_all)


async def following(db: Readable, lane: str, limit: int) -> list[Delivery]:
    """Return the deliveries behind the head of a lane; see `Storage.following`."""
    # Both columns are compared, so that no plan reads the deliveries of other lanes in the order of their numbers.
    sql = f"""SELECT {DELIVERY} FROM (
                  SELECT * FROM delivery WHERE (lane, seq) >= ($1, 0) ORDER BY lane, seq OFFSET 1 LIMIT $2) AS behind
              JOIN body USING (seq) WHERE lane = $1 ORDER BY seq"""  # noqa: S608 - constant text
    return [Delivery(*row) for row in await db.fetch(sql, lane, limit)]


async def release(tx: Transaction, ops: Iterable[operations.ReleaseOp]) -> None:
    """Give back leases that no turn has used. They count as nothing."""
    lanes, tokens = _lanes_and_tokens([lease for op in ops for lease in op.leases])
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


async def hold(tx: Transaction, ops: Iterable[operations.HoldOp]) -> None:
    """Give back leases that were not used. Their lanes wait for more deliveries; see `Storage.hold`."""
    for op in ops:
        # `accept.lock` has the lane, so a `put` into it comes before or after all of this.
        sql = """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1,
                     waits = 'gathering', not_before = $2
                 WHERE seq = (SELECT seq FROM head WHERE lane = $3) AND token = $1
                 RETURNING seq, (SELECT count(*) FROM delivery AS other WHERE other.lane = $3) AS count"""
        row = await tx.fetch(sql, op.lease.token, op.until, op.lease.delivery.lane)
        tx.changes.ended_leases.add(op.lease.token)
        if not row:
            op.error = lease_over(op.lease)
            continue
        ((seq, count),) = row
        await tx.set_visible_at([seq], [0.0 if count > 1 + op.known else op.until])
        tx.changes.work = True


async def join(tx: Transaction, ops: Iterable[operations.JoinOp]) -> None:
    """Put one delivery in the place of several; see `Storage.join`."""
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
        tx.changes.joined.append((head, op.joined, await end_deleted(tx, rows), op.again))


async def end_deleted(tx: Transaction, rows: Sequence[Any]) -> list[int]:
    """Delete what belongs to deleted deliveries, of which these are numbers, ids and message keys. Return the numbers.

    Their ids stay known for a day, as after an ack, because Linq may deliver them again.
    """
    gone = [seq for seq, _, _ in rows]
    await tx.run(
        "UPDATE seen SET at = $1 WHERE id = ANY($2)", tx.now, [key for _, *keys in rows for key in keys if key]
    )
    await tx.run("DELETE FROM body WHERE seq = ANY($1)", gone)
    await tx.fetch("SELECT pgmq.delete($1::text, $2::bigint[])", tx.queue, gone)
    return gone


async def note_progress(tx: Transaction, ops: Iterable[operations.ProgressOp]) -> None:
    """Note how far turns have come that have crashed; see `Storage.note_progress`."""
    sql = """UPDATE delivery SET progress = $3, crashes_before_progress =
                 CASE WHEN progress = $3 THEN crashes_before_progress ELSE crashes END
             WHERE seq = (SELECT seq FROM head WHERE lane = $1) AND token = $2 RETURNING crashes_before_progress"""
    for op in ops:
        op.result = await tx.value(sql, op.lease.delivery.lane, op.lease.token, op.progress)
        if op.result is None:
            op.error = lease_over(op.lease)


async def count_crashes(tx: Transaction, processes: Collection[str]) -> None:
    """Count the crash of processes for the deliveries that they had leased, and let others lease these."""
    for process in sorted(processes):
        owned = [row["seq"] for row in await tx.fetch("SELECT seq FROM leases_owned_by($1) AS seq", process)]
        await operations.count_crash(tx, owned)
        await tx.set_visible(owned)
        await tx.run("DELETE FROM process WHERE id = $1", process)
        await tx.run("DELETE FROM meta WHERE key = $1", f"check {process}")
        tx.changes.work = True


async def _among_suspects(tx: Transaction, seqs: list[int], limit: int, held: Mapping[int, Held]) -> list[int]:
    """Return those of the leased heads that may run; the others become visible again."""
    sql = "SELECT seq, max_concurrent_suspects FROM delivery WHERE seq = ANY($1) ORDER BY seq"
    running = [lease.suspects for lease in held.values() if lease.until > tx.now]
    chosen = allowed([(seq, limit_of) for seq, limit_of in await tx.fetch(sql, seqs)], running, limit)
    await tx.set_visible([seq for seq in seqs if seq not in set(chosen)])
    return chosen


def _lanes_and_tokens(leases: Sequence[Lease]) -> tuple[list[str], list[int]]:
    return [lease.delivery.lane for lease in leases], [lease.token for lease in leases]


def _entries(statement: Statement, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the SQL of a table `u` of rows of the journal, each with the token of its lease."""
    kinds = [statement.tx.types["journal", name] for name in (*journal.COLUMNS.split(", "), "texts")] + ["bigint"]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in kinds]
    typed = zip(statement.values(*columns).split(", "), kinds, strict=True)
    arrays = ", ".join(f"{parameter}::{kind}[]" for parameter, kind in typed)
    return f"unnest({arrays}) AS u ({journal.COLUMNS}, texts, token)"


async def begin(tx: Transaction, ops: Sequence[operations.BeginOp]) -> None:
    """Store journal entries before the first attempt of their calls; see `Storage.begin`."""
    state = StateBatch(tx)
    changing = [op for op in ops if op.state]
    await state.read([op.state for op in changing])
    for op in changing:
        if await journal.status_of(tx, op.entry) is None:
            op.error = state.add(op.state)
    statement = Statement(tx)
    add_begins(statement, ops)
    await statement.run()
    for op in changing:
        if isinstance(op.error, LeaseLost):
            state.drop(op.state)
    await state.write()


def add_begins(statement: Statement, ops: Sequence[operations.BeginOp]) -> None:
    """Store the entries of operations, and set the error of each whose lease is over. The state is left out."""
    tx, begun = statement.tx, [(op, entry) for op in ops for entry in op.entries]

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.error is None and op.lease is not None and op.lease.token not in found[0]["held"]:
                op.error = lease_over(op.lease)
                tx.changes.ended_leases.add(op.lease.token)
        journal.note_own(tx, [entry for op, entry in begun if op.error is None])

    values = statement.values(*_lanes_and_tokens([op.lease for op in ops if op.lease is not None]))
    statement.step("begun", f"ARRAY(SELECT token FROM leases_of({values})) AS held", "held", note)  # noqa: S608
    rows = [(*journal.row(entry, texts=True)[:-1], None if op.lease is None else op.lease.token) for op, entry in begun]
    # DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error.
    statement.write(
        "new_entries",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts)
            SELECT {journal.COLUMNS}, texts FROM begun, {_entries(statement, rows)}
            WHERE u.token IS NULL OR u.token = ANY (begun.held)
            ON CONFLICT (turn, replay, slot) DO NOTHING""",  # noqa: S608 - constant texts
    )


def is_plain(ops: Collection[operations.FinishOp], keep_s: float) -> bool:
    """Return True if `add_ends` alone ends these turns: each is acked and writes only journal entries."""
    if keep_s or len({op.lease.token for op in ops}) < len(ops):
        return False
    ends = [op.commit for op in ops]
    writes = any(e.state or e.timers or e.cancelled or e.rearmed or e.recipients or e.ended for e in ends)
    return not writes and not any(e.off_the_record for e in ends) and all(map(operations.ends_its_turn, ops))


def add_ends(statement: Statement, ops: Collection[operations.FinishOp]) -> None:
    """Remove deliveries whose turns have ended, and set the error of each operation whose lease is over.

    Of turns that `ends_its_turn` names, the outcomes of journal entries are stored.
    """
    tx, searched, rows = statement.tx, list[str | None](), list[tuple[Any, ...]]()
    for op in ops:
        ends = operations.ends_its_turn(op)
        search = isinstance(op.commit.outcome, Ack) and not (ends and op.commit.has_all_entries)
        searched.append(op.lease.delivery.id if search else None)
        if ends:
            rows += [(*row[:-1], op.lease.token) for row in journal.outcomes(tx, op.commit.entries, ended=True)]
            journal.note_own(tx, op.commit.entries)

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.lease.token in found[0]["over"]:
                op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)

    leases = _lanes_and_tokens([op.lease for op in ops])
    values = statement.values(*leases, searched, tx.now, SOON_S)
    statement.step("ended", f"end_turns({values}) AS over", "over", note)
    statement.write(
        "outcomes",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts, ended_at)
            SELECT {journal.COLUMNS}, texts, {statement.values(tx.now)}::float8 FROM ended, {_entries(statement, rows)}
            WHERE u.token <> ALL (ended.over) {journal.REPLACE}""",  # noqa: S608 - constant texts
    )


async def held(tx: Transaction, found: Sequence[Lease]) -> dict[int, int]:
    """Return the sequence numbers that are leased under the tokens of these leases, and lock them."""
    if not found:
        return {}
    lanes, tokens = _lanes_and_tokens(found)
    rows = await tx.fetch("SELECT token, seq FROM lock_leases($1, $2)", lanes, tokens)
    seqs = {row["token"]: row["seq"] for row in rows}
    tx.changes.ended_leases |= set(tokens) - seqs.keys()
    return seqs


async def postpone(tx: Transaction, ops: Mapping[int, operations.FinishOp]) -> None:
    """Let turns run again at their time."""
    ends = [op.commit.outcome for op in ops.values()]
    await tx.set_visible_at(list(ops), [end.at for end in ends if isinstance(end, Retry | Defer)])
    tx.changes.ended_leases |= {op.lease.token for op in ops.values()}


async def remove(tx: Transaction, ops: Mapping[int, operations.FinishOp], _: Collection[int]) -> None:
    """End the leases of turns that are over, and remove their deliveries."""
    statement = Statement(tx)
    add_ends(statement, ops.values())
    await statement.run()
