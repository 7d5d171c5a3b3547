"""The packaged events: one of each type, as Linq documents them, with new ids and times."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from linq_events import EXAMPLES, example
from linqbot_dev.testing import samples

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.parse import EVENT_TYPES, parse
from linqbot.linq.signatures import Secret, verify

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
KINDS = [(name, version) for name in EVENT_TYPES for version in samples.VERSIONS]
KINDS.remove(("message.edited", "2025-01-01"))


def parsed(event: dict[str, Any]) -> Any:
    body = json.dumps(event).encode()
    return parse(Delivery.from_webhook(body, webhook_id="x", received_at=0.0))


def keys(data: Any) -> Any:
    """Return the shape of JSON: its keys, and those of the first item of each list."""
    if isinstance(data, dict):
        return {key: keys(value) for key, value in data.items()}
    return [keys(data[0])] if isinstance(data, list) and data else None


def test_every_type_is_understood_as_its_class(subtests: pytest.Subtests) -> None:
    for event_type, version in KINDS:
        with subtests.test(event_type=event_type):
            event = parsed(samples.event(event_type, version=version))
            assert type(event) is EVENT_TYPES[event_type]
            assert event.dropped_fields == ()
            assert event.webhook_version == version


def test_received_and_edited_messages_have_the_shape_of_the_payloads_in_the_folder(subtests: pytest.Subtests) -> None:
    # Tests take the other examples from samples.json itself: those are compared with what the emulator sends.
    for event_type, version in KINDS:
        if event_type not in ("message.received", "message.edited"):
            continue
        with subtests.test(event_type=event_type, version=version):
            name = f"{event_type}.v{version}"
            documented = example(name if name in EXAMPLES else event_type)["data"]
            shape, found = keys(documented), keys(samples.event(event_type, version=version)["data"])
            if event_type == "message.received":  # without the answer to a message that does not exist
                shape.get("message", shape)["reply_to"] = found.get("message", found)["reply_to"] = None
            else:  # by a person in the sample: a bot needs no event about its own edit
                shape["sender_handle"].pop("line_type")
            assert found == shape


def test_each_event_is_a_new_one_and_of_now() -> None:
    one, two = (parsed(samples.event("message.received")) for _ in range(2))
    assert one.event_id != two.event_id
    assert one.message_id != two.message_id
    assert abs(one.created_at.timestamp() - time.time()) < 5
    assert abs(one.sent_at.timestamp() - time.time()) < 5
    reactions = [samples.event("reaction.added")["data"]["reaction_id"] for _ in range(2)]
    assert reactions[0] != reactions[1]


@pytest.mark.parametrize("version", samples.VERSIONS)
def test_sender_line_chat_and_text_can_be_replaced(version: str) -> None:
    event = parsed(
        samples.event(
            "message.received", version=version, sender="ann@example.com", line="+12025550100", chat="c1", text="héllo"
        )
    )
    assert isinstance(event, MessageReceived)
    assert (event.actor, event.line, event.chat_id, event.text) == ("ann@example.com", "+12025550100", "c1", "héllo")
    edit = parsed(samples.event("message.edited", text="other"))
    assert isinstance(edit, MessageEdited)
    assert (edit.text, edit.is_own) == ("other", False)


def test_any_field_can_be_changed() -> None:
    changes = {"data.service": "SMS", "data.parts.0.value": "hi", "data.new": [1], "event_id": "e1"}
    event = samples.event("message.received", changes=changes)
    assert (event["data"]["service"], event["data"]["new"], event["event_id"]) == ("SMS", [1], "e1")
    assert event["data"]["parts"][0]["value"] == "hi"
    # The next sample is not changed.
    assert samples.event("message.received")["data"]["service"] == "iMessage"


def test_an_argument_without_a_place_is_refused_with_the_reason(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("message.recieved", {}, "There is no sample of an event type message.recieved"),
        ("message.edited", {"version": "2025-01-01"}, "no message.edited in payload version"),
        ("message.sent", {"version": "2024"}, "There are: 2026-02-03, 2025-01-01"),
        ("api_token.created", {"sender": "+1"}, "names no person"),
        ("team_member.added", {"line": "+1"}, "names no line"),
        ("phone_number.assigned", {"chat": "c"}, "names no chat"),
        ("reaction.added", {"text": "hi"}, "says no text"),
        ("message.received", {"changes": {"data.parts.7.value": 1}}, "There is no data.parts.7 to set"),
        ("message.received", {"changes": {"date.service": 1}}, "There is no date to set"),
    ]
    for event_type, given, says in rows:
        with subtests.test(event_type=event_type), pytest.raises(LookupError, match=says):
            samples.event(event_type, **given)


@pytest.mark.parametrize("legacy", [False, True])
def test_both_signatures_are_genuine(legacy: bool) -> None:
    event = samples.event("message.received")
    body = json.dumps(event).encode()
    headers = samples.signed(body, event, secret=SECRET)
    if legacy:
        del headers["webhook-signature"]
    verified = verify(headers, body, [Secret.parse(SECRET)], now=time.time(), allow_legacy=legacy)
    assert (verified.webhook_id, verified.signed_id) == (event["event_id"], not legacy)
