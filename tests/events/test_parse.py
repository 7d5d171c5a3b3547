"""Every example parses to its class; unknown, broken or new data never loses a message."""

from __future__ import annotations

import copy
import itertools
import json
import traceback
from datetime import datetime
from typing import Any

import pytest
from fakes import delivery, text_body
from hypothesis import given, settings
from hypothesis import strategies as st
from linq_events import EXAMPLES, delivered, example, received, understood

from linqbot import Event, LinqbotError, MessageReceived, UnknownEvent
from linqbot.events import Delivery, PollReceived
from linqbot.linq.events.account import CallEvent
from linqbot.linq.events.parse import EVENT_TYPES, EventNotUnderstood, parse
from linqbot.linq.types.message import UnknownPart

DIRECT = "3c99d589-8d03-5753-96bd-addff71de8c2"
GROUP = "1ef09dd6-b7b6-5fef-92ec-43eaf4fb98ae"
LINE = "+12052535597"
DANA = "+14155550142"
OTHER = "+14155550187"


def leftovers(value: Any) -> list[str]:
    """Return the unknown keys anywhere in an event or its parts."""
    if isinstance(value, dict):
        return [key for item in value.values() for key in leftovers(item)]
    if isinstance(value, tuple):
        return [key for item in value for key in leftovers(item)]
    if hasattr(value, "model_extra"):
        return [*value.model_extra, *leftovers(dict(value))]
    return []


def test_every_example_fits_the_class_of_its_type(subtests: pytest.Subtests) -> None:
    for name in EXAMPLES:
        with subtests.test(name=name):
            payload = example(name)
            event = parse(delivered(payload))
            assert type(event) is EVENT_TYPES[payload["event_type"]]
            assert event.type == payload["event_type"]
            assert event.event_id == payload["event_id"]
            assert event.trace_id == payload["trace_id"]
            assert event.partner_id == "partner_7d2c41"
            assert event.webhook_version == payload["webhook_version"]
            assert event.created_at is not None
            assert event.created_at.isoformat() == "2026-11-05T17:30:00.120000+00:00"
            assert event.dropped_fields == ()


def test_every_key_of_every_example_is_a_declared_field(subtests: pytest.Subtests) -> None:
    for name in [name for name in EXAMPLES if "v2025" not in name]:
        with subtests.test(name=name):
            assert not leftovers(parse(delivered(example(name)))), "Make these fields of the event's class."


def test_each_type_has_an_example_and_a_class_of_its_own() -> None:
    missing = {t for t in EVENT_TYPES if not t.startswith("call.")} - EXAMPLES.keys()
    assert not missing, "Put what Linq sends into testing/samples.json."
    assert all(cls.types == (event_type,) for event_type, cls in EVENT_TYPES.items())
    assert len(set(EVENT_TYPES.values())) == len(EVENT_TYPES)


