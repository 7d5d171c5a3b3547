"""Rules of every endpoint: required fields and types (R3, R4); and arbitrary input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.asking import ANN, CARD, CLIP, ID, LINE, LINK, MEDIA, TEXT, body, broke, send, text

from linqbot.linq.rules import Broken, check

NAMES = """
parts type value url attachment_id text_decorations range style inline_stickers mention mention_range effect name
reply_to message_id part_index preferred_service app layout caption experience action params options poll text message
to from handle placement x discount metadata subscribed_events idempotency_key shades operation variant amount emoji
"""


ANY_NAME = st.sampled_from(sorted(set(NAMES.split())))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("secret words"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_NAME, inner, max_size=4),
    max_leaves=12,
)


ENDPOINTS = """
chats.create chats.messages.send messages.create messages.add_reaction messages.update_app_card chats.polls.create
chats.background.set payment_requests.create webhook_subscriptions.update contact_card.create blocked_handles.block
"""


PARTS = st.sampled_from([TEXT, MEDIA, LINK, CARD, CLIP])
ODD_PARTS = st.builds(lambda part, junk: {**part, **junk}, PARTS, st.dictionaries(ANY_NAME, JUNK, max_size=3))


def test_R3_required_fields_are_asked_for_before_anything_else(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Any, str]] = [
        ("chats.create", {}, "from"),
        ("chats.create", {"from_": LINE}, "to"),
        ("chats.create", {"from_": LINE, "to": [ANN]}, "message"),
        ("chats.create", {"from_": LINE, "to": [ANN], "message": None}, "message"),
        ("chats.create", {"from_": "wrong", "to": []}, "message"),
        ("chats.messages.send", {}, "message"),
        ("messages.create", {"message": {}}, "to"),
        (
            "messages.create",
            {"to": [ANN], "message": {"parts": [TEXT]}, "continuation_message": {}},
            "continuation_message.text",
        ),
        ("chats.messages.send", {"message": {"parts": [{"value": "x"}]}}, "message.parts[0].type"),
        ("chats.messages.send", {"message": {"parts": [TEXT, MEDIA, {"type": "text"}]}}, "message.parts[2].value"),
        ("chats.messages.send", {"message": {"parts": [{"type": "link"}]}}, "message.parts[0].value"),
        ("chats.messages.send", {"message": {"parts": [TEXT], "reply_to": {}}}, "message.reply_to.message_id"),
        ("chats.participants.add", {}, "handle"),
        ("chats.participants.remove", {}, "handle"),
        ("chats.polls.create", {}, "poll"),
        ("messages.update", {}, "text"),
        ("messages.add_reaction", {"type": "love"}, "operation"),
        ("webhook_subscriptions.create", {"target_url": "https://x.y"}, "subscribed_events"),
        ("payment_requests.create", {"mode": "subscription"}, "price_id"),
        ("payment_requests.create", {"amount": 50}, "currency"),
    ]
    for endpoint, fields, missing in rows:
        with subtests.test(endpoint=endpoint):
            broken = body(endpoint, **fields)
            assert broke(broken, "R3", 1001)
            assert broken is not None
            assert broken.message == f"{missing} is missing. It is required."


def test_R4_types_and_fixed_lists_are_kept(subtests: pytest.Subtests) -> None:
    rows: list[Broken | None] = [
        body("chats.messages.send", message="hi"),
        body("chats.messages.send", message={"parts": [TEXT]}, override_optout="yes"),
        send("hi"),
        send({"type": "txet"}),
        send({"type": ["text"]}),
        text(5),  # type: ignore[arg-type]
        text(text_decorations={}),
        text(inline_stickers=["x"]),
        send({**MEDIA, "sticker": 1}),
        send({**LINK, "value": "example.com"}),
        send(TEXT, effect="confetti"),
        send(TEXT, reply_to="x"),
        send(TEXT, reply_to={"message_id": ID, "part_index": -1}),
        send(TEXT, reply_to={"message_id": ID, "part_index": True}),
        send(TEXT, idempotency_key=""),
        body("chats.messages.send", message={"parts": TEXT}),
        body("chats.create", from_=LINE, to=ANN, message={"parts": [TEXT]}),
        body("chats.update", display_name=5),
        body("chats.update", group_chat_icon="x"),
        body("messages.update", text=""),
        body("messages.update", text="x", part_index="0"),
        body("webhook_subscriptions.update", is_active=0),
    ]
    for broken in rows:
        with subtests.test(broken=broken):
            assert broke(broken, "R4")


@given(st.sampled_from(ENDPOINTS.split()), st.dictionaries(ANY_NAME, JUNK, max_size=6))
def test_whatever_comes_is_judged_and_never_quoted(endpoint: str, junk: dict[str, Any]) -> None:
    broken = check(endpoint, junk)
    assert broken is None or "secret" not in broken.message


@given(st.lists(PARTS | ODD_PARTS, max_size=4), JUNK, JUNK)
def test_whatever_parts_come_are_judged_and_never_quoted(parts: list[Any], effect: Any, service: Any) -> None:
    broken = send(*parts, effect=effect, preferred_service=service)
    assert broken is None or "secret" not in broken.message
