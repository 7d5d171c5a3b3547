"""Messages by which a person opts out: STOP and its synonyms, alone in a direct chat (R69).

They reach no message handler. `worker/opting_out.py` ends what the bot still wanted to say in the chat.
"""

from __future__ import annotations

from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.rules.opt_out import is_opt_out


def opts_out(event: Event) -> bool:
    """Return True if an event is a message by which a person opts out."""
    return isinstance(event, MessageReceived) and not event.is_group and is_opt_out(event.text) and not event.is_own
