"""The table of endpoints against facts about Linq: where a call has its key, and if it may be repeated."""

from __future__ import annotations

import pytest

from linqbot.client.call import prepare
from linqbot.errors import RuleBroken
from linqbot.linq.endpoints import ENDPOINTS

CHAT = "550e8400-e29b-41d4-a716-446655440000"

KEYED = {
    "chats.create": ("message",),
    "chats.messages.send": ("message",),
    "messages.create": ("message", "header"),
    "chats.polls.create": ("poll",),
    "payment_requests.create": ("header",),
    "payments.create": ("header",),
}
ONCE = {
    *("chats.send_voicememo", "chats.share_contact_card", "chats.location.request", "messages.update_app_card"),
    *("messages.poll.add_options", "webhook_subscriptions.create"),
    *("payment_providers.connect", "payment_handles.connect", "payment_handles.verify"),
}
HINTS = {"chats.typing.start", "chats.typing.stop", "chats.mark_as_read"}


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


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_cannot_climb_to_another_endpoint(value: str) -> None:
    with pytest.raises(RuleBroken) as caught:
        prepare("chats.retrieve", path={"chat_id": value})
    assert caught.value.rule == "R5"