VIEWS: list[tuple[str, tuple[object, ...]]] = [
    # chat_id, line, actor, is_group, message_id, service, is_own
    ("message.received", (DIRECT, LINE, DANA, False, "35179424-9c87-5f09-a3f3-60d07a9171ab", "iMessage", False)),
    ("message.received.group", (GROUP, LINE, OTHER, True, "ec2ae92f-d23a-503f-bd58-12e8e2de4ad5", "iMessage", False)),
    ("message.sent", (DIRECT, LINE, LINE, False, "ec030248-f588-5721-961a-ba349197f3f5", "iMessage", True)),
    ("message.failed", (DIRECT, None, None, None, "5c4fc2fe-7b39-5f24-837c-2be07e8d475a", "iMessage", True)),
    ("message.edited", (DIRECT, LINE, LINE, False, "ec030248-f588-5721-961a-ba349197f3f5", None, True)),
    ("reaction.added", (DIRECT, None, DANA, None, "ec030248-f588-5721-961a-ba349197f3f5", "iMessage", False)),
    ("poll.reaction.added", (DIRECT, None, DANA, None, "45dd6b1a-dd12-5665-9ca8-803535ef552d", "iMessage", False)),
    ("poll.sent", (DIRECT, LINE, LINE, False, "45dd6b1a-dd12-5665-9ca8-803535ef552d", "iMessage", True)),
    ("poll.failed", (DIRECT, LINE, LINE, False, "88a16a1a-41a5-5750-9f2c-18cff675cf20", "iMessage", True)),
    ("poll.received", (DIRECT, LINE, DANA, False, "67a39f88-703d-5546-a6a4-02fdd804784c", "iMessage", False)),
    ("poll.updated", (DIRECT, LINE, DANA, False, "45dd6b1a-dd12-5665-9ca8-803535ef552d", "iMessage", False)),
    ("poll.vote.added", (DIRECT, LINE, DANA, False, "45dd6b1a-dd12-5665-9ca8-803535ef552d", "iMessage", False)),
    ("participant.added", (GROUP, None, None, True, None, None, False)),
    ("participant.removed", (GROUP, None, None, True, None, None, False)),
    ("participant.removed.left", (GROUP, LINE, LINE, True, None, None, True)),
    ("chat.created", (DIRECT, LINE, None, False, None, "iMessage", False)),
    ("chat.group_name_updated", (GROUP, None, DANA, True, None, None, False)),
    ("chat.group_icon_updated", (GROUP, LINE, LINE, True, None, None, True)),
    ("chat.group_name_update_failed", (GROUP, None, None, None, None, None, False)),
    ("chat.background_updated", (DIRECT, LINE, LINE, False, None, None, True)),
    ("chat.background_update_failed", (DIRECT, None, None, None, None, None, False)),
    ("chat.typing_indicator.started", (DIRECT, None, DANA, None, None, None, False)),
    ("contact_card.received", (None, LINE, DANA, None, None, None, False)),
    ("contact_card.updated", (None, LINE, None, None, None, None, False)),
    ("location.sharing.started", (DIRECT, LINE, DANA, None, None, None, False)),
    ("phone_number.status_updated", (None, LINE, None, None, None, None, False)),
    ("environment.line_moved", (None, LINE, None, None, None, None, False)),
    ("payment.succeeded", (None, None, None, None, None, None, False)),
    ("api_token.created", (None, None, None, None, None, None, False)),
]


def test_every_event_answers_the_same_questions(subtests: pytest.Subtests) -> None:
    for name, view in VIEWS:
        with subtests.test(name=name):
            one = parse(delivered(example(name)))
            assert (one.chat_id, one.line, one.actor, one.is_group, one.message_id, one.service, one.is_own) == view


def at(value: Any, place: str) -> Any:
    for name in place.split("."):
        value = value[int(name)] if name.isdigit() else getattr(value, name)
    return value


def test_what_linq_calls_otherwise_has_its_value_under_our_name() -> None:
    for name, place, value in (
        ("environment.deleted", "done_by.email", "riley@partner.example"),
        ("chat.created", "chat.handles.1.handle", DANA),
        ("chat.background_updated", "changed_by.handle", LINE),
        ("chat.group_name_updated", "changed_by.handle", DANA),
        ("poll.failed", "sender.handle", LINE),  # Linq names no sender of your own poll
        ("poll.updated", "sender.handle", DANA),  # Linq's sender_handle is your line in this event
    ):
        assert at(understood(example(name)), place) == value
    polls_and_payments = [("poll.received", "poll_created_at"), ("payment.declined", "payment_created_at")]
    for name, place in [*polls_and_payments, ("chat.created", "chat.created_at")]:
        payload = example(name)
        assert at(understood(payload), place) == datetime.fromisoformat(payload["data"]["created_at"])


@pytest.mark.parametrize("handle", [DANA, {"handle": DANA, "is_me": False}], ids=["string", "object"])
def test_a_voter_is_read_from_a_string_and_from_a_handle_object(handle: Any) -> None:
    payload = example("poll.received")
    payload["data"]["poll"]["options"][0]["voters"] = [{"handle": handle, "voted_at": "2026-11-05T17:31:00.120Z"}]
    received = understood(payload)
    assert isinstance(received, PollReceived)
    assert received.dropped_fields == ()
    assert [voter.handle for voter in received.poll.options[0].voters] == [DANA]


@pytest.mark.parametrize("event_type", [t for t in EVENT_TYPES if t.startswith("call.")])
def test_call_events_keep_their_data_as_it_comes(event_type: str) -> None:
    data = {"chat_id": DIRECT, "duration": 3, "from": {"x": [1]}}
    event = understood({"event_type": event_type, "event_id": "e", "data": data})
    assert isinstance(event, CallEvent)
    assert (event.data, event.chat_id, event.model_extra) == (data, DIRECT, {})
    assert understood({"event_type": event_type, "event_id": "e", "data": None}).data == {}


