"""R57-R88: changes of chats and messages, consent and blocking, limits."""

from __future__ import annotations

from typing import Any

import pytest
from emulator.conftest import (
    CARD,
    FOURTH,
    FRIEND,
    LINE,
    NOBODY,
    OTHER_LINE,
    PERSON,
    SEND,
    THIRD,
    Api,
    Ids,
    Receiver,
    refused,
    say,
)
from linqbot_dev.emulator.acts.chat_acts import ChangeLine, Leave, Vote
from linqbot_dev.emulator.acts.conversation import React, Read
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.message_content import StickerPlacement


async def test_r57_only_groups_can_be_renamed(api: Api, chat: Ids) -> None:
    refused(await api.put(f"/v3/chats/{chat['chat_id']}", json={"display_name": "a"}), 409, 1006)


async def test_r58_adding_needs_a_group_of_three_a_newcomer_and_their_service(
    emulator: Emulator, api: Api, chat: Ids, group: Ids
) -> None:
    refused(await api.post(f"/v3/chats/{chat['chat_id']}/participants", json={"handle": FRIEND}), 409, 1006)
    path = f"/v3/chats/{group['chat_id']}/participants"
    refused(await api.post(path, json={"handle": FRIEND}), 409, 1006)
    emulator.state.services[FOURTH] = "SMS"
    refused(await api.post(path, json={"handle": FOURTH}), 409, 1006)


async def test_r59_removing_leaves_at_least_three(api: Api, group: Ids) -> None:
    path = f"/v3/chats/{group['chat_id']}/participants"
    refused(await api.request("DELETE", path, json={"handle": FOURTH}), 404, 2001)
    refused(await api.request("DELETE", path, json={"handle": LINE}), 409, 1006)
    assert (await api.request("DELETE", path, json={"handle": THIRD})).status_code == 202
    refused(await api.request("DELETE", path, json={"handle": FRIEND}), 409, 1006)


async def test_r60_only_imessage_groups_of_4_can_be_left(emulator: Emulator, api: Api, chat: Ids, group: Ids) -> None:
    refused(await api.post(f"/v3/chats/{chat['chat_id']}/leave"), 409, 1006)
    small = say(emulator, group=[FRIEND])["chat_id"]
    refused(await api.post(f"/v3/chats/{small}/leave"), 409, 1006)
    sms = say(emulator, from_=FOURTH, group=[FRIEND, THIRD], service="SMS")["chat_id"]
    refused(await api.post(f"/v3/chats/{sms}/leave"), 409, 1006)
    assert (await api.post(f"/v3/chats/{group['chat_id']}/leave")).status_code == 202


async def test_r61_after_leaving_everything_but_reading_is_409(api: Api, group: Ids) -> None:
    path = f"/v3/chats/{group['chat_id']}"
    mine = (await api.sent(group))["id"]
    await api.post(f"{path}/leave")
    reaction = {"operation": "add", "type": "love"}
    for method, where, body in (
        ("POST", f"{path}/messages", SEND),
        ("POST", f"{path}/typing", None),
        ("DELETE", f"{path}/typing", None),
        ("POST", f"{path}/read", None),
        ("POST", f"{path}/leave", None),
        ("PUT", path, {"display_name": "a"}),
        ("POST", f"{path}/participants", {"handle": FOURTH}),
        ("POST", f"{path}/share_contact_card", None),
        ("POST", f"{path}/voicememo", {"voice_memo_url": "https://example.com/a.m4a"}),
        ("PATCH", f"/v3/messages/{mine}", {"text": "a"}),
        ("POST", f"/v3/messages/{mine}/reactions", reaction),
    ):
        refused(await api.request(method, where, json=body), 409, 1006)
    assert (await api.get(path)).status_code == 200
    assert (await api.get(f"{path}/messages")).status_code == 200


async def test_r62_a_participant_who_left_stays_in_handles(emulator: Emulator, api: Api, group: Ids) -> None:
    emulator.do(Leave(from_=FRIEND, chat_id=group["chat_id"]))
    await api.request("DELETE", f"/v3/chats/{group['chat_id']}/participants", json={"handle": THIRD})
    handles = (await api.get(f"/v3/chats/{group['chat_id']}")).json()["handles"]
    left = next(one for one in handles if one["handle"] == FRIEND)
    assert (left["status"], bool(left["left_at"])) == ("left", True)


