"""The table `conversation`: its SQL, for both backends. A row is a `Conversation`: see `conversations.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from linqbot.linq.events.lane import lane_of_chat
from linqbot.storage import journal, people
from linqbot.storage.conversations import ENDED_KEPT_S, FAILED_KEPT_S, Conversation, ConversationSummary
from linqbot.storage.dialect import Readable, Writable, where
from linqbot.storage.journal import JournalEntry

_SUMMARY = "id, chat_id, person, status, until"
"""The columns of a `ConversationSummary`, in the order of its fields."""
_FACTS = "id, replay, chat_id, person, handler, status, asked_at, until, question, off_the_record"
COLUMNS: Final = f"{_FACTS}, root"
_row: Callable[[Conversation], tuple[Any, ...]] = attrgetter(*COLUMNS.split(", "))


async def write(tx: Writable, ended: Iterable[str], stored: Sequence[Conversation]) -> None:
    """Delete the conversations with the ids `ended`, and those that are replaced, then store the others."""
    deleted = set(ended)
    for new in stored:
        # One that has failed replaces none and is not replaced, so that its dead letter can be retried.
        if new.status != "failed":
            sql = "SELECT id FROM conversation WHERE chat_id = $1 AND person = $2 AND id <> $3 AND status <> 'failed'"
            deleted |= {old for (old,) in await tx.fetch(sql, new.chat_id, new.person, new.id)}
    await _delete(tx, deleted)
    for new in stored:
        await tx.run("DELETE FROM conversation WHERE id = $1", new.id)
        await _insert(tx, new)


async def note_opening(tx: Writable, row: Conversation) -> None:
    """Store the row of a turn that opens a chat, in place of an older one for its person."""
    old = await tx.fetch(
        "SELECT id FROM conversation WHERE chat_id = $1 AND (person = $2 OR id = $3)", row.chat_id, row.person, row.id
    )
    await _delete(tx, {each for (each,) in old})
    await _insert(tx, row)


async def _insert(tx: Writable, new: Conversation) -> None:
    await tx.insert(f"conversation ({COLUMNS})", [_row(new)], off_the_record=[new.off_the_record])
    people.note_in_lane(tx, lane_of_chat(new.chat_id), new.root, new.question)
    tx.changes.conversations.append(new.summary)


async def oldest_first(db: Readable, chat_id: str | None, limit: int) -> list[Conversation]:
    which, values = where(("status <> $", "opening"), ("chat_id = $", chat_id), first=2)
    sql = f"SELECT {_FACTS} FROM conversation {which} ORDER BY asked_at, n LIMIT $1"
    return [Conversation(*row) for row in await db.fetch(sql, limit, *values)]


async def summaries(db: Readable) -> list[ConversationSummary]:
    return [ConversationSummary(*row) for row in await db.fetch(f"SELECT {_SUMMARY} FROM conversation ORDER BY n")]


async def in_chats(db: Readable, chats: Collection[str]) -> dict[str, list[ConversationSummary]]:
    sql = f"SELECT {_SUMMARY} FROM conversation WHERE chat_id = ANY($1) ORDER BY n"
    found: dict[str, list[ConversationSummary]] = {chat: [] for chat in chats}
    for row in await db.fetch(sql, list(chats)):
        summary = ConversationSummary(*row)
        found[summary.chat_id].append(summary)
    return found


async def waiting_by_handler(db: Readable) -> dict[str, int]:
    return dict(await db.fetch("SELECT handler, count(*) FROM conversation WHERE status = 'waiting' GROUP BY handler"))


async def with_entries(db: Readable, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
    async with db.snapshot():
        sql = f"SELECT {COLUMNS} FROM conversation WHERE id = $1"
        if not (rows := await db.fetch(sql, conversation_id)):
            return None
        found = Conversation(*rows[0])
        return found, await journal.of_turn(db, found.id, found.replay)


async def purge(tx: Writable) -> None:
    sql = """SELECT id FROM conversation WHERE status <> 'waiting'
             AND until < CASE status WHEN 'failed' THEN $1::float8 ELSE $2::float8 END"""
    await _delete(tx, {one for (one,) in await tx.fetch(sql, tx.now - FAILED_KEPT_S, tx.now - ENDED_KEPT_S)})


async def _delete(tx: Writable, ids: Collection[str]) -> None:
    if not ids:
        return
    sql = "SELECT id, chat_id, off_the_record FROM conversation WHERE id = ANY($1) FOR UPDATE"
    gone = await tx.fetch(sql, sorted(ids))
    await tx.run("DELETE FROM conversation WHERE id = ANY($1)", sorted(ids))
    await journal.forget_texts(tx, [one for one, _, off_the_record in gone if off_the_record])
    await journal.end(tx, ids)
    tx.changes.forget_conversations((chat_id, one) for one, chat_id, _ in gone)