def test_a_type_of_tomorrow_is_an_unknown_event_with_everything_in_it() -> None:
    envelope = {"event_type": "message.translated", "event_id": "e-1", "api_version": "v4", "region": "eu"}
    payload = {**envelope, "data": {"chat": {"id": "c-1"}}}
    event = understood(payload)
    assert type(event) is UnknownEvent
    assert (event.type, event.event_id, event.chat_id) == ("message.translated", "e-1", "c-1")
    assert event.data == {"chat": {"id": "c-1"}}
    assert json.loads(event.body) == payload
    assert event.model_extra == {"region": "eu"}


def test_an_authentic_body_that_is_no_event_is_an_error_with_its_cause(subtests: pytest.Subtests) -> None:
    secret = b'{"event_type": "message.received", "data": {"secret'
    rows: list[tuple[bytes, str]] = [
        (b"", "it is empty"),
        (b"\x00\xff not json", "its 11 bytes are not JSON (expected value at line 1 column 1)"),
        (secret, "its 51 bytes are not JSON (EOF while parsing a string at line 1 column 51)"),
        (b"[1, 2]", "it is a JSON list of 2"),
        *((body, "it is JSON, but no object") for body in (b"null", b"7", b'"secret"', b'"\xff"')),
        *((body, "it has no event_type that is a text") for body in (b"{}", b'{"a": "\xff"}', b'{"event_type": ""}')),
        *(
            (b'{"event_type": %b, "data": {"chat": 1}}' % each, "it has no event_type that is a text")
            for each in (b"7", b"{}")
        ),
    ]
    for body, cause in rows:
        with subtests.test(body=body):
            with pytest.raises(EventNotUnderstood) as caught:
                understood(body)
            assert str(caught.value).startswith(f"The signed body of delivery w.msg_1 is no event: {cause}. ")
            assert (caught.value.event_type, caught.value.fields) == ("", ("body",))
            assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_type_needs_no_data() -> None:
    for data in (b"null", b"[3]", b'"text"'):
        event = understood(b'{"event_type": "of.tomorrow", "created_at": "soon", "data": %b}' % data)
        assert (type(event), event.data, event.event_id) == (UnknownEvent, json.loads(data), "msg_1")
    assert understood(b'{"event_type": "of.tomorrow"}').data is None


def test_unknown_keys_survive_at_every_depth() -> None:
    payload = example("message.received")
    payload["region"] = "eu"
    payload["data"]["mood"] = "good"
    payload["data"]["chat"]["pinned"] = True
    payload["data"]["sender_handle"]["nickname"] = "D"
    payload["data"]["parts"][0]["language"] = "en"
    event = received(payload)
    assert event.model_extra == {"region": "eu", "mood": "good"}
    assert event.chat.model_extra == {"pinned": True}
    assert event.sender.model_extra == {"nickname": "D"}
    assert event.parts[0].model_extra == {"language": "en"}


def test_the_envelope_cannot_be_overwritten_by_data_nor_data_by_a_new_envelope_key() -> None:
    payload = example("message.received")
    payload["id"] = "envelope"
    payload["data"]["event_id"] = payload["data"]["event_type"] = payload["data"]["trace_id"] = "data"
    event = received(payload)
    assert event.id == payload["data"]["id"]
    assert event.event_id == payload["event_id"]
    assert event.type == "message.received"
    assert event.trace_id == payload["trace_id"]


def test_unknown_values_of_fixed_lists_survive() -> None:
    payload = example("message.received")
    payload["data"]["service"] = "WhatsApp"
    payload["data"]["effect"] = {"type": "hologram", "name": "dragon"}
    payload["data"]["chat"]["health_status"]["status"] = "RADIANT"
    event = received(payload)
    assert (event.service, at(event, "effect.type")) == ("WhatsApp", "hologram")
    assert (at(event, "chat.health_status.status"), event.dropped_fields) == ("RADIANT", ())


@pytest.mark.parametrize(
    "part",
    [
        {"type": "hologram", "depth": 3},
        {"type": "text", "value": None},
        {"type": "text", "value": {"rich": []}},
        {"type": "imessage_app", "app": {"name": "x"}},
        {},
    ],
)
def test_a_part_of_tomorrow_is_kept_as_it_is(part: dict[str, Any]) -> None:
    payload = example("message.received.link")
    payload["data"]["parts"].insert(0, part)
    event = received(payload)
    assert isinstance(event.parts[0], UnknownPart)
    assert event.parts[0].to_json_object().items() <= {"type": "", **part}.items()
    assert event.parts[0].model_extra == {key: value for key, value in part.items() if key != "type"}
    assert len(event.links) == 1
    assert event.dropped_fields == ()
    assert event.model_dump(mode="json")["parts"][0].items() >= part.items()


