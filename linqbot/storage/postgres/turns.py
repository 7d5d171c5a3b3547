"""The SQL that ends turns, run inside a transaction of the writer. Turns that end together share each statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Retry, lease_over
from linqbot.storage.indexes import Recent
from linqbot.storage.operations import BeginOp, FinishOp, SettleOp, TakeOp
from linqbot.storage.postgres import leases
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.tables import broadcasts, conversations, journal, timers
from linqbot.storage.tables.state import StateBatch

# DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error. The leases are checked in the
# same statement, because each statement costs a round trip.
_BEGIN = f"""WITH held AS (SELECT token FROM leases_of($18::text[], $17::bigint[])),
    begun AS (
        INSERT INTO journal ({journal.COLUMNS}, texts)
        SELECT {journal.COLUMNS}, texts FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bytea[],
            $7::text[], $8::float8[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[],
            $15::boolean[], $16::boolean[], $17::bigint[]) AS u ({journal.COLUMNS}, texts, token)
        WHERE u.token IS NULL OR u.token IN (SELECT token FROM held)
        ON CONFLICT (turn, replay, slot) DO NOTHING)
    SELECT token FROM held"""  # noqa: S608 - constant text

SOON_S: Final = 60.0
"""Seconds within which nearly every delivery leaves the inbox. Then `seen.at` stays the time when it was stored."""


async def begin(tx: Transaction, ops: Sequence[BeginOp]) -> None:
    """Store journal entries before the first attempt of their calls, except those whose lease is over.

    An entry on record stays as it is.
    """
    if not ops:
        return
    state = StateBatch(tx)
    changing = [op for op in ops if op.state]
    await state.read([op.state for op in changing])
    for op in changing:
        if not await journal.is_on_record(tx, op.entry):
            op.error = state.add(op.state)
    begun = [(op, entry) for op in ops for entry in op.entries]
    rows = [journal.row(entry, texts=True)[:-1] for _, entry in begun]
    tokens = [None if op.lease is None else op.lease.token for op, _ in begun]
    lanes = [None if op.lease is None else op.lease.delivery.lane for op, _ in begun]
    held = {row["token"] for row in await tx.fetch(_BEGIN, *map(list, zip(*rows, strict=True)), tokens, lanes)}
    for op in ops:
        if op.error is None and op.lease is not None and op.lease.token not in held:
            op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)
            state.drop(op.state)
    await state.write()
    journal.note_own(tx, [entry for op, entry in begun if op.error is None])


async def finish(tx: Transaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp], *, leaving: bool) -> None:
    """End turns, and set the error of each that cannot end; see `Inbox.finish`.

    Args:
        leaving: True if this process leases nothing more.
    """
    if is_plain(settles, ops, tx.keep_s):
        if ops:
            note_ended(tx, ops, await tx.value(f"SELECT {END}", *arguments(tx, ops)), leaving=leaving)
        return
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await state.settled(settles)
    seqs = await _held(tx, ops)
    ended: dict[int, FinishOp] = {}
    for op in ops:
        seq = seqs.pop(op.lease.token, None)
        if seq is None:
            op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)
        elif (conflict := state.add(op.commit.state)) is not None:
            op.error = conflict
            seqs[op.lease.token] = seq
        else:
            ended[seq] = op
            entries += op.commit.entries
    await journal.settle(tx, entries)
    await state.write()
    await conversations.write(tx, [op.commit for op in ended.values()])
    await broadcasts.update(tx, [update for op in ended.values() for update in op.commit.recipients])
    stays = {seq: op for seq, op in ended.items() if isinstance(op.commit.outcome, Retry | Defer)}
    await _postpone(tx, stays)
    await _remove(tx, {seq: op for seq, op in ended.items() if seq not in stays})
    await timers.write(tx, [op.commit for op in ended.values()])
    tx.changes.ended_leases |= {op.lease.token for op in ended.values()}
    # The lanes go on, but not in this process.
    tx.changes.work |= leaving and bool(ended)


END: Final = "end_turns($1, $2, $3, $4, $5)"
"""The function that removes deliveries whose turns have ended; see `arguments`."""


def is_plain(settles: Sequence[SettleOp], ops: Iterable[FinishOp], keep_s: float) -> bool:
    """Return True if the turns end with `END` alone: each is acked and writes nothing."""
    return not settles and not keep_s and all(_only_acks(op.commit) for op in ops)


def arguments(tx: Transaction, ops: Collection[FinishOp]) -> tuple[object, ...]:
    """Return the arguments of `END`."""
    held = [op.lease for op in ops]
    turns = [op.lease.delivery.id if _may_have_entries(op.commit) else None for op in ops]
    return [each.delivery.lane for each in held], [each.token for each in held], turns, tx.now, SOON_S


def note_ended(tx: Transaction, ops: Collection[FinishOp], over: Collection[int], *, leaving: bool) -> None:
    """Set the error of each operation whose lease is over.

    Args:
        over: The tokens that `END` returned.
        leaving: True if this process leases nothing more.
    """
    for op in ops:
        # Only the first of two operations on one lease ends it.
        if op.lease.token in over or op.lease.token in tx.changes.ended_leases:
            op.error = lease_over(op.lease)
        tx.changes.ended_leases.add(op.lease.token)
    # The lanes go on, but not in this process.
    tx.changes.work |= leaving and len(over) < len(ops)


def _only_acks(commit: Commit) -> bool:
    writes = commit.entries or commit.state or commit.timers or commit.cancelled or commit.rearmed or commit.recipients
    return isinstance(commit.outcome, Ack) and not (
        writes or commit.conversations or commit.ended or commit.off_the_record
    )


def _may_have_entries(commit: Commit) -> bool:
    return isinstance(commit.outcome, Ack) and (bool(commit.entries) or not commit.has_all_entries)


async def finish_and_take(tx: Transaction, ops: Sequence[FinishOp], take: TakeOp, recent: Recent) -> None:
    """End turns that write nothing, and lease the next deliveries, in one statement."""
    if not ops:
        sql = "SELECT * FROM lease($1, $2, $3, $4, $5, $6)"
        rows: Sequence[leases.LeasedRow] = await tx.fetch(sql, *leases.arguments(tx, take, may_choose=False))
    else:
        # LATERAL: the turns end first, so that the next deliveries of their lanes are heads.
        sql = f"""SELECT l.*, e.lost FROM {END} AS e (lost) LEFT JOIN LATERAL lease(
                      $6, CASE WHEN e.lost IS NOT NULL THEN $7::integer END, $8, $9, $10, $11) AS l ON true"""  # noqa: S608
        values = *arguments(tx, ops), *leases.arguments(tx, take, may_choose=False)
        found = await tx.fetch(sql, *values)
        note_ended(tx, ops, found[0]["lost"], leaving=False)
        rows = [row[:-1] for row in found if row["seq"] is not None]
    await leases.refresh(tx, leases.note(tx, take, rows, recent))


async def _held(tx: Transaction, ops: Sequence[FinishOp]) -> dict[int, int]:
    """Return the sequence numbers that are leased under the tokens of these operations."""
    if not ops:
        return {}
    lanes, tokens = [op.lease.delivery.lane for op in ops], [op.lease.token for op in ops]
    rows = await tx.fetch("SELECT token, seq FROM lock_leases($1, $2)", lanes, tokens)
    return {row["token"]: row["seq"] for row in rows}


async def _postpone(tx: Transaction, ops: Mapping[int, FinishOp]) -> None:
    if not ops:
        return
    seqs, failed, whys, times = [], [], [], []
    for seq, op in ops.items():
        outcome = op.commit.outcome
        assert isinstance(outcome, Retry | Defer)
        seqs.append(seq)
        failed.append(isinstance(outcome, Retry))
        whys.append(storable(outcome.error if isinstance(outcome, Retry) else outcome.reason))
        times.append(outcome.at)
    await tx.run(
        """UPDATE delivery SET attempts = attempts + u.failed::integer,
               waits = CASE WHEN u.failed THEN 'retrying' ELSE 'deferred' END,
               not_before = u.at, error = u.why, token = NULL, owner = NULL,
               crashed_with_others = 0, max_concurrent_suspects = 0
           FROM unnest($1::bigint[], $2::boolean[], $3::text[], $4::float8[]) AS u (seq, failed, why, at)
           WHERE delivery.seq = u.seq""",
        seqs,
        failed,
        whys,
        times,
    )
    await tx.set_visible_at(seqs, times)


async def _remove(tx: Transaction, gone: Mapping[int, FinishOp]) -> None:
    if not gone:
        return
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    for seq, op in gone.items():
        if isinstance(op.commit.outcome, DeadLetter):
            await _dead_letter(tx, seq, op.commit.outcome)
    if tx.keep_s and (kept := [seq for seq in acked if seq not in private]):
        await _keep(tx, kept)
    await tx.value(f"SELECT {END}", *arguments(tx, gone.values()))
    turns = {entry.turn for op in acked.values() for entry in op.commit.entries if entry.turn != op.lease.delivery.id}
    await journal.end(tx, turns)
    if private:
        await journal.forget_texts(tx, [op.lease.delivery.id for op in private.values()])


async def _dead_letter(tx: Transaction, seq: int, outcome: DeadLetter) -> None:
    await tx.run("DELETE FROM dead WHERE id = (SELECT id FROM delivery WHERE seq = $1)", seq)
    await tx.run(
        """INSERT INTO dead (id, lane, type, message_key, carrier, received_at, error, handler,
                             replay, delivery_count, attempts, crashes, dead_lettered_at, body)
           SELECT id, lane, type, message_key, carrier, received_at, $2, $3,
                  replay, delivery_count, attempts + $4, crashes, $5, body
           FROM delivery JOIN body USING (seq) WHERE seq = $1""",
        seq,
        storable(outcome.error),
        None if outcome.handler is None else storable(outcome.handler),
        int(outcome.failed),
        tx.now,
    )


async def _keep(tx: Transaction, seqs: list[int]) -> None:
    await tx.run("DELETE FROM done WHERE id IN (SELECT id FROM delivery WHERE seq = ANY($1))", seqs)
    await tx.run(
        """INSERT INTO done (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
           SELECT id, lane, type, message_key, carrier, received_at, replay, $2, body
           FROM delivery JOIN body USING (seq) WHERE seq = ANY($1) ORDER BY seq""",
        seqs,
        tx.now,
    )


def storable(text: str) -> str:
    """Return a message in a form that PostgreSQL can hold: without U+0000 and half surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
