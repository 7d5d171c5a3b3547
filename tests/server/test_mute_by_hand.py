"""A text of ours without a key is written by a person, in both payload versions; everything else may be of a program."""

from __future__ import annotations

import json
from typing import Any

import pytest
from linq_events import example

from linqbot.events import Delivery
from linqbot.features.mute import is_by_hand

VERSIONS = ("message.sent", "message.sent.v2025-01-01")


def delivery(name: str, **changes: Any) -> Delivery:
    """Return the delivery of a sample, with changes of its data."""
    body = example(name)
    body["data"] |= changes
    return Delivery.from_webhook(json.dumps(body).encode(), webhook_id="1", received_at=0.0)


def test_only_a_text_without_a_key_is_by_hand(subtests: pytest.Subtests) -> None:
    photo = {"parts": [{"type": "media", "id": "1", "url": "https://example.com/a.jpg"}]}
    link = {"parts": [{"type": "link", "value": "https://example.com"}]}
    rows = {
        **{f"{name} with a key": (delivery(name), False) for name in VERSIONS},
        **{f"{name} without": (delivery(name, idempotency_key=None), True) for name in VERSIONS},
        "a photo": (delivery(VERSIONS[0], idempotency_key=None, **photo), False),
        "a link": (delivery(VERSIONS[0], idempotency_key=None, **link), True),
        "no parts": (delivery(VERSIONS[0], idempotency_key=None, parts=None), False),
        "zero retention": (delivery("message.sent.zero_retention"), False),
        "no JSON": (Delivery.from_webhook(b"?", webhook_id="1", received_at=0.0), False),
    }
    for row, (given, wanted) in rows.items():
        with subtests.test(row):
            assert is_by_hand(given) is wanted
