"""The row type of the table of calls, and responses that rows share: Linq's own objects with all their fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

KEY = "lk_test_key"
CHAT = "550e8400-e29b-41d4-a716-446655440000"
SENT = "69a37c7d-af4f-4b5e-af42-e28e98ce873a"
LINE, ANN = "+12052535597", "+12052532136"

HANDLES = [
    {
        "id": "550e8400-e29b-41d4-a716-446655440010",
        "handle": "+14155551234",
        "joined_at": "2025-05-21T15:30:00.000Z",
        "service": "iMessage",
        "is_me": True,
        "left_at": None,
        "status": "active",
    },
    {
        "id": "550e8400-e29b-41d4-a716-446655440011",
        "handle": "+14155559876",
        "joined_at": "2025-05-21T15:30:00.000-05:00",
        "service": "iMessage",
        "is_me": False,
    },
]
CHAT_ANSWER = {
    "id": CHAT,
    "created_at": "2024-01-15T10:30:00Z",
    "display_name": "+14155551234, +14155559876",
    "handles": HANDLES,
    "health_status": {
        "doc_url": "https://docs.linqapp.com/guides/chats/chat-health#at-risk",
        "status": "AT_RISK",
        "updated_at": "2026-05-01T18:28:25Z",
    },
    "is_archived": True,
    "is_group": True,
    "updated_at": "2024-01-15T10:30:00Z",
    "service": "iMessage",
    "added_by_linq_next_year": {"x": 1},
}
SENT_MESSAGE = {
    "id": SENT,
    "created_at": "2025-10-23T13:07:55.019-05:00",
    "delivery_status": "pending",
    "is_read": False,
    "parts": [
        {
            "reactions": [
                {"handle": HANDLES[1], "is_me": False, "type": "love", "custom_emoji": None, "sticker": None}
            ],
            "type": "text",
            "value": "Hello!",
            "text_decorations": [{"range": [0, 5], "animation": "shake"}],
        }
    ],
    "sent_at": None,
    "delivered_at": None,
    "effect": {"name": "confetti", "type": "screen"},
    "from_handle": HANDLES[0],
    "preferred_service": "iMessage",
    "reply_to": {"message_id": CHAT, "part_index": 0},
    "service": "iMessage",
}
MESSAGE_ANSWER = {**SENT_MESSAGE, "chat_id": CHAT, "is_from_me": True, "is_delivered": False, "updated_at": None}
SUBSCRIPTION = {
    "id": "b2c3d4e5-f6a7-8901-bcde-f23456789012",
    "target_url": "https://webhooks.example.com/linq/events",
    "subscribed_events": ["message.sent", "message.delivered"],
    "is_active": True,
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
    "phone_numbers": None,
}
QUEUED = {"message": "Participant addition queued", "status": "accepted", "trace_id": "trace_id"}
CONTENT = {
    "parts": [{"type": "text", "value": "Hello!", "text_decorations": [{"range": [0, 5], "style": "bold"}]}],
    "effect": {"name": "confetti", "type": "screen"},
    "idempotency_key": "key-1",
}


REACTION = "69a37c7d-af4f-4b5e-af42-e28e98ce8aaa"
POLL_ANSWER = {
    "chat_id": CHAT,
    "message_id": SENT,
    "created_at": "2026-11-05T17:30:00.120Z",
    "updated_at": "2026-11-05T17:31:00.120Z",
    "reactions": [{"handle": HANDLES[1], "is_me": False, "type": "custom", "custom_emoji": "🎂", "sticker": None}],
    "poll": {
        "options": [
            {
                "option_id": "opt_1",
                "text": "Friday",
                "can_be_edited": False,
                "creator_handle": HANDLES[0],
                "voters": [{"handle": "+14155559876", "voted_at": "2026-11-05T17:31:00.120Z"}],
            },
            {"option_id": "opt_2", "text": "Sunday", "can_be_edited": True, "creator_handle": None, "voters": []},
        ],
        "total_voters": 1,
    },
}


@dataclass(frozen=True)
class Row:
    """One call, as it is written with our client and with the official client, which shows the request that is right.

    Attributes:
        makes_key: True if our client generates an idempotency key where the official client sends none.
    """

    name: str
    write: Callable[[Any], Awaitable[Any]]
    status: int = 200
    answer: Any = None
    read: Callable[[Any], bool] = lambda result: result is None
    makes_key: bool = False
