"""Events about the account: API tokens, environments, subscriptions, team members, contact cards, lines, phone calls.

Linq delivers most of these with best effort and in no guaranteed order. Linq documents the types of phone calls but not
their payloads yet, so the data of a call is kept as received.
"""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime

from linqbot.linq.events.event import Event, RawEvent
from linqbot.linq.types.data import Data

__all__ = [
    "ApiTokenActivated", "ApiTokenCreated", "ApiTokenDeleted", "ApiTokenExpired", "ApiTokenExpiryScheduled",
    "ApiTokenRenamed", "CallAnswered", "CallDeclined", "CallEnded", "CallFailed", "CallInitiated", "CallRinging",
    "CallUnanswered", "ContactCardCreated", "ContactCardDeleted", "ContactCardReceived", "ContactCardUpdated",
    "EnvironmentCreated", "EnvironmentDeleted", "EnvironmentLineMoved", "EnvironmentRenamed", "PhoneNumberAssigned",
    "PhoneNumberForwardingUpdated", "PhoneNumberReleased", "PhoneNumberStatusUpdated", "TeamMemberAdded",
    "TeamMemberSignedIn", "TeamMemberSignedOut", "WebhookSubscriptionCreated", "WebhookSubscriptionDeleted",
    "WebhookSubscriptionDisabled", "WebhookSubscriptionEnabled", "WebhookSubscriptionEventsUpdated",
    "WebhookSubscriptionPhoneNumbersUpdated", "WebhookSubscriptionRoutingHeadersCleared",
    "WebhookSubscriptionRoutingHeadersSet", "WebhookSubscriptionTargetUrlChanged", "ZeroDayRetentionUpdated",
]  # fmt: skip


class AccountActor(Data):
    """The author of a change of the account: a `team_member`, the `api` or the `system`."""

    type: str = "unknown"
    id: str | None = None
    name: str | None = None
    email: str | None = None


class AccountEvent(Event):
    """Base of the events about changes of the account.

    Attributes:
        summary: One sentence, for display only; do not parse it.
        done_by: The author of the change. (`actor` is None, because the author is not a handle.)
        origin: `dashboard`, `api` or `linq`.
        change: `{"from": …, "to": …}` if a value was replaced.
        line: The line that the event is about, if there is one.
    """

    summary: str = ""
    occurred_at: AwareDatetime | None = None
    done_by: AccountActor = AccountActor()
    origin: str | None = None
    change: dict[str, Any] | None = None
    phone_number: str | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = {**data, "line": data.get("phone_number")}
        if (actor := fields.pop("actor", None)) is not None:
            fields["done_by"] = actor
        return fields


class ApiToken(Data):
    """An API token, without its secret."""

    id: str | None = None
    token_prefix: str | None = None
    name: str | None = None
    expires_at: AwareDatetime | None = None


class ApiTokenEvent(AccountEvent):
    """Base of the events about an API token."""

    api_token: ApiToken = ApiToken()


class ApiTokenCreated(ApiTokenEvent):
    """A token was created."""


class ApiTokenRenamed(ApiTokenEvent):
    """A token was renamed."""


class ApiTokenExpiryScheduled(ApiTokenEvent):
    """The expiry of a token was scheduled."""


class ApiTokenExpired(ApiTokenEvent):
    """A token has expired and is no longer accepted."""


class ApiTokenActivated(ApiTokenEvent):
    """A token was activated."""


class ApiTokenDeleted(ApiTokenEvent):
    """A token was deleted and is no longer accepted."""


class Environment(Data):
    """A part of the account with its own lines and tokens."""

    name: str | None = None
    type: str | None = None


class EnvironmentEvent(AccountEvent):
    """Base of the events about an environment."""

    environment: Environment = Environment()


class EnvironmentCreated(EnvironmentEvent):
    """An environment was created."""


class EnvironmentRenamed(EnvironmentEvent):
    """An environment was renamed."""


class EnvironmentDeleted(EnvironmentEvent):
    """An environment was deleted. Its lines were moved to production, its tokens were revoked."""

    lines_moved_to_production: int | None = None
    tokens_revoked: int | None = None


class Subscription(Data):
    """A webhook subscription in account events: the URL is without query and credentials."""

    id: str | None = None
    target_url: str | None = None
    events: tuple[str, ...] | None = None


class WebhookSubscriptionEvent(AccountEvent):
    """Base of the events about a webhook subscription, which may be the one that delivered the event."""

    webhook_subscription: Subscription = Subscription()


class WebhookSubscriptionCreated(WebhookSubscriptionEvent):
    """A subscription was created. Only this event contains `webhook_subscription.events`."""


