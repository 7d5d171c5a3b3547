"""The event that began a conversation: what is stored of it with each question, and how it is read again.

The conversation stores the body of the event. What was looked up for the event is not in its body, so each question stores
that too, and the handler sees the same event in every run.
"""

from __future__ import annotations

from typing import Any

from linqbot.bot.asking.question import AskedBefore, LookedUp, OpenQuestion
from linqbot.events.delivery import Delivery, decode
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse
from linqbot.events.reaction import ReactionEvent
from linqbot.storage.conversations import Conversation
from linqbot.worker.lookups import KnownChat, with_chat


def looked_up(root: Event, after_ask: AskedBefore | None) -> dict[str, Any]:
    """Return the fields of an `OpenQuestion` that say what was looked up for the event that began the conversation.

    Args:
        after_ask: The question that had timed out before this event; see `Context.after_ask`.
    """
    if isinstance(root, MessageReceived):
        burst = (LookedUp(replies_to_me=each.replies_to_me, answers=each.answers) for each in root.burst)
        found = {"replies_to_me": root.replies_to_me, "answers": root.answers, "burst": tuple(burst)}
        return {**found, "after_ask": after_ask}
    answers = root.answers if isinstance(root, ReactionEvent) else None
    return {"answers": answers, "is_group": root.is_group, "line": root.line, "after_ask": after_ask}


def root_of(conversation: Conversation, question: OpenQuestion) -> Event:
    """Return the event that began a conversation, with what was looked up for it then."""
    body = decode(conversation.root)
    kind = body.get("event_type") if isinstance(body, dict) else ""
    lane = lane_of_chat(conversation.chat_id)
    event = parse(Delivery(conversation.id, lane, str(kind or ""), conversation.root, 0.0, decoded=body))
    if isinstance(event, MessageReceived):
        burst = (_with(each, found) for each, found in zip(event.burst, question.burst, strict=False))
        return _with(event, question).model_copy(update={"burst": tuple(burst)} if question.burst else {})
    if isinstance(event, ReactionEvent) and question.answers is not None:
        event = event.model_copy(update={"answers": question.answers})
    return with_chat(event, KnownChat(question.is_group, question.line))


def _with(message: Event, found: OpenQuestion | LookedUp) -> Event:
    return message.model_copy(update={"replies_to_me": found.replies_to_me, "answers": found.answers})