@pytest.mark.parametrize("gone", [None, "absent"])
def test_a_message_needs_only_its_ids(gone: str | None) -> None:
    payload = example("message.received")
    for key in payload["data"].keys() - {"id", "chat", "direction"}:
        payload["data"][key] = None
    for key in payload["data"]["chat"].keys() - {"id"}:
        payload["data"]["chat"][key] = None
    for key in payload.keys() - {"event_type", "data"}:
        payload[key] = None
    if gone:
        payload = {key: value for key, value in payload.items() if value is not None}
        payload["data"] = {"id": payload["data"]["id"], "chat": {"id": DIRECT}}
    event = received(payload)
    assert (event.chat_id, event.actor, event.line, event.sender.handle) == (DIRECT, None, None, "")
    assert (event.is_own, event.zero_retention, event.dropped_fields) == (False, False, ())
    assert (event.parts, event.text) == ((), "")


NEEDED = {("event_type",), ("data",), ("data", "id"), ("data", "chat"), ("data", "chat", "id")}
NEEDED |= {("data", "message"), ("data", "message", "id"), ("data", "chat_id")}  # 2025-01-01


def every_path(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, item in items for p in ((*path, key), *every_path(item, (*path, key)))]


WRONG = [None, 5, "?", [], {}, ["?"], {"?": None}]


@pytest.mark.slow
def test_no_single_wrong_value_loses_an_event_unless_it_names_it() -> None:
    lost = []
    for name in EXAMPLES:
        payload = example(name)
        expected = EVENT_TYPES[payload["event_type"]]
        for path, wrong in itertools.product(every_path(payload), WRONG):
            *way, last = path
            target = payload
            for key in way:
                target = target[key]
            right, target[last] = target[last], wrong
            delivery = delivered(payload)
            target[last] = right
            try:
                is_kept = type(parse(delivery)) is expected or path == ("event_type",)
            except EventNotUnderstood:
                is_kept = path in NEEDED
            if not is_kept:
                lost.append((name, path, wrong))
    assert lost == []


def test_what_does_not_fit_is_left_out_and_named() -> None:
    payload = example("message.received")
    wrong = {"effect": "confetti", "sent_at": "yesterday", "reply_to": {"part_index": "first"}}
    payload["data"] |= {**wrong, "read_at": None}
    payload["data"]["parts"] = ["hello", payload["data"]["parts"][0], 7]
    event = received(payload)
    assert event.dropped_fields == ("effect", "parts", "reply_to", "sent_at")
    assert (event.effect, event.sent_at, event.reply_to) == (None, None, None)
    assert event.text == "Thanks! Here is the receipt"


def test_a_flood_of_wrong_values_is_given_up_at_once() -> None:
    payload = example("message.received")
    payload["data"]["parts"] = [0] * 20_000
    with pytest.raises(EventNotUnderstood) as caught:
        parse(delivered(payload))
    assert caught.value.fields == ("parts",)


def test_lenient_validation_does_not_change_the_decoded_body() -> None:
    payload = example("message.received")
    payload["data"]["sender_handle"]["joined_at"] = "long ago"
    delivery = delivered(payload)
    before = copy.deepcopy(delivery.decoded)
    first, second = parse(delivery), parse(delivery)
    assert first == second
    assert delivery.decoded == before


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"id": None}, ("id",)),
        ({"id": 12}, ("id",)),
        ({"chat": None}, ("chat", "chat_id")),
        ({"chat": {"id": []}}, ("chat", "chat_id")),
    ],
)
def test_a_message_without_its_ids_is_not_understood(change: dict[str, Any], fields: tuple[str, ...]) -> None:
    payload = example("message.received")
    payload["data"] |= change
    with pytest.raises(EventNotUnderstood) as caught:
        parse(delivered(payload))
    assert isinstance(caught.value, LinqbotError)
    assert caught.value.lqb == "LQB2003"
    assert caught.value.fields == fields
    assert caught.value.delivery_id == f"w.{payload['event_id']}"


@pytest.mark.parametrize("data", [[], "text", 7, True])
def test_data_that_is_no_object_is_not_understood(data: Any) -> None:
    with pytest.raises(EventNotUnderstood):
        understood({"event_type": "reaction.added", "event_id": "e", "data": data})


