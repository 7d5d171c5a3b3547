"""linqbot: the framework for chatbots on iMessage, RCS and SMS through Linq.

The front door. Every name here is defined in a room of its own, and fetched from there when it is first asked for, so
that `linqbot --help`, or a pytest run that only finds our plugin, does not pay for the whole house. Inside the house,
import from the owning module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot
    from linqbot.bot.context import Context, Sent
    from linqbot.bot.filters import contains, exact, has_link, has_media, in_direct, in_group, regex
    from linqbot.bot.router import Router
    from linqbot.client.client import Client
    from linqbot.errors import LinqbotError
    from linqbot.events.event import Event, UnknownEvent
    from linqbot.events.message import MessageEdited, MessageReceived
    from linqbot.events.reaction import ReactionAdded
    from linqbot.hookspecs import hookimpl

__all__ = [
    "Bot",
    "Client",
    "Context",
    "Event",
    "LinqbotError",
    "MessageEdited",
    "MessageReceived",
    "ReactionAdded",
    "Router",
    "Sent",
    "UnknownEvent",
    "contains",
    "exact",
    "has_link",
    "has_media",
    "hookimpl",
    "in_direct",
    "in_group",
    "regex",
]

_HOMES = {
    "Bot": "bot.bot",
    "Client": "client.client",
    "Context": "bot.context",
    "Event": "events.event",
    "LinqbotError": "errors",
    "MessageEdited": "events.message",
    "MessageReceived": "events.message",
    "ReactionAdded": "events.reaction",
    "Router": "bot.router",
    "Sent": "bot.context",
    "UnknownEvent": "events.event",
    "hookimpl": "hookspecs",
    **dict.fromkeys(("contains", "exact", "has_link", "has_media", "in_direct", "in_group", "regex"), "bot.filters"),
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"linqbot has no {name}. It has: {', '.join(__all__)}.")
    value = getattr(import_module(f"linqbot.{home}"), name)
    globals()[name] = value
    return value
