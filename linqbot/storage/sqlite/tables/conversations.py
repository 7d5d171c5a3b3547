"""The SQL of conversations, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S, Conversation
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.statements import among, insert
from linqbot.storage.sqlite.tables import journal
from linqbot.storage.sqlite.tables.journal import COLUMNS as ENTRY_COLUMNS
from linqbot.storage.sqlite.wipe import padding

_FACTS = "id, replay, chat_id, person, handler, status, asked_at, until, question, off_the_record"
_INTO = f"conversation ({_FACTS}, padding, root)"


def write(db: sqlite3.Connection, stored: Iterable[Conversation], ended: Iterable[str], now: float) -> set[str]:
    """Delete conversations, and then store others. Return the ids of all that are deleted."""
    deleted = set(ended)
    for new in stored:
        if new.keeps_its_place:
            continue
        sql = "SELECT id FROM conversation WHERE chat_id = ? AND person = ? AND id <> ? AND status <> 'failed'"
        deleted |= {old for (old,) in db.execute(sql, (new.chat_id, new.person, new.id))}
    _delete(db, deleted, now)
    for new in stored:
        db.execute("DELETE FROM conversation WHERE id = ?", (new.id,))
        insert(db, _INTO, [_row(new)])
    return deleted


def waiting(db: sqlite3.Connection, limit: int = -1) -> list[Conversation]:
    """Return the conversations without `root`, the oldest question first."""
    sql = f"SELECT {_FACTS} FROM conversation ORDER BY asked_at, n LIMIT ?"  # noqa: S608 - constant text
    return [_conversation(*row) for row in db.execute(sql, (limit,))]


def every(db: sqlite3.Connection) -> Iterator[Conversation]:
    """Yield all conversations without `root`, one after the other, because there may be very many."""
    for row in db.execute(f"SELECT {_FACTS} FROM conversation"):  # noqa: S608 - constant text
        yield _conversation(*row)


def waiting_by_handler(db: sqlite3.Connection) -> dict[str, int]:
    """Return the number of questions that wait for an answer, by handler."""
    return dict(db.execute("SELECT handler, count(*) FROM conversation WHERE status = 'waiting' GROUP BY handler"))


def with_entries(db: sqlite3.Connection, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
    """Return a conversation and its journal entries; None if it is not on record."""
    sql = f"SELECT {_FACTS}, root FROM conversation WHERE id = ?"  # noqa: S608 - constant text
    row = db.execute(sql, (conversation_id,)).fetchone()
    if row is None:
        return None
    found = _conversation(*row)
    sql = f"SELECT {ENTRY_COLUMNS} FROM journal WHERE turn = ? AND replay = ? ORDER BY n"  # noqa: S608 - constant text
    return found, [JournalEntry(*entry) for entry in db.execute(sql, (found.id, found.replay))]


def purge(db: sqlite3.Connection, now: float) -> set[str]:
    """Delete the conversations that are of no more use, and return their ids."""
    sql = """SELECT id FROM conversation WHERE status <> 'waiting'
             AND until < CASE status WHEN 'failed' THEN ? ELSE ? END"""
    ids = {one for (one,) in db.execute(sql, (now - FAILED_KEPT_S, now - ENDED_KEPT_S))}
    _delete(db, ids, now)
    return ids


def _delete(db: sqlite3.Connection, ids: Collection[str], now: float) -> None:
    """Delete conversations, and note that their turns are over."""
    if not ids:
        return
    for (private,) in among(db, "SELECT id FROM conversation WHERE off_the_record AND id IN (*)", ids):
        journal.forget_texts(db, private)
    among(db, "DELETE FROM conversation WHERE id IN (*)", ids)
    journal.end(db, set(ids), now)


def _conversation(*values: Any) -> Conversation:
    facts, off_the_record, root = values[:9], values[9], values[10:]
    return Conversation(*facts, bool(off_the_record), *root)  # type: ignore[call-arg]


def _row(new: Conversation) -> tuple[object, ...]:
    return (
        new.id,
        new.replay,
        new.chat_id,
        new.person,
        new.handler,
        new.status,
        new.asked_at,
        new.until,
        new.question,
        new.off_the_record,
        padding(new.off_the_record),
        new.root,
    )