async def test_r63_typing_lasts_85_seconds_in_direct_chats_and_groups_and_is_dropped_on_sms(
    emulator: Emulator, api: Api, chat: Ids, group: Ids
) -> None:
    for chat_id in (chat["chat_id"], group["chat_id"]):
        assert (await api.post(f"/v3/chats/{chat_id}/typing")).status_code == 204
        emulator.advance(60)
        await api.post(f"/v3/chats/{chat_id}/typing")
        emulator.advance(84)
        assert LINE in emulator.state.chats[chat_id].typing
        emulator.advance(2)
        assert LINE not in emulator.state.chats[chat_id].typing
        await api.post(f"/v3/chats/{chat_id}/typing")
        await api.delete(f"/v3/chats/{chat_id}/typing")
        assert LINE not in emulator.state.chats[chat_id].typing
    sms = say(emulator, from_=FOURTH, service="SMS")["chat_id"] or ""
    assert (await api.post(f"/v3/chats/{sms}/typing")).status_code == 204
    assert emulator.state.chats[sms].typing == {}


async def test_r64_r65_sharing_needs_a_card_and_is_limited(emulator: Emulator, api: Api, chat: Ids) -> None:
    path = f"/v3/chats/{chat['chat_id']}/share_contact_card"
    emulator.do(ChangeLine(phone_number=LINE, card="deleted"))
    refused(await api.post(path), 404, 2012)
    await api.post("/v3/contact_card", json={"phone_number": LINE, "first_name": "A"})
    assert (await api.post(path)).status_code == 204
    emulator.advance(100)
    answer = await api.post(path)
    assert refused(answer, 429, 1007)["retry_after"] == int(answer.headers["retry-after"]) == 200
    emulator.advance(200)
    assert (await api.post(path)).status_code == 204


async def test_r66_r67_backgrounds_show_on_imessage_only(
    emulator: Emulator, api: Api, receiver: Receiver, chat: Ids
) -> None:
    emulator.subscribe("https://hook.example", ["chat.background_updated"])
    sms = say(emulator, from_=FOURTH, service="SMS")["chat_id"]
    mango = {"type": "color", "variant": "mango"}
    for chat_id in (sms, chat["chat_id"], chat["chat_id"]):
        assert (await api.post(f"/v3/chats/{chat_id}/background", json=mango)).status_code == 202
    await emulator.flush()
    assert len(receiver.events) == 1


async def test_r89_r90_a_location_is_asked_for_in_direct_imessage_chats_and_once_a_minute(
    emulator: Emulator, api: Api, chat: Ids, group: Ids
) -> None:
    path = f"/v3/chats/{chat['chat_id']}/location"
    refused(await api.post(f"/v3/chats/{group['chat_id']}/location/request"), 409, 2016)
    sms = say(emulator, from_=FOURTH, service="SMS")["chat_id"]
    refused(await api.post(f"/v3/chats/{sms}/location/request"), 409, 2017)
    assert (await api.post(f"{path}/request")).json()["success"] is True
    assert refused(await api.post(f"{path}/request"), 429, 1007)["retry_after"] == 60
    stop = {"handle": PERSON}
    refused(await api.request("DELETE", path, json=stop), 404, 2001)
    share = {"from": PERSON, "chat_id": chat["chat_id"], "latitude": 52.5, "longitude": 13.4}
    assert (await api.post("/emulator/location", json=share)).status_code == 200
    refused(await api.post(f"{path}/request"), 409, 1006)
    for chat_id in (chat["chat_id"], group["chat_id"]):
        (feature,) = (await api.get(f"/v3/chats/{chat_id}/location")).json()["data"]["features"]
        assert (feature["geometry"]["coordinates"], feature["properties"]["handle"]) == ([13.4, 52.5], PERSON)
    assert (await api.request("DELETE", path, json=stop)).status_code == 202
    assert (await api.get(path)).json()["data"]["features"] == []


