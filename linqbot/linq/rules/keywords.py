"""The words of a person that Linq acts on: STOP, START, HELP and the like, in a direct chat."""

from __future__ import annotations

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import understood
from linqbot.linq.rules.message import Keyword, keyword


def keyword_of(event: Event) -> Keyword | None:
    """Return the meaning of a person's message in a direct chat that is STOP, START, HELP or the like; None for other events."""
    if not isinstance(event, MessageReceived) or event.is_group:
        return None
    found = keyword(event.text)
    return None if found is None or event.is_own else found


def opts_out(event: Event) -> bool:
    """Return True if an event is a message by which a person opts out."""
    return keyword_of(event) == "stop"


def is_opt_out_message(delivery: Delivery) -> bool:
    event = understood(delivery) if delivery.type == "message.received" else None
    return event is not None and opts_out(event)
