"""R19-R48: the content of messages.

The rules themselves have their own tests. These tests check that the emulator answers with Linq's refusal and sends
nothing, or that allowed content arrives.
"""

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
Refuses: TypeAlias = Callable[..., Awaitable[None]]


@pytest.fixture
def send(api: httpx.AsyncClient, chat: dict[str, str]) -> Send:
    """Return a function that sends parts into the chat. Named arguments are further fields of the message."""

    async def post(*parts: Any, **more: Any) -> httpx.Response:
        message = {"parts": list(parts), **more} if parts else more
        return await api.post(f"/v3/chats/{chat['chat_id']}/messages", json={"message": message})

    return post


@pytest.fixture
def refuses(emulator: Emulator, send: Send, refused: Any) -> Refuses:
    """Return a function that sends parts, and checks that they are refused and nothing is sent."""

    async def check(*parts: Any, status: int = 400, code: int = 1004, **more: Any) -> None:
        refused(await send(*parts, **more), status, code)
        assert len(emulator.state.messages) == 1

    return check


def text(value: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"type": "text", "value": value, **more}


def decorated(*spans: Any) -> dict[str, Any]:
    return text(text_decorations=[{"range": [start, end], **look} for start, end, look in spans])


async def test_r19_parts_or_an_experience(refuses: Refuses) -> None:
    await refuses()
    await refuses(HI, experience={"name": "link", "action": "open"})


async def test_r20_one_to_a_hundred_parts(refuses: Refuses, send: Send) -> None:
    await refuses(parts=[])
    await refuses(*[HI, MEDIA] * 50, HI)
    assert (await send(*[HI, {**MEDIA, "url": "https://cdn.linqapp.com/a.png"}] * 50)).status_code == 202


async def test_r21_forty_media_by_address(refuses: Refuses, send: Send) -> None:
    await refuses(*[MEDIA] * 41)
    assert (await send(*[MEDIA] * 40, {**MEDIA, "url": "https://cdn.linqapp.com/a.png"})).status_code == 202


async def test_r22_no_two_texts_in_a_row(refuses: Refuses, send: Send) -> None:
    await refuses(HI, HI)
    assert (await send(HI, MEDIA, HI)).status_code == 202


async def test_r23_a_link_stands_alone(refuses: Refuses, send: Send) -> None:
    await refuses(HI, LINK)
    assert (await send(LINK)).status_code == 202


async def test_r24_an_app_card_stands_alone(refuses: Refuses, send: Send) -> None:
    await refuses(HI, CARD)
    assert (await send(CARD)).status_code == 202


async def test_r25_an_app_clip_stands_alone_and_is_https(refuses: Refuses, send: Send) -> None:
    await refuses(CLIP, HI)
    await refuses({**CLIP, "value": "http://example.com"})
    assert (await send(CLIP)).status_code == 202


async def test_r26_a_link_has_at_most_2048_characters(refuses: Refuses) -> None:
    await refuses({**LINK, "value": "https://example.com/" + "x" * 2029})


async def test_r27_a_text_is_not_empty_and_sent_as_it_is(refuses: Refuses, send: Send) -> None:
    await refuses(text(""))
    assert (await send(text("**not bold**"))).json()["message"]["parts"][0]["value"] == "**not bold**"


async def test_r28_media_comes_from_one_place(refuses: Refuses) -> None:
    await refuses({"type": "media"})
    await refuses({**MEDIA, "attachment_id": "00000000-0000-4000-8000-000000000000"})


async def test_r29_media_is_https(refuses: Refuses) -> None:
    await refuses({**MEDIA, "url": "http://example.com/a.png"})
    await refuses({**MEDIA, "url": "file:///etc/passwd"})


async def test_r31_a_sticker_goes_with_text_and_is_plain_media_on_sms(emulator: Emulator, send: Send) -> None:
    answer = (await send(HI, {**MEDIA, "sticker": True})).json()["message"]
    assert [part["type"] for part in answer["parts"]] == ["text", "media"]
    emulator.do(Write(from_=PERSON, to=LINE, parts=[HI], service="SMS"))
    answer = (await send({**MEDIA, "sticker": True})).json()["message"]
    assert (answer["service"], answer["parts"][0]["mime_type"]) == ("SMS", "image/png")


