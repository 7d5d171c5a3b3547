"""Received media: fetched and saved by a handler, with the reason if a file is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from linqbot_dev.emulator.emulator import Emulator
from one_handler import bot_of

from linqbot import BotError, Context, MediaPart, MessageReceived, has_media
from linqbot.errors import FetchFailed
from linqbot.testing import Bubble, Phone, killed_between_calls, talking

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
CAF = b"caff\x00\x01\x00\x00desc"
OWNER = "+14155550199"


async def test_a_handler_fetches_a_file_and_its_content_says_what_it_is() -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        [part] = message.media
        file = await part.fetch()
        await ctx.reply(f"{file.mime_type} {len(file.content)} {part.is_heic} {part.is_voice_memo} {file.unavailable}")

    async with talking(bot_of(look)) as phone:
        await phone.media(HEIC, "IMG_1.HEIC")
        assert await phone.next_reply() == f"image/heic {len(HEIC)} True False None"
        await phone.media(HEIC, "renamed.jpg")
        assert await phone.next_reply() == f"image/heic {len(HEIC)} False False None"
        await phone.voice_memo(CAF)
        assert await phone.next_reply() == f"audio/x-caf {len(CAF)} False True None"
        await phone.media(b"\xff\xfb", "song.mp3")
        assert await phone.next_reply() == "audio/mpeg 2 False False None"


async def test_a_voice_memo_of_an_iphone_is_caf_though_linq_says_mp4() -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        [part] = message.media
        await ctx.reply(f"{part.mime_type} {part.is_caf}")

    async with talking(bot_of(look)) as phone:
        await phone.voice_memo(CAF)
        assert await phone.next_reply() == "audio/mp4 True"
        await phone.voice_memo(b"m4a", "Recording.m4a")
        assert await phone.next_reply() == "audio/x-m4a False"


async def test_a_handler_saves_a_file_and_limits_are_kept(tmp_path: Path) -> None:
    async def keep(message: MessageReceived, ctx: Context) -> None:
        saved = await message.media[0].save(tmp_path / "kept", max_bytes=20)
        await ctx.reply(saved.unavailable or f"{saved.size_bytes} bytes of {saved.mime_type}")

    async with talking(bot_of(keep)) as phone:
        await phone.media(CAF, "Audio.caf")
        assert await phone.next_reply() == f"{len(CAF)} bytes of audio/x-caf"
        assert (tmp_path / "kept").read_bytes() == CAF
        await phone.media(b"x" * 21, "big.jpg")
        assert "larger than 20 bytes" in await phone.next_reply()
        assert (tmp_path / "kept").read_bytes() == CAF


async def test_a_file_that_is_gone_has_a_reason_and_an_expired_address_is_asked_for_again() -> None:
    server = list[Emulator]()

    async def look(message: MessageReceived, ctx: Context) -> None:
        [part] = message.media
        expired = part.model_copy(update={"url": f"{part.url}".replace(f"{part.id}", "expired")})
        found = await expired.fetch()
        server[0].state.attachments.clear()
        gone = await expired.fetch()
        await ctx.reply(f"{found.content!r} {found.unavailable}", f"{gone.content!r} {gone.unavailable}", cards=False)

    async with talking(bot_of(look)) as phone:
        server.append(phone.emulator)
        await phone.media(b"photo", "a.jpg")
        found, gone = await phone.replies()
        assert found == "b'photo' None"
        assert gone.startswith("b'' http://127.0.0.1:4010 responded with 404.")


async def test_a_test_can_make_files_unavailable() -> None:
    async def look(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply((await message.media[0].fetch()).unavailable or "seen", cards=False)

    async with talking(bot_of(look)) as phone:
        phone.fail_next("GET /attachments", status=404, times=50)
        await phone.media(b"photo", "a.jpg")
        assert "responded with 404" in await phone.next_reply()
        assert {call.status for call in phone.calls if call.path.startswith("/attachments/")} == {404}

    async with talking(bot_of(look)) as phone:
        phone.drop_next("/attachments", times=3)
        await phone.media(b"photo", "a.jpg")
        assert "sent no complete response" in await phone.next_reply()
        await phone.media(b"photo", "a.jpg")
        assert await phone.next_reply() == "seen"


async def test_a_part_cannot_be_fetched_outside_of_a_handler() -> None:
    with pytest.raises(BotError, match=r"client\.fetch\(part\)"):
        await MediaPart(url="https://example.com/a.jpg").fetch()


@pytest.mark.slow
async def test_a_received_file_is_sent_on_although_its_address_has_expired() -> None:
    async def pass_on(message: MessageReceived, ctx: Context) -> None:
        [part] = message.media
        expired = part.model_copy(update={"url": f"{part.url}".replace(f"{part.id}", "expired")})
        await ctx.reply("You sent:", expired)
        await ctx.bot.send("Look:", expired, to=OWNER)
        await ctx.send_later("Do you remember?", expired, after_s=7200)
        assert await ctx.ask(expired) == "yes"

    async for phone in killed_between_calls(bot_of(pass_on, has_media), _passing_on):
        files = [[part for part in each.message.parts if isinstance(part, MediaPart)] for each in phone.messages]
        assert [part.filename for parts in files for part in parts] == ["a.jpg"] * 4, phone.killed
        uploads = [call for call in phone.calls if call.name == "attachments.create" and call.is_accepted]
        assert phone.killed or len(uploads) == 1


async def _passing_on(phone: Phone) -> None:
    owner = phone.person(OWNER)
    await phone.media(b"photo", "a.jpg")
    reply, question = await phone.replies()
    passed = await owner.next_reply()
    contents = [phone.emulator.state.attachments[_file(each).id or ""].content for each in (reply, passed, question)]
    assert contents == [b"photo"] * 3
    phone.emulator.state.attachments.pop(_file(phone.messages[0]).id or "")
    await phone.text("yes")
    await phone.advance(7201)
    assert _file(await phone.next_reply()).filename == "a.jpg"


def _file(bubble: Bubble) -> MediaPart:
    [part] = [part for part in bubble.message.parts if isinstance(part, MediaPart)]
    return part


async def test_sending_on_a_file_that_is_gone_is_an_error_that_says_so() -> None:
    async def pass_on(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply(message.media[0])
        except FetchFailed as error:
            await ctx.reply(str(error), cards=False)

    async with talking(bot_of(pass_on, has_media)) as phone:
        phone.fail_next("GET /attachments", status=404, times=50)
        await phone.media(b"photo", "a.jpg")
        assert "responded with 404. The URL may have expired" in await phone.next_reply()