class WebhookSubscriptionDeleted(WebhookSubscriptionEvent):
    """A subscription was deleted."""


class WebhookSubscriptionTargetUrlChanged(WebhookSubscriptionEvent):
    """The URL of a subscription was changed."""


class WebhookSubscriptionEnabled(WebhookSubscriptionEvent):
    """A subscription was enabled again."""


class WebhookSubscriptionDisabled(WebhookSubscriptionEvent):
    """A subscription was disabled and delivers nothing."""


class WebhookSubscriptionEventsUpdated(WebhookSubscriptionEvent):
    """The event types of a subscription were changed."""


class WebhookSubscriptionPhoneNumbersUpdated(WebhookSubscriptionEvent):
    """The lines of a subscription were changed."""


class WebhookSubscriptionRoutingHeadersSet(WebhookSubscriptionEvent):
    """Routing headers were set, by which a chat's deliveries reach the same server."""


class WebhookSubscriptionRoutingHeadersCleared(WebhookSubscriptionEvent):
    """The routing headers of a subscription were removed."""


class TeamMember(Data):
    """A person with access to the dashboard.

    Attributes:
        role: `admin`, `manager` or `member`. Only the event of adding the person contains it.
    """

    id: str | None = None
    name: str | None = None
    role: str | None = None


class TeamMemberEvent(AccountEvent):
    """Base of the events about a team member."""

    team_member: TeamMember = TeamMember()


class TeamMemberAdded(TeamMemberEvent):
    """A person got access to the dashboard."""


class TeamMemberSignedIn(TeamMemberEvent):
    """A person signed in; `method` is `code`, `sso`, `google`, `apple` or `linkedin`."""

    method: str | None = None


class TeamMemberSignedOut(TeamMemberEvent):
    """A person signed out."""


class ContactCardReceived(Event):
    """A person's name and photo: sent once per person and line, and again when they change.

    Attributes:
        sender_handle: The person.
        owner_handle: Your line.
        last_name: May be empty.
        media_url: The photo. The URL is signed, valid for up to 45 minutes, and must not be altered in any way.
    """

    sender_handle: str | None = None
    owner_handle: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    media_url: str | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "actor": data.get("sender_handle"), "line": data.get("owner_handle")}


class ChangedContactCard(Data):
    """The card of one of your lines, as account events show it: with its id and without its line.

    The line is the event's `phone_number`. Read the whole card with `client.contact_card.retrieve`.
    """

    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    image_url: str | None = None


class ContactCardEvent(AccountEvent):
    """Base of the events about the contact card of one of your lines."""

    contact_card: ChangedContactCard = ChangedContactCard()


class ContactCardCreated(ContactCardEvent):
    """A contact card was created for one of your lines."""


class ContactCardUpdated(ContactCardEvent):
    """The contact card of a line was changed; `change` has a `from` and a `to` for each changed field."""


class ContactCardDeleted(ContactCardEvent):
    """The contact card of a line was deleted."""


class LineEvent(Event):
    """Base of the events about a line.

    Attributes:
        phone_number: The line, E.164; the same as `line`.
    """

    phone_number: str | None = None
    changed_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "line": data.get("phone_number")}


class PhoneNumberStatusUpdated(LineEvent):
    """The status or the reputation of a line changed.

    Attributes:
        new_status: `ACTIVE` or `FLAGGED`. A flagged line cannot start new chats.
        new_reputation: `HEALTHY`, `AT_RISK` or `CRITICAL`.
    """

    previous_status: str | None = None
    new_status: str | None = None
    previous_reputation: str | None = None
    new_reputation: str | None = None


class PhoneNumberAssigned(LineEvent):
    """A line was assigned to you."""


class PhoneNumberReleased(LineEvent):
    """A line was released and is no longer yours."""


class PhoneNumberForwardingUpdated(AccountEvent):
    """The call forwarding of a line was changed; `change` has the numbers."""


class ZeroDayRetentionUpdated(AccountEvent):
    """Zero retention of a line was switched on or off; `change` has true or false."""


class EnvironmentLineMoved(AccountEvent):
    """A line was moved to another environment; `change` has both environments."""


class CallEvent(RawEvent):
    """Base of the events about a phone call. The payload is in `data`."""


class CallInitiated(CallEvent):
    """A call was started."""


class CallRinging(CallEvent):
    """A call is ringing."""


class CallAnswered(CallEvent):
    """A call was answered."""


class CallEnded(CallEvent):
    """A call has ended."""


class CallFailed(CallEvent):
    """A call failed."""


class CallDeclined(CallEvent):
    """A call was declined."""


class CallUnanswered(CallEvent):
    """A call was not answered."""
