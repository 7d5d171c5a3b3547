"""Notes on a turn for the emulator's page: what the author can do about a message that was not answered as expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from linqbot.bot.routing.report import IN_GROUP, LOOP, NO_HANDLER, NOT_ADDRESSED, NOT_ALLOWED
from linqbot.bot.routing.report import OPTED_OUT as STOPPED

BLOCKED: Final = (
    "While this line ran, the bot answered no other chat. Await slow calls (asyncio.sleep, "
    "httpx.AsyncClient), or write the handler with def instead of async def: then it runs in a thread."
)
WAITS: Final = "The handler waits in this line. The next messages of the chat wait for it."
HANDLED: Final = "The bot handled this error with @bot.on_error {}, so the message counts as done."
OPTED_OUT: Final = (
    "Linq refused the reply, because the person opted out with STOP. The opt-out ends with the person's next message "
    "that is not a stop word."
)
_ADVICE: Final[Mapping[str, str]] = {
    IN_GROUP: 'Bot(groups="never") asks for this.',
    NOT_ADDRESSED: ('Mention the bot, or reply to a message of it. Bot(groups="all") takes every message of a group.'),
    NOT_ALLOWED: "Bot(allow=…) does not list the sender.",
    LOOP: "Bot(loop_breaker=False) turns this off.",
    STOPPED: (
        "Linq takes this word as an opt-out, and refuses messages to the person until the person writes something else. "
        "Open questions have ended, and scheduled sends are cancelled. @bot.on_opt_out may record it."
    ),
}


def advice(reason: str | None, event_type: str, handled: Sequence[str]) -> str | None:
    """Return what the author can do if no handler took an event; None if the reason says enough.

    Args:
        reason: Why no handler took the event.
        handled: The event types that the bot's handlers take.
    """
    if reason == NO_HANDLER and event_type == "message.received":
        only = f"The bot handles only {', '.join(handled)}. " if handled else "The bot has no handlers. "
        return f"{only}Add a handler for messages with @bot.on_message."
    return _ADVICE.get(reason or "")
