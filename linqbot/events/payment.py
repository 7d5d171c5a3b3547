"""Payment requests paid, declined or over, and customers connecting to pay."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from linqbot.events.event import Event
from linqbot.types.payment import NaturalIds, StripeIds


class PaymentEvent(Event):
    """What the events about payments have in common: the payment request, as it stands.

    Everything else a payment request may carry (discounts, intervals, ...) is in `model_extra`.

    Attributes:
        id: The payment request's id.
        status: Decide by the event's type, not by this: Linq's list of statuses lacks some of the types.
        amount: In the currency's minor unit, such as cents.
        metadata: What you gave when you asked for the payment. A `chat_id` in it is yours: linqbot never reads it.
        payment_created_at: When the payment was asked for; `created_at` is when the event was made.
    """

    id: str | None = None
    object: str | None = None
    mode: str | None = None
    rail: str | None = None
    status: str | None = None
    amount: int | None = None
    currency: str | None = None
    description: str | None = None
    checkout_url: str | None = None
    metadata: dict[str, Any] | None = None
    stripe: StripeIds | None = None
    natural: NaturalIds | None = None
    payment_created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "payment_created_at": data.get("created_at")}


class PaymentSucceeded(PaymentEvent):
    """The money came."""

    types = ("payment.succeeded",)


class PaymentCanceled(PaymentEvent):
    """The request was called off."""

    types = ("payment.canceled",)


class PaymentExpired(PaymentEvent):
    """Nobody paid in time."""

    types = ("payment.expired",)


class PaymentDeclined(PaymentEvent):
    """The payment was tried and refused."""

    types = ("payment.declined",)


class PaymentAuthorized(PaymentEvent):
    """The payment was approved; the money is not there yet."""

    types = ("payment.authorized",)


class ConnectionCreated(PaymentEvent):
    """A customer connected an account to pay from. Linq's documents give it a payment request's fields."""

    types = ("connection.created",)


class ConnectionRevoked(PaymentEvent):
    """A customer's connection is over. Linq's documents give it a payment request's fields."""

    types = ("connection.revoked",)
