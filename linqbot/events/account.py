"""What happens to the account: API tokens, environments, webhook subscriptions, team members.

Linq delivers these with best effort and in no promised order. Events about lines are in `line.py`, about your contact
cards in `contact.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.event import Event
from linqbot.types.data import Data


class AccountActor(Data):
    """Who changed the account: a `team_member`, the `api`, the `system`."""

    type: str = "unknown"
    id: str | None = None
    name: str | None = None
    email: str | None = None


class AccountEvent(Event):
    """What all changes of the account have in common.

    Attributes:
        summary: One sentence, to be shown and not to be parsed.
        done_by: Who did it. (`actor` is None: it is no handle.)
        origin: `dashboard`, `api` or `linq`.
        change: `{"from": …, "to": …}` where something was replaced.
        line: The line it is about, where it is about one.
    """

    summary: str = ""
    occurred_at: datetime | None = None
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
    """An API token, without the secret."""

    id: str | None = None
    token_prefix: str | None = None
    name: str | None = None
    expires_at: datetime | None = None


class ApiTokenEvent(AccountEvent):
    """Something happened to an API token."""

    api_token: ApiToken = ApiToken()


class ApiTokenCreated(ApiTokenEvent):
    """A token was made."""

    types = ("api_token.created",)


class ApiTokenRenamed(ApiTokenEvent):
    """A token has another name."""

    types = ("api_token.renamed",)


class ApiTokenExpiryScheduled(ApiTokenEvent):
    """A token was given an end."""

    types = ("api_token.expiry_scheduled",)


class ApiTokenExpired(ApiTokenEvent):
    """A token works no more, because its time is over."""

    types = ("api_token.expired",)


class ApiTokenActivated(ApiTokenEvent):
    """A token works now."""

    types = ("api_token.activated",)


class ApiTokenDeleted(ApiTokenEvent):
    """A token works no more, because it was deleted."""

    types = ("api_token.deleted",)


class Environment(Data):
    """A part of the account with lines and tokens of its own."""

    name: str | None = None
    type: str | None = None


class EnvironmentEvent(AccountEvent):
    """Something happened to an environment."""

    environment: Environment = Environment()


class EnvironmentCreated(EnvironmentEvent):
    """An environment was made."""

    types = ("environment.created",)


class EnvironmentRenamed(EnvironmentEvent):
    """An environment has another name."""

    types = ("environment.renamed",)


class EnvironmentDeleted(EnvironmentEvent):
    """An environment is gone; its lines are in production, its tokens do not work any more."""

    types = ("environment.deleted",)

    lines_moved_to_production: int | None = None
    tokens_revoked: int | None = None


class Subscription(Data):
    """A webhook subscription as account events name it: the URL without query and credentials."""

    id: str | None = None
    target_url: str | None = None
    events: tuple[str, ...] | None = None


class WebhookSubscriptionEvent(AccountEvent):
    """Something happened to a webhook subscription, maybe to the one that brought this event."""

    webhook_subscription: Subscription = Subscription()


class WebhookSubscriptionCreated(WebhookSubscriptionEvent):
    """A subscription was made; only here `webhook_subscription.events` is given."""

    types = ("webhook_subscription.created",)


class WebhookSubscriptionDeleted(WebhookSubscriptionEvent):
    """A subscription is gone."""

    types = ("webhook_subscription.deleted",)


class WebhookSubscriptionTargetUrlChanged(WebhookSubscriptionEvent):
    """A subscription delivers to another URL."""

    types = ("webhook_subscription.target_url_changed",)


class WebhookSubscriptionEnabled(WebhookSubscriptionEvent):
    """A subscription delivers again."""

    types = ("webhook_subscription.enabled",)


class WebhookSubscriptionDisabled(WebhookSubscriptionEvent):
    """A subscription delivers nothing for now."""

    types = ("webhook_subscription.disabled",)


class WebhookSubscriptionEventsUpdated(WebhookSubscriptionEvent):
    """A subscription delivers other event types."""

    types = ("webhook_subscription.events.updated",)


class WebhookSubscriptionPhoneNumbersUpdated(WebhookSubscriptionEvent):
    """A subscription delivers for other lines."""

    types = ("webhook_subscription.phone_numbers.updated",)


class WebhookSubscriptionRoutingHeadersSet(WebhookSubscriptionEvent):
    """A subscription sends a chat's deliveries to the same place, by these headers."""

    types = ("webhook_subscription.routing_headers_set",)


class WebhookSubscriptionRoutingHeadersCleared(WebhookSubscriptionEvent):
    """A subscription has no routing headers any more."""

    types = ("webhook_subscription.routing_headers_cleared",)


class TeamMember(Data):
    """A person who may use the dashboard. `role` is given only when they were added."""

    id: str | None = None
    name: str | None = None
    role: str | None = None


class TeamMemberEvent(AccountEvent):
    """Somebody of the team came, or went in or out."""

    team_member: TeamMember = TeamMember()


class TeamMemberAdded(TeamMemberEvent):
    """Somebody may use the dashboard now."""

    types = ("team_member.added",)


class TeamMemberSignedIn(TeamMemberEvent):
    """Somebody signed in; `method` is `code`, `sso`, `google`, `apple` or `linkedin`."""

    types = ("team_member.signed_in",)

    method: str | None = None


class TeamMemberSignedOut(TeamMemberEvent):
    """Somebody signed out."""

    types = ("team_member.signed_out",)
