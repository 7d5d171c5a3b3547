"""linqbot: the framework for chatbots on iMessage, RCS and SMS through Linq.

All that a file with handlers needs is here or in `linqbot.events`. Each name is imported from its module when it is
first used. Inside the package, import from the module that defines a name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot
    from linqbot.bot.context import Context, Sent
    from linqbot.bot.filters import contains, exact, from_handle, has_link, has_media, in_direct, in_group, regex
    from linqbot.bot.router import Router
    from linqbot.bot.send_later import Scheduled
    from linqbot.client.client import Client
    from linqbot.errors import (
        AmbiguousCall,
        BotError,
        LinqApiError,
        LinqbotError,
        LinqUnavailable,
        MessageGone,
        RateLimited,
        Refused,
        RuleBroken,
    )
    from linqbot.events.event import Event, UnknownEvent
    from linqbot.events.message import MessageEdited, MessageReceived
    from linqbot.events.reaction import ReactionAdded
    from linqbot.hookspecs import hookimpl
    from linqbot.types.chat import Chat
    from linqbot.types.handle import Handle
    from linqbot.types.message import (
        AppClipPart,
        AppPart,
        Effect,
        Experience,
        InlineSticker,
        LinkPart,
        MediaPart,
        Mention,
        Message,
        MessageContent,
        ReplyTo,
        TextDecoration,
        TextPart,
    )

__all__ = [
    "AmbiguousCall",
    "AppClipPart",
    "AppPart",
    "Bot",
    "BotError",
    "Chat",
    "Client",
    "Context",
    "Effect",
    "Event",
    "Experience",
    "Handle",
    "InlineSticker",
    "LinkPart",
    "LinqApiError",
    "LinqUnavailable",
    "LinqbotError",
    "MediaPart",
    "Mention",
    "Message",
    "MessageContent",
    "MessageEdited",
    "MessageGone",
    "MessageReceived",
    "RateLimited",
    "ReactionAdded",
    "Refused",
    "ReplyTo",
    "Router",
    "RuleBroken",
    "Scheduled",
    "Sent",
    "TextDecoration",
    "TextPart",
    "UnknownEvent",
    "contains",
    "exact",
    "from_handle",
    "has_link",
    "has_media",
    "hookimpl",
    "in_direct",
    "in_group",
    "regex",
]

_HOMES = {
    "Bot": "linqbot.bot.bot",
    **dict.fromkeys(("Context", "Sent"), "linqbot.bot.context"),
    **dict.fromkeys(
        ("contains", "exact", "from_handle", "has_link", "has_media", "in_direct", "in_group", "regex"),
        "linqbot.bot.filters",
    ),
    "Router": "linqbot.bot.router",
    "Scheduled": "linqbot.bot.send_later",
    "Client": "linqbot.client.client",
    **dict.fromkeys(
        (
            "AmbiguousCall",
            "BotError",
            "LinqApiError",
            "LinqUnavailable",
            "LinqbotError",
            "MessageGone",
            "RateLimited",
            "Refused",
            "RuleBroken",
        ),
        "linqbot.errors",
    ),
    **dict.fromkeys(("Event", "UnknownEvent"), "linqbot.events.event"),
    **dict.fromkeys(("MessageEdited", "MessageReceived"), "linqbot.events.message"),
    "ReactionAdded": "linqbot.events.reaction",
    "hookimpl": "linqbot.hookspecs",
    "Chat": "linqbot.types.chat",
    "Handle": "linqbot.types.handle",
    **dict.fromkeys(
        (
            "AppClipPart",
            "AppPart",
            "Effect",
            "Experience",
            "InlineSticker",
            "LinkPart",
            "MediaPart",
            "Mention",
            "Message",
            "MessageContent",
            "ReplyTo",
            "TextDecoration",
            "TextPart",
        ),
        "linqbot.types.message",
    ),
}


def _elsewhere(name: str) -> str | None:
    """Return the module of a public name that is not here: an event, or what runs and tests bots."""
    events = import_module("linqbot.events")
    modules = {
        "SQLiteStorage": "linqbot.storage.sqlite.storage",
        "MemoryStorage": "linqbot.storage.memory",
        "create_app": "linqbot.server.app",
        "running": "linqbot.server.app",
        "from_env": "linqbot.settings",
        **dict.fromkeys(("Phone", "PhoneFor", "talking"), "linqbot.testing"),
    }
    return "linqbot.events" if name in events.__all__ else modules.get(name)


__getattr__, __dir__ = lazy_exports(__name__, _HOMES, elsewhere=_elsewhere)
