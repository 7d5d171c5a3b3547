"""The state as one JSON object: written, read again, and written by hand."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from linqbot.clock import MovableClock
from linqbot.emulator.acts.conversation import React, Write
from linqbot.emulator.acts.membership import Leave
from linqbot.emulator.acts.voting import MakePoll, Vote
from linqbot.emulator.emulator import Emulator
from linqbot.errors import ConfigError

LINE, PERSON, FRIEND = "+12025550100", "+14155550142", "+14155550187"
HI = {"type": "text", "value": "hi"}

pytestmark = pytest.mark.anyio


async def test_a_saved_state_is_loaded_unchanged(
    emulator: Emulator, api: httpx.AsyncClient, group: dict[str, str], receiver: Any
) -> None:
    body = {"message": {"parts": [HI], "idempotency_key": "k", "reply_to": {"message_id": group["message_id"]}}}
    sent = (await api.post(f"/v3/chats/{group['chat_id']}/messages", json=body)).json()["message"]["id"]
    gone = {"message": {"parts": [HI], "idempotency_key": "gone"}}
    deleted = (await api.post(f"/v3/chats/{group['chat_id']}/messages", json=gone)).json()["message"]["id"]
    await api.delete(f"/v3/messages/{deleted}")
    emulator.advance(1)
    await api.put(f"/v3/chats/{group['chat_id']}", json={"display_name": "Us"})
    await api.patch(f"/v3/messages/{sent}", json={"text": "ho"})
    emulator.do(React(from_=PERSON, message_id=sent, type="love"))
    emulator.do(React(from_=PERSON, message_id=sent, type="sticker", emoji="🚀"))
    emulator.do(
        Write(
            from_=FRIEND, to=LINE, parts=[{"type": "media", "filename": "a.png", "data_base64": "AAAA"}], service="RCS"
        )
    )
    emulator.do(Write(from_=FRIEND, to=LINE, parts=[{"type": "text", "value": "STOP"}]))
    emulator.do(Leave(from_=FRIEND, chat_id=group["chat_id"]))
    hook = {"target_url": "https://hook.example", "subscribed_events": ["message.received"], "phone_numbers": [LINE]}
    await api.post("/v3/webhook-subscriptions", json=hook)
    await api.post("/v3/contact_card", json={"phone_number": LINE, "first_name": "Acme"})
    await api.post("/v3/blocked_handles", json={"handle": "12345"})
    emulator.do(MakePoll(from_=PERSON, chat_id=group["chat_id"], options=["a", "b"]))
    poll = list(emulator.state.messages.values())[-1]
    assert poll.poll
    emulator.do(Vote(from_=PERSON, message_id=poll.id, option_id=poll.poll.options[0].id))
    emulator.do(React(from_=PERSON, message_id=poll.id, type="love"))
    saved = json.loads(json.dumps(emulator.save_state()))

    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=receiver) as other:
        other.load_state(saved)
        assert other.save_state() == saved
        assert other.state.messages[sent].edits == 1
        other.do(Write(from_=PERSON, to=LINE, parts=[HI]))
        await other.flush()
        assert receiver.types == ["message.received"]


async def test_a_seed_by_hand_needs_few_fields(emulator: Emulator) -> None:
    chat = {"id": "c1", "handles": [{"handle": LINE, "is_me": True}, {"handle": PERSON}]}
    message = {"id": "m1", "chat_id": "c1", "from": PERSON, "parts": [HI]}
    emulator.load_state({"phone_numbers": [{"phone_number": LINE}], "chats": [chat], "messages": [message]})
    assert emulator.do(Write(from_=PERSON, to=LINE, parts=[HI]))["chat_id"] == "c1"
    assert emulator.state.messages["m1"].sender.handle == PERSON


async def test_a_message_saved_in_progress_is_delivered_after_loading(
    emulator: Emulator, api: httpx.AsyncClient
) -> None:
    body = {"from": LINE, "to": [PERSON], "message": {"parts": [HI]}}
    sent = (await api.post("/v3/chats", json=body)).json()["chat"]["message"]["id"]
    emulator.load_state(emulator.save_state())
    assert emulator.state.messages[sent].status == "pending"
    emulator.advance(1)
    assert emulator.state.messages[sent].status == "delivered"


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone_numbers": [{}]},
        {"chats": [{"id": "c"}]},
        {"chats": [{"handles": [{"handle": PERSON}]}]},
        {"messages": [{"chat_id": "none", "parts": []}]},
        {"phone_numbers": [{"phone_number": LINE}], "chats": 7},
        {"webhook_subscriptions": [{"target_url": "https://a.example"}]},
        {"attachments": [{"filename": "a", "content_type": "b", "data_base64": "%"}]},
        {"services": {PERSON: "fax"}},
    ],
)
async def test_a_state_of_another_shape_is_refused_in_one_sentence(emulator: Emulator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="are not in the API's shapes"):
        emulator.load_state(wrong)
    assert len(emulator.state.lines) == 2
    assert emulator.state.chats == {}
