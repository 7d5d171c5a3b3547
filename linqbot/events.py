"""Linq's events: a class for each type that Linq documents, with `Event` as their base.

    from linqbot.events import PollVoteAdded

Each class stands in the module of its resource, and is imported when it is first used.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports
from linqbot.linq.events import EVENT_CLASSES

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot.linq.events.account import ApiTokenActivated as ApiTokenActivated
    from linqbot.linq.events.account import ApiTokenCreated as ApiTokenCreated
    from linqbot.linq.events.account import ApiTokenDeleted as ApiTokenDeleted
    from linqbot.linq.events.account import ApiTokenExpired as ApiTokenExpired
    from linqbot.linq.events.account import ApiTokenExpiryScheduled as ApiTokenExpiryScheduled
    from linqbot.linq.events.account import ApiTokenRenamed as ApiTokenRenamed
    from linqbot.linq.events.account import CallAnswered as CallAnswered
    from linqbot.linq.events.account import CallDeclined as CallDeclined
    from linqbot.linq.events.account import CallEnded as CallEnded
    from linqbot.linq.events.account import CallFailed as CallFailed
    from linqbot.linq.events.account import CallInitiated as CallInitiated
    from linqbot.linq.events.account import CallRinging as CallRinging
    from linqbot.linq.events.account import CallUnanswered as CallUnanswered
    from linqbot.linq.events.account import ContactCardCreated as ContactCardCreated
    from linqbot.linq.events.account import ContactCardDeleted as ContactCardDeleted
    from linqbot.linq.events.account import ContactCardReceived as ContactCardReceived
    from linqbot.linq.events.account import ContactCardUpdated as ContactCardUpdated
    from linqbot.linq.events.account import EnvironmentCreated as EnvironmentCreated
    from linqbot.linq.events.account import EnvironmentDeleted as EnvironmentDeleted
    from linqbot.linq.events.account import EnvironmentLineMoved as EnvironmentLineMoved
    from linqbot.linq.events.account import EnvironmentRenamed as EnvironmentRenamed
    from linqbot.linq.events.account import PhoneNumberAssigned as PhoneNumberAssigned
    from linqbot.linq.events.account import PhoneNumberForwardingUpdated as PhoneNumberForwardingUpdated
    from linqbot.linq.events.account import PhoneNumberReleased as PhoneNumberReleased
    from linqbot.linq.events.account import PhoneNumberStatusUpdated as PhoneNumberStatusUpdated
    from linqbot.linq.events.account import TeamMemberAdded as TeamMemberAdded
    from linqbot.linq.events.account import TeamMemberSignedIn as TeamMemberSignedIn
    from linqbot.linq.events.account import TeamMemberSignedOut as TeamMemberSignedOut
    from linqbot.linq.events.account import WebhookSubscriptionCreated as WebhookSubscriptionCreated
    from linqbot.linq.events.account import WebhookSubscriptionDeleted as WebhookSubscriptionDeleted
    from linqbot.linq.events.account import WebhookSubscriptionDisabled as WebhookSubscriptionDisabled
    from linqbot.linq.events.account import WebhookSubscriptionEnabled as WebhookSubscriptionEnabled
    from linqbot.linq.events.account import WebhookSubscriptionEventsUpdated as WebhookSubscriptionEventsUpdated
    from linqbot.linq.events.account import (
        WebhookSubscriptionPhoneNumbersUpdated as WebhookSubscriptionPhoneNumbersUpdated,
    )
    from linqbot.linq.events.account import (
        WebhookSubscriptionRoutingHeadersCleared as WebhookSubscriptionRoutingHeadersCleared,
    )
    from linqbot.linq.events.account import WebhookSubscriptionRoutingHeadersSet as WebhookSubscriptionRoutingHeadersSet
    from linqbot.linq.events.account import WebhookSubscriptionTargetUrlChanged as WebhookSubscriptionTargetUrlChanged
    from linqbot.linq.events.account import ZeroDayRetentionUpdated as ZeroDayRetentionUpdated
    from linqbot.linq.events.chat import BackgroundUpdated as BackgroundUpdated
    from linqbot.linq.events.chat import BackgroundUpdateFailed as BackgroundUpdateFailed
    from linqbot.linq.events.chat import ChatCreated as ChatCreated
    from linqbot.linq.events.chat import GroupChange as GroupChange
    from linqbot.linq.events.chat import GroupIconUpdated as GroupIconUpdated
    from linqbot.linq.events.chat import GroupIconUpdateFailed as GroupIconUpdateFailed
    from linqbot.linq.events.chat import GroupNameUpdated as GroupNameUpdated
    from linqbot.linq.events.chat import GroupNameUpdateFailed as GroupNameUpdateFailed
    from linqbot.linq.events.chat import LocationSharing as LocationSharing
    from linqbot.linq.events.chat import LocationSharingStarted as LocationSharingStarted
    from linqbot.linq.events.chat import LocationSharingStopped as LocationSharingStopped
    from linqbot.linq.events.chat import ParticipantAdded as ParticipantAdded
    from linqbot.linq.events.chat import ParticipantRemoved as ParticipantRemoved
    from linqbot.linq.events.chat import TypingEvent as TypingEvent
    from linqbot.linq.events.chat import TypingStarted as TypingStarted
    from linqbot.linq.events.chat import TypingStopped as TypingStopped
    from linqbot.linq.events.delivery import Delivery as Delivery
    from linqbot.linq.events.event import Event as Event
    from linqbot.linq.events.event import UnknownEvent as UnknownEvent
    from linqbot.linq.events.message import MessageDelivered as MessageDelivered
    from linqbot.linq.events.message import MessageEdited as MessageEdited
    from linqbot.linq.events.message import MessageFailed as MessageFailed
    from linqbot.linq.events.message import MessageRead as MessageRead
    from linqbot.linq.events.message import MessageReceipt as MessageReceipt
    from linqbot.linq.events.message import MessageReceived as MessageReceived
    from linqbot.linq.events.message import MessageSent as MessageSent
    from linqbot.linq.events.message import PollReactionAdded as PollReactionAdded
    from linqbot.linq.events.message import ReactionAdded as ReactionAdded
    from linqbot.linq.events.message import ReactionRemoved as ReactionRemoved
    from linqbot.linq.events.payment import ConnectionCreated as ConnectionCreated
    from linqbot.linq.events.payment import ConnectionRevoked as ConnectionRevoked
    from linqbot.linq.events.payment import PaymentAuthorized as PaymentAuthorized
    from linqbot.linq.events.payment import PaymentCanceled as PaymentCanceled
    from linqbot.linq.events.payment import PaymentDeclined as PaymentDeclined
    from linqbot.linq.events.payment import PaymentEvent as PaymentEvent
    from linqbot.linq.events.payment import PaymentExpired as PaymentExpired
    from linqbot.linq.events.payment import PaymentSucceeded as PaymentSucceeded
    from linqbot.linq.events.poll import PollDelivered as PollDelivered
    from linqbot.linq.events.poll import PollFailed as PollFailed
    from linqbot.linq.events.poll import PollRead as PollRead
    from linqbot.linq.events.poll import PollReceived as PollReceived
    from linqbot.linq.events.poll import PollSent as PollSent
    from linqbot.linq.events.poll import PollUpdated as PollUpdated
    from linqbot.linq.events.poll import PollVote as PollVote
    from linqbot.linq.events.poll import PollVoteAdded as PollVoteAdded
    from linqbot.linq.events.poll import PollVoteRemoved as PollVoteRemoved
    from linqbot.linq.events.posted import Posted as Posted
    from linqbot.linq.events.proactive import BroadcastDone as BroadcastDone
    from linqbot.linq.events.proactive import ScheduleDue as ScheduleDue


# Classes that no single event type of Linq stands for.
_OTHERS = (
    "chat.GroupChange",
    "chat.LocationSharing",
    "chat.TypingEvent",
    "delivery.Delivery",
    "event.Event",
    "event.UnknownEvent",
    "message.MessageReceipt",
    "payment.PaymentEvent",
    "poll.PollVote",
    "posted.Posted",
    "proactive.BroadcastDone",
    "proactive.ScheduleDue",
)
_HOMES = {
    name: f"linqbot.linq.events.{module}"
    for module, name in (place.split(".") for place in (*EVENT_CLASSES.values(), *_OTHERS))
}
__all__ = list(_HOMES)

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
