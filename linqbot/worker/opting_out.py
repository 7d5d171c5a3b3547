"""The effects of a message by which a person opts out: scheduled sends are cancelled and open questions end.

The commit that ends the turn of the message, whatever its outcome, stores them. Open questions end by deliveries of their
own, so the handler of each question runs as after a timeout. Until then the conversation counts as failed by its
delivery, so that no message in between is an answer.
"""

from __future__ import annotations

import structlog

from linqbot.bot.asking.question import OpenQuestion
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.timers import Timer
from linqbot.worker.asking.deliveries import opt_out
from linqbot.worker.asking.opening import Writes, failed
from linqbot.worker.due.scheduled_send import sends_of

log = structlog.get_logger("linqbot.worker")


async def effects(chat_id: str, storage: Storage, now: float) -> Writes:
    """Return what is stored when the person of a direct chat opts out.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    cancelled = await sends_of(chat_id, storage)
    waiting = [each.id for each in storage.conversations_in(chat_id) if each.status == "waiting"]
    found = [await storage.conversation(each) for each in waiting]  # with the events that began them
    open_questions = [(each[0], OpenQuestion.read(each[0].question)) for each in found if each is not None]
    ended = [_ended(conversation, question, now) for conversation, question in open_questions if question is not None]
    unreadable = [conversation.id for conversation, question in open_questions if question is None]
    log.info("chat.opted_out", chat_id=chat_id, cancelled_sends=len(cancelled), ended_questions=len(ended))
    return Writes(
        timers=[timer for _, timer, _ in ended],
        cancelled=[*cancelled, *(timeout for _, _, timeout in ended)],
        conversations=[conversation for conversation, _, _ in ended],
        ended=unreadable,
    )


def _ended(conversation: Conversation, question: OpenQuestion, now: float) -> tuple[Conversation, Timer, str]:
    """End the question of a conversation.

    Returns:
        The conversation as it is stored now; the timer that becomes the delivery for its handler; and the id of the
        question's timeout, which is to be cancelled.
    """
    timer = opt_out(conversation, question.n, now)
    return failed(conversation, question, by=timer.fired(now).id), timer, question.timer
