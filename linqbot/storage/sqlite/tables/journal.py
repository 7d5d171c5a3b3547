"""The SQL of the journal, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from linqbot.events.delivery import OWN_DELIVERY
from linqbot.storage.journal import ENTRIES_KEPT_S, JournalEntry, Receipt, after_receipt
from linqbot.storage.redaction import is_repeatable, name_of, without_texts
from linqbot.storage.sqlite.file import padding
from linqbot.storage.sqlite.statements import among, insert

COLUMNS = (
    "turn, replay, slot, key, safety, call, status, first_at, answer, message_id, chat_id, delivery, digest, origin, "
    "off_the_record"
)
"""The columns of a `JournalEntry`, in the order of its fields."""

_INTO = f"journal ({COLUMNS}, texts, padding, ended_at)"
# The SQL form of `journal.after_outcome`: the state that a receipt reported stays, whatever outcome comes after it.
_REPLACE = """ON CONFLICT (turn, replay, slot) DO UPDATE SET
    call = excluded.call, status = excluded.status, answer = excluded.answer, chat_id = excluded.chat_id,
    digest = excluded.digest, texts = excluded.texts, padding = excluded.padding,
    ended_at = coalesce(excluded.ended_at, ended_at),
    message_id = CASE WHEN delivery IS NULL THEN excluded.message_id ELSE coalesce(excluded.message_id, message_id) END
    WHERE delivery IS NULL OR excluded.status = 'accepted'"""


def begin(db: sqlite3.Connection, entries: Iterable[JournalEntry]) -> None:
    """Store journal entries before the first attempt of their calls. An entry on record stays as it is."""
    # DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error.
    insert(db, _INTO, [_row(entry, texts=True) for entry in entries], "ON CONFLICT (turn, replay, slot) DO NOTHING")


def has_own(db: sqlite3.Connection) -> bool:
    """Return True if an entry belongs to a delivery that linqbot created, such as a scheduled send."""
    sql = "SELECT 1 FROM journal WHERE turn >= ? AND turn < ? LIMIT 1"
    return db.execute(sql, (OWN_DELIVERY, OWN_DELIVERY + "\uffff")).fetchone() is not None


def of_turn(db: sqlite3.Connection, turn: str, replay: int) -> list[JournalEntry]:
    """Return the journal entries of a turn, in the order in which they were begun."""
    sql = f"SELECT {COLUMNS} FROM journal WHERE turn = ? AND replay = ? ORDER BY n"  # noqa: S608 - constant text
    return [JournalEntry(*row) for row in db.execute(sql, (turn, replay))]


def is_on_record(db: sqlite3.Connection, entry: JournalEntry) -> bool:
    """Return True if an entry was begun."""
    sql = "SELECT 1 FROM journal WHERE turn = ? AND replay = ? AND slot = ?"
    return db.execute(sql, (entry.turn, entry.replay, entry.slot)).fetchone() is not None


def is_accepted(db: sqlite3.Connection, entry: JournalEntry) -> bool:
    """Return True if an entry is accepted on record."""
    sql = "SELECT 1 FROM journal WHERE turn = ? AND replay = ? AND slot = ? AND status = 'accepted'"
    return db.execute(sql, (entry.turn, entry.replay, entry.slot)).fetchone() is not None


def settle(
    db: sqlite3.Connection, entries: Sequence[JournalEntry], *, keep_texts: bool, ended_at: float | None = None
) -> None:
    """Store outcomes of journal entries, without the texts that no repetition needs.

    Args:
        keep_texts: True while history is on: texts stay, except those off the record.
        ended_at: The time of the ack, if the turns of all entries are acked with this transaction; else None.
    """
    rows = [
        _row(entry, texts=(keep_texts and not entry.off_the_record) or is_repeatable(entry), ended_at=ended_at)
        for entry in entries
    ]
    insert(db, _INTO, rows, _REPLACE)


def receive(db: sqlite3.Connection, receipts: Iterable[Receipt]) -> list[JournalEntry | None]:
    """Store what receipts report. Return the updated entry of each. Write only what has changed."""
    entries: list[JournalEntry | None] = []
    for receipt in receipts:
        found = _find(db, "key = ? AND message_id IS NULL", receipt.key)
        found = found or _find(db, "message_id = ?", receipt.message_id)
        updated = found and after_receipt(found, receipt)
        entries.append(updated)
        if updated is not None and updated != found:
            db.execute(
                """UPDATE journal SET status = ?, answer = ?, message_id = ?, delivery = ?
                   WHERE turn = ? AND replay = ? AND slot = ?""",
                (
                    updated.status,
                    updated.answer,
                    updated.message_id,
                    updated.delivery,
                    updated.turn,
                    updated.replay,
                    updated.slot,
                ),
            )
    return entries


def end(db: sqlite3.Connection, turns: set[str], now: float) -> None:
    """Note that turns are over: the time for which their journal entries are kept counts from `now`.

    The turn of a conversation that goes on is left out.
    """
    sql = """UPDATE journal SET ended_at = ?, digest = NULL, answer = CASE WHEN texts THEN answer END
             WHERE NOT EXISTS (SELECT 1 FROM conversation WHERE id = journal.turn AND status <> 'timed_out')
                 AND turn IN (*)"""
    among(db, sql, turns, now)


def forget_texts(db: sqlite3.Connection, turn: str) -> None:
    """Delete the texts from the journal entries of a turn that is over."""
    _redact(db, db.execute("SELECT call, answer, n FROM journal WHERE texts AND turn = ?", (turn,)).fetchall())


def purge(db: sqlite3.Connection, now: float, *, keep_s: float, limit: int) -> int:
    """Delete old journal entries, and the texts in younger ones, at most `limit` of each.

    Returns:
        The greater of the two numbers of rows; less than `limit` if nothing is left to do.
    """
    old = "DELETE FROM journal WHERE n IN (SELECT n FROM journal WHERE ended_at < ? ORDER BY ended_at LIMIT ?)"
    gone = db.execute(old, (now - max(ENTRIES_KEPT_S, keep_s), limit)).rowcount
    with_texts = "SELECT call, answer, n FROM journal WHERE texts AND ended_at < ? ORDER BY ended_at LIMIT ?"
    rows = db.execute(with_texts, (now - keep_s, limit)).fetchall()
    _redact(db, rows)
    return max(gone, len(rows))


def _redact(db: sqlite3.Connection, rows: list[tuple[bytes, bytes | None, int]]) -> None:
    sql = "UPDATE journal SET call = ?, answer = ?, texts = 0, padding = NULL WHERE n = ?"
    for call, answer, n in rows:
        db.execute(sql, (*without_texts(call, answer), n))


def of_message(db: sqlite3.Connection, message_id: str) -> JournalEntry | None:
    """Return the entry that made a message; None if none on record did."""
    return _find(db, "message_id = ?", message_id)


def _find(db: sqlite3.Connection, where: str, value: str | None) -> JournalEntry | None:
    if value is None:
        return None
    row = db.execute(f"SELECT {COLUMNS} FROM journal WHERE {where}", (value,)).fetchone()  # noqa: S608 - constant text
    return row and JournalEntry(*row)


def _row(entry: JournalEntry, *, texts: bool, ended_at: float | None = None) -> tuple[Any, ...]:
    call, answer = entry.call, entry.answer
    if not texts:
        call, answer = (name_of(call), None) if ended_at is not None else without_texts(call, answer)
    return (
        entry.turn,
        entry.replay,
        entry.slot,
        entry.key,
        entry.safety,
        call,
        entry.status,
        entry.first_at,
        answer,
        entry.message_id,
        entry.chat_id,
        entry.delivery,
        entry.digest if ended_at is None else None,
        entry.origin,
        int(entry.off_the_record),
        int(texts),
        padding(texts and entry.off_the_record),
        ended_at,
    )
