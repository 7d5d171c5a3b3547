"""Webhook subscriptions: the URLs that Linq sends events to."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class WebhookSubscription(Data):
    """A URL that Linq delivers events to.

    Attributes:
        target_url: Unique within the account. The query `?version=2026-02-03` pins the payload version.
        phone_numbers: Only events of these lines; empty or None selects all lines.
    """

    id: str
    target_url: str
    subscribed_events: tuple[str, ...] = ()
    is_active: bool = True
    phone_numbers: tuple[str, ...] | None = None
    routing_id_header: str | None = None
    routing_key_header: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class CreatedWebhookSubscription(WebhookSubscription):
    """Response of `webhook_subscriptions.create`, the only one with the signing secret. Keep the secret."""

    signing_secret: str


class WebhookEventList(Data):
    """The event types that a subscription can select."""

    events: tuple[str, ...] = ()
    doc_url: str | None = None


class WebhookSubscriptions(Data):
    """Response of `webhook_subscriptions.list`: active and inactive subscriptions."""

    subscriptions: tuple[WebhookSubscription, ...] = ()