def test_errors_and_printed_events_show_no_text_and_no_handle() -> None:
    payload = example("message.received")
    event = understood(payload)
    for shown in (repr(event), str(event), f"{event!r}"):
        assert payload["data"]["id"] in shown
        assert "Thanks" not in shown
        assert DANA not in shown

    payload["data"] |= {"id": ["a secret text"], "effect": "a secret effect", "parts": ["a secret part"]}
    with pytest.raises(EventNotUnderstood) as caught:
        understood(payload)
    assert "a secret" not in "".join(traceback.format_exception(caught.value))


def test_only_a_stored_delivery_is_decoded_again() -> None:
    fresh = delivered(example("message.received"))
    stored = Delivery(fresh.id, fresh.lane, fresh.type, fresh.body, fresh.received_at)
    bodiless = Delivery(fresh.id, fresh.lane, fresh.type, b"", fresh.received_at, decoded=fresh.decoded)
    assert parse(stored) == parse(bodiless) == parse(fresh)


def test_an_event_of_old_names_only_a_number() -> None:
    payload = example("reaction.added")
    del payload["data"]["from_handle"]
    event = understood(payload)
    assert (event.sender.handle, event.actor, event.model_extra) == (DANA, DANA, {})
    payload = example("participant.added")
    payload["data"]["participant"] = None
    assert understood(payload).participant.handle == DANA


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("message.received", {"direction": "outbound"}),
        ("message.received", {"sender_handle": {"handle": LINE}}),
        ("message.received.v2025-01-01", {"is_from_me": True}),
        ("message.received.v2025-01-01", {"from_handle": None, "from": LINE}),
        ("message.edited", {"direction": "outbound", "sender_handle": None}),
        ("reaction.added", {"is_from_me": True}),
        ("reaction.removed", {"from_handle": {"handle": LINE, "is_me": True}}),
        ("poll.reaction.added", {"is_from_me": True}),
        ("poll.vote.added", {"sender_handle": {"handle": LINE, "is_me": True}}),
        ("poll.updated", {"direction": "outbound"}),
        ("chat.typing_indicator.started", {"actor_handle": {"handle": LINE, "is_me": True}}),
    ],
)
def test_own_echoes_are_known_as_such(name: str, change: dict[str, Any]) -> None:
    payload = example(name)
    payload["data"] |= change
    event = understood(payload)
    assert event.is_own
    assert event.echoes


def test_receipts_are_own_and_no_echoes() -> None:
    messages = (f"message.{state}" for state in ("sent", "delivered", "read", "failed"))
    for name in (*messages, "poll.delivered", "poll.failed"):
        event = understood(example(name))
        assert (event.is_own, event.echoes) == (True, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = """
id chat chat_id direction sender_handle from_handle from actor_handle message parts poll options added_options handles handle
participant owner_handle is_me is_group type value mentions mention range mention_range effect reply_to sent_at created_at
actor change phone_number metadata sticker is_from_me dropped_fields event_id data
"""
KEYS = st.sampled_from(NAMES.split())
DATA = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(event_type=st.sampled_from(sorted(EVENT_TYPES)), data=DATA, envelope=st.dictionaries(KEYS, JSON, max_size=2))
def test_no_data_raises_anything_but_not_understood(event_type: str, data: Any, envelope: dict[str, Any]) -> None:
    body = json.dumps({**envelope, "event_type": event_type, "data": data}).encode()
    try:
        event = parse(delivered(body))
    except EventNotUnderstood:
        return
    assert type(event) is EVENT_TYPES[event_type]
    look_at_everything(event)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_but_not_understood(body: bytes) -> None:
    with pytest.raises(EventNotUnderstood, match="is no event: "):
        parse(delivered(body))


def look_at_everything(event: Event) -> None:
    assert isinstance(event.is_own, bool)
    assert repr(event)
    if isinstance(event, MessageReceived):
        assert isinstance(event.text_to_me, str)
        assert all(mention.handle is not None for mention in event.mentions)
        assert isinstance(event.is_addressed, bool)
        assert len(event.media) + len(event.links) <= len(event.parts)


@pytest.mark.parametrize("value", [{"x": 1}, {"burst": 3}, "hi", [1]])
def test_a_key_of_linqs_that_is_called_like_ours_costs_no_message(value: Any) -> None:
    body = {**json.loads(text_body("hello")), "linqbot": value}
    event = parse(delivery(json.dumps(body).encode()))
    assert isinstance(event, MessageReceived)
    assert event.text == "hello"
