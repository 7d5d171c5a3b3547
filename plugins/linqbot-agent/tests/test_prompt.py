"""The prompt that a model reads for a person's message."""

from __future__ import annotations

import json

from linqbot_agent.messages import prompt_of

from linqbot import MessageReceived
from linqbot.events import Delivery
from linqbot.linq.events.parse import parse


def test_a_model_reads_the_address_of_a_link_once_and_in_its_place() -> None:
    parts = [
        {"type": "text", "value": "Is this yours?"},
        {"type": "link", "value": "https://example.com/menu"},
        {"type": "text", "value": "Or not?"},
    ]
    data = {"id": "m", "direction": "inbound", "chat": {"id": "c", "is_group": False}, "parts": parts}
    body = json.dumps({"event_type": "message.received", "event_id": "e", "data": data}).encode()
    event = parse(Delivery.from_webhook(body, webhook_id="e", received_at=0.0))
    assert isinstance(event, MessageReceived)
    assert prompt_of(event) == "Is this yours?\nhttps://example.com/menu\nOr not?"
