"""The SQL of conversations, run inside a transaction of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S, Conversation, ConversationSummary
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.file import padding
from linqbot.storage.sqlite.statements import among, insert
from linqbot.storage.sqlite.tables import journal

_FACTS = "id, replay, chat_id, person, handler, status, asked_at, until, question, off_the_record"
_INTO = f"conversation ({_FACTS}, padding, root)"


def write(
    db: sqlite3.Connection, stored: Iterable[Conversation], ended: Iterable[str], now: float
) -> list[tuple[str, str]]:
    """Delete conversations, and then store others. Return the chats and the ids of all that are deleted."""
    deleted = set(ended)
    for new in stored:
        if new.summary.keeps_its_place:
            continue
        sql = "SELECT id FROM conversation WHERE chat_id = ? AND person = ? AND id <> ? AND status <> 'failed'"
        deleted |= {old for (old,) in db.execute(sql, (new.chat_id, new.person, new.id))}
    gone = _delete(db, deleted, now)
    for new in stored:
        db.execute("DELETE FROM conversation WHERE id = ?", (new.id,))
        insert(db, _INTO, [_row(new)])
    return gone


def oldest_first(db: sqlite3.Connection, chat_id: str | None, limit: int) -> list[Conversation]:
    """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
    where = "" if chat_id is None else "WHERE chat_id = ?"
    sql = f"SELECT {_FACTS} FROM conversation {where} ORDER BY asked_at, n LIMIT ?"  # noqa: S608 - constant text
    return [_conversation(*row) for row in db.execute(sql, (limit,) if chat_id is None else (chat_id, limit))]


def summaries(db: sqlite3.Connection) -> Iterator[ConversationSummary]:
    """Yield the summaries of all conversations, one after the other, because there may be very many."""
    return map(
        ConversationSummary._make, db.execute("SELECT id, chat_id, person, status, until FROM conversation ORDER BY n")
    )


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
    return found, journal.of_turn(db, found.id, found.replay)


def purge(db: sqlite3.Connection, now: float) -> list[tuple[str, str]]:
    """Delete the conversations that are of no more use, and return their chats and ids."""
    sql = """SELECT id FROM conversation WHERE status <> 'waiting'
             AND until < CASE status WHEN 'failed' THEN ? ELSE ? END"""
    ids = {one for (one,) in db.execute(sql, (now - FAILED_KEPT_S, now - ENDED_KEPT_S))}
    return _delete(db, ids, now)


def _delete(db: sqlite3.Connection, ids: Collection[str], now: float) -> list[tuple[str, str]]:
    """Delete conversations, and note that their turns are over. Return the chats and the ids of those that were there."""
    if not ids:
        return []
    gone = among(db, "SELECT chat_id, id, off_the_record FROM conversation WHERE id IN (*)", ids)
    for _, conversation_id, off_the_record in gone:
        if off_the_record:
            journal.forget_texts(db, conversation_id)
    among(db, "DELETE FROM conversation WHERE id IN (*)", ids)
    journal.end(db, set(ids), now)
    return [(chat_id, conversation_id) for chat_id, conversation_id, _ in gone]


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
