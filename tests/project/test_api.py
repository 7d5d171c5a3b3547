"""The table of endpoints against facts about Linq: the existing endpoints and their safety."""

from __future__ import annotations

import pytest

from linqbot.client.call import prepare
from linqbot.errors import RuleBroken
from linqbot.linq.endpoints import ENDPOINTS

CHAT = "550e8400-e29b-41d4-a716-446655440000"

EXPECTED = """
POST /v3/chats
GET /v3/chats
GET /v3/chats/{chat_id}
PUT /v3/chats/{chat_id}
POST /v3/chats/{chat_id}/leave
POST /v3/chats/{chat_id}/read
POST /v3/chats/{chat_id}/voicememo
POST /v3/chats/{chat_id}/share_contact_card
POST /v3/chats/{chat_id}/participants
DELETE /v3/chats/{chat_id}/participants
POST /v3/chats/{chat_id}/typing
DELETE /v3/chats/{chat_id}/typing
GET /v3/chats/{chat_id}/messages
POST /v3/chats/{chat_id}/messages
GET /v3/chats/{chat_id}/location
POST /v3/chats/{chat_id}/location/request
DELETE /v3/chats/{chat_id}/location
POST /v3/chats/{chat_id}/polls
POST /v3/chats/{chat_id}/background
DELETE /v3/chats/{chat_id}/background
POST /v3/messages
GET /v3/messages/{message_id}
PATCH /v3/messages/{message_id}
DELETE /v3/messages/{message_id}
POST /v3/messages/{message_id}/reactions
PATCH /v3/messages/{message_id}/reactions/{reaction_id}
GET /v3/messages/{message_id}/thread
POST /v3/messages/{message_id}/update
GET /v3/messages/{message_id}/poll
POST /v3/messages/{message_id}/poll/options
POST /v3/messages/{message_id}/poll/votes
POST /v3/attachments
GET /v3/attachments/{attachment_id}
DELETE /v3/attachments/{attachment_id}
GET /v3/phone_numbers
PUT /v3/phone_numbers/{phone_number_id}
GET /v3/phonenumbers
GET /v3/available_number
POST /v3/phone_numbers/{phone_number}/reputation_audit
GET /v3/phone_numbers/{phone_number}/reputation_audit/{audit_id}
POST /v3/capability/check_imessage
POST /v3/capability/check_rcs
POST /v3/contact_card
GET /v3/contact_card
PATCH /v3/contact_card
GET /v3/blocked_handles
POST /v3/blocked_handles
DELETE /v3/blocked_handles
GET /v3/experiences
GET /v3/experiences/{experience}
GET /v3/webhook-events
POST /v3/webhook-subscriptions
GET /v3/webhook-subscriptions
GET /v3/webhook-subscriptions/{subscription_id}
PUT /v3/webhook-subscriptions/{subscription_id}
DELETE /v3/webhook-subscriptions/{subscription_id}
POST /v3/payment_requests
GET /v3/payment_requests
GET /v3/payment_requests/{payment_request_id}
POST /v3/payment_requests/{payment_request_id}/cancel
POST /v3/payments
GET /v3/payments/{payment_id}
POST /v3/payments/{payment_id}/cancel
GET /v3/payments/{payment_id}/credentials
GET /v3/payments/providers/{provider}
POST /v3/payments/providers/{provider}/connect
POST /v3/payments/handles/{handle}/connect
GET /v3/payments/handles/{handle}/connection
DELETE /v3/payments/handles/{handle}/connection
POST /v3/payments/handles/{handle}/verify
GET /v2/chats
""".strip().splitlines()

KEYED = {
    "chats.create": ("message",),
    "chats.messages.send": ("message",),
    "messages.create": ("message", "header"),
    "chats.polls.create": ("poll",),
    "payment_requests.create": ("header",),
    "payments.create": ("header",),
}
ONCE = {
    "chats.send_voicememo",
    "chats.share_contact_card",
    "chats.location.request",
    "messages.update_app_card",
    "messages.poll.add_options",
    "webhook_subscriptions.create",
    "payment_providers.connect",
    "payment_handles.connect",
    "payment_handles.verify",
}
HINTS = {"chats.typing.start", "chats.typing.stop", "chats.mark_as_read"}


def test_the_table_has_every_endpoint_of_linq_once() -> None:
    assert len(EXPECTED) == 71
    assert sorted(f"{row.method} {row.path}" for row in ENDPOINTS.values()) == sorted(EXPECTED)


def test_keys_go_where_linq_reads_them_and_only_keyed_calls_have_one() -> None:
    assert {row.name: row.key_in for row in ENDPOINTS.values() if row.key_in} == KEYED
    assert {row.name for row in ENDPOINTS.values() if row.safety == "keyed"} == set(KEYED)


def test_every_endpoint_says_what_may_be_done_after_a_lost_answer() -> None:
    assert {row.name for row in ENDPOINTS.values() if row.safety == "once"} == ONCE
    assert {row.name for row in ENDPOINTS.values() if row.safety == "hint"} == HINTS
    reads = {row.name for row in ENDPOINTS.values() if row.safety == "read"}
    gets = {row.name for row in ENDPOINTS.values() if row.method == "GET"}
    # These calls create or request something that has no effect if it stays unused.
    assert reads - gets == {"attachments.create", "capability.check_i_message", "capability.check_RCS"}
    assert gets <= reads


@pytest.mark.parametrize(("kind", "safety"), [("love", "natural"), ("custom", "natural"), ("sticker", "once")])
def test_a_sticker_reaction_happens_once_while_a_tapback_may_be_repeated(kind: str, safety: str) -> None:
    call = prepare("messages.add_reaction", path={"message_id": CHAT}, body={"operation": "add", "type": kind})
    assert call.safety == safety


def test_path_values_are_escaped() -> None:
    call = prepare("payment_handles.connect", path={"handle": "+1 5/5?#@x"})
    assert call.path == "/v3/payments/handles/%2B1%205%2F5%3F%23%40x/connect"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_cannot_climb_to_another_endpoint(value: str) -> None:
    with pytest.raises(RuleBroken) as caught:
        prepare("chats.retrieve", path={"chat_id": value})
    assert caught.value.rule == "R5"
