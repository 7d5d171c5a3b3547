"""The SQL of conversations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S, Conversation, ConversationSummary
from linqbot.storage.dialect import Readable, Writable, where
from linqbot.storage.inbox import Commit
from linqbot.storage.journal import JournalEntry
from linqbot.storage.tables import journal

SUMMARY = "id, chat_id, person, status, until"
"""The columns of a `ConversationSummary`, in the order of its fields."""
_FACTS = "id, replay, chat_id, person, handler, status, asked_at, until, question, off_the_record"


async def write(tx: Writable, commits: Iterable[Commit]) -> None:
    """Store what the ends of turns say of conversations: of each, first those that are deleted, then those to store."""
    for commit in commits:
        deleted = set(commit.ended)
        for new in commit.conversations:
            if not new.summary.keeps_its_place:
                sql = (
                    "SELECT id FROM conversation WHERE chat_id = $1 AND person = $2 AND id <> $3 AND status <> 'failed'"
                )
                deleted |= {old for (old,) in await tx.fetch(sql, new.chat_id, new.person, new.id)}
        await _delete(tx, deleted)
        for new in commit.conversations:
            await tx.run("DELETE FROM conversation WHERE id = $1", new.id)
            await tx.insert(f"conversation ({_FACTS}, root)", [_row(new)], off_the_record=new.off_the_record)
            tx.changes.conversations.append(new.summary)


async def oldest_first(db: Readable, chat_id: str | None, limit: int) -> list[Conversation]:
    """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
    which, values = where(("chat_id = $", chat_id), first=2)
    sql = f"SELECT {_FACTS} FROM conversation {which} ORDER BY asked_at, n LIMIT $1"  # noqa: S608 - constant text
    return [_conversation(*row) for row in await db.fetch(sql, limit, *values)]


async def summaries(db: Readable) -> list[ConversationSummary]:
    """Return the summaries of all conversations."""
    return [ConversationSummary(*row) for row in await db.fetch(f"SELECT {SUMMARY} FROM conversation ORDER BY n")]  # noqa: S608


async def in_chats(db: Readable, chats: Collection[str]) -> dict[str, list[ConversationSummary]]:
    """Return the summaries of the conversations of each of these chats."""
    sql = f"SELECT {SUMMARY} FROM conversation WHERE chat_id = ANY($1) ORDER BY n"  # noqa: S608 - constant text
    found: dict[str, list[ConversationSummary]] = {chat: [] for chat in chats}
    for row in await db.fetch(sql, list(chats)):
        summary = ConversationSummary(*row)
        found[summary.chat_id].append(summary)
    return found


async def waiting_by_handler(db: Readable) -> dict[str, int]:
    """Return the number of questions that wait for an answer, by handler."""
    return dict(await db.fetch("SELECT handler, count(*) FROM conversation WHERE status = 'waiting' GROUP BY handler"))


async def with_entries(db: Readable, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
    """Return a conversation and its journal entries; None if it is not on record."""
    async with db.snapshot():
        sql = f"SELECT {_FACTS}, root FROM conversation WHERE id = $1"  # noqa: S608 - constant text
        if not (rows := await db.fetch(sql, conversation_id)):
            return None
        found = _conversation(*rows[0])
        return found, await journal.of_turn(db, found.id, found.replay)


async def purge(tx: Writable) -> None:
    """Delete the conversations that are of no more use."""
    sql = """SELECT id FROM conversation WHERE status <> 'waiting'
             AND until < CASE status WHEN 'failed' THEN $1::float8 ELSE $2::float8 END"""
    await _delete(tx, {one for (one,) in await tx.fetch(sql, tx.now - FAILED_KEPT_S, tx.now - ENDED_KEPT_S)})


async def _delete(tx: Writable, ids: Collection[str]) -> None:
    """Delete conversations, and note that their turns are over."""
    if not ids:
        return
    sql = "SELECT id, chat_id, off_the_record FROM conversation WHERE id = ANY($1) FOR UPDATE"
    gone = await tx.fetch(sql, sorted(ids))
    await journal.forget_texts(tx, [one for one, _, off_the_record in gone if off_the_record])
    await tx.run("DELETE FROM conversation WHERE id = ANY($1)", sorted(ids))
    await journal.end(tx, ids)
    tx.changes.forget_conversations((chat_id, one) for one, chat_id, _ in gone)


def _conversation(*values: Any) -> Conversation:
    facts, off_the_record, root = values[:9], values[9], values[10:]
    return Conversation(*facts, bool(off_the_record), *root)  # type: ignore[call-arg]


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
