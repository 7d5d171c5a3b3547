"""The look of a chat, stickers with their place, and what else the page is shown beyond Linq's API."""

from __future__ import annotations

from typing import Any

import pytest
from linqbot_dev.emulator.acts.chat_acts import Join, Leave, ShareLocation
from linqbot_dev.emulator.acts.conversation import Edit, NameGroup, React, SetBackground, SetGroupIcon
from linqbot_dev.emulator.emulator import Emulator

from emulator.conftest import FRIEND, LINE, PERSON, Api, Ids, Receiver, refused

STRANGER = "+14155550166"
IMAGE = {"type": "media", "data_base64": "iVBORw0KGgo=", "filename": "a.png"}


def shown(emulator: Emulator, chat_id: str) -> dict[str, Any]:
    """Return a chat as the page gets it."""
    return next(dict(chat) for chat in emulator.snapshot()["chats"] if chat["id"] == chat_id)


async def test_the_bot_hears_once_of_each_new_look_of_a_chat_and_who_gave_it(
    emulator: Emulator, group: Ids, api: Api, receiver: Receiver
) -> None:
    emulator.subscribe("https://hook.example")
    me, friend = ({"from_": person, "chat_id": group["chat_id"]} for person in (PERSON, FRIEND))
    for act in (NameGroup(**me, name="Cake"), NameGroup(**friend, name="Cake"), NameGroup(**friend, name=None)):
        emulator.do(act)
    ice = {"type": "color", "variant": "ice"}
    for look in (SetBackground(**me, **ice), SetBackground(**friend, **ice), SetBackground(**friend)):
        emulator.do(look)
    emulator.do(SetGroupIcon(**me, image=IMAGE))
    icon = (await api.get(f"/v3/chats/{group['chat_id']}")).json()["group_chat_icon"]
    assert (await api.get(icon.removeprefix(emulator.public_url))).headers["content-type"] == "image/png"
    emulator.do(SetGroupIcon(**friend))
    await emulator.flush()
    for name, new in (("name", "Cake"), ("icon", icon)):
        heard = [event["data"] for event in receiver.of(f"chat.group_{name}_updated")]
        changes = [(one["old_value"], one["new_value"], one["changed_by_handle"]["handle"]) for one in heard]
        assert changes == [(None, new, PERSON), (new, None, FRIEND)]
    first, last = [event["data"] for event in receiver.of("chat.background_updated")]
    assert (first["background"]["variant"], first["actor_handle"]["handle"]) == ("ice", PERSON)
    assert (last["background"], last["actor_handle"]["handle"]) == (None, FRIEND)


async def test_a_photo_as_background_is_served_by_the_emulator(emulator: Emulator, chat: Ids) -> None:
    emulator.do(SetBackground(from_=PERSON, chat_id=chat["chat_id"], type="photo", image=IMAGE))
    assert shown(emulator, chat["chat_id"])["background"]["image_url"].startswith(f"{emulator.public_url}/attachments/")


async def test_a_look_that_a_chat_cannot_have_is_refused(
    emulator: Emulator, api: Api, chat: Ids, group: Ids, subtests: pytest.Subtests
) -> None:
    mango, text = {"type": "color", "variant": "mango"}, IMAGE | {"filename": "a.txt"}
    emulator.state.chat(chat["chat_id"]).service = "SMS"
    rows: list[tuple[str, Ids, dict[str, Any], int]] = [
        ("group/name", chat, {"name": "Cake"}, 409),
        ("group/icon", chat, {"image": IMAGE}, 409),
        *((what, group, {"from": STRANGER}, 404) for what in ("group/name", "group/icon", "background")),
        ("group/icon", group, {"image": text}, 400),
        ("background", chat, mango, 409),
        ("background", group, mango | {"variant": "mangoo"}, 400),
        ("background", group, {"type": "color", "shades": ["#000000"]}, 400),
        ("background", group, {"type": "dynamic", "style": "water", "variant": "drak"}, 400),
        ("background", group, {"type": "photo"}, 400),
    ]
    for path, where, asked, status in rows:
        with subtests.test(path=path, asked=asked):
            body = {"from": PERSON, "chat_id": where["chat_id"]} | asked
            refused(await api.post(f"/emulator/{path}", json=body), status, {400: 1005, 404: 2001, 409: 1006}[status])


