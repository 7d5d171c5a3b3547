"""The order in which a transaction runs its operations, and what is the same of them for every backend.

The operations and their queue are in `op_queue.py`. The rest here is SQL that backends share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from linqbot.characters import storable
from linqbot.error_details import stored_error
from linqbot.errors import StorageError, StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import (
    acts,
    broadcasts,
    conversation_table,
    edits,
    facts,
    journal,
    outcomes,
    people,
    tally,
    timers,
    upkeep,
)
from linqbot.storage.acts import By
from linqbot.storage.dialect import Writable
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, InboxLimits, Lease, Retry, lease_over
from linqbot.storage.indexes import StorageMemory
from linqbot.storage.journal import JournalEntry, with_result
from linqbot.storage.op_queue import (
    BeginOp,
    FinishOp,
    LaneTransaction,
    OpsByKind,
    PutOp,
    PutReceiptOp,
    ReleaseOp,
    SettleOp,
    TakeOp,
    WorkOp,
    of,
)
from linqbot.storage.state import StateBatch

ACTIVITY_EVERY_S: Final = 60.0
"""Seconds between two notes in the table `meta` of when a webhook was last accepted."""


async def run(tx: LaneTransaction, ops: OpsByKind, memory: StorageMemory, *, purging: bool) -> None:
    """Run the operations of a batch in the open transaction, and delete old rows now and then.

    Only a process that serves is `purging`: a command does not know for how long history is kept.
    """
    # Only puts must keep their order: the operations of a batch are in flight together, and each caller has one at a time.
    if ReleaseOp in ops:
        await tx.release(of(ops, ReleaseOp))
    # Begin comes before settle and finish, so that an outcome finds its row.
    if BeginOp in ops:
        await _begin(tx, of(ops, BeginOp))
    if FinishOp in ops or SettleOp in ops:
        await _finish(tx, of(ops, SettleOp), of(ops, FinishOp))
    # Work comes after the deliveries that are put: it may put others into the same lanes, or let a lane gather that has grown.
    if PutOp in ops:
        await tx.put(of(ops, PutOp))
    if PutReceiptOp in ops:
        await tx.put_receipts(of(ops, PutReceiptOp))
    await _work(tx, of(ops, WorkOp))
    await people.write(tx)
    if TakeOp in ops:
        await tx.take(of(ops, TakeOp))
    if tx.changes.received_at is not None:
        await upkeep.note_activity(tx, tx.changes.received_at, memory.noted_at, after_s=ACTIVITY_EVERY_S)
    if purging and tx.now >= memory.next_upkeep:
        await _keep_up(tx, memory)


async def _keep_up(tx: LaneTransaction, memory: StorageMemory) -> None:
    if tx.now >= memory.fill_at:
        await upkeep.fill_index(tx)
    if tx.now >= memory.purge_at:
        await tally.add(tx)
        await upkeep.purge(tx, memory.keep_outcomes_s)
        if memory.edited:
            tx.changes.all_edited = await edits.lanes(tx)


async def _work(tx: LaneTransaction, ops: Iterable[WorkOp[Any]]) -> None:
    for op in ops:
        try:
            op.result = await op.work(tx)
        except StorageUnavailable:
            raise
        except StorageError as error:
            op.error = error


def ends_its_turn(op: FinishOp) -> bool:
    """Return True if no later run needs the outcomes of a turn. A conversation is a turn of several deliveries."""
    end, turn = op.commit, op.lease.delivery.id
    if not isinstance(end.outcome, Ack) or end.conversations:
        return False
    slots = {entry.slot for entry in end.entries if entry.turn == turn}
    return len(slots) == len(end.entries) and (end.has_all_entries or not slots)


async def join(
    tx: LaneTransaction, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool, is_recorded: bool
) -> None:
    """Replace the leased delivery, and the deliveries with these ids, by one delivery; see `Storage.join`."""
    head = await leased(tx, lease)
    if is_recorded:
        await outcomes.write_joined(tx, joined.lane, ids, joined.id)
    await tx.join(lease, ids, head)
    await edits.remove_kept(tx, ids)
    await tx.run("UPDATE body SET body = $1 WHERE seq = $2", joined.body, head)
    if again:
        await tx.run("UPDATE delivery SET replay = replay + 1 WHERE seq = $1", head)


async def _begin(tx: LaneTransaction, ops: Sequence[BeginOp]) -> None:
    state = StateBatch(tx)
    await state.read([op.state for op in ops])
    held = await tx.in_force([op.lease for op in ops if op.lease is not None])
    for op in ops:
        if op.lease is not None and op.lease.token not in held:
            op.error = lease_over(op.lease)
        elif op.state and await journal.status_of(tx, op.entry) is None:
            op.error = state.add(op.state)
    await state.write()
    await journal.begin(tx, [entry for op in ops for entry in op.entries])


async def _finish(tx: LaneTransaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp]) -> None:
    """End turns, and set the error of each that cannot end; see `Storage.finish`."""
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await _settled(tx, settles, state)
    seqs = await tx.in_force([op.lease for op in ops])
    ended: dict[int, FinishOp] = {}
    ending: set[int] = set()
    for op in ops:
        seq = seqs.get(op.lease.token)
        if seq is None or seq in ended:
            op.error = lease_over(op.lease)
        elif op.commit.state and (conflict := state.add(op.commit.state)) is not None:
            op.error = conflict
        else:
            ended[seq] = op
            if ends_its_turn(op):
                ending.add(seq)
            else:
                entries += op.commit.entries
    tx.changes.wakes_worker |= bool(ended)
    tx.changes.leaves_text |= any(op.commit.off_the_record for op in ops)
    await journal.settle(tx, entries)
    await state.write()
    commits = [op.commit for op in ended.values()]
    await _write_conversations(tx, commits)
    await broadcasts.update(tx, [update for commit in commits for update in commit.recipients])
    await outcomes.write(tx, [commit.record for commit in commits if commit.record is not None])
    gone = {seq: op for seq, op in ended.items() if not isinstance(op.commit.outcome, Retry | Defer)}
    if gone:
        await _remove(tx, gone, ending)
    if len(gone) < len(ended):
        stays = {seq: op for seq, op in ended.items() if seq not in gone}
        await _postpone(tx, stays)
        await tx.postpone(stays)
    await _write_timers(tx, commits)


async def _write_conversations(tx: Writable, commits: Iterable[Commit]) -> None:
    for commit in commits:
        if commit.ended or commit.conversations:
            await conversation_table.write(tx, commit.ended, commit.conversations)


async def _write_timers(tx: Writable, commits: Iterable[Commit]) -> None:
    for commit in commits:
        if commit.cancelled or commit.timers or commit.rearmed:
            await timers.write(tx, commit.cancelled, commit.timers, commit.rearmed)


async def _settled(tx: Writable, ops: Sequence[SettleOp], state: StateBatch) -> list[JournalEntry]:
    """Add what operations write of the state. Return the journal entries of those without a conflict."""
    entries = []
    for op in ops:
        # No other transaction can accept the entry meanwhile: it would write the same state, which is locked.
        is_new = bool(op.state) and await journal.status_of(tx, op.entry) != "accepted"
        if is_new:
            op.error = state.add(op.state)
        if op.error is None:
            entries += [op.entry, op.changes] if is_new and op.changes is not None else [op.entry]
    return entries


async def _postpone(tx: Writable, stays: Mapping[int, FinishOp]) -> None:
    rows = []
    for seq, op in stays.items():
        end = op.commit.outcome
        if isinstance(end, Retry):
            rows.append((seq, 1, "retrying", stored_error(end.error, end.details), end.at))
        elif isinstance(end, Defer):
            rows.append((seq, 0, "deferred", stored_error(end.reason, end.details), end.at))
    sql = f"""UPDATE delivery SET attempts = attempts + $2, waits = $3, error = $4, not_before = $5, {tx.freed},
                  crashed_with_others = 0, max_concurrent_suspects = 0 WHERE seq = $1"""
    await tx.run_each(sql, rows)


async def count_crash(tx: Writable, leased: Sequence[int]) -> None:
    """Count the crash of a process for all the deliveries that it had leased; see `crashes` in the schema."""
    count = len(leased)
    sql = f"""UPDATE delivery SET crashes = crashes + $2, crashed_with_others = crashed_with_others + $3, {tx.freed},
                  max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN $4 ELSE 0 END
              WHERE seq = ANY($1)"""
    await tx.run(sql, leased, int(count == 1), int(count > 1), max(1, count // 4))


async def _remove(tx: LaneTransaction, gone: Mapping[int, FinishOp], ending: Collection[int]) -> None:
    """Remove deliveries that were acked or given up, and keep what must be kept of them."""
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    for seq, op in gone.items():
        if isinstance(op.commit.outcome, DeadLetter):
            await _dead_letter(tx, seq, op.commit.outcome)
    if tx.keep_s and (kept := sorted(acked.keys() - private.keys())):
        await tx.run("DELETE FROM done WHERE id IN (SELECT id FROM delivery WHERE seq = ANY($1))", kept)
        sql = """INSERT INTO done (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
                 SELECT id, lane, type, message_key, carrier, received_at, replay, $2, body
                 FROM delivery JOIN body USING (seq) WHERE seq = ANY($1) ORDER BY seq"""
        await tx.run(sql, kept, tx.now)
    await tx.remove(gone, ending)
    # The turns of conversations that go on with these deliveries.
    others = {each.turn for op in acked.values() for each in op.commit.entries if each.turn != op.lease.delivery.id}
    await journal.end(tx, others)
    if private:
        turns = {each.turn for op in private.values() for each in op.commit.entries}
        await journal.forget_texts(tx, turns | {op.lease.delivery.id for op in private.values()})


async def _dead_letter(tx: Writable, seq: int, outcome: DeadLetter) -> None:
    await tx.run("DELETE FROM dead WHERE id = (SELECT id FROM delivery WHERE seq = $1)", seq)
    sql = f"""INSERT INTO dead (id, lane, type, message_key, carrier, received_at, error, handler,
                                replay, delivery_count, attempts, crashes, dead_lettered_at, body{tx.padding})
              SELECT id, lane, type, message_key, carrier, received_at, $2, $3,
                     replay, delivery_count, attempts + $4, crashes, $5, body{tx.padding}
              FROM delivery JOIN body USING (seq) WHERE seq = $1"""
    handler = None if outcome.handler is None else storable(outcome.handler)
    await tx.run(sql, seq, stored_error(outcome.error, outcome.details), handler, int(outcome.failed), tx.now)


async def fire(tx: LaneTransaction, now: float, limit: int, *, has_steps: bool) -> int:
    """Move due timers, and with `has_steps` due steps of broadcasts; see `Storage.fire`."""
    steps = await broadcasts.advance(tx, now) if has_steps else []
    due = [*steps, *await timers.take_due(tx, now, limit)]
    await tx.store(due)
    return len(due)


async def cancel(tx: Writable, timer_id: str, record: JournalEntry | None, by: By | None) -> bool:
    timer = None if by is None else await timers.find(tx, timer_id)
    is_gone = await timers.cancel(tx, timer_id)
    if by is not None and timer is not None:
        await acts.note(tx, by, "cancel", [acts.of_lane(timer_id, timer.lane)])
    tx.changes.leaves_text |= is_gone
    if record is not None:
        await journal.settle(tx, [with_result(record, is_gone)])
    return is_gone


async def leased(tx: LaneTransaction, lease: Lease) -> int:
    """Return the sequence number of the leased delivery. Raises LeaseLost if the lease is over."""
    seq = (await tx.in_force([lease])).get(lease.token)
    if seq is None:
        raise lease_over(lease)
    return seq


async def note_progress(tx: LaneTransaction, lease: Lease, progress: int) -> int:
    """Note how far a turn has come that has crashed, and return its crashes before. Raises LeaseLost."""
    seq = await leased(tx, lease)
    sql = "UPDATE delivery SET progress = $2, crashes_before_progress = crashes WHERE seq = $1 AND progress <> $2"
    await tx.run(sql, seq, progress)
    return int(await tx.value("SELECT crashes_before_progress FROM delivery WHERE seq = $1", seq))


async def write_check(tx: LaneTransaction, limits: InboxLimits, size: int) -> None:
    """Write `size` bytes without a meaning; with 0 delete them again. Raises StorageBusy if the backlog is full."""
    if not size:
        await facts.remove(tx, upkeep.CHECK)
    elif not await tx.has_room():
        raise limits.full()
    else:
        await facts.write(tx, upkeep.CHECK, "0" * size)