async def test_capabilities_are_what_the_persons_phone_speaks(emulator: Emulator, api: Api) -> None:
    emulator.state.services |= {PERSON: "SMS", FRIEND: "RCS"}
    answers = {}
    for path in ("check_imessage", "check_rcs"):
        for person in (PERSON, FRIEND, THIRD):
            answer = await api.post(f"/v3/capability/{path}", json={"address": person, "from": LINE})
            answers[path, person] = answer.json()["available"]
    assert list(answers.values()) == [False, False, True, False, True, True]
    refused(await api.post("/v3/capability/check_rcs", json={"address": PERSON, "from": "+12025550999"}), 403, 2005)


async def test_r68_a_voice_memo_is_audio_from_one_place(api: Api, chat: Ids) -> None:
    path = f"/v3/chats/{chat['chat_id']}/voicememo"
    refused(await api.post(path, json={"attachment_id": NOBODY}), 404, 2003)
    asked = {"filename": "a.png", "content_type": "image/png", "size_bytes": 1}
    image = (await api.post("/v3/attachments", json=asked)).json()["attachment_id"]
    refused(await api.post(path, json={"attachment_id": image}), 400, 1005)
    address = f"http://127.0.0.1:4010/attachments/{image}/a.m4a"
    refused(await api.post(path, json={"voice_memo_url": address}), 400, 1005)
    refused(await api.post(path, json={"voice_memo_url": "https://example.com/a.ogg"}), 400, 1005)
    for name in ("a.m4a", "a.mp4", "listen"):
        assert (await api.post(path, json={"voice_memo_url": f"https://example.com/{name}"})).status_code == 202


async def test_r69_r70_an_opt_out_word_stops_messages_in_every_direct_chat_with_that_person(
    emulator: Emulator, api: Api, chat: Ids, subtests: pytest.Subtests
) -> None:
    for word in ("STOP", " STOP\n", "QUIT", "CANCEL", "END", "UNSUBSCRIBE", "OPTOUT", "opt out", "Opt-Out"):
        with subtests.test(word=word):
            for text in ("go on", word):
                say(emulator, text)
            refused(await api.write(chat), 403, 2024)
            refused(await api.post("/v3/chats", json={"from": OTHER_LINE, "to": [PERSON], **SEND}), 403, 2024)
            refused(await api.post("/v3/messages", json={"to": [PERSON], **SEND}), 403, 2024)
            assert len(emulator.state.chats) == 1


async def test_r69_groups_neither_mark_nor_block(emulator: Emulator, api: Api, group: Ids) -> None:
    say(emulator, "STOP", chat_id=group["chat_id"])
    assert (await api.post("/v3/chats", json={"from": LINE, "to": [PERSON], **SEND})).status_code == 201
    say(emulator, "STOP")
    assert (await api.write(group)).status_code == 202


async def test_r71_r72_an_override_lets_one_through_and_any_word_all(emulator: Emulator, api: Api, chat: Ids) -> None:
    say(emulator, "STOP")
    assert (await api.write(chat, override=True)).status_code == 202
    refused(await api.write(chat), 403, 2024)
    say(emulator, "hello?", to=OTHER_LINE)
    assert (await api.write(chat)).status_code == 202
    assert emulator.state.chats[chat["chat_id"]].health == "HEALTHY"


async def test_r73_only_the_chat_of_the_word_shows_it(emulator: Emulator, api: Api, chat: Ids) -> None:
    other = say(emulator, to=OTHER_LINE)["chat_id"]
    say(emulator, "STOP")
    shown = [(await api.get(f"/v3/chats/{one}")).json()["health_status"]["status"] for one in (chat["chat_id"], other)]
    assert shown == ["OPTED_OUT", "HEALTHY"]


async def test_r74_r75_r76_blocked_people_cannot_write_or_be_written_to(
    emulator: Emulator, api: Api, receiver: Receiver, chat: Ids, group: Ids
) -> None:
    emulator.subscribe("https://hook.example")
    blocked = (await api.post("/v3/blocked_handles", json={"handle": PERSON, "reason": "spam"})).json()
    assert (await api.post("/v3/blocked_handles", json={"handle": PERSON})).json() == blocked
    assert say(emulator)["message_id"] is None
    await emulator.flush()
    assert receiver.types == []
    refused(await api.write(chat), 403, 2026)
    assert (await api.write(group)).status_code == 202
    await api.post("/v3/blocked_handles", json={"handle": "Ana@Example.com"})
    listed = (await api.get("/v3/blocked_handles")).json()["blocked_handles"]
    assert [one["handle"] for one in listed] == ["ana@example.com", PERSON]
    assert (await api.request("DELETE", "/v3/blocked_handles", json={"handle": PERSON})).status_code == 204
    refused(await api.request("DELETE", "/v3/blocked_handles", json={"handle": PERSON}), 404, 2001)
    assert (await api.write(chat)).status_code == 202


