"""The SQL that leases the heads of lanes and gives leases back, run inside a transaction of the writer.

The index chooses the lanes. A row on disk says only that it is leased, so that the next start can count a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Lease, lease_over
from linqbot.storage.indexes.lanes import LaneLease
from linqbot.storage.indexes.recent import Row
from linqbot.storage.operations import HoldOp, JoinOp, ProgressOp, ReleaseOp, TakeOp
from linqbot.storage.sqlite.index import Gathering, JoinedRow
from linqbot.storage.sqlite.statements import among
from linqbot.storage.sqlite.transaction import Transaction


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
