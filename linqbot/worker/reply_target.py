"""Find out what no webhook says: whether a message replies to the bot, and which scheduled send it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.events.reaction import ReactionAdded
from linqbot.storage.journal import JournalEntry
from linqbot.worker.due.scheduled_send import answered


async def with_replies_to_me(event: Event, is_ours: Callable[[str], Awaitable[bool]]) -> Event:
    """Return the event, with `replies_to_me` set if it is a reply in a group, or a burst with one.

    Only a group needs to know this, so `is_ours` is called for no other event: it may cost a call to Linq.

    Args:
        is_ours: Return True if the bot sent the message with this id.
    """
    if not (isinstance(event, MessageReceived) and event.is_group and event.reply_to is not None):
        return event
    if not event.burst:
        return event.model_copy(update={"replies_to_me": await is_ours(event.reply_to.message_id)})
    burst = [await with_replies_to_me(each, is_ours) for each in event.burst]
    to_me = any(isinstance(each, MessageReceived) and each.replies_to_me for each in burst)
    return event.model_copy(update={"burst": tuple(burst), "replies_to_me": to_me})


async def with_answers(event: Event, entry_of: Callable[[str], Awaitable[JournalEntry | None]]) -> Event:
    """Return the event, with `answers` set if it answers a scheduled send; of a burst, the first one that is answered.

    Other events cost no lookup.

    Args:
        entry_of: Return the journal entry that made the message with this id.
    """
    if isinstance(event, MessageReceived) and event.burst:
        burst = [await with_answers(each, entry_of) for each in event.burst]
        found = (each.answers for each in burst if isinstance(each, MessageReceived) and each.answers is not None)
        return event.model_copy(update={"burst": tuple(burst), "answers": next(found, None)})
    if isinstance(event, MessageReceived):
        message_id = event.reply_to.message_id if event.reply_to is not None else None
    else:
        message_id = event.message_id if isinstance(event, ReactionAdded) and not event.is_own else None
    if message_id is None:
        return event
    send = answered(await entry_of(message_id))
    return event if send is None else event.model_copy(update={"answers": send})
