"""The effects of a message by which a person opts out: scheduled sends are cancelled and open questions end.

The commit that ends the turn of the message, whatever its outcome, stores them. Open questions end by deliveries of their
own, so the handler of each question runs as after a timeout.
"""

from __future__ import annotations

import structlog

from linqbot.bot.asking.question import OpenQuestion
from linqbot.storage.backend import Storage
from linqbot.worker.asking.opening import Writes, cancelled
from linqbot.worker.due.scheduled_send import sends_of

log = structlog.get_logger("linqbot.worker")


async def effects(chat_id: str, storage: Storage, now: float) -> Writes:
    """Return what is stored when the person of a direct chat opts out.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    sends = await sends_of(chat_id, storage)
    waiting = [each.id for each in storage.conversations_in(chat_id) if each.status == "waiting"]
    found = [await storage.conversation(each) for each in waiting]  # with the events that began them
    open_questions = [(each[0], OpenQuestion.read(each[0].question)) for each in found if each is not None]
    known = [(conversation, question) for conversation, question in open_questions if question is not None]
    ended = [cancelled(conversation, question, "opted_out", now) for conversation, question in known]
    unreadable = [conversation.id for conversation, question in open_questions if question is None]
    log.info("chat.opted_out", chat_id=chat_id, cancelled_sends=len(sends), ended_questions=len(ended))
    return Writes(
        timers=[timer for _, timer in ended],
        cancelled=[*sends, *(question.timer for _, question in known)],
        conversations=[conversation for conversation, _ in ended],
        ended=unreadable,
    )
