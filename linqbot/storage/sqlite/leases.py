"""The SQL that leases the heads of lanes, gives leases back, and ends turns, run inside a transaction of the writer.

The index chooses the lanes. A row on disk says only that it is leased, so that the next start can count a crash. Turns
that end together share statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import SOON_S, Ack, Commit, DeadLetter, Defer, Lease, Retry, lease_over
from linqbot.storage.indexes import LaneLease, Row
from linqbot.storage.journal import JournalEntry
from linqbot.storage.operations import FinishOp, HoldOp, JoinOp, ProgressOp, ReleaseOp, SettleOp, TakeOp
from linqbot.storage.sqlite.index import Gathering, JoinedRow, Postponed
from linqbot.storage.sqlite.statements import Transaction, among
from linqbot.storage.tables import conversations, journal, timers
from linqbot.storage.tables.state import StateBatch


def take(tx: Transaction, ops: Sequence[TakeOp]) -> None:
    """Lease the oldest heads of free lanes, and set the results of the operations; see `Inbox.take`."""
    leased: list[LaneLease] = []
    for op in ops:
        until = tx.monotonic + op.lease_s
        leases = tx.index.lease(op.limit, tx.changes, now=tx.now, monotonic=tx.monotonic, until=until)
        rows = _rows(tx, [lease.seq for lease in leases])
        op.result = []
        for lease in leases:
            row = rows[lease.seq]
            crashes = row.crashes + lease.overdue
            counts = row.attempts, crashes, row.delivery_count, row.replay
            op.result.append(Lease(row.delivery, lease.token, *counts, row.put_back))
            tx.changes.leased_rows.append(row)
        leased += leases
        tx.changes.capacity = op.limit - len(leases)
    if not leased:
        return
    seqs = [lease.seq for lease in leased]
    overdue = [lease.seq for lease in leased if lease.overdue]
    among(tx.db, "UPDATE delivery SET leased = 1, delivery_count = delivery_count + 1 WHERE seq IN (*)", seqs)
    among(tx.db, "UPDATE delivery SET crashes = crashes + 1 WHERE seq IN (*)", overdue)


def _rows(tx: Transaction, seqs: Sequence[int]) -> dict[int, Row]:
    """Return the rows of these deliveries: recent ones from memory, others from disk."""
    rows = {seq: row for seq in seqs if (row := tx.index.recent.get(seq))}
    if missing := [seq for seq in seqs if seq not in rows]:
        sql = """SELECT seq, id, lane, type, body, received_at, message_key, carrier,
                     delivery_count, attempts, crashes, replay, put_back
                 FROM delivery JOIN body USING (seq) WHERE seq IN (*)"""
        for seq, *columns, delivery_count, attempts, crashes, replay, put_back in among(tx.db, sql, missing):
            rows[seq] = Row(Delivery(*columns), delivery_count, attempts, crashes, replay, bool(put_back))
    return rows


def release(tx: Transaction, ops: Iterable[ReleaseOp]) -> None:
    """Release leases, first in the index, so that a `take` in the same batch can lease these lanes, then in the rows."""
    give_back(tx.db, tx.index.release(lease for op in ops for lease in op.leases))


def give_back(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Mark deliveries as free, as if they had never been leased."""
    among(db, "UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1 WHERE seq IN (*)", seqs)


def hold(tx: Transaction, ops: Iterable[HoldOp]) -> None:
    """Give back leases that were not used. Their lanes wait for more deliveries; see `Inbox.hold`."""
    for op in ops:
        if (seq := _leased_seq(tx, op)) is not None:
            lane = op.lease.delivery.lane
            has_grown = tx.index.lanes.depth_of(lane) > 1 + op.known
            tx.db.execute(
                """UPDATE delivery SET leased = 0, delivery_count = delivery_count - 1, waits = 'gathering',
                       not_before = ? WHERE seq = ?""",
                (0.0 if has_grown else op.until, seq),
            )
            tx.changes.gathering.append(Gathering(lane, seq, op.lease.token, op.until, op.known))


def join(tx: Transaction, op: JoinOp) -> None:
    """Put one delivery in the place of several; see `Inbox.join`."""
    if (head := _leased_seq(tx, op)) is None:
        return
    lane = op.lease.delivery.lane
    behind = tx.index.lanes.behind(lane, tx.index.lanes.depth)
    rows = among(tx.db, "SELECT seq, id FROM delivery WHERE seq IN (*)", behind)
    gone = [seq for seq, one in rows if one in op.ids]
    among(tx.db, "UPDATE seen SET at = ? WHERE seq IN (*)", gone, tx.now)
    tx.db.execute("UPDATE body SET body = ? WHERE seq = ?", (op.joined.body, head))
    if op.again:
        tx.db.execute("UPDATE delivery SET replay = replay + 1 WHERE seq = ?", (head,))
    among(tx.db, "DELETE FROM delivery WHERE seq IN (*)", gone)
    among(tx.db, "DELETE FROM body WHERE seq IN (*)", gone)
    tx.changes.joined.append(JoinedRow(head, op.lease.token, op.joined, gone, op.again))


def note_progress(tx: Transaction, ops: Iterable[ProgressOp]) -> None:
    """Note how far turns have come that have crashed; see `Inbox.note_progress`."""
    for op in ops:
        if (seq := _leased_seq(tx, op)) is not None:
            tx.db.execute(
                "UPDATE delivery SET progress = ?, crashes_before_progress = crashes WHERE seq = ? AND progress <> ?",
                (op.progress, seq, op.progress),
            )
            sql = "SELECT crashes_before_progress FROM delivery WHERE seq = ?"
            (op.result,) = tx.db.execute(sql, (seq,)).fetchone()


