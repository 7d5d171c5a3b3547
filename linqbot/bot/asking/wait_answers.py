"""Decide if an event ends a wait of `ctx.pay`, `ctx.location` or `ctx.vote`. Other messages are handled as usual.

A vote ends here only by words such as `never mind`: `ballot.py` counts the votes.
"""

from __future__ import annotations

from linqbot.bot.asking.answers import Verdict, says_cancel_word
from linqbot.bot.asking.question import OpenQuestion
from linqbot.events.chat import LocationSharingStarted
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.events.payment import PaymentAuthorized, PaymentEvent


def judge_wait(question: OpenQuestion, event: Event) -> Verdict | None:
    """Return the meaning of an event for an open wait; None if it has nothing to do with the wait."""
    if isinstance(event, MessageReceived):
        return _judge_message(question, event)
    if question.waits_for == "location":
        # Only direct chats wait for a location, so it is that of the person, under whatever handle they share it.
        return Verdict.ANSWER if isinstance(event, LocationSharingStarted) else None
    if isinstance(event, PaymentEvent):
        # An authorized payment is on its way: its success or its failure follows.
        ends = question.payment is not None and event.id == question.payment
        return Verdict.ANSWER if ends and not isinstance(event, PaymentAuthorized) else None
    return None


def _judge_message(question: OpenQuestion, message: MessageReceived) -> Verdict | None:
    if (message.actor or "").casefold() != question.asked:
        return None
    return Verdict.CANCEL_WORD if says_cancel_word(question, message) else None
