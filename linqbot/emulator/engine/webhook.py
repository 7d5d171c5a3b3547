"""A webhook as the emulator sends it: the record of a delivery and its attempts, and the headers with both signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from linqbot.emulator.model.documents import iso
from linqbot.emulator.model.records import SubscriptionRecord
from linqbot.linq.signatures import sign, sign_legacy


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST.

    Attributes:
        status: None if no answer came.
        reason: Why the attempt failed, in words, without anything that the receiver wrote; None if it succeeded.
        answer: The beginning of the receiver's answer to a failed attempt.
    """

    at: float
    status: int | None
    ms: int
    reason: str | None = None
    answer: str | None = None

    def shape(self) -> dict[str, Any]:
        """Return the attempt as JSON."""
        shape = {"at": iso(self.at), "status": self.status, "ms": self.ms}
        if self.reason is not None:
            shape |= {"reason": self.reason, "answer": self.answer}
        return shape


@dataclass(slots=True)
class WebhookDelivery:
    """One event for one subscription. The body is encoded once: retries send the same bytes.

    Attributes:
        message_id: The message that the event is about; None if it is about none.
        by_bot: True if the bot caused the event, such as a tapback of its own.
        vote: The voter's handle as `by`, and the `option_id`, if the event is a vote in a poll, or its end.
        headers: The headers of the latest attempt. Earlier ones differ in time and signature only.
    """

    event_id: str
    event_type: str
    subscription_id: str
    chat_id: str | None
    body: bytes
    created_at: float
    message_id: str | None = None
    by_bot: bool = False
    vote: dict[str, str] | None = None
    attempts: list[Attempt] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def shape(self) -> dict[str, Any]:
        """Return the delivery and its attempts as JSON, without body and headers."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "subscription_id": self.subscription_id,
            "chat_id": self.chat_id,
            "message_id": self.message_id,
            "by_bot": self.by_bot,
            "vote": self.vote,
            "created_at": iso(self.created_at),
            "attempts": [one.shape() for one in self.attempts],
        }

    def as_sent(self) -> dict[str, Any]:
        """Return the delivery as JSON with its body, byte for byte, and the headers of the latest attempt."""
        return self.shape() | {"body": self.body.decode(), "headers": self.headers}


def message_of(event_type: str, data: dict[str, Any]) -> str | None:
    """Return the id of the message that an event is about, from the event's data in either payload version."""
    found = data.get("message_id")
    if found is None and event_type.startswith("message."):
        found = data.get("id") or data.get("message", {}).get("id")
    return found if isinstance(found, str) else None


def is_by_bot(data: dict[str, Any]) -> bool:
    """Return True if an event was caused by the bot, from the event's data in either payload version."""
    actor = data.get("sender_handle") or data.get("from_handle") or data.get("actor_handle")
    is_line = isinstance(actor, dict) and bool(actor.get("is_me"))
    return bool(data.get("is_from_me")) or data.get("direction") == "outbound" or is_line


def vote_of(event_type: str, data: dict[str, Any]) -> dict[str, str] | None:
    """Return the voter and the option of a vote in a poll, from the event's data; None for other events."""
    if not event_type.startswith("poll.vote."):
        return None
    return {"by": data["sender_handle"]["handle"], "option_id": data["option_id"]}


def signed_headers(delivery: WebhookDelivery, subscription: SubscriptionRecord, timestamp: int) -> dict[str, str]:
    """Return the headers of one attempt, with the signature of each kind for `timestamp`, in Unix seconds."""
    secret = subscription.secret
    return {
        "content-type": "application/json",
        "user-agent": "Linq-Webhooks/1.0",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(delivery.body, webhook_id=delivery.event_id, timestamp=timestamp, secret=secret),
        "x-webhook-event": delivery.event_type,
        "x-webhook-subscription-id": subscription.id,
        "x-webhook-timestamp": str(timestamp),
        "x-webhook-signature": sign_legacy(delivery.body, timestamp=timestamp, secret=secret),
    }
