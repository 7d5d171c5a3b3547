"""The example payloads, and the events that payloads are parsed to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from linqbot import Event, MessageReceived
from linqbot.events import Delivery
from linqbot.linq.events.parse import parse

EXAMPLES = Path(__file__).parent.parent / "data" / "events"


def example(name: str) -> Any:
    """Return an example payload, which the test may change."""
    return json.loads((EXAMPLES / f"{name}.json").read_bytes())


def delivered(payload: Any) -> Delivery:
    """Return the webhook delivery of a payload, or of bytes."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Delivery.from_webhook(body, webhook_id="msg_1", received_at=1.0)


def understood(payload: Any) -> Any:
    """Return the event that a payload is parsed to."""
    event = parse(delivered(payload))
    assert isinstance(event, Event)
    return event


def received(payload: Any) -> MessageReceived:
    """Return the event of a payload that is parsed to a received message."""
    event = understood(payload)
    assert isinstance(event, MessageReceived)
    return event
