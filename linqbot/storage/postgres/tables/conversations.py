"""The SQL of conversations, run inside a transaction of the writer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S, Conversation, ConversationSummary
from linqbot.storage.journal import JournalEntry
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.tables import journal
from linqbot.storage.postgres.transaction import Transaction

_SUMMARY = "id, chat_id, person, status, until"
_FACTS = "id, replay, chat_id, person, handler, status, asked_at, until, question, off_the_record"


async def write(tx: Transaction, stored: Sequence[Conversation], ended: Collection[str]) -> None:
    """Delete conversations, and then store others."""
    deleted = set(ended)
    for new in stored:
        if new.summary.keeps_its_place:
            continue
        sql = "SELECT id FROM conversation WHERE chat_id = $1 AND person = $2 AND id <> $3 AND status <> 'failed'"
        deleted |= {row["id"] for row in await tx.fetch(sql, new.chat_id, new.person, new.id)}
    await _delete(tx, deleted)
    for new in stored:
        await tx.run("DELETE FROM conversation WHERE id = $1", new.id)
        sql = f"""INSERT INTO conversation ({_FACTS}, root)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""  # noqa: S608 - constant text
        await tx.run(sql, *_row(new))
        tx.changes.chats.add(new.chat_id)
        tx.changes.conversations.append(new.summary)


async def oldest_first(connection: Connection, chat_id: str | None, limit: int) -> list[Conversation]:
    """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
    where = "" if chat_id is None else "WHERE chat_id = $2"
    sql = f"SELECT {_FACTS} FROM conversation {where} ORDER BY asked_at, n LIMIT $1"  # noqa: S608 - constant text
    return [Conversation(*row) for row in await connection.fetch(sql, limit, *([] if chat_id is None else [chat_id]))]


async def summaries(connection: Connection) -> list[ConversationSummary]:
    """Return the summaries of all conversations."""
    sql = f"SELECT {_SUMMARY} FROM conversation ORDER BY n"  # noqa: S608 - constant text
    return [ConversationSummary(*row) for row in await connection.fetch(sql)]


async def in_chats(connection: Connection, chats: Collection[str]) -> dict[str, list[ConversationSummary]]:
    """Return the summaries of the conversations of each of these chats."""
    sql = f"SELECT {_SUMMARY} FROM conversation WHERE chat_id = ANY($1) ORDER BY n"  # noqa: S608 - constant text
    found: dict[str, list[ConversationSummary]] = {chat: [] for chat in chats}
    for row in await connection.fetch(sql, list(chats)):
        found[row["chat_id"]].append(ConversationSummary(*row))
    return found


async def waiting_by_handler(connection: Connection) -> dict[str, int]:
    """Return the number of questions that wait for an answer, by handler."""
    sql = "SELECT handler, count(*) FROM conversation WHERE status = 'waiting' GROUP BY handler"
    return {row[0]: row[1] for row in await connection.fetch(sql)}


async def with_entries(connection: Connection, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
    """Return a conversation and its journal entries; None if it is not on record."""
    sql = f"SELECT {_FACTS}, root FROM conversation WHERE id = $1"  # noqa: S608 - constant text
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(sql, conversation_id)
        if row is None:
            return None
        found = Conversation(*row)
        return found, await journal.of_turn(connection, found.id, found.replay)


async def purge(tx: Transaction) -> None:
    """Delete the conversations that are of no more use."""
    sql = """SELECT id FROM conversation WHERE status <> 'waiting'
             AND until < CASE status WHEN 'failed' THEN $1::float8 ELSE $2::float8 END"""
    await _delete(tx, {row["id"] for row in await tx.fetch(sql, tx.now - FAILED_KEPT_S, tx.now - ENDED_KEPT_S)})


async def _delete(tx: Transaction, ids: Collection[str]) -> None:
    """Delete conversations, and note that their turns are over."""
    if not ids:
        return
    sql = "DELETE FROM conversation WHERE id = ANY($1) RETURNING id, chat_id, off_the_record"
    gone = await tx.fetch(sql, sorted(ids))
    await journal.forget_texts(tx, [row["id"] for row in gone if row["off_the_record"]])
    await journal.end(tx, ids)
    tx.changes.forget_conversations((row["chat_id"], row["id"]) for row in gone)


def _row(new: Conversation) -> tuple[Any, ...]:
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
        new.root,
    )