async def test_r33_one_known_effect_of_its_type(refuses: Refuses, send: Send) -> None:
    await refuses(HI, effect={"name": "rain", "type": "screen"}, code=1005)
    await refuses(HI, effect={"name": "slam", "type": "screen"}, code=1005)
    answer = await send(HI, effect={"name": "slam", "type": "bubble"})
    assert answer.json()["message"]["effect"] == {"name": "slam", "type": "bubble"}


async def test_r35_an_app_card_names_its_app(refuses: Refuses) -> None:
    await refuses({**CARD, "app": {**CARD["app"], "team_id": "abc"}})  # type: ignore[dict-item]


async def test_r36_an_app_card_shows_something(refuses: Refuses) -> None:
    await refuses({**CARD, "layout": {"image_title": "a"}})


async def test_r37_an_image_title_needs_an_image(refuses: Refuses) -> None:
    await refuses({**CARD, "layout": {"caption": "a", "image_title": "b"}})


async def test_r39_an_app_address_is_short(refuses: Refuses, send: Send) -> None:
    await refuses({**CARD, "url": "https://example.com/" + "x" * 2029})
    await refuses({**CARD, "url": "data:," + "x" * 16379})
    assert (await send({**CARD, "url": "data:," + "x" * 16378})).status_code == 202


async def test_r43_a_decoration_is_a_style_or_an_animation(refuses: Refuses) -> None:
    await refuses(decorated((0, 5, {})))
    await refuses(decorated((0, 5, {"style": "bold", "animation": "shake"})))
    await refuses(decorated((0, 5, {"style": "loud"})))


async def test_r44_ranges_count_utf16_units(refuses: Refuses, send: Send) -> None:
    await refuses(decorated((0, 12, {"style": "bold"})))
    await refuses(decorated((5, 5, {"style": "bold"})))
    cake = text("🎂", text_decorations=[{"range": [0, 2], "animation": "shake"}])
    assert (await send(cake)).json()["message"]["parts"][0]["text_decorations"][0]["range"] == [0, 2]


async def test_r45_an_animation_overlaps_nothing(refuses: Refuses, send: Send) -> None:
    await refuses(decorated((0, 5, {"animation": "shake"}), (4, 6, {"style": "bold"})))
    assert (await send(decorated((0, 5, {"style": "italic"}), (4, 6, {"style": "bold"})))).status_code == 202


@pytest.fixture
async def image(api: httpx.AsyncClient) -> str:
    body = {"filename": "a.png", "content_type": "image/png", "size_bytes": 1}
    return str((await api.post("/v3/attachments", json=body)).json()["attachment_id"])


def stuck(*spans: tuple[int, int], image: str, **more: Any) -> dict[str, Any]:
    return text(inline_stickers=[{"range": list(span), "attachment_id": image} for span in spans], **more)


async def test_r46_an_inline_sticker_has_one_image(refuses: Refuses, send: Send, image: str) -> None:
    await refuses(text(inline_stickers=[{"range": [0, 1]}]))
    await refuses(text(inline_stickers=[{"range": [0, 1], "url": "https://example.com/a.png"}]))
    answer = (await send(stuck((0, 1), image=image))).json()["message"]["parts"][0]["inline_stickers"][0]
    assert (answer["id"], answer["file_name"], answer["range"]) == (image, "a.png", [0, 1])
    by_address = await send(text(inline_stickers=[{"range": [0, 1], "url": answer["url"]}]))
    assert by_address.json()["message"]["parts"][0]["inline_stickers"] == [answer]


async def test_r47_a_hundred_stickers_of_ten_images(refuses: Refuses, image: str) -> None:
    many = [{"range": [at, at + 1], "attachment_id": image} for at in range(101)]
    await refuses(text("x" * 101, inline_stickers=many))
    different = [{"range": [at, at + 1], "url": f"https://cdn.linqapp.com/{at}.png"} for at in range(11)]
    await refuses(text(inline_stickers=different))


async def test_r48_stickers_overlap_and_split_nothing(refuses: Refuses, image: str) -> None:
    await refuses(stuck((0, 2), (1, 3), image=image))
    await refuses(stuck((0, 2), image=image, text_decorations=[{"range": [1, 3], "style": "bold"}]))
    await refuses(stuck((1, 3), image=image, value="🎂🎂") | {"value": "🎂🎂"})
    await refuses(stuck((0, 2), image=image, mention=PERSON))


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
