"""The SQL that ends turns, run inside a transaction of the writer. Turns that end together share statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from linqbot.storage.inbox import Ack, DeadLetter, Defer, Finish, Lease, Retry, lease_over
from linqbot.storage.journal import JournalEntry
from linqbot.storage.operations import FinishOp, SettleOp
from linqbot.storage.sqlite.index import Postponed
from linqbot.storage.sqlite.statements import among
from linqbot.storage.sqlite.tables import conversations, journal, timers
from linqbot.storage.sqlite.tables.state import SQLiteStateBatch
from linqbot.storage.sqlite.transaction import Transaction

SOON_S: Final = 60.0
"""Seconds within which nearly every delivery leaves the inbox. Then `seen.at` stays the time when it was stored, so the
ack need not change these rows."""


def finish(tx: Transaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp]) -> bool:
    """End turns, and set the error of each that cannot end; see `Inbox.finish`.

    Rare outcomes are written one by one, common ones in one statement for all.

    Returns:
        True if timers may have changed.
    """
    state = SQLiteStateBatch(tx.db)
    entries = _settled(tx, settles, state)
    ended: list[JournalEntry] = []
    timed: list[Finish] = []
    gone: dict[int, FinishOp] = {}
    finished: set[int] = set()
    ending: set[int] = set()
    for op in ops:
        seq = tx.index.lanes.leased_by(op.lease.token)
        if seq is None or seq in finished:
            op.error = lease_over(op.lease)
            continue
        end, outcome = op.finish, op.finish.outcome
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
    keep_texts = tx.keep_s > 0
    journal.settle(tx.db, entries, keep_texts=keep_texts)
    journal.settle(tx.db, ended, keep_texts=keep_texts, ended_at=tx.now)
    state.write()
    _write_conversations(tx, [op.finish for op in ops if op.error is None])
    _remove(tx, gone, ending)
    _set_timers(tx, timed)
    return bool(timed)


def _settled(tx: Transaction, ops: Iterable[SettleOp], state: SQLiteStateBatch) -> list[JournalEntry]:
    """Return the entries to settle, and add the state that is written with them."""
    entries = []
    for op in ops:
        if op.state and not journal.is_accepted(tx.db, op.entry):
            op.error = state.add(op.state)
        if op.error is None:
            entries.append(op.entry)
    return entries


def _set_timers(tx: Transaction, finishes: Iterable[Finish]) -> None:
    for finish in finishes:
        for timer_id in finish.cancelled:
            timers.cancel(tx.db, timer_id)
        for timer in finish.timers:
            timers.schedule(tx.db, timer)
        for again in finish.rearmed:
            timers.rearm(tx.db, again)


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


def _remove(tx: Transaction, gone: dict[int, FinishOp], ending: set[int]) -> None:
    """Remove deliveries that were acked or given up.

    Args:
        ending: The deliveries whose turns need no entries any more; see `_ends_its_turn`.
    """
    if not gone:
        return
    acked = {seq: op for seq, op in gone.items() if isinstance(op.finish.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.finish.off_the_record}
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
        if not (op.finish.has_all_entries and seq in ending)
        for turn in (op.lease.delivery.id, *(entry.turn for entry in op.finish.entries))
    }
    journal.end(tx.db, turns, tx.now)
    for op in private.values():
        journal.forget_texts(tx.db, op.lease.delivery.id)
    tx.changes.removed = tuple((seq, op.lease.token) for seq, op in gone.items())


def _write_conversations(tx: Transaction, finishes: Iterable[Finish]) -> None:
    for finish in finishes:
        if finish.conversations or finish.ended:
            tx.changes.ended += conversations.write(tx.db, finish.conversations, finish.ended, tx.now)
            tx.changes.conversations += [each.summary for each in finish.conversations]


def _ends_its_turn(op: FinishOp) -> bool:
    """Return True if no later run needs the entries of the turn. A conversation is a turn of several deliveries."""
    finish, turn = op.finish, op.lease.delivery.id
    if not isinstance(finish.outcome, Ack) or finish.conversations:
        return False
    return all(entry.turn == turn for entry in finish.entries)
