"""The state as one JSON object: written, read again, and written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.conftest import FRIEND, HI, LINE, PERSON, Api, Ids, Receiver, say
from linqbot.clock import MovableClock
from linqbot.emulator.acts.chat_acts import Leave, MakePoll, Vote
from linqbot.emulator.acts.conversation import Placement, React, Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.message_content import StickerPlacement
from linqbot.errors import ConfigError

pytestmark = pytest.mark.anyio


async def test_a_saved_state_is_loaded_unchanged(emulator: Emulator, api: Api, group: Ids, receiver: Receiver) -> None:
    body = {"message": {"parts": [HI], "idempotency_key": "k", "reply_to": {"message_id": group["message_id"]}}}
    sent = (await api.post(f"/v3/chats/{group['chat_id']}/messages", json=body)).json()["message"]["id"]
    gone = {"message": {"parts": [HI], "idempotency_key": "gone"}}
    deleted = (await api.post(f"/v3/chats/{group['chat_id']}/messages", json=gone)).json()["message"]["id"]
    await api.delete(f"/v3/messages/{deleted}")
    emulator.advance(1)
    await api.put(f"/v3/chats/{group['chat_id']}", json={"display_name": "Us"})
    await api.patch(f"/v3/messages/{sent}", json={"text": "ho"})
    emulator.do(React(from_=PERSON, message_id=sent, type="love"))
    place = Placement(x=0.25, y=-0.5, scale=1.5, rotation=30.0)
    emulator.do(React(from_=PERSON, message_id=sent, type="sticker", emoji="🚀", placement=place))
    emulator.do(
        Write(
            from_=FRIEND, to=LINE, parts=[{"type": "media", "filename": "a.png", "data_base64": "AAAA"}], service="RCS"
        )
    )
    say(emulator, "STOP", from_=FRIEND)
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
        other.reset(saved)
        assert other.save_state() == saved
        assert [one.kind for one in other.state.chats[group["chat_id"]].notices] == ["named", "left"]
        assert other.state.messages[sent].edits == 1
        sticker = other.state.messages[sent].reactions[-1]
        assert sticker.placement == StickerPlacement(0.25, -0.5, 1.5, 30.0)
        say(other)
        await other.flush()
        assert receiver.types == ["message.received"]


async def test_a_seed_by_hand_needs_few_fields(emulator: Emulator) -> None:
    chat = {"id": "c1", "handles": [{"handle": LINE, "is_me": True}, {"handle": PERSON}]}
    message = {"id": "m1", "chat_id": "c1", "from": PERSON, "parts": [HI]}
    emulator.reset({"phone_numbers": [{"phone_number": LINE}], "chats": [chat], "messages": [message]})
    assert say(emulator)["chat_id"] == "c1"
    assert emulator.state.messages["m1"].sender.handle == PERSON


async def test_a_message_saved_in_progress_is_delivered_after_loading(emulator: Emulator, api: Api) -> None:
    body = {"from": LINE, "to": [PERSON], "message": {"parts": [HI]}}
    sent = (await api.post("/v3/chats", json=body)).json()["chat"]["message"]["id"]
    emulator.reset(emulator.save_state())
    assert emulator.state.messages[sent].status == "pending"
    emulator.advance(1)
    assert emulator.state.messages[sent].status == "delivered"


async def test_a_state_of_another_shape_is_refused_in_one_sentence(
    emulator: Emulator, subtests: pytest.Subtests
) -> None:
    rows: list[dict[str, Any]] = [
        {"phone_numbers": [{}]},
        {"chats": [{"id": "c"}]},
        {"chats": [{"handles": [{"handle": PERSON}]}]},
        {"messages": [{"chat_id": "none", "parts": []}]},
        {"phone_numbers": [{"phone_number": LINE}], "chats": 7},
        {"webhook_subscriptions": [{"target_url": "https://a.example"}]},
        {"attachments": [{"filename": "a", "content_type": "b", "data_base64": "%"}]},
        {"services": {PERSON: "fax"}},
    ]
    for wrong in rows:
        with subtests.test(wrong=wrong):
            with pytest.raises(ConfigError, match="are not in the API's shapes"):
                emulator.reset(wrong)
            assert len(emulator.state.lines) == 2
            assert emulator.state.chats == {}


SAVED_PARTS: list[dict[str, Any]] = [
    {
        "type": "text",
        "value": "hi 🎂",
        "text_decorations": [{"style": "bold", "range": [0, 2]}],
        "inline_stickers": [
            {
                "range": [2, 3],
                "id": "s",
                "url": "https://a.example/s.png",
                "file_name": "s.png",
                "mime_type": "image/png",
            }
        ],
        "mention": None,
        "mention_range": None,
        "mentions": None,
    },
    {
        "type": "text",
        "value": "you two",
        "text_decorations": None,
        "inline_stickers": None,
        "mention": LINE,
        "mention_range": [0, 3],
        "mentions": [
            {"handle": LINE, "is_me": True, "range": [0, 3]},
            {"handle": FRIEND, "is_me": False, "range": [4, 7]},
        ],
    },
    {
        "type": "media",
        "id": "m",
        "filename": "a.png",
        "mime_type": "image/png",
        "size_bytes": 3,
        "url": "https://a.example/a.png",
    },
    {"type": "link", "value": "https://a.example"},
    {
        "type": "imessage_app",
        "app": {"team_id": "ABCDE12345", "bundle_id": "com.example", "name": "App", "app_store_id": 5},
        "layout": {
            "caption": "Look",
            "subcaption": None,
            "trailing_caption": None,
            "trailing_subcaption": "right",
            "image_url": None,
            "image_title": None,
            "image_subtitle": None,
        },
        "url": "",
        "fallback_text": "a card",
    },
    {"type": "app_clip", "value": "https://a.example/clip", "title": "Clip", "description": None, "image_url": None},
    {"type": "dance", "steps": [1, 2]},
]


def seed(*parts: dict[str, Any], **message: Any) -> dict[str, Any]:
    """Return a state with one group, and one message of a person in it."""
    handles = [{"handle": LINE, "is_me": True}, {"handle": PERSON}, {"handle": FRIEND}]
    return {
        "phone_numbers": [{"phone_number": LINE}],
        "chats": [{"id": "c1", "handles": handles}],
        "messages": [{"id": "m1", "chat_id": "c1", "from": PERSON, "parts": list(parts)} | message],
    }


async def test_a_saved_part_is_saved_again_with_the_same_bytes(emulator: Emulator, subtests: pytest.Subtests) -> None:
    for part in SAVED_PARTS:
        with subtests.test(part=part["type"]):
            emulator.reset(seed(part))
            (message,) = emulator.save_state()["messages"]
            assert json.dumps(message["parts"]) == json.dumps([part | {"reactions": []}])


async def test_a_saved_effect_reply_and_background_are_saved_again_with_the_same_bytes(emulator: Emulator) -> None:
    effect, reply = {"type": "screen", "name": "confetti"}, {"message_id": "m0", "part_index": 1}
    background = {"type": "color", "style": None, "variant": "mango", "shades": None, "image_url": None}
    state = seed(HI, effect=effect, reply_to=reply)
    state["chats"][0]["background"] = background
    emulator.reset(state)
    saved = emulator.save_state()
    (message,), (chat,) = saved["messages"], saved["chats"]
    shown = [message["effect"], message["reply_to"], chat["background"]]
    assert json.dumps(shown) == json.dumps([effect, reply, background])


async def test_a_background_with_a_field_that_it_does_not_use_is_saved_and_loaded(
    emulator: Emulator, api: Api, chat: Ids
) -> None:
    body = {"type": "photo", "image_url": "https://a.example/a.png", "style": 5, "shades": "dark"}
    assert (await api.post(f"/v3/chats/{chat['chat_id']}/background", json=body)).status_code == 202
    saved = json.loads(json.dumps(emulator.save_state()))
    emulator.reset(saved)
    assert emulator.save_state() == saved


async def test_a_part_written_by_hand_gets_the_defaults(emulator: Emulator) -> None:
    emulator.reset(
        seed(
            {"type": "text", "value": "hi 🎂", "mention": LINE},
            {"type": "media", "filename": "a.png", "url": "https://a.example/a.png"},
            {"type": "imessage_app", "app": {"name": "App"}, "layout": {"caption": "Look"}},
        )
    )
    text, media, card = emulator.save_state()["messages"][0]["parts"]
    assert text["mentions"] == [{"handle": LINE, "is_me": True, "range": [0, 5]}]
    assert (media["mime_type"], media["size_bytes"]) == ("image/png", 0)
    assert media["id"]
    assert (card["app"]["team_id"], card["layout"]["subcaption"], card["url"]) == (None, None, "")


async def test_a_part_that_cannot_be_read_is_refused(emulator: Emulator, subtests: pytest.Subtests) -> None:
    rows: list[dict[str, Any]] = [{"type": "text"}, {"type": "media"}, {"type": "imessage_app"}, {"value": "hi"}]
    for part in rows:
        with (
            subtests.test(part=part),
            pytest.raises(ConfigError, match="The state's messages are not in the API's shapes"),
        ):
            emulator.reset(seed(part))
