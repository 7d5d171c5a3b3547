"""The example payloads, and a fixture that turns a payload into an event."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import parse

EXAMPLES = Path(__file__).parent.parent / "data" / "events"

Example = Callable[[str], dict[str, Any]]
Understood = Callable[[Any], Event]


@pytest.fixture
def example() -> Example:
    """Return a function that reads an example payload, which the test may change."""

    def read(name: str) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
        return payload

    return read


@pytest.fixture
def understood() -> Understood:
    """Return a function that parses a payload as a webhook delivery."""

    def understand(payload: Any) -> Event:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return parse(Delivery.from_webhook(body, webhook_id="msg_1", received_at=1.0))

    return understand
