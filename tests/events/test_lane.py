"""Every row of the table of lanes, and that no body leads to a long or unprintable lane or to an exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linq_events import delivered, example

from linqbot.linq.events.delivery import event_id_of
from linqbot.linq.events.lane import (
    LONGEST_TOKEN,
    chat_of_lane,
    chat_of_receipts,
    is_lane_of_receipts,
    lane,
    lane_of_chat,
    token,
)
from linqbot.linq.events.parse import EVENT_TYPES

OF_LANE = {
    "c:3c99d589-8d03-5753-96bd-addff71de8c2": """
        message.received message.received.v2025-01-01 message.edited reaction.added reaction.removed
        poll.received poll.updated poll.vote.added poll.vote.removed poll.reaction.added chat.created
        chat.background_updated chat.background_update_failed location.sharing.started location.sharing.stopped
    """,
    "c:1ef09dd6-b7b6-5fef-92ec-43eaf4fb98ae": """
        message.received.group participant.added participant.removed chat.group_name_updated
        chat.group_icon_updated chat.group_name_update_failed chat.group_icon_update_failed
    """,
    "r:3c99d589-8d03-5753-96bd-addff71de8c2": """
        message.sent message.sent.v2025-01-01 message.delivered message.delivered.v2025-01-01 message.read
        message.failed poll.sent poll.delivered poll.read poll.failed chat.typing_indicator.started
        chat.typing_indicator.stopped
    """,
    "p:+12052535597:+14155550142": "contact_card.received",
    "pay:pr_3d0bf1f4008753eba47e867f": """
        payment.succeeded payment.canceled payment.expired payment.declined payment.authorized connection.created
        connection.revoked
    """,
    "l:+12052535597": """
        phone_number.status_updated phone_number.forwarding_updated zero_day_retention.updated
        environment.line_moved contact_card.created contact_card.updated contact_card.deleted phone_number.assigned
        phone_number.released
    """,
    "a:api_token:8bbc6da7-e851-572b-a40a-1b0b3e89f3a9": """
        api_token.created api_token.renamed api_token.expiry_scheduled api_token.expired api_token.activated
        api_token.deleted
    """,
    "a:environment": "environment.created environment.renamed environment.deleted",
    "a:webhook_subscription:73f073e0-cbae-5a76-af25-aba7322cd982": """
        webhook_subscription.created webhook_subscription.deleted webhook_subscription.enabled
        webhook_subscription.disabled webhook_subscription.target_url_changed webhook_subscription.events.updated
        webhook_subscription.phone_numbers.updated webhook_subscription.routing_headers_set
        webhook_subscription.routing_headers_cleared
    """,
    "a:team_member:4999d5f3-abcc-5c81-9bd5-31f2874e775e": """
        team_member.added team_member.signed_in team_member.signed_out
    """,
}
"""The examples of each lane."""
LANES = {name: found for found, names in OF_LANE.items() for name in names.split()}


def test_every_documented_event_has_its_lane(subtests: pytest.Subtests) -> None:
    for name, expected in LANES.items():
        with subtests.test(name=name):
            assert delivered(example(name)).lane == expected


def test_the_table_above_names_every_type_that_has_an_example() -> None:
    missing = {name for name in EVENT_TYPES if not name.startswith("call.")} - LANES.keys()
    assert not missing, "Choose the lane of these in linq/events/lane.py, and name them in OF_LANE."


def test_a_lane_is_derived_from_the_data_alone(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Any, str]] = [
        ("message.received", {"chat": {"id": "a"}, "chat_id": "b"}, "c:a"),
        ("message.received", {"chat": {"id": 7}, "chat_id": "b"}, "c:b"),
        *(("message.received", data, "x:e") for data in ({"chat": "a"}, {"id": "m"})),
        ("message.failed", {"chat_id": None, "message_id": "m"}, "r:m:m"),
        ("message.failed", {"message_id": "m", "chat_id": "c"}, "r:c"),
        *(("message.sent", data, "r:m:m") for data in ({"id": "m"}, {"message": {"id": "m"}})),
        ("message.failed", {}, "x:e"),
        ("poll.failed", {"message_id": "m"}, "r:m:m"),
        ("chat.typing_indicator.started", {"message_id": "m"}, "x:e"),
        ("chat.created", {"id": "a", "chat_id": "b"}, "c:a"),
        ("chat.created", {"chat_id": "b"}, "x:e"),
        ("location.sharing.started", {"chat_id": None, "shared_by": "Me@X.io", "shared_with": "+1"}, "p:+1:me@x.io"),
        ("location.sharing.stopped", {"shared_by": None, "shared_with": "+1"}, "x:e"),
        ("contact_card.received", {"owner_handle": "+1", "sender_handle": "A@B.example"}, "p:+1:a@b.example"),
        ("contact_card.received", {"owner_handle": "+1"}, "x:e"),
        ("payment.succeeded", {"metadata": {"chat_id": "c"}}, "x:e"),
        ("payment.succeeded", {"id": "p", "chat_id": "c"}, "pay:p"),
        ("payment.succeeded", {"id": "p", "metadata": {"linqbot_chat": "c"}}, "c:c"),  # requested by ctx.pay
        ("payment.succeeded", {"id": "p", "metadata": {"linqbot_chat": 1}}, "pay:p"),
        ("phone_number.renamed", {"phone_number": "+1"}, "l:+1"),
        ("phone_number.assigned", {}, "x:e"),
        *(("api_token.created", data, "a:api_token") for data in ({}, {"api_token": {"id": 7}})),
        ("team_member.signed_in", {"team_member": []}, "a:team_member"),
        ("environment.line_moved", {"phone_number": "+1"}, "l:+1"),
        *(("call.ringing", data, "c:c") for data in ({"chat_id": "c"}, {"chat": {"id": "c"}})),
        ("call.ringing", {"id": "c"}, "x:e"),
        ("message.translated", {"chat": {"id": "c"}}, "c:c"),
        ("", {"chat_id": "c"}, "c:c"),
        ("", None, "x:e"),
    ]
    for event_type, data, expected in rows:
        with subtests.test(event_type=event_type):
            assert lane(event_type, data, "e") == expected


def test_the_chat_is_read_from_the_lanes_of_its_actions_and_of_its_receipts() -> None:
    for of, chat_id, receipts_of, is_of_receipts in (
        (lane_of_chat("a"), "a", None, False),
        (lane("message.received", {"chat_id": "a"}, "e"), "a", None, False),
        (lane("message.read", {"chat_id": "a"}, "e"), None, "a", True),
        (lane("message.read", {"message_id": "m"}, "e"), None, None, True),
        (lane("phone_number.renamed", {"phone_number": "+1"}, "e"), None, None, False),
    ):
        found = chat_of_lane(of), chat_of_receipts(of), is_lane_of_receipts(of)
        assert found == (chat_id, receipts_of, is_of_receipts), of


def test_long_and_unprintable_ids_become_digests() -> None:
    for value in ("a" * (LONGEST_TOKEN + 1), "a\nb", "a\x00", "\ud800", "a\u2028b"):
        made = token(value)
        assert made is not None
        assert made.startswith("sha256:")
        assert len(made) < LONGEST_TOKEN
        assert token(value) == made
    assert token("a" * LONGEST_TOKEN) == "a" * LONGEST_TOKEN
    assert token("a\nb") != token("a\nc")
    assert [token(value) for value in ("", None, 7, ["a"], {"a": 1})] == [None] * 5


TYPES = st.sampled_from(sorted(EVENT_TYPES)) | st.text()
NAMES = "id chat chat_id message message_id shared_by shared_with owner_handle sender_handle phone_number api_token"
KEYS = st.sampled_from(NAMES.split())
ODD = st.none() | st.booleans() | st.integers() | st.text() | st.just("x" * 500) | st.just("\x00") | st.just("\ud800")
DATA = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(event_type=TYPES, data=DATA, event_id=ODD)
def test_a_lane_is_always_short_and_printable(event_type: str, data: Any, event_id: Any) -> None:
    delivery = delivered({"event_type": event_type, "event_id": event_id, "data": data})
    for made in (delivery.lane, delivery.id, lane(event_type, data, event_id_of(delivery.id))):
        assert made.isprintable()
        assert 2 < len(made) <= 300
    kind = delivery.lane.partition(":")[0]
    assert kind in {"c", "r", "p", "pay", "l", "a", "x"}
