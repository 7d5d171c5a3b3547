"""The name of a delivery: its id, its message key, and its decoded body."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from linq_events import example

from linqbot.linq.events.delivery import Delivery, decode


def named(body: bytes, webhook_id: str = "msg_1", **options: Any) -> Delivery:
    return Delivery.from_webhook(body, webhook_id=webhook_id, received_at=7.5, **options)


def test_a_delivery_keeps_its_bytes_and_is_named_by_its_event() -> None:
    payload = example("message.received")
    body = json.dumps(payload, indent=3).encode()
    delivery = named(body)
    assert delivery.body is body
    assert delivery.id == f"w.{payload['event_id']}"
    assert delivery.type == "message.received"
    assert delivery.received_at == 7.5
    assert delivery.decoded == payload
    assert delivery.message_key == "m.35179424-9c87-5f09-a3f3-60d07a9171ab"


def test_both_versions_of_a_message_have_one_key() -> None:
    old, new = (named(json.dumps(example(f"message.received{v}")).encode()) for v in ("", ".v2025-01-01"))
    assert old.message_key == new.message_key
    assert old.id != new.id


@pytest.mark.parametrize("name", ["message.sent", "message.delivered", "reaction.added", "message.edited"])
def test_only_received_messages_have_a_message_key(name: str) -> None:
    assert named(json.dumps(example(name)).encode()).message_key is None


@pytest.mark.parametrize("body", [b"", b"nope", b"{}", b'{"event_id": ""}', b'{"event_id": 7}', b"[]"])
def test_without_an_event_id_the_signed_webhook_id_names_it(body: bytes) -> None:
    delivery = named(body)
    assert (delivery.id, delivery.lane, delivery.type) == ("w.msg_1", "x:msg_1", "")
    assert delivery.message_key is None


@pytest.mark.parametrize("options", [{"signed_id": False}, {"webhook_id": ""}])
def test_an_unsigned_id_is_not_used(options: dict[str, Any]) -> None:
    assert named(b"nope", **options).id == f"w.{hashlib.sha256(b'nope').hexdigest()}"
    assert named(b'{"event_id": "e"}', **options).id == "w.e"


@pytest.mark.parametrize("odd", ["x" * 5000, "a\nb", "\ud83d", "a\x00b"])
def test_odd_ids_are_digested(odd: str) -> None:
    payload = {"event_type": odd, "event_id": odd, "data": {"id": odd}}
    delivery = named(json.dumps(payload).encode(), webhook_id=odd)
    assert len(delivery.id) < 80
    assert delivery.id.isprintable()
    assert delivery.type.isprintable()
    assert len(named(b"nope", webhook_id=odd).id) < 80


def test_text_unicode_forbids_costs_a_character_and_no_message(subtests: pytest.Subtests) -> None:
    no_json = [b"{'a': 1}", b'{"a": 1} trailing', b"[" * 100_000, b"[" * 500 + b"]" * 500, b"9" * 10_000]
    rows: list[tuple[bytes, Any]] = [
        *((b'{"a": "%s"}' % lone, {"a": "\ufffd"}) for lone in (b"\\ud83d", b"\xff")),
        (b'{"a": "\\ud83dx\\ude00"}', {"a": "\ufffdx\ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        *((body, None) for body in (*no_json, '{"a": 1}'.encode("utf-16"))),
    ]
    for body, value in rows:
        with subtests.test(body=body):
            assert decode(body) == value
            assert named(body).decoded == value


def test_a_line_that_keeps_nothing_is_known_by_its_data_also_of_a_stored_body(subtests: pytest.Subtests) -> None:
    off_the_record = b'{"data": {"zero_retention": true}}'
    others = [b'{"data": {"zero_retention": %s}}' % value for value in (b"false", b'"true"')]
    others += [b'{"data": {}}', b'{"data": ["zero_retention"]}', b'["zero_retention"]', b"nope"]
    for body in (off_the_record, *others):
        with subtests.test(body=body):
            received = named(body)
            stored = Delivery(received.id, received.lane, received.type, body, received.received_at)
            assert received.is_off_the_record is stored.is_off_the_record is (body == off_the_record)


def test_a_delivery_was_sent_at_the_time_in_its_body_or_else_when_it_was_received(subtests: pytest.Subtests) -> None:
    rows: list[tuple[bytes, float]] = [
        (b'{"created_at": "1970-01-01T00:00:09Z", "data": {"sent_at": "1970-01-01T00:00:05.5Z"}}', 5.5),
        (b'{"created_at": "1970-01-01T01:00:09+01:00", "data": {"sent_at": null}}', 9.0),
        (b'{"created_at": "1970-01-01T00:00:09Z", "data": ["sent_at"]}', 9.0),
        (b'{"data": {"sent_at": "0001-01-01T00:00:00+14:00"}}', -62135647200.0),
        *((body, 7.5) for body in (b'{"created_at": "yesterday", "data": {}}', b'{"created_at": 9}')),
        *((body, 7.5) for body in (b'["created_at"]', b"nope")),
    ]
    for body, sent_at in rows:
        with subtests.test(body=body):
            assert named(body).sent_at == sent_at


def test_texts_and_ids_of_a_delivery_are_not_kept_to_be_shared_with_later_ones() -> None:
    body = b'{"data": {"id": "9f1c", "text": "See you at nine"}}'
    first, second = decode(body)["data"], decode(body)["data"]
    assert first["id"] is not second["id"]
    assert first["text"] is not second["text"]


def test_a_delivery_may_be_logged_and_be_a_key() -> None:
    one = named(b'{"data": {"text": "hidden words"}}')
    assert "hidden words" not in repr(one)
    assert {one: 1}[named(one.body)] == 1
