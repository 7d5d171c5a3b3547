"""R19-R48: the content of messages. The rules have tests of their own, in tests/rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import httpx
import pytest

from linqbot.clock import MovableClock
from linqbot.emulator.acts.conversation import Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app
from linqbot.linq.rules import check

LINE, PERSON = "+12025550100", "+14155550142"
HI = {"type": "text", "value": "hello there"}
LINK = {"type": "link", "value": "https://example.com"}
MEDIA = {"type": "media", "url": "https://example.com/a.png"}
CARD = {
    "type": "imessage_app",
    "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App"},
    "layout": {"caption": "Look"},
}
CLIP = {"type": "app_clip", "value": "https://example.com/clip"}

pytestmark = pytest.mark.anyio

Send: TypeAlias = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def send(api: httpx.AsyncClient, chat: dict[str, str]) -> Send:
    """Return a function that sends parts into the chat. Named arguments are further fields of the message."""

    async def post(*parts: Any, **more: Any) -> httpx.Response:
        message = {"parts": list(parts), **more} if parts else more
        return await api.post(f"/v3/chats/{chat['chat_id']}/messages", json={"message": message})

    return post


def text(value: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"type": "text", "value": value, **more}


async def test_what_a_rule_refuses_is_refused_with_the_answer_of_the_rule_and_nothing_is_sent(
    emulator: Emulator, send: Send, refused: Any, subtests: pytest.Subtests
) -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"parts": [HI, HI]},
        {"parts": [text("")]},
        {"parts": [{**MEDIA, "url": "http://example.com/a.png"}]},
        {"parts": [{**CARD, "layout": {"image_title": "a"}}]},
        {"parts": [text(text_decorations=[{"range": [0, 12], "style": "bold"}])]},
        {"parts": [text(inline_stickers=[{"range": [0, 1]}])]},
        {"parts": [HI], "effect": {"name": "slam", "type": "screen"}},
    ]
    for message in rows:
        with subtests.test(message=message):
            broken = check("chats.messages.send", {"message": message})
            assert broken is not None
            assert refused(await send(**message), broken.status, broken.code)["message"] == broken.message
            assert len(emulator.state.messages) == 1


async def test_each_kind_of_part_arrives_as_it_was_sent(send: Send) -> None:
    rows: list[list[dict[str, Any]]] = [[text("**not bold**"), MEDIA, HI], [LINK], [CARD], [CLIP]]
    rows.append([text("\N{BIRTHDAY CAKE}", text_decorations=[{"range": [0, 2], "animation": "shake"}])])
    for parts in rows:
        sent = (await send(*parts)).json()["message"]["parts"]
        for part, shown in zip(parts, sent, strict=True):
            assert {name: shown[name] for name in ("type", "value", "url", "text_decorations") if name in part} == {
                name: part[name] for name in ("type", "value", "url", "text_decorations") if name in part
            }
    effect = {"name": "slam", "type": "bubble"}
    assert (await send(HI, effect=effect)).json()["message"]["effect"] == effect


async def test_r31_a_sticker_goes_with_text_and_is_plain_media_on_sms(emulator: Emulator, send: Send) -> None:
    answer = (await send(HI, {**MEDIA, "sticker": True})).json()["message"]
    assert [part["type"] for part in answer["parts"]] == ["text", "media"]
    emulator.do(Write(from_=PERSON, to=LINE, parts=[HI], service="SMS"))
    answer = (await send({**MEDIA, "sticker": True})).json()["message"]
    assert (answer["service"], answer["parts"][0]["mime_type"]) == ("SMS", "image/png")


@pytest.fixture
async def image(api: httpx.AsyncClient) -> str:
    body = {"filename": "a.png", "content_type": "image/png", "size_bytes": 1}
    return str((await api.post("/v3/attachments", json=body)).json()["attachment_id"])


async def test_r46_an_inline_sticker_has_the_name_and_the_address_of_its_image(send: Send, image: str) -> None:
    by_id = await send(text(inline_stickers=[{"range": [0, 1], "attachment_id": image}]))
    answer = by_id.json()["message"]["parts"][0]["inline_stickers"][0]
    assert (answer["id"], answer["file_name"], answer["range"]) == (image, "a.png", [0, 1])
    by_address = await send(text(inline_stickers=[{"range": [0, 1], "url": answer["url"]}]))
    assert by_address.json()["message"]["parts"][0]["inline_stickers"] == [answer]


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


@pytest.fixture
async def outside() -> AsyncIterator[httpx.AsyncClient]:
    """The API of an emulator that has a network, as when it is served."""
    async with Emulator(clock=MovableClock(frozen=True)) as emulator:
        transport = httpx.ASGITransport(create_app(emulator))
        headers = {"authorization": "Bearer test"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4010", headers=headers) as client:
            client.headers["chat"] = str(emulator.do(Write(from_=PERSON, to=LINE, parts=[HI]))["chat_id"])
            yield client


async def post(api: httpx.AsyncClient, what: str, body: dict[str, Any]) -> httpx.Response:
    return await api.post(f"/v3/chats/{api.headers['chat']}/{what}", json=body)


async def test_r29_media_on_this_machine_must_be_there_and_small(
    outside: httpx.AsyncClient, files: str, refused: Any
) -> None:
    def message(name: str, **more: Any) -> dict[str, Any]:
        return {"message": {"parts": [{"type": "media", "url": f"{files}/{name}", **more}]}}

    assert (await post(outside, "messages", message("a.txt"))).status_code == 202
    assert (await post(outside, "messages", message("a.png", sticker=True))).status_code == 202
    refused(await post(outside, "messages", message("none.png")), 400, 5007)
    refused(await post(outside, "messages", message("big")), 400, 5007)
    refused(await post(outside, "messages", message("a.txt", sticker=True)), 400, 5006)
    elsewhere = {"message": {"parts": [{"type": "media", "url": "https://nowhere.invalid/a.png"}]}}
    assert (await post(outside, "messages", elsewhere)).status_code == 202


async def test_r38_r66_images_on_this_machine_must_be_images(
    outside: httpx.AsyncClient, files: str, refused: Any
) -> None:
    def card(name: str) -> dict[str, Any]:
        return {"message": {"parts": [{**CARD, "layout": {"image_url": f"{files}/{name}"}}]}}

    assert (await post(outside, "messages", card("a.png"))).status_code == 202
    refused(await post(outside, "messages", card("a.txt")), 400, 5006)
    refused(await post(outside, "messages", card("none.png")), 400, 5007)
    photo = {"type": "photo", "image_url": f"{files}/a.txt"}
    refused(await post(outside, "background", photo), 400, 5006)
    assert (await post(outside, "background", {**photo, "image_url": f"{files}/a.png"})).status_code == 202
