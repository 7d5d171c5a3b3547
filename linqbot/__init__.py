"""linqbot: the framework for chatbots on iMessage, RCS and SMS through Linq.

All that a file with handlers needs is here or in `linqbot.events`. Each name is imported from its module when it is
first used. Inside the package, import from the module that defines a name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from linqbot.lazy_exports import homes_of, lazy_exports

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot.bot.bot import Bot as Bot
    from linqbot.bot.context import Context as Context
    from linqbot.bot.hours import Hours as Hours
    from linqbot.bot.lifecycle import Resource as Resource
    from linqbot.bot.lifecycle import Running as Running
    from linqbot.bot.ready_made import AllowFile as AllowFile
    from linqbot.bot.ready_made import limit_per_person as limit_per_person
    from linqbot.bot.ready_made import texts_in_log as texts_in_log
    from linqbot.bot.router import Router as Router
    from linqbot.client.client import Client as Client
    from linqbot.content.capabilities import Capabilities as Capabilities
    from linqbot.content.cards import Card as Card
    from linqbot.content.cards import app_card as app_card
    from linqbot.content.drafts import contact_card as contact_card
    from linqbot.content.drafts import location_request as location_request
    from linqbot.content.drafts import media as media
    from linqbot.content.drafts import poll as poll
    from linqbot.content.drafts import sticker as sticker
    from linqbot.content.drafts import voice_memo as voice_memo
    from linqbot.content.message_split import Sendable as Sendable
    from linqbot.content.preview import Form as Form
    from linqbot.content.preview import Preview as Preview
    from linqbot.content.preview import PreviewMessage as PreviewMessage
    from linqbot.content.sent import Sent as Sent
    from linqbot.engine.failure import Failure as Failure
    from linqbot.engine.filters import contains as contains
    from linqbot.engine.filters import exact as exact
    from linqbot.engine.filters import from_handle as from_handle
    from linqbot.engine.filters import has_link as has_link
    from linqbot.engine.filters import has_media as has_media
    from linqbot.engine.filters import in_direct as in_direct
    from linqbot.engine.filters import in_group as in_group
    from linqbot.engine.filters import mentions_bot as mentions_bot
    from linqbot.engine.filters import muted as muted
    from linqbot.engine.filters import regex as regex
    from linqbot.engine.filters import replies_to_bot as replies_to_bot
    from linqbot.engine.filters import to_line as to_line
    from linqbot.engine.state import State as State
    from linqbot.engine.state import Tally as Tally
    from linqbot.errors import Ambiguous as Ambiguous
    from linqbot.errors import AmbiguousCall as AmbiguousCall
    from linqbot.errors import AskCancelled as AskCancelled
    from linqbot.errors import AskEnded as AskEnded
    from linqbot.errors import AskTimeout as AskTimeout
    from linqbot.errors import BotError as BotError
    from linqbot.errors import LinqApiError as LinqApiError
    from linqbot.errors import LinqbotError as LinqbotError
    from linqbot.errors import LinqUnavailable as LinqUnavailable
    from linqbot.errors import MessageGone as MessageGone
    from linqbot.errors import PersonUnreachable as PersonUnreachable
    from linqbot.errors import RateLimited as RateLimited
    from linqbot.errors import Refused as Refused
    from linqbot.errors import RuleBroken as RuleBroken
    from linqbot.errors import StateUnreadable as StateUnreadable
    from linqbot.errors import StreamStalled as StreamStalled
    from linqbot.features.asking.question import AskedBefore as AskedBefore
    from linqbot.features.asking.question import Declined as Declined
    from linqbot.features.asking.question import Expired as Expired
    from linqbot.features.asking.question import Location as Location
    from linqbot.features.asking.question import Paid as Paid
    from linqbot.features.asking.question import VoteResult as VoteResult
    from linqbot.features.chat_context import ChatContext as ChatContext
    from linqbot.features.history import History as History
    from linqbot.features.history import HistoryEntry as HistoryEntry
    from linqbot.features.manners.options import Manners as Manners
    from linqbot.features.model_steps import Draft as Draft
    from linqbot.features.model_steps import ModelStep as ModelStep
    from linqbot.hook_markers import hookimpl as hookimpl
    from linqbot.linq.events.event import Event as Event
    from linqbot.linq.events.event import UnknownEvent as UnknownEvent
    from linqbot.linq.events.message import MessageEdited as MessageEdited
    from linqbot.linq.events.message import MessageReceived as MessageReceived
    from linqbot.linq.events.message import ReactionAdded as ReactionAdded
    from linqbot.linq.events.proactive import BroadcastDone as BroadcastDone
    from linqbot.linq.events.proactive import Posted as Posted
    from linqbot.linq.events.proactive import ScheduleDue as ScheduleDue
    from linqbot.linq.text.markdown import markdown as markdown
    from linqbot.linq.text.styled import StyledText as StyledText
    from linqbot.linq.text.styled import link as link
    from linqbot.linq.types.chat import Chat as Chat
    from linqbot.linq.types.chat import Handle as Handle
    from linqbot.linq.types.files import Fetched as Fetched
    from linqbot.linq.types.files import Saved as Saved
    from linqbot.linq.types.message import AppClipPart as AppClipPart
    from linqbot.linq.types.message import AppIdentity as AppIdentity
    from linqbot.linq.types.message import AppPart as AppPart
    from linqbot.linq.types.message import Effect as Effect
    from linqbot.linq.types.message import Experience as Experience
    from linqbot.linq.types.message import InlineSticker as InlineSticker
    from linqbot.linq.types.message import LinkPart as LinkPart
    from linqbot.linq.types.message import MediaPart as MediaPart
    from linqbot.linq.types.message import Mention as Mention
    from linqbot.linq.types.message import Message as Message
    from linqbot.linq.types.message import MessageContent as MessageContent
    from linqbot.linq.types.message import ReplyTo as ReplyTo
    from linqbot.linq.types.message import TextDecoration as TextDecoration
    from linqbot.linq.types.message import TextPart as TextPart
    from linqbot.linq.types.proactive import Broadcast as Broadcast
    from linqbot.linq.types.proactive import Recipient as Recipient
    from linqbot.linq.types.proactive import Scheduled as Scheduled


_NAMES = {
    "linqbot.bot.bot": "Bot",
    "linqbot.features.chat_context": "ChatContext",
    "linqbot.bot.context": "Context",
    "linqbot.bot.hours": "Hours",
    "linqbot.bot.lifecycle": "Resource Running",
    "linqbot.bot.ready_made": "AllowFile limit_per_person texts_in_log",
    "linqbot.bot.router": "Router",
    "linqbot.client.client": "Client",
    "linqbot.content.capabilities": "Capabilities",
    "linqbot.content.cards": "Card app_card",
    "linqbot.content.drafts": "contact_card location_request media poll sticker voice_memo",
    "linqbot.content.message_split": "Sendable",
    "linqbot.content.preview": "Form Preview PreviewMessage",
    "linqbot.content.sent": "Sent",
    "linqbot.engine.failure": "Failure",
    "linqbot.engine.filters": (
        "contains exact from_handle has_link has_media in_direct in_group mentions_bot muted regex replies_to_bot "
        "to_line"
    ),
    "linqbot.errors": (
        "Ambiguous AmbiguousCall AskCancelled AskEnded AskTimeout BotError LinqApiError LinqUnavailable LinqbotError "
        "MessageGone PersonUnreachable RateLimited Refused RuleBroken StateUnreadable StreamStalled"
    ),
    "linqbot.features.asking.question": "AskedBefore Declined Expired Location Paid VoteResult",
    "linqbot.features.history": "History HistoryEntry",
    "linqbot.features.manners.options": "Manners",
    "linqbot.features.model_steps": "Draft ModelStep",
    "linqbot.hook_markers": "hookimpl",
    "linqbot.engine.state": "State Tally",
    "linqbot.linq.events.event": "Event UnknownEvent",
    "linqbot.linq.events.message": "MessageEdited MessageReceived ReactionAdded",
    "linqbot.linq.events.proactive": "BroadcastDone Posted ScheduleDue",
    "linqbot.linq.text.markdown": "markdown",
    "linqbot.linq.text.styled": "StyledText link",
    "linqbot.linq.types.chat": "Chat Handle",
    "linqbot.linq.types.files": "Fetched Saved",
    "linqbot.linq.types.message": (
        "AppClipPart AppIdentity AppPart Effect Experience InlineSticker LinkPart MediaPart Mention Message "
        "MessageContent ReplyTo TextDecoration TextPart"
    ),
    "linqbot.linq.types.proactive": "Broadcast Recipient Scheduled",
}
_HOMES = homes_of(_NAMES)
__all__ = list(_HOMES)


def _elsewhere() -> dict[str, str]:
    """Return the module of each public name that is not here: events, errors, and what runs and tests bots."""
    events, errors, testing = (import_module(f"linqbot.{name}") for name in ("events", "errors", "testing"))
    raised = [name for name, value in vars(errors).items() if hasattr(value, "lqb")]
    return {
        **dict.fromkeys(testing.__all__, testing.__name__),
        **{name: errors.__name__ for name in raised if name not in _HOMES},
        **{name: events.__name__ for name in events.__all__ if name not in _HOMES},
        **dict.fromkeys(("Filter", "Predicate"), "linqbot.bot.filters"),
        **dict.fromkeys(("Middleware", "Next"), "linqbot.bot.router"),
        "SQLiteStorage": "linqbot.storage.sqlite.storage",
        "MemoryStorage": "linqbot.storage.sqlite.memory",
        "create_app": "linqbot.server.app",
        "running": "linqbot.server.app",
        "from_env": "linqbot.settings",
    }


if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, _HOMES, elsewhere=_elsewhere)
