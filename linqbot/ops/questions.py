"""Open questions of `ctx.ask`, for operators: answer one in place of the person, or end it.

Both wait in the lane of the chat like a message, so they never run at the same time as a handler of the chat.
"""

from __future__ import annotations

import time

from linqbot.errors import StorageError
from linqbot.features.asking.question import QuestionEnd
from linqbot.features.asking.records import BY_OPERATOR, Asked, ending, open_questions
from linqbot.storage.acts import By, What
from linqbot.storage.backend import Storage


async def answer(storage: Storage, conversation_id: str, text: str, by: By) -> None:
    """Answer a question as if the person had written the text.

    Raises:
        StorageError: no question of this id is open, no text answers it, or the text is empty.
    """
    if not text.strip():
        raise StorageError("The answer is empty. Write a text.")
    asked = await _open(storage, conversation_id, "question has")
    if not asked.question.takes_words:
        raise StorageError(
            f"Conversation {conversation_id} waits for {asked.question.waits_for}, which no text can stand for. It can be "
            "ended: linqbot waiting cancel"
        )
    await _order(storage, asked, {"outcome": "answered", "text": text}, by)


async def cancel(storage: Storage, conversation_id: str, by: By) -> None:
    """End a question. Its handler gets AskCancelled with the reason "operator".

    Raises:
        StorageError: no question of this id is open.
    """
    asked = await _open(storage, conversation_id, "open question, scheduled send or broadcast has")
    await _order(storage, asked, BY_OPERATOR, by)


async def cancel_in(storage: Storage, chat: str, by: By) -> list[str]:
    """End the questions of a chat that a text would answer, and return the ids of their conversations."""
    ended = []
    for asked in await open_questions(chat, storage):
        if asked.question.takes_words:
            await _order(storage, asked, BY_OPERATOR, by)
            ended.append(asked.conversation.id)
    return ended


async def _open(storage: Storage, conversation_id: str, what: str) -> Asked:
    found = await storage.conversation(conversation_id)
    if found is None or found[0].status != "waiting":
        raise StorageError(f"No {what} the id {conversation_id}. See: linqbot waiting list --questions")
    asked = Asked.read(*found)
    if asked is None:
        raise StorageError(
            f"The question of conversation {conversation_id} cannot be read: another release of linqbot may have "
            "stored it. Upgrade linqbot, or leave it: the next message of its chat ends it."
        )
    return asked


async def _order(storage: Storage, asked: Asked, end: QuestionEnd, by: By) -> None:
    now = time.time()
    kind: What = "answer" if end["outcome"] == "answered" else "cancel"
    ordered = ending(asked, end, name=f"{kind}.{now:.3f}", now=now)
    await storage.put_order(ordered, kind, asked.conversation.id, by=by)
