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

_NAMES = {
    "linqbot.bot.bot": "Bot",
    "linqbot.bot.chat_context": "ChatContext",
    "linqbot.bot.context": "Context",
    "linqbot.bot.filters": (
        "contains exact from_handle has_link has_media in_direct in_group mentions_bot muted regex replies_to_bot "
        "to_line"
    ),
    "linqbot.bot.hours": "Hours",
    "linqbot.bot.lifecycle": "Resource",
    "linqbot.bot.ready_made": "AllowFile limit_per_person texts_in_log",
    "linqbot.bot.router": "Router",
    "linqbot.client.client": "Client",
    "linqbot.content.drafts": "app_card contact_card location_request media poll sticker voice_memo",
    "linqbot.content.preview": "Form Preview PreviewMessage",
    "linqbot.content.sending": "Capabilities",
    "linqbot.content.sent": "Sent",
    "linqbot.engine.failure": "Failure",
    "linqbot.errors": (
        "Ambiguous AmbiguousCall AskCancelled AskTimeout BotError LinqApiError LinqUnavailable LinqbotError "
        "MessageGone RateLimited Refused RuleBroken StateUnreadable StreamStalled"
    ),
    "linqbot.features.asking.question": "AskedBefore Declined Expired Location Paid VoteResult",
    "linqbot.features.history": "History HistoryEntry",
    "linqbot.features.manners.options": "Manners",
    "linqbot.features.model_steps": "Draft ModelStep",
    "linqbot.features.state": "State Tally",
    "linqbot.hookspecs": "Running hookimpl",
    "linqbot.linq.events.event": "Event UnknownEvent",
    "linqbot.linq.events.message": "MessageEdited MessageReceived ReactionAdded",
    "linqbot.linq.events.posted": "Posted",
    "linqbot.linq.events.proactive": "BroadcastDone ScheduleDue",
    "linqbot.linq.text.markdown": "markdown",
    "linqbot.linq.text.styled": "StyledText link",
    "linqbot.linq.types.chat": "Chat Handle",
    "linqbot.linq.types.content": "Card Fetched Saved",
    "linqbot.linq.types.message": (
        "AppClipPart AppIdentity AppPart Effect Experience InlineSticker LinkPart MediaPart Mention Message "
        "MessageContent ReplyTo TextDecoration TextPart"
    ),
    "linqbot.linq.types.proactive": "Broadcast Recipient Scheduled",
}
"""The names, separated by spaces, by the module that defines them."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


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