async def test_r77_five_edits_within_fifteen_minutes_of_own_texts(emulator: Emulator, api: Api, chat: Ids) -> None:
    mine = (await api.sent(chat))["id"]
    path = f"/v3/messages/{mine}"
    refused(await api.patch(f"/v3/messages/{chat['message_id']}", json={"text": "a"}), 409, 1005)
    refused(await api.patch(path, json={"text": "a", "part_index": 1}), 400, 1005)
    for number in range(5):
        edited = (await api.patch(path, json={"text": str(number)})).json()
        assert edited["parts"][0]["value"] == str(number)
    assert edited["updated_at"] > edited["created_at"]
    refused(await api.patch(path, json={"text": "six"}), 409, 1005)
    late = (await api.sent(chat))["id"]
    emulator.advance(1)
    emulator.advance(901)
    refused(await api.patch(f"/v3/messages/{late}", json={"text": "a"}), 409, 1005)


async def test_r78_a_deleted_message_is_gone_from_the_api(api: Api, chat: Ids) -> None:
    path = f"/v3/messages/{chat['message_id']}"
    assert (await api.delete(path)).status_code == 204
    refused(await api.get(path), 404, 2002)
    refused(await api.delete(path), 404, 2002)
    assert (await api.get(f"/v3/chats/{chat['chat_id']}/messages")).json() == {"messages": [], "next_cursor": None}


async def test_r79_a_thread_is_its_beginning_and_every_reply(emulator: Emulator, api: Api, chat: Ids) -> None:
    def reply(to: str) -> str:
        return say(emulator, reply_to={"message_id": to})["message_id"] or ""

    first = reply(chat["message_id"])
    second = reply(first)
    alone = say(emulator)["message_id"]

    async def thread(message_id: str, **params: str) -> list[str]:
        answer = await api.get(f"/v3/messages/{message_id}/thread", params=params)
        return [one["id"] for one in answer.json()["messages"]]

    assert await thread(first) == await thread(second) == [chat["message_id"], first, second]
    assert await thread(first, order="desc") == [second, first, chat["message_id"]]
    assert await thread(alone or "") == [alone]


async def test_r80_each_participant_has_one_tapback_per_part(
    emulator: Emulator, api: Api, receiver: Receiver, chat: Ids
) -> None:
    emulator.subscribe("https://hook.example")
    path = f"/v3/messages/{chat['message_id']}/reactions"

    async def react(operation: str, kind: str, **more: Any) -> list[str]:
        receiver.clear()
        assert (await api.post(path, json={"operation": operation, "type": kind, **more})).status_code == 202
        await emulator.flush()
        return list(receiver.types)

    assert await react("add", "love") == ["reaction.added"]
    assert await react("add", "love") == []
    assert await react("add", "like") == ["reaction.removed", "reaction.added"]
    assert await react("remove", "love") == []
    assert await react("remove", "like") == ["reaction.removed"]
    assert await react("add", "custom", custom_emoji="🚀") == ["reaction.added"]
    emulator.do(React(from_=PERSON, message_id=chat["message_id"], type="question"))
    reactions = (await api.get(f"/v3/messages/{chat['message_id']}")).json()["parts"][0]["reactions"]
    assert [(one["type"], one["is_me"]) for one in reactions] == [("custom", True), ("question", False)]


