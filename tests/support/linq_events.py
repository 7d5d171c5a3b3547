"""Payloads of Linq's documentation, and the events that payloads are parsed to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from linqbot import Event, MessageReceived
from linqbot.events import Delivery
from linqbot.linq.events.parse import parse

FOLDER = Path(__file__).parent.parent / "data" / "events"
SAMPLES = files("linqbot_dev.testing") / "samples.json"


def _payloads() -> Mapping[str, str]:
    """Return the samples of `linqbot_dev.testing.samples` in an envelope, and the further payloads of the folder, as JSON."""
    found = dict[str, str]()
    for event_type, samples in json.loads(SAMPLES.read_bytes()).items():
        if event_type.startswith("call."):  # Linq does not document these
            continue
        for version, data in samples.items():
            name = event_type if version == "data" else f"{event_type}.v{version}"
            payload = {
                "api_version": "v3",
                "webhook_version": "2026-02-03" if version == "data" else version,
                "event_type": event_type,
                "event_id": str(uuid5(NAMESPACE_DNS, name)),
                "created_at": "2026-11-05T17:30:00.120Z",
                "trace_id": uuid5(NAMESPACE_DNS, f"trace of {name}").hex,
                "partner_id": "partner_7d2c41",
                "data": data,
            }
            found[name] = json.dumps(payload)
    return found | {file.stem: file.read_text() for file in FOLDER.glob("*.json")}


EXAMPLES = _payloads()
"""The JSON of the example payloads. Names are event types, perhaps with what is special about a payload."""


def example(name: str) -> Any:
    """Return an example payload, which the test may change."""
    return json.loads(EXAMPLES[name])


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
