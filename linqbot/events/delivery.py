"""A Delivery: one verified POST, named and put into its lane. Its bytes stay as they came.

The body is decoded here once; the decoded object travels with the delivery inside this process, so that nobody
parses it again. What the event means is `events/parse.py`; storing comes next, in `storage/`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from linqbot.events.lane import lane, token

PROBE_TYPE: Final = "linqbot.doctor"
"""Type of an event that linqbot signs and sends to itself, to see whether it arrives. No handler gets it."""

PROBE_ID: Final = "i.doctor."
"""How ids of its deliveries begin."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to handle, in the order of its lane.

    Attributes:
        id: `w.<event_id>` for a webhook; `i.<kind>.<id>` for our own. HTTP can only make the first kind,
            and `i.doctor.`: what linqbot sent to itself is no sign of life of Linq's.
        lane: Deliveries of one lane are handled one at a time, in order of acceptance.
        type: Linq's `event_type`; empty when the body says none.
        body: The raw bytes, as they came and as they were signed.
        received_at: Unix seconds.
        message_key: `m.<message id>` of a received message: a copy of it under another event id is a duplicate.
        carrier: What plugins let travel with it, such as a trace's ids: a JSON object of strings; None when empty.
        decoded: The body as Python data, or None when it must be decoded (again).
    """

    id: str
    lane: str
    type: str
    body: bytes
    received_at: float
    message_key: str | None = None
    carrier: str | None = None
    decoded: Any = field(default=None, compare=False, repr=False)

    @property
    def sent_at(self) -> float:
        """When what it tells of was sent, in Unix seconds; when it was received if its body does not say."""
        decoded = decode(self.body) if self.decoded is None else self.decoded
        body = decoded if isinstance(decoded, dict) else {}
        data = body.get("data")
        at = data.get("sent_at") if isinstance(data, dict) else None
        try:
            return datetime.fromisoformat(str(at or body.get("created_at"))).timestamp()
        except (ValueError, OverflowError):
            return self.received_at

    @property
    def is_off_the_record(self) -> bool:
        """Whether it comes from a line whose content is kept nowhere: `zero_retention` in its data."""
        decoded = decode(self.body) if self.decoded is None else self.decoded
        data = decoded.get("data") if isinstance(decoded, dict) else None
        return isinstance(data, dict) and data.get("zero_retention") is True

    @classmethod
    def from_webhook(cls, body: bytes, *, webhook_id: str, received_at: float, signed_id: bool = True) -> Delivery:
        """Name what a verified POST brought. Never raises: an authentic body is kept, whatever is in it.

        Args:
            body: The raw bytes.
            webhook_id: The `webhook-id` header; names the delivery when the body names no event.
            received_at: Unix seconds.
            signed_id: Whether the signature covers `webhook_id`. Under the legacy signature it does not: anybody who
                saw a delivery could send it again under another id, so its body names it.
        """
        decoded = decode(body)
        envelope = decoded if isinstance(decoded, dict) else {}
        data = envelope.get("data")
        event_type = token(envelope.get("event_type")) or ""
        name = token(envelope.get("event_id")) or (token(webhook_id) if signed_id else None)
        delivery_id = f"{PROBE_ID if event_type == PROBE_TYPE else 'w.'}{name or hashlib.sha256(body).hexdigest()}"
        return cls(
            id=delivery_id,
            lane=lane(event_type, data, delivery_id),
            type=event_type,
            body=body,
            received_at=received_at,
            message_key=_message_key(data) if event_type == "message.received" else None,
            decoded=decoded,
        )


def decode(body: bytes) -> Any:
    """The body as Python data; None when it is no JSON.

    Text that JSON allows and Unicode does not (half a surrogate pair, bytes that are no UTF-8) is mended with U+FFFD:
    one broken emoji costs a character, not the message. What comes back can always be stored and encoded.
    """
    try:
        return from_json(body)
    except ValueError:
        pass
    try:
        text = json.dumps(json.loads(body.decode("utf-8-sig", "replace")), ensure_ascii=False)
        return from_json(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except (ValueError, RecursionError):
        return None


def _message_key(data: Any) -> str | None:
    if not isinstance(data, dict):
        return None
    # 2025-01-01 has the message inside.
    message = data.get("message")
    inner = message.get("id") if isinstance(message, dict) else None
    message_id = token(inner) or token(data.get("id")) or token(data.get("message_id"))
    return message_id and f"m.{message_id}"
