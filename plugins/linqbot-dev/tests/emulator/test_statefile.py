"""The state as one JSON object: written, read again, and written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from linqbot_dev.emulator.acts.chat_acts import Leave
from linqbot_dev.emulator.acts.conversation import NameGroup, Placement, React
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.message_content import StickerPlacement

from emulator.conftest import FOURTH, FRIEND, HI, LINE, PERSON, Api, Ids, Receiver, say
from emulator.everything import EVERYTHING, World
from linqbot.clock import MovableClock
from linqbot.errors import ConfigError

NOT_KEPT = {"subscriptions", "shares", "audits", "card_writes", "released", "received_cards", "sends"}
"""The subscriptions of the emulator's owner; and what begins again, such as rate limits."""


def kept_in(emulator: Emulator) -> dict[str, list[str]]:
    """Return the keys of everything in the state that a state file keeps."""
    state = vars(emulator.state)
    return {name: sorted(map(str, state[name])) for name in state.keys() - NOT_KEPT if isinstance(state[name], dict)}


async def test_a_state_of_everything_is_loaded_and_saved_with_the_same_bytes(world: World, receiver: Receiver) -> None:
    for act in EVERYTHING:
        await act(world)
    hook = {"target_url": "https://hook.example", "subscribed_events": ["message.received"], "phone_numbers": [LINE]}
    await world.call("POST", "/webhook-subscriptions", hook)
    await world.call("POST", "/blocked_handles", {"handle": "12345"})
    written = json.dumps(world.emulator.save_state())
    await world.emulator.flush()
    receiver.clear()
    async with Emulator(
        clock=MovableClock(world.emulator.clock.now(), frozen=True), delivery_transport=receiver
    ) as other:
        other.reset(json.loads(written))
        assert json.dumps(other.save_state()) == written
        assert kept_in(other) == kept_in(world.emulator)
        say(other, from_=FOURTH)
        await other.flush()
        assert receiver.types == ["message.received"]


async def test_a_group_and_a_message_keep_what_only_a_phone_shows(emulator: Emulator, api: Api, group: Ids) -> None:
    sent = (await api.sent(group))["id"]
    emulator.do(NameGroup(from_=PERSON, chat_id=group["chat_id"], name="Us"))
    emulator.do(Leave(from_=FRIEND, chat_id=group["chat_id"]))
    await api.patch(f"/v3/messages/{sent}", json={"text": "ho"})
    place = Placement(x=0.25, y=-0.5, scale=1.5, rotation=30.0)
    emulator.do(React(from_=PERSON, message_id=sent, type="sticker", emoji="🚀", placement=place))
    emulator.reset(emulator.save_state())
    assert [one.kind for one in emulator.state.chats[group["chat_id"]].notices] == ["named", "left"]
    message = emulator.state.messages[sent]
    assert (message.edits, message.reactions[-1].placement) == (1, StickerPlacement(0.25, -0.5, 1.5, 30.0))


def seed(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return a state with one chat, and one message of a person in it, written by hand with few fields."""
    return {
        "phone_numbers": [{"phone_number": LINE}],
        "chats": [{"id": "c1", "handles": [{"handle": LINE, "is_me": True}, {"handle": PERSON}]}],
        "messages": [{"id": "m1", "chat_id": "c1", "from": PERSON, "parts": list(parts)}],
    }


async def test_a_seed_by_hand_needs_few_fields(emulator: Emulator) -> None:
    emulator.reset(seed(HI))
    assert say(emulator)["chat_id"] == "c1"
    assert emulator.state.messages["m1"].sender.handle == PERSON


async def test_a_person_has_the_same_handle_id_in_a_chat_begun_after_loading(emulator: Emulator, chat: Ids) -> None:
    emulator.reset(emulator.save_state())
    group = say(emulator, group=[FRIEND])
    before, after = (emulator.state.chats[one["chat_id"]].member(PERSON) for one in (chat, group))
    assert before is not None
    assert after is not None
    assert before.id == after.id


async def test_a_message_saved_in_progress_is_delivered_after_loading(emulator: Emulator, api: Api, chat: Ids) -> None:
    for passed_s, status in ((0, "pending"), (0.3, "sent")):
        sent = (await api.sent(chat))["id"]
        emulator.advance(passed_s)
        emulator.reset(emulator.save_state())
        assert emulator.state.messages[sent].status == status
        emulator.advance(1)
        assert emulator.state.messages[sent].status == "delivered"


async def test_a_state_of_another_shape_is_refused_in_a_sentence(emulator: Emulator, subtests: pytest.Subtests) -> None:
    rows: list[dict[str, Any]] = [
        *({"phone_numbers": [{}]}, {"chats": [{"id": "c"}]}, {"chats": [{"handles": [{"handle": PERSON}]}]}),
        *({"messages": [{"chat_id": "none", "parts": []}]}, {"phone_numbers": [{"phone_number": LINE}], "chats": 7}),
        {"webhook_subscriptions": [{"target_url": "https://a.example"}]},
        {"attachments": [{"filename": "a", "content_type": "b", "data_base64": "%"}]},
        {"services": {PERSON: "imessage"}},
        *(seed({"type": kind}) for kind in ("text", "media", "imessage_app")),
        seed({"value": "hi"}),
    ]
    for wrong in rows:
        with subtests.test(wrong=wrong):
            with pytest.raises(ConfigError, match="are not in the API's shapes"):
                emulator.reset(wrong)
            assert len(emulator.state.lines) == 2
            assert emulator.state.chats == {}


async def test_a_background_with_an_unused_field_is_saved_and_loaded(emulator: Emulator, api: Api, chat: Ids) -> None:
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
