"""Payment requests paid on a checkout page, payments from connected customers, and their connections."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AwareDatetime

from linqbot.linq.types.data import Data


class Discount(Data):
    """A discount on a subscription: either `coupon` or `promotion_code`."""

    coupon: str | None = None
    promotion_code: str | None = None
    label: str | None = None


class StripeIds(Data):
    """The ids of a payment at Stripe."""

    customer_id: str | None = None
    payment_intent_id: str | None = None
    subscription_id: str | None = None


class NaturalIds(Data):
    """The ids of a payment at Natural."""

    payment_request_id: str | None = None
    transaction_id: str | None = None


class PaymentRequest(Data):
    """A payment request and its checkout page.

    Attributes:
        amount: In the currency's minor unit, such as cents; 0 if a discount covers the whole amount.
        status: `requested`, then `succeeded`, `canceled` or `expired`; Linq may add more.
        mode: `payment` or `subscription`.
        rail: `stripe` or `natural`.
        metadata: As passed to `create`; `payment.*` events contain it too.
        trial_end: The time of the first charge.
        interval, interval_count: The period of a subscription: a number of `day`, `week`, `month` or `year`.
    """

    id: str
    amount: int
    currency: str
    checkout_url: str
    mode: str
    status: str
    object: str | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    paid_at: AwareDatetime | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    rail: str | None = None
    price_id: str | None = None
    quantity: int | None = None
    interval: str | None = None
    interval_count: int | None = None
    trial_end: AwareDatetime | None = None
    discount: Discount | None = None
    stripe: StripeIds | None = None
    natural: NaturalIds | None = None


class PaymentRequestPage(Data):
    """One page of `payment_requests.list`, newest first."""

    entire = "data"

    data: tuple[PaymentRequest, ...] = ()
    has_more: bool = False
    object: str | None = None


class Merchant(Data):
    """The merchant, as shown to the customer."""

    name: str | None = None
    url: str | None = None


class Payment(Data):
    """A payment from a connected customer.

    Attributes:
        status: `needs_connection`, `connecting`, `awaiting_user_action`, `ready`, `authorized`, `succeeded`,
            `declined`, `canceled` or `expired`.
        attach_url: The page on which the customer adds a card; valid for about 48 hours.
        approval_url: The page on which the customer approves the charge. Afterwards create the payment again with the
            same idempotency key.
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
    """The data to fetch a payment's card from its provider."""

    card_ref: str | None = None
    fetch_url: str | None = None
    provider: str | None = None
    user_token: str | None = None


class PaymentCredentials(Data):
    """Response of `payments.credentials`. Keep it out of logs."""

    handoff: Handoff | None = None


class PaymentProvider(Data):
    """Your account with a payment provider: `onboarding`, `ready` or `disabled`."""

    provider: str | None = None
    status: str | None = None


class ProviderConnection(Data):
    """Response of `payment_providers.connect`: the onboarding page."""

    hosted_url: str | None = None
    session_id: str | None = None
    status: str | None = None


class HandleConnection(Data):
    """A customer's connection, which allows you to charge the customer.

    Attributes:
        status: `not_connected`, `pending`, `connected` or `revoked`.
        connect_id: Only in the response of `connect`: `verify` needs it, and it is available nowhere else.
    """

    handle: str | None = None
    status: str | None = None
    connect_id: str | None = None
