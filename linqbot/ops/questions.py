"""Open questions of `ctx.ask`, for operators: answer one in place of the person, or end it.

Both wait in the lane of the chat like a message, so they never run at the same time as a handler of the chat.
"""

from __future__ import annotations

import time

from linqbot.errors import StorageError
from linqbot.features.asking.question import OpenQuestion
from linqbot.features.asking.records import BY_OPERATOR, QuestionEnd, ending, open_questions
from linqbot.storage.acts import By, What
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation


async def answer(storage: Storage, conversation_id: str, text: str, by: By) -> None:
    """Answer a question as if the person had written the text.

    Raises:
        StorageError: no question of this id is open, no text answers it, or the text is empty.
    """
    if not text.strip():
        raise StorageError("The answer is empty. Write a text.")
    conversation, question = await _open(storage, conversation_id, "question has")
    if not question.takes_words:
        raise StorageError(
            f"Conversation {conversation_id} waits for {question.waits_for}, which no text can stand for. It can be "
            "ended: linqbot waiting cancel"
        )
    await _order(storage, conversation, question, {"outcome": "answered", "text": text}, by)


async def cancel(storage: Storage, conversation_id: str, by: By) -> None:
    """End a question. Its handler gets AskCancelled with the reason "operator".

    Raises:
        StorageError: no question of this id is open.
    """
    conversation, question = await _open(storage, conversation_id, "open question, scheduled send or broadcast has")
    await _order(storage, conversation, question, BY_OPERATOR, by)


async def cancel_in(storage: Storage, chat: str, by: By) -> list[str]:
    """End the questions of a chat that a text would answer, and return the ids of their conversations."""
    ended = []
    for each, question in await open_questions(chat, storage):
        if question.takes_words:
            await _order(storage, each, question, BY_OPERATOR, by)
            ended.append(each.id)
    return ended


async def _open(storage: Storage, conversation_id: str, what: str) -> tuple[Conversation, OpenQuestion]:
    found = await storage.conversation(conversation_id)
    if found is None or found[0].status != "waiting":
        raise StorageError(f"No {what} the id {conversation_id}. See: linqbot waiting list --questions")
    question = OpenQuestion.read(found[0].question)
    if question is None:
        raise StorageError(
            f"The question of conversation {conversation_id} cannot be read: another release of linqbot may have "
            "stored it. Upgrade linqbot, or leave it: the next message of its chat ends it."
        )
    return found[0], question


async def _order(storage: Storage, of: Conversation, question: OpenQuestion, end: QuestionEnd, by: By) -> None:
    now = time.time()
    kind: What = "answer" if end["outcome"] == "answered" else "cancel"
    await storage.put_order(ending(of, question.n, end, name=f"{kind}.{now:.3f}", now=now), kind, of.id, by=by)
