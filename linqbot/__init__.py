"""linqbot: the framework for chatbots on iMessage, RCS and SMS through Linq.

All that a file with handlers needs is here or in `linqbot.events`. Each name is imported from its module when it is
first used. Inside the package, import from the module that defines a name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot
    from linqbot.bot.chat_context import ChatContext
    from linqbot.bot.context import Context
    from linqbot.bot.filters import (
        contains,
        exact,
        from_handle,
        has_link,
        has_media,
        in_direct,
        in_group,
        mentions_bot,
        muted,
        regex,
        replies_to_bot,
        to_line,
    )
    from linqbot.bot.hours import Hours
    from linqbot.bot.lifecycle import Resource
    from linqbot.bot.ready_made import AllowFile, limit_per_person, texts_in_log
    from linqbot.bot.router import Router
    from linqbot.client.client import Client
    from linqbot.content.drafts import app_card, contact_card, location_request, media, poll, sticker, voice_memo
    from linqbot.content.preview import Form, Preview, PreviewMessage
    from linqbot.content.sending import Capabilities
    from linqbot.content.sent import Sent
    from linqbot.engine.failure import Failure
    from linqbot.errors import (
        Ambiguous,
        AmbiguousCall,
        AskCancelled,
        AskTimeout,
        BotError,
        LinqApiError,
        LinqbotError,
        LinqUnavailable,
        MessageGone,
        RateLimited,
        Refused,
        RuleBroken,
        StateUnreadable,
        StreamStalled,
    )
    from linqbot.features.asking.question import AskedBefore, Declined, Expired, Location, Paid, VoteResult
    from linqbot.features.history import History, HistoryEntry
    from linqbot.features.manners.options import Manners
    from linqbot.features.model_steps import Draft, ModelStep
    from linqbot.features.state import State, Tally
    from linqbot.hookspecs import Running, hookimpl
    from linqbot.linq.events.event import Event, UnknownEvent
    from linqbot.linq.events.message import MessageEdited, MessageReceived, ReactionAdded
    from linqbot.linq.events.posted import Posted
    from linqbot.linq.events.proactive import BroadcastDone, ScheduleDue
    from linqbot.linq.text.markdown import markdown
    from linqbot.linq.text.styled import StyledText, link
    from linqbot.linq.types.chat import Chat, Handle
    from linqbot.linq.types.content import Card, Fetched, Saved
    from linqbot.linq.types.message import (
        AppClipPart,
        AppIdentity,
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
    from linqbot.linq.types.proactive import Broadcast, Recipient, Scheduled

__all__ = [
    "AllowFile",
    "Ambiguous",
    "AmbiguousCall",
    "AppClipPart",
    "AppIdentity",
    "AppPart",
    "AskCancelled",
    "AskTimeout",
    "AskedBefore",
    "Bot",
    "BotError",
    "Broadcast",
    "BroadcastDone",
    "Capabilities",
    "Card",
    "Chat",
    "ChatContext",
    "Client",
    "Context",
    "Declined",
    "Draft",
    "Effect",
    "Event",
    "Experience",
    "Expired",
    "Failure",
    "Fetched",
    "Form",
    "Handle",
    "History",
    "HistoryEntry",
    "Hours",
    "InlineSticker",
    "LinkPart",
    "LinqApiError",
    "LinqUnavailable",
    "LinqbotError",
    "Location",
    "Manners",
    "MediaPart",
    "Mention",
    "Message",
    "MessageContent",
    "MessageEdited",
    "MessageGone",
    "MessageReceived",
    "ModelStep",
    "Paid",
    "Posted",
    "Preview",
    "PreviewMessage",
    "RateLimited",
    "ReactionAdded",
    "Recipient",
    "Refused",
    "ReplyTo",
    "Resource",
    "Router",
    "RuleBroken",
    "Running",
    "Saved",
    "ScheduleDue",
    "Scheduled",
    "Sent",
    "State",
    "StateUnreadable",
    "StreamStalled",
    "StyledText",
    "Tally",
    "TextDecoration",
    "TextPart",
    "UnknownEvent",
    "VoteResult",
    "app_card",
    "contact_card",
    "contains",
    "exact",
    "from_handle",
    "has_link",
    "has_media",
    "hookimpl",
    "in_direct",
    "in_group",
    "limit_per_person",
    "link",
    "location_request",
    "markdown",
    "media",
    "mentions_bot",
    "muted",
    "poll",
    "regex",
    "replies_to_bot",
    "sticker",
    "texts_in_log",
    "to_line",
    "voice_memo",
]

_HOMES = {
    "AskedBefore": "linqbot.features.asking.question",
    **dict.fromkeys(("Declined", "Expired", "Location", "Paid", "VoteResult"), "linqbot.features.asking.question"),
    "Bot": "linqbot.bot.bot",
    "Capabilities": "linqbot.content.sending",
    **dict.fromkeys(("Form", "Preview", "PreviewMessage"), "linqbot.content.preview"),
    "Context": "linqbot.bot.context",
    **dict.fromkeys(
        ("app_card", "contact_card", "location_request", "media", "poll", "sticker", "voice_memo"),
        "linqbot.content.drafts",
    ),
    **dict.fromkeys(
        (
            "contains",
            "exact",
            "from_handle",
            "has_link",
            "has_media",
            "in_direct",
            "in_group",
            "mentions_bot",
            "muted",
            "regex",
            "replies_to_bot",
            "to_line",
        ),
        "linqbot.bot.filters",
    ),
    "ChatContext": "linqbot.bot.chat_context",
    "Failure": "linqbot.engine.failure",
    **dict.fromkeys(("History", "HistoryEntry"), "linqbot.features.history"),
    "Hours": "linqbot.bot.hours",
    "Resource": "linqbot.bot.lifecycle",
    "AllowFile": "linqbot.bot.ready_made",
    "limit_per_person": "linqbot.bot.ready_made",
    "texts_in_log": "linqbot.bot.ready_made",
    "Router": "linqbot.bot.router",
    "Scheduled": "linqbot.linq.types.proactive",
    "Sent": "linqbot.content.sent",
    "Manners": "linqbot.features.manners.options",
    **dict.fromkeys(("Draft", "ModelStep"), "linqbot.features.model_steps"),
    **dict.fromkeys(("State", "Tally"), "linqbot.features.state"),
    "Client": "linqbot.client.client",
    **dict.fromkeys(
        (
            "Ambiguous",
            "AmbiguousCall",
            "AskCancelled",
            "AskTimeout",
            "BotError",
            "LinqApiError",
            "LinqUnavailable",
            "LinqbotError",
            "MessageGone",
            "RateLimited",
            "Refused",
            "RuleBroken",
            "StateUnreadable",
            "StreamStalled",
        ),
        "linqbot.errors",
    ),
    **dict.fromkeys(("Broadcast", "Recipient"), "linqbot.linq.types.proactive"),
    "BroadcastDone": "linqbot.linq.events.proactive",
    **dict.fromkeys(("Event", "UnknownEvent"), "linqbot.linq.events.event"),
    **dict.fromkeys(("MessageEdited", "MessageReceived"), "linqbot.linq.events.message"),
    "ReactionAdded": "linqbot.linq.events.message",
    "Posted": "linqbot.linq.events.posted",
    "ScheduleDue": "linqbot.linq.events.proactive",
    **dict.fromkeys(("Running", "hookimpl"), "linqbot.hookspecs"),
    "link": "linqbot.linq.text.styled",
    "markdown": "linqbot.linq.text.markdown",
    "StyledText": "linqbot.linq.text.styled",
    **dict.fromkeys(("Card", "Fetched", "Saved"), "linqbot.linq.types.content"),
    **dict.fromkeys(("Chat", "Handle"), "linqbot.linq.types.chat"),
    **dict.fromkeys(
        (
            "AppClipPart",
            "AppIdentity",
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
        "linqbot.linq.types.message",
    ),
}


def _elsewhere() -> dict[str, str]:
    """Return the module of each public name that is not here: events, and what runs and tests bots."""
    events = import_module("linqbot.events")
    return {
        **{name: events.__name__ for name in events.__all__ if name not in _HOMES},
        **dict.fromkeys(("Filter", "Predicate"), "linqbot.bot.filters"),
        **dict.fromkeys(("Middleware", "Next"), "linqbot.bot.router"),
        "SQLiteStorage": "linqbot.storage.sqlite.storage",
        "MemoryStorage": "linqbot.storage.sqlite.memory",
        "create_app": "linqbot.server.app",
        "running": "linqbot.server.app",
        "from_env": "linqbot.settings",
        **dict.fromkeys(("Phone", "PhoneFor", "killed_between_calls", "talking"), "linqbot.testing"),
    }


__getattr__, __dir__ = lazy_exports(__name__, _HOMES, elsewhere=_elsewhere)