def _leased_seq(tx: Transaction, op: HoldOp | JoinOp | ProgressOp) -> int | None:
    """Return the sequence number of the leased delivery; None, with the error of the operation, if the lease is over."""
    seq = tx.index.lanes.leased_by(op.lease.token)
    if seq is None:
        op.error = lease_over(op.lease)
    return seq


def count_crash(db: sqlite3.Connection) -> None:
    """Count the crash of the last process for the deliveries that it had leased; see `crashes` in the schema."""
    (count,) = db.execute("SELECT count(*) FROM delivery WHERE leased").fetchone()
    db.execute(
        """UPDATE delivery SET crashes = crashes + ?, crashed_with_others = crashed_with_others + ?, leased = 0,
               max_concurrent_suspects = CASE WHEN crashes + crashed_with_others > 0 THEN ? ELSE 0 END
           WHERE leased""",
        (count == 1, count > 1, max(1, count // 4)),
    )


async def finish(tx: Transaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp]) -> None:
    """End turns, and set the error of each that cannot end; see `Inbox.finish`.

    Rare outcomes are written one by one, common ones in one statement for all.
    """
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await state.settled(settles)
    ended: list[JournalEntry] = []
    timed: list[Commit] = []
    gone: dict[int, FinishOp] = {}
    finished: set[int] = set()
    ending: set[int] = set()
    for op in ops:
        seq = tx.index.lanes.leased_by(op.lease.token)
        if seq is None or seq in finished:
            op.error = lease_over(op.lease)
            continue
        end, outcome = op.commit, op.commit.outcome
        if (conflict := state.add(end.state)) is not None:
            op.error = conflict
            continue
        finished.add(seq)
        if _ends_its_turn(op):
            ended += end.entries
            ending.add(seq)
        else:
            entries += end.entries
        if end.timers or end.cancelled or end.rearmed:
            timed.append(end)
        if isinstance(outcome, Retry | Defer):
            _postpone(tx, seq, op.lease, outcome)
        else:
            if isinstance(outcome, DeadLetter):
                _dead_letter(tx, seq, outcome)
            gone[seq] = op
    await journal.settle(tx, entries)
    await journal.settle(tx, ended, ended=True)
    await state.write()
    await conversations.write(tx, [op.commit for op in ops if op.error is None])
    await _remove(tx, gone, ending)
    await timers.write(tx, timed)


def _postpone(tx: Transaction, seq: int, lease: Lease, outcome: Retry | Defer) -> None:
    failed = isinstance(outcome, Retry)
    reason = outcome.error if isinstance(outcome, Retry) else outcome.reason
    tx.db.execute(
        """UPDATE delivery SET attempts = attempts + ?, waits = ?, not_before = ?, error = ?, leased = 0,
               crashed_with_others = 0, max_concurrent_suspects = 0 WHERE seq = ?""",
        (int(failed), "retrying" if failed else "deferred", outcome.at, reason, seq),
    )
    tx.changes.postponed.append(Postponed(seq, lease.token, outcome.at, int(failed)))


def _dead_letter(tx: Transaction, seq: int, outcome: DeadLetter) -> None:
    tx.db.execute(
        """INSERT OR REPLACE INTO dead
               (id, lane, type, message_key, carrier, received_at, error, handler,
                replay, delivery_count, attempts, crashes, dead_lettered_at, padding, body)
           SELECT id, lane, type, message_key, carrier, received_at, ?, ?,
                  replay, delivery_count, attempts + ?, crashes, ?, padding, body
           FROM delivery JOIN body USING (seq) WHERE seq = ?""",
        (outcome.error, outcome.handler, int(outcome.failed), tx.now, seq),
    )


async def _remove(tx: Transaction, gone: dict[int, FinishOp], ending: set[int]) -> None:
    """Remove deliveries that were acked or given up.

    Args:
        ending: The deliveries whose turns need no entries any more; see `_ends_its_turn`.
    """
    if not gone:
        return
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    if tx.keep_s:
        keep = """INSERT OR REPLACE INTO done
                      (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
                  SELECT id, lane, type, message_key, carrier, received_at, replay, ?, body
                  FROM delivery JOIN body USING (seq) WHERE seq IN (*)"""
        among(tx.db, keep, acked.keys() - private.keys(), tx.now)
    among(tx.db, "DELETE FROM delivery WHERE seq IN (*)", gone)
    among(tx.db, "DELETE FROM body WHERE seq IN (*)", gone)
    stayed = [seq for seq, op in gone.items() if tx.now - op.lease.delivery.received_at > SOON_S]
    among(tx.db, "UPDATE seen SET at = ? WHERE seq IN (*)", stayed, tx.now)
    turns = {
        turn
        for seq, op in acked.items()
        if not (op.commit.has_all_entries and seq in ending)
        for turn in (op.lease.delivery.id, *(entry.turn for entry in op.commit.entries))
    }
    await journal.end(tx, turns)
    if private:
        await journal.forget_texts(tx, [op.lease.delivery.id for op in private.values()])
    tx.changes.removed = tuple((seq, op.lease.token) for seq, op in gone.items())


def _ends_its_turn(op: FinishOp) -> bool:
    """Return True if no later run needs the entries of the turn. A conversation is a turn of several deliveries."""
    commit, turn = op.commit, op.lease.delivery.id
    if not isinstance(commit.outcome, Ack) or commit.conversations:
        return False
    return all(entry.turn == turn for entry in commit.entries)
