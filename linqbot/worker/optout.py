"""The end of a turn in which the person of a direct chat opts out: the bot says no more of what it still wanted to say.

The commit cancels the scheduled sends of the chat, whatever the outcome, and each open question ends by a delivery of
its own, so that its handler runs as after a timeout.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from linqbot.bot.asking.question import OpenQuestion
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Finish
from linqbot.storage.timers import Timer
from linqbot.worker.asking.opening import cancelled
from linqbot.worker.due import sends_of

log = structlog.get_logger("linqbot.worker")


@dataclass(frozen=True, slots=True)
class OptOut:
    """The changes that are stored when a person opts out.

    Attributes:
        cancelled: The ids of the timers of scheduled sends and of open questions.
        ended: The questions that end, each with the timer that becomes the delivery which ends it.
        unreadable: The ids of conversations whose question cannot be read.
    """

    cancelled: list[str]
    ended: list[tuple[Conversation, Timer]]
    unreadable: list[str]

    def end(self, _: object, commit: Finish) -> None:
        """Add it to the commit that ends the turn."""
        commit.cancelled += self.cancelled
        commit.conversations += [conversation for conversation, _ in self.ended]
        commit.timers += [timer for _, timer in self.ended]
        commit.ended += self.unreadable


async def opt_out(chat_id: str, storage: Storage, now: float) -> OptOut:
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
    return OptOut([*sends, *(question.timer for _, question in known)], ended, unreadable)
