"""Labels are bounded: text that a stranger chose cannot make time series."""

from __future__ import annotations

from dataclasses import replace

import pytest
from linqbot_prometheus.metrics import Bounded, call_name, event_type

from linqbot.client.call import Call
from linqbot.events import Delivery

DELIVERY = Delivery("w.1", "c:1", "message.received", b"{}", 0.0)


def test_only_linqs_types_and_our_own_are_labels(subtests: pytest.Subtests) -> None:
    for delivery_id, type_, label in (
        ("w.1", "message.received", "message.received"),
        ("w.1", "message.invented", "other"),
        ("w.1", "", "other"),
        ("w.1", "linqbot.send", "other"),
        ("i.send.1", "linqbot.send", "linqbot.send"),
    ):
        with subtests.test(id=delivery_id, type=type_):
            assert event_type(replace(DELIVERY, id=delivery_id, type=type_)) == label


def test_a_call_without_an_endpoint_is_other() -> None:
    call = Call("chats.retrieve", "GET", "/v3/chats/1", "read")
    assert call_name(call) == "chats.retrieve"
    assert call_name(replace(call, name="+14155550142")) == "other"


def test_beyond_the_maximum_every_further_value_is_other() -> None:
    label = Bounded(max_values=2)
    assert [label(value) for value in (403, "b", 403, "c", "b", None)] == ["403", "b", "403", "other", "b", "none"]
