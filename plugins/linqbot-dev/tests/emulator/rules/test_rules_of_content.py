"""R19-R48: the content of messages. The rules have tests of their own, in tests/rules."""

from __future__ import annotations

from typing import Any

from emulator.conftest import CARD, HI, Api, Ids, refused, say
from linqbot_dev.emulator.emulator import Emulator

from linqbot.linq.rules import check

LINK = {"type": "link", "value": "https://example.com"}
MEDIA = {"type": "media", "url": "https://example.com/a.png"}
CLIP = {"type": "app_clip", "value": "https://example.com/clip"}


def text(value: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"type": "text", "value": value, **more}


async def test_a_broken_rule_is_the_answer_and_nothing_is_sent(emulator: Emulator, api: Api, chat: Ids) -> None:
    effect = {"effect": {"name": "slam", "type": "screen"}}
    for message in ({}, {"parts": [HI, HI]}, {"parts": [text(inline_stickers=[{"range": [0, 1]}])]}, {**effect}):
        broken = check("chats.messages.send", {"message": message})
        assert broken is not None
        answer = await api.post(f"/v3/chats/{chat['chat_id']}/messages", json={"message": message})
        assert refused(answer, broken.status, broken.code)["message"] == broken.message
        assert len(emulator.state.messages) == 1


async def test_each_kind_of_part_arrives_as_it_was_sent(api: Api, chat: Ids) -> None:
    rows: list[list[dict[str, Any]]] = [[text("**not bold**"), MEDIA, HI], [LINK], [CARD], [CLIP]]
    rows.append([text("\N{BIRTHDAY CAKE}", text_decorations=[{"range": [0, 2], "animation": "shake"}])])
    for parts in rows:
        shown = (await api.sent(chat, *parts))["parts"]
        for part, found in zip(parts, shown, strict=True):
            names = part.keys() & {"type", "value", "url", "text_decorations"}
            assert {name: found[name] for name in names} == {name: part[name] for name in names}
    effect = {"name": "slam", "type": "bubble"}
    assert (await api.sent(chat, effect=effect))["effect"] == effect


async def test_r31_a_sticker_goes_with_text_and_is_plain_media_on_sms(emulator: Emulator, api: Api, chat: Ids) -> None:
    sticker = {**MEDIA, "sticker": True}
    assert [part["type"] for part in (await api.sent(chat, HI, sticker))["parts"]] == ["text", "media"]
    say(emulator, service="SMS")
    sent = await api.sent(chat, sticker)
    assert (sent["service"], sent["parts"][0]["mime_type"]) == ("SMS", "image/png")


async def test_r46_an_inline_sticker_has_the_name_and_the_address_of_its_image(api: Api, chat: Ids) -> None:
    body = {"filename": "a.png", "content_type": "image/png", "size_bytes": 1}
    image = (await api.post("/v3/attachments", json=body)).json()["attachment_id"]

    async def stuck(**place: Any) -> dict[str, Any]:
        sent = await api.sent(chat, text(inline_stickers=[{"range": [0, 1], **place}]))
        return dict(sent["parts"][0]["inline_stickers"][0])

    by_id = await stuck(attachment_id=image)
    assert (by_id["id"], by_id["file_name"], by_id["range"]) == (image, "a.png", [0, 1])
    assert await stuck(url=by_id["url"]) == by_id