async def test_a_sticker_of_bytes_has_a_place_on_the_bubble(emulator: Emulator, chat: Ids, receiver: Receiver) -> None:
    emulator.subscribe("https://hook.example")
    image = {"data_base64": "iVBORw0KGgo=", "filename": "cat.png", "placement": {"x": 0.5, "y": -1, "rotation": 12}}
    emulator.do(React(from_=PERSON, message_id=chat["message_id"], type="sticker", **image))
    await emulator.flush()
    (event,) = receiver.of("reaction.added")
    assert (event["data"]["sticker"]["file_name"], event["data"]["sticker"]["mime_type"]) == ("cat.png", "image/png")
    (reaction,) = shown(emulator, chat["chat_id"])["messages"][0]["parts"][0]["reactions"]
    assert reaction["placement"] == {"x": 0.5, "y": -1, "scale": 1.0, "rotation": 12}


async def test_only_the_page_gets_the_texts_before_each_edit(emulator: Emulator, chat: Ids, api: Api) -> None:
    for text in ("hi all", "hi everybody"):
        emulator.do(Edit(from_=PERSON, message_id=chat["message_id"], text=text))
    earlier = shown(emulator, chat["chat_id"])["messages"][0]["earlier"]
    assert [one["text"] for one in earlier] == ["hi", "hi all"]
    assert "earlier" not in (await api.get(f"/v3/messages/{chat['message_id']}")).json()
    saved = emulator.save_state()
    emulator.reset(saved)
    assert shown(emulator, chat["chat_id"])["messages"][0]["earlier"] == earlier


async def test_the_page_gets_requests_for_a_location_and_shared_ones(emulator: Emulator, chat: Ids, api: Api) -> None:
    assert (await api.post(f"/v3/chats/{chat['chat_id']}/location/request")).is_success
    assert shown(emulator, chat["chat_id"])["location_asked_at"]
    emulator.do(ShareLocation(from_=PERSON, chat_id=chat["chat_id"], latitude=52.5, longitude=13.4))
    (share,) = shown(emulator, chat["chat_id"])["locations"]
    assert (share["handle"], share["latitude"], share["longitude"], share["ends_at"]) == (PERSON, 52.5, 13.4, None)
    emulator.do(ShareLocation(from_=PERSON, chat_id=chat["chat_id"], state="stopped"))
    assert shown(emulator, chat["chat_id"])["locations"] == []


async def test_the_page_is_shown_the_card_that_the_bot_has_shared(emulator: Emulator, chat: Ids, api: Api) -> None:
    card = {"phone_number": "+12025550100", "first_name": "Bistro"}
    assert (await api.post("/v3/contact_card", json=card)).is_success
    assert shown(emulator, chat["chat_id"])["card"] is None
    assert (await api.post(f"/v3/chats/{chat['chat_id']}/share_contact_card")).is_success
    assert shown(emulator, chat["chat_id"])["card"]["first_name"] == "Bistro"


async def test_the_page_is_shown_payments_with_the_status_of_the_last_attempt(emulator: Emulator, api: Api) -> None:
    asked = (await api.post("/v3/payment_requests", json={"amount": 500, "currency": "usd"})).json()
    assert (await api.post("/emulator/decline", json={"id": asked["id"]})).is_success
    charge = {"handle": PERSON, "amount_cents": 700, "currency": "usd"}
    charged = (await api.post("/v3/payments", json=charge)).json()
    payments = {one["id"]: one for one in emulator.snapshot()["payments"]}
    assert (payments[asked["id"]]["status"], payments[asked["id"]]["checkout_url"]) == (
        "declined",
        asked["checkout_url"],
    )
    assert (payments[charged["id"]]["status"], payments[charged["id"]]["handle"]) == ("needs_connection", PERSON)


async def test_the_page_gets_who_came_and_went_and_what_was_renamed(emulator: Emulator, group: Ids, api: Api) -> None:
    where, path = {"chat_id": group["chat_id"]}, f"/v3/chats/{group['chat_id']}"
    emulator.do(NameGroup(from_=PERSON, name="Cake", **where))
    await api.put(path, json={"display_name": "Cake"})
    await api.post(f"{path}/participants", json={"handle": STRANGER})
    emulator.do(Leave(from_=PERSON, handle=STRANGER, **where))
    emulator.do(Leave(from_=FRIEND, **where))
    emulator.do(Join(from_=FRIEND, **where))
    emulator.do(SetBackground(from_=PERSON, type="color", variant="ice", **where))
    notices = shown(emulator, group["chat_id"])["notices"]
    assert [(one["kind"], one["by"], one["handle"], one["value"]) for one in notices] == [
        ("named", PERSON, None, "Cake"),
        ("added", LINE, STRANGER, None),
        ("removed", PERSON, STRANGER, None),
        ("left", FRIEND, FRIEND, None),
        ("joined", FRIEND, FRIEND, None),
        ("background", PERSON, None, "color"),
    ]
    assert {one["after"] for one in notices} == {group["message_id"]}
    assert "notices" not in (await api.get(path)).json()
