"""Signed deliveries as Linq and Slack send them, ready to be written to a socket.

Every delivery has unique ids, so that none is dropped as a duplicate. Making one costs about 10 µs. To measure a rate,
make the deliveries in advance with `Deliveries.prepare`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
LINE = "+12025550100"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook.

    Attributes:
        chat: The chat in which its reply must arrive.
        request: The whole HTTP request.
    """

    chat: str
    request: bytes


class Deliveries:
    """An endless sequence of deliveries that goes through many chats in turn.

    Args:
        make: Returns the delivery with a given number; see `linq` and `slack`.
    """

    def __init__(self, make: Callable[[int], Delivery]) -> None:
        self._make = make
        self._numbers = itertools.count()
        self._ready: deque[Delivery] = deque()

    def prepare(self, count: int) -> None:
        """Make deliveries in advance until `count` are ready, so that the next ones cost nothing."""
        while len(self._ready) < count:
            self._ready.append(self._make(next(self._numbers)))

    def __iter__(self) -> Deliveries:
        return self

    def __next__(self) -> Delivery:
        return self._ready.popleft() if self._ready else self._make(next(self._numbers))


def linq(*, chats: int, text: str = "Message %d", first_chat: int = 0) -> Deliveries:
    """Return `message.received` deliveries from `chats` people, each in a direct chat.

    Args:
        text: Text of the messages; `%d` or `%09d` becomes a number.
        first_chat: Number of the first chat. Two sequences with separate ranges share no chat.
    """
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    row = os.urandom(4).hex()
    template = _linq_body(text)

    def make(number: int) -> Delivery:
        chat = linq_chat(first_chat + number % chats)
        event = f"{row}-0000-4000-8000-{number:012x}"
        body = template % {
            b"event": event.encode(),
            b"message": f"{row}-1111-4000-8000-{number:012x}".encode(),
            b"chat": chat.encode(),
            b"person": b"+1415%07d" % (first_chat + number % chats),
            b"number": number,
        }
        at = int(time.time())
        signature = base64.b64encode(hmac.digest(key, f"{event}.{at}.".encode() + body, "sha256")).decode()
        older = hmac.digest(SECRET.encode(), f"{at}.".encode() + body, "sha256").hex()
        head = (
            "POST /webhooks/linq HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: Linq-Webhooks/1.0\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"webhook-id: {event}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{signature}\r\n"
            "x-webhook-event: message.received\r\nx-webhook-subscription-id: 7d1c3e52-0000-4000-8000-000000000001\r\n"
            f"x-webhook-timestamp: {at}\r\nx-webhook-signature: {older}\r\n\r\n"
        )
        return Delivery(chat, head.encode() + body)

    return Deliveries(make)


def linq_chat(number: int) -> str:
    """Return the id of the chat with this number."""
    return f"c4a70000-0000-4000-8000-{number:012x}"


def slack(*, chats: int, text: str = "Message %d") -> Deliveries:
    """Return `message` events of Slack's Events API, from `chats` people in direct messages."""
    key = SLACK_SECRET.encode()
    row = os.urandom(4).hex().upper()
    template = json.dumps(_SLACK_EVENT).replace("Message %(number)d", _numbered(text)).encode()

    def make(number: int) -> Delivery:
        chat = f"D{number % chats:09d}"
        event = f"Ev{row}{number:08d}".encode()
        fields = {b"event": event, b"chat": chat.encode(), b"person": b"U%09d" % (number % chats), b"number": number}
        body = template % fields
        at = int(time.time())
        signature = hmac.new(key, f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        head = (
            "POST /slack/events HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: Slackbot 1.0\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-slack-request-timestamp: {at}\r\nx-slack-signature: v0={signature}\r\n\r\n"
        )
        return Delivery(chat, head.encode() + body)

    return Deliveries(make)


def _numbered(text: str) -> str:
    """Return a text whose `%d` or `%09d` takes the number of the delivery."""
    return text.replace("%d", "%(number)d").replace("%09d", "%(number)09d")


def _linq_body(text: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    joined = {"service": "iMessage", "joined_at": "2026-10-01T14:02:11.000Z", "left_at": None, "status": "active"}
    line_id, person_id = "c2e5c382-f7cb-5f5b-bb5e-e1581bdd1620", "32715d20-536b-54ff-9274-8166d5d8eee5"
    part = {"type": "text", "value": _numbered(text), "text_decorations": None}
    data: dict[str, Any] = {
        "id": "%(message)s",
        "chat": {
            "id": "%(chat)s",
            "is_group": False,
            "owner_handle": {"id": line_id, "handle": LINE, **joined, "is_me": True, "line_type": "iMessage"},
            "health_status": {
                "status": "HEALTHY",
                "doc_url": "https://docs.linqapp.com/channel/imessage/guides/chats/chat-health#healthy",
                "updated_at": "2026-11-02T08:00:00.000Z",
            },
        },
        "direction": "inbound",
        "sender_handle": {"id": person_id, "handle": "%(person)s", **joined, "is_me": False},
        "parts": [{**part, "inline_stickers": None, "mention": None, "mention_range": None, "mentions": None}],
        "service": "iMessage",
        "preferred_service": None,
        "effect": None,
        "reply_to": None,
        "idempotency_key": None,
        "sent_at": now,
        "delivered_at": None,
        "read_at": None,
    }
    envelope = {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": "message.received",
        "event_id": "%(event)s",
        "created_at": now,
        "trace_id": "b68de26ea3ef5d6aa3dba7565e0f0ad7",
        "partner_id": "partner_7d2c41",
    }
    return json.dumps({**envelope, "data": data}, separators=(",", ":")).encode()


_SLACK_EVENT: dict[str, Any] = {
    "token": "unused",
    "team_id": "T000000001",
    "context_team_id": "T000000001",
    "context_enterprise_id": None,
    "api_app_id": "A000000001",
    "event": {
        "user": "%(person)s",
        "type": "message",
        "ts": "1793900000.%(number)06d",
        "client_msg_id": "4b1f2f4e-2f0d-4f9c-9d6e-6a3c6f5c1a11",
        "text": "Message %(number)d",
        "team": "T000000001",
        "blocks": [
            {
                "type": "rich_text",
                "block_id": "ml1Vj",
                "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "Message %(number)d"}]}
                ],
            }
        ],
        "channel": "%(chat)s",
        "event_ts": "1793900000.%(number)06d",
        "channel_type": "im",
    },
    "type": "event_callback",
    "event_id": "%(event)s",
    "event_time": 1793900000,
    "authorizations": [
        {
            "enterprise_id": None,
            "team_id": "T000000001",
            "user_id": "U00000BOT1",
            "is_bot": True,
            "is_enterprise_install": False,
        }
    ],
    "is_ext_shared_channel": False,
    "event_context": "4-eyJldCI6Im1lc3NhZ2UifQ",
}
