"""R19-R48: the content of messages. The rules have tests of their own, in tests/rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from emulator.conftest import CARD, FRIEND, HI, Api, Ids, refused, say

from linqbot.clock import MovableClock
from linqbot.emulator.emulator import Emulator
from linqbot.linq.rules import check

LINK = {"type": "link", "value": "https://example.com"}
MEDIA = {"type": "media", "url": "https://example.com/a.png"}
CLIP = {"type": "app_clip", "value": "https://example.com/clip"}

pytestmark = pytest.mark.anyio


def text(value: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"type": "text", "value": value, **more}


async def test_what_a_rule_refuses_is_refused_with_the_answer_of_the_rule_and_nothing_is_sent(
    emulator: Emulator, api: Api, chat: Ids
) -> None:
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


# --- files on this machine --------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16


@pytest.fixture
async def files() -> AsyncIterator[str]:
    """Serve a developer's files: /a.png is an image, /a.txt is not, /big is too large, all others are 404."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        content = {"/a.png": PNG, "/a.txt": b"text", "/big": b"x" * (10 * 2**20 + 1)}.get(path)
        status = "404 Not Found" if content is None else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content or b'')}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + (content or b""))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_r29_r38_r66_media_on_this_machine_must_be_there_and_small_and_images_must_be_images(files: str) -> None:
    async with Emulator(clock=MovableClock(frozen=True)) as emulator, Api(emulator) as api:  # it has a network
        chat = say(emulator)

        def media(name: str, **more: Any) -> dict[str, Any]:
            return {"type": "media", "url": f"{files}/{name}", **more}

        def card(name: str) -> dict[str, Any]:
            return {**CARD, "layout": {"image_url": f"{files}/{name}"}}

        elsewhere = {"type": "media", "url": "https://nowhere.invalid/a.png"}
        for part in (media("a.txt"), media("a.png", sticker=True), card("a.png"), elsewhere):
            await api.sent(chat, part)
        for part, code in (
            (media("none.png"), 5007),
            (media("big"), 5007),
            (media("a.txt", sticker=True), 5006),
            (card("a.txt"), 5006),
            (card("none.png"), 5007),
        ):
            refused(await api.write(chat, part), 400, code)
        path = f"/v3/chats/{chat['chat_id']}/background"
        refused(await api.post(path, json={"type": "photo", "image_url": f"{files}/a.txt"}), 400, 5006)
        assert (await api.post(path, json={"type": "photo", "image_url": f"{files}/a.png"})).status_code == 202
        icon, group = {"group_chat_icon": f"{files}/a.txt"}, say(emulator, group=[FRIEND])
        refused(await api.put(f"/v3/chats/{group['chat_id']}", json=icon), 400, 5006)
