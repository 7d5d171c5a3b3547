"""Payment requests that were paid, declined, canceled or expired, and customers' connections."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime

from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import CHAT_OF_PAYMENT, as_object
from linqbot.linq.types.payment import NaturalIds, StripeIds

__all__ = [
    "ConnectionCreated", "ConnectionRevoked", "PaymentAuthorized", "PaymentCanceled", "PaymentDeclined",
    "PaymentEvent", "PaymentExpired", "PaymentSucceeded",
]  # fmt: skip


class PaymentEvent(Event):
    """Base of the events about payments: the payment request in its current state.

    Other fields of a payment request (discounts, intervals, …) are in `model_extra`.

    Attributes:
        id: The payment request's id.
        status: Decide by the event's type and not by this field: Linq's list of statuses lacks some of the types.
        amount: In the currency's minor unit, such as cents.
        metadata: As passed when the payment was requested. A `chat_id` in it is yours: linqbot never reads it.
        chat_id: The chat of `ctx.pay`, if it requested the payment; None for other payments.
        payment_created_at: The time when the payment was requested; `created_at` is the time of the event.
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
    payment_created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = {**data, "payment_created_at": data.get("created_at")}
        if (chat := as_object(data.get("metadata")).get(CHAT_OF_PAYMENT)) is not None:
            fields["chat_id"] = chat
        return fields


class PaymentSucceeded(PaymentEvent):
    """The payment succeeded."""


class PaymentCanceled(PaymentEvent):
    """The payment request was canceled."""


class PaymentExpired(PaymentEvent):
    """The payment request expired without a payment."""


class PaymentDeclined(PaymentEvent):
    """The payment was tried and declined."""


class PaymentAuthorized(PaymentEvent):
    """The payment was authorized; the money has not arrived yet."""


class ConnectionCreated(PaymentEvent):
    """A customer connected an account to pay from. According to Linq it has the fields of a payment request."""


class ConnectionRevoked(PaymentEvent):
    """A customer's connection was revoked. According to Linq it has the fields of a payment request."""