async def test_r81_r83_stickers_stack_and_need_imessage_and_an_image_that_linq_has(
    emulator: Emulator, api: Api, chat: Ids
) -> None:
    path = f"/v3/messages/{chat['message_id']}/reactions"
    sticker = {"operation": "add", "type": "sticker", "emoji": "🚀", "placement": {"scale": 99}}
    for _ in range(2):
        assert (await api.post(path, json=sticker)).status_code == 202
    on_sms = say(emulator, from_=FOURTH, service="SMS")["message_id"]
    refused(await api.post(f"/v3/messages/{on_sms}/reactions", json=sticker), 400, 1005)
    elsewhere = {"operation": "add", "type": "sticker", "url": "https://example.com/a.png"}
    refused(await api.post(path, json=elsewhere), 400, 1005)
    refused(await api.post(path, json={"operation": "add", "type": "love", "part_index": 7}), 400, 1005)
    one, two = emulator.state.messages[chat["message_id"]].reactions
    assert one.placement == two.placement == StickerPlacement(x=0, y=0, scale=2.5, rotation=0)
    assert one.sticker
    assert one.sticker.url
    own = {"operation": "add", "type": "sticker", "url": one.sticker.url}
    assert (await api.post(path, json=own)).status_code == 202
    picture = await api.get(one.sticker.url)
    assert (picture.headers["content-type"], "🚀" in picture.text) == ("image/svg+xml", True)


async def test_r81_the_image_of_a_sticker_is_uploaded_first(api: Api, chat: Ids) -> None:
    asked = {"filename": "cat.png", "content_type": "image/png", "size_bytes": 4}
    upload = (await api.post("/v3/attachments", json=asked)).json()
    path = f"/v3/messages/{chat['message_id']}/reactions"
    image = {"operation": "add", "type": "sticker"}
    for place in ({"attachment_id": upload["attachment_id"]}, {"url": upload["download_url"]}):
        refused(await api.post(path, json=image | place), 400, 1005)
    await api.put(upload["upload_url"], content=b"\x89PNG", headers=upload["required_headers"])
    for place in ({"attachment_id": upload["attachment_id"]}, {"url": upload["download_url"]}):
        assert (await api.post(path, json=image | place)).status_code == 202


async def test_r84_only_stickers_move_and_what_a_move_leaves_out_stays(emulator: Emulator, api: Api, chat: Ids) -> None:
    path = f"/v3/messages/{chat['message_id']}/reactions"
    place = {"x": 0.5, "y": -0.5, "rotation": 30}
    await api.post(path, json={"operation": "add", "type": "sticker", "emoji": "🚀", "placement": place})
    emulator.do(React(from_=PERSON, message_id=chat["message_id"], type="love"))
    one, love = emulator.state.messages[chat["message_id"]].reactions
    refused(await api.patch(f"{path}/{love.id}", json={"placement": {"x": 0}}), 400, 1005)
    refused(await api.patch(f"{path}/{NOBODY}", json={"placement": {"x": 0}}), 404, 2001)
    assert (await api.patch(f"{path}/{one.id}", json={"placement": {"x": 0}})).status_code == 202
    assert one.placement == StickerPlacement(x=0, y=-0.5, scale=0.5, rotation=30)
    await api.patch(f"{path}/{one.id}", json={"placement": {"scale": 9, "y": None}})
    assert one.placement == StickerPlacement(x=0, y=-0.5, scale=2.5, rotation=30)


@pytest.fixture
async def card(emulator: Emulator, api: Api, chat: Ids) -> dict[str, Any]:
    """An app card on its way: its message."""
    return await api.sent(chat, {**CARD, "url": "https://e.example/card", "fallback_text": "Look"})


async def test_r85_an_app_card_is_updated_by_a_new_message_once_it_was_sent(
    emulator: Emulator, api: Api, chat: Ids, card: dict[str, Any]
) -> None:
    update, new = f"/v3/messages/{card['id']}/update", {"layout": {"caption": "New"}}
    refused(await api.post(update, json=new), 409, 1005)
    emulator.advance(1)
    sent = (await api.post(update, json=new | {"app": CARD["app"] | {"name": "Other"}})).json()["message"]
    (part,) = sent["parts"]
    assert sent["id"] != card["id"]
    assert (part["app"]["name"], part["layout"]["caption"], part["fallback_text"]) == ("App", "New", None)
    refused(await api.post(f"/v3/messages/{chat['message_id']}/update", json=new), 400, 1005)


async def test_r85_the_new_card_may_open_an_experience(emulator: Emulator, api: Api, card: dict[str, Any]) -> None:
    emulator.advance(1)
    update, layout = f"/v3/messages/{card['id']}/update", {"caption": "Pay"}

    def opening(**params: str) -> dict[str, Any]:
        return {"layout": layout, "experience": {"name": "link", "action": "open", "params": params}}

    for wrong in (opening(colour="red"), {"layout": layout, "experience": "link"}, {"layout": layout, "app": "App"}):
        refused(await api.post(update, json=wrong), 400, 1005)
    (part,) = (await api.post(update, json=opening(url="https://e.example/pay"))).json()["message"]["parts"]
    assert (part["url"], part["layout"]["caption"]) == ("https://e.example/pay", "Pay")
    assert part["app"]["bundle_id"] == "com.example.app"


