"""linqbot: the framework for chatbots on iMessage, RCS and SMS through Linq.

The front door. Every name here is defined in a room of its own; inside the house, import it from there.
"""

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context, Sent
from linqbot.bot.filters import contains, exact, has_link, has_media, in_direct, in_group, regex
from linqbot.bot.router import Router
from linqbot.client.client import Client
from linqbot.errors import LinqbotError
from linqbot.events.event import Event
from linqbot.events.message import MessageEdited, MessageReceived
from linqbot.events.reaction import ReactionAdded

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
    "contains",
    "exact",
    "has_link",
    "has_media",
    "in_direct",
    "in_group",
    "regex",
]
