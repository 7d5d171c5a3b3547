"""Webhook subscriptions: where Linq sends events, and which."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class WebhookSubscription(Data):
    """A place Linq delivers events to.

    Attributes:
        target_url: Unique within the account. `?version=2026-02-03` in it pins the payload version.
        phone_numbers: Only events of these lines; empty or None is all lines.
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
    """The one answer that shows the signing secret. Keep it: Linq never shows it again."""

    signing_secret: str


class WebhookEventList(Data):
    """The event types a subscription may ask for."""

    events: tuple[str, ...] = ()
    doc_url: str | None = None


class WebhookSubscriptions(Data):
    """Answer of `webhook_subscriptions.list`: active and inactive ones."""

    subscriptions: tuple[WebhookSubscription, ...] = ()
