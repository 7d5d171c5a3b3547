"""Money: requests paid on a page, payments from a connected customer, and who is connected to whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from linqbot.types.data import Data


class Discount(Data):
    """A discount on a subscription: `coupon` or `promotion_code`, not both."""

    coupon: str | None = None
    promotion_code: str | None = None
    label: str | None = None


class StripeIds(Data):
    """Where to find a payment at Stripe."""

    customer_id: str | None = None
    payment_intent_id: str | None = None
    subscription_id: str | None = None


class NaturalIds(Data):
    """Where to find a payment at Natural."""

    payment_request_id: str | None = None
    transaction_id: str | None = None


class PaymentRequest(Data):
    """A request for money, and the page on which it is paid.

    Attributes:
        amount: In the currency's minor unit, such as cents; 0 where a discount covers everything.
        status: `requested`, then `succeeded`, `canceled` or `expired`; more may come.
        mode: `payment` or `subscription`.
        rail: `stripe` or `natural`.
        metadata: What you gave, and what comes back in `payment.*` events.
        trial_end: Nothing is charged before.
        interval, interval_count: How often a subscription is charged: `day`, `week`, `month`, `year`.
    """

    id: str
    amount: int
    currency: str
    checkout_url: str
    mode: str
    status: str
    object: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    paid_at: datetime | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    rail: str | None = None
    price_id: str | None = None
    quantity: int | None = None
    interval: str | None = None
    interval_count: int | None = None
    trial_end: datetime | None = None
    discount: Discount | None = None
    stripe: StripeIds | None = None
    natural: NaturalIds | None = None


class PaymentRequestPage(Data):
    """One page of `payment_requests.list`, newest first."""

    data: tuple[PaymentRequest, ...] = ()
    has_more: bool = False
    object: str | None = None


class Merchant(Data):
    """Who is paid, as the customer reads it."""

    name: str | None = None
    url: str | None = None


class Payment(Data):
    """A payment from a connected customer.

    Attributes:
        status: `needs_connection`, `connecting`, `awaiting_user_action`, `ready`, `authorized`, `succeeded`,
            `declined`, `canceled` or `expired`.
        attach_url: Where the customer puts a card on file; good for about 48 hours.
        approval_url: Where the customer approves the charge; afterwards create it again under the same key.
    """

    id: str | None = None
    status: str | None = None
    amount_cents: int | None = None
    currency: str | None = None
    handle: str | None = None
    description: str | None = None
    merchant: Merchant | None = None
    metadata: Mapping[str, str] | None = None
    attach_url: str | None = None
    approval_url: str | None = None


class Handoff(Data):
    """How the card of a payment is fetched from its provider."""

    card_ref: str | None = None
    fetch_url: str | None = None
    provider: str | None = None
    user_token: str | None = None


class PaymentCredentials(Data):
    """Answer of `payments.credentials`. Keep it out of logs."""

    handoff: Handoff | None = None


class PaymentProvider(Data):
    """A provider of payments: `onboarding`, `ready` or `disabled`."""

    provider: str | None = None
    status: str | None = None


class ProviderConnection(Data):
    """Answer of `payment_providers.connect`: the page on which you join."""

    hosted_url: str | None = None
    session_id: str | None = None
    status: str | None = None


class HandleConnection(Data):
    """Whether a customer may be charged.

    Attributes:
        status: `not_connected`, `pending`, `connected` or `revoked`.
        connect_id: In the answer of `connect` only: needed to `verify`, and kept nowhere else.
    """

    handle: str | None = None
    status: str | None = None
    connect_id: str | None = None
