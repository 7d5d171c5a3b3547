"""Find out whether a message in a group replies to the bot, which no webhook says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from linqbot.events.event import Event
from linqbot.events.message import MessageReceived


async def with_replies_to_me(event: Event, is_ours: Callable[[str], Awaitable[bool]]) -> Event:
    """Return the event, with `replies_to_me` set if it is a reply in a group.

    Only a group needs to know this, so `is_ours` is called for no other event: it may cost a call to Linq.

    Args:
        is_ours: Return True if the bot sent the message with this id.
    """
    if not (isinstance(event, MessageReceived) and event.is_group and event.reply_to is not None):
        return event
    return event.model_copy(update={"replies_to_me": await is_ours(event.reply_to.message_id)})