async def test_r86_r87_r88_polls(emulator: Emulator, api: Api, receiver: Receiver, chat: Ids) -> None:
    path = f"/v3/chats/{chat['chat_id']}/polls"
    refused(await api.post(path, json={"poll": {"options": [{"text": "a"}]}}), 400, 1005)
    sms = say(emulator, from_=FOURTH, service="SMS")["chat_id"]
    asked = {"poll": {"options": [{"text": "a"}, {"text": "b"}], "idempotency_key": "p"}}
    refused(await api.post(f"/v3/chats/{sms}/polls", json=asked), 400, 1005)
    made = (await api.post(path, json=asked)).json()
    assert (await api.post(path, json=asked)).json() == made
    poll = f"/v3/messages/{made['message_id']}/poll"
    emulator.subscribe("https://hook.example")
    option = made["poll"]["options"][1]["option_id"]
    vote = {"operation": "add", "option_id": option}
    for _ in range(2):
        voted = (await api.post(f"{poll}/votes", json=vote)).json()["poll"]
    assert (voted["total_voters"], [len(one["voters"]) for one in voted["options"]]) == (1, [0, 1])
    refused(await api.post(f"{poll}/votes", json=vote | {"option_id": NOBODY}), 404, 2001)
    emulator.do(Vote(from_=PERSON, message_id=made["message_id"], option_id=option))
    await api.post(f"{poll}/votes", json=vote | {"operation": "remove"})
    added = (await api.post(f"{poll}/options", json={"options": [{"text": "c"}]})).json()
    assert [one["text"] for one in added["poll"]["options"]] == ["a", "b", "c"]
    emulator.state.lines[LINE].zero_retention = True
    refused(await api.post(f"{poll}/options", json={"options": [{"text": "d"}]}), 400, 1005)
    whole = {"options": [{"text": text} for text in "abcd"]}
    assert len((await api.post(f"{poll}/options", json=whole)).json()["poll"]["options"]) == 4
    refused(await api.get(f"/v3/messages/{chat['message_id']}/poll"), 404, 2002)
    await emulator.flush()
    assert receiver.types == ["poll.vote.added"] * 2 + ["poll.vote.removed"] + ["poll.updated"] * 2
    assert receiver.events[-1]["data"]["added_options"][0]["text"] == ""


async def test_thirty_messages_a_minute_for_each_line_and_recipient(emulator: Emulator, api: Api, chat: Ids) -> None:
    for _ in range(30):
        assert (await api.write(chat)).status_code == 202
        emulator.advance(1)
    answer = await api.write(chat)
    assert refused(answer, 429, 1007)["retry_after"] == int(answer.headers["retry-after"]) == 30
    other = {"from": OTHER_LINE, "to": [PERSON], **SEND}
    assert (await api.post("/v3/chats", json=other)).status_code == 201
    emulator.advance(30)
    assert (await api.write(chat)).status_code == 202


async def test_receipts_and_reactions_do_not_change_updated_at(emulator: Emulator, api: Api, chat: Ids) -> None:
    mine = (await api.sent(chat))["id"]
    emulator.advance(5)
    emulator.do(Read(from_=PERSON, chat_id=chat["chat_id"]))
    emulator.do(React(from_=PERSON, message_id=mine, type="love"))
    shown = (await api.get(f"/v3/messages/{mine}")).json()
    assert (shown["delivery_status"], shown["is_read"], shown["is_delivered"]) == ("read", True, True)
    assert shown["updated_at"] == shown["created_at"]


async def test_reading_marks_what_the_person_wrote(api: Api, chat: Ids) -> None:
    before = (await api.get(f"/v3/messages/{chat['message_id']}")).json()
    await api.post(f"/v3/chats/{chat['chat_id']}/read")
    after = (await api.get(f"/v3/messages/{chat['message_id']}")).json()
    assert (before["delivery_status"], after["delivery_status"], bool(after["read_at"])) == ("received", "read", True)
