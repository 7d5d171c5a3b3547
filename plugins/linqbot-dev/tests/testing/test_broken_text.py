"""Half characters in what is said, asked, stored and recorded: each door repairs them alike, on each storage."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from answers import answers
from one_handler import bot_of, does
from postgres_server import empty_storage_url
from pydantic import BaseModel, Field

from linqbot import (
    AppIdentity,
    BotError,
    Context,
    MessageContent,
    MessageReceived,
    TextDecoration,
    TextPart,
    app_card,
    markdown,
    media,
    poll,
    voice_memo,
)
from linqbot.characters import has_half
from linqbot.linq.types.message import utf16_slice
from linqbot.testing import talking

BROKEN, FIXED = "a \ud83d b \ud83d\ude00", "a \ufffd b 😀"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64
MP3 = b"ID3" + b"0" * 64
OTHER = "+14155550199"
APP = AppIdentity(team_id="ABCDE12345", bundle_id="com.example.parcels", name=BROKEN)


class Note(BaseModel):
    text: str = ""
    more: dict[str, Any] = {}


class Guest(BaseModel):
    name: str = Field(description=BROKEN)
    size: Literal["S", "M"] = Field("S", description=BROKEN)


async def chunks() -> AsyncIterator[str]:
    for letter in BROKEN:
        yield letter


async def edit(ctx: Context) -> None:
    sent = await ctx.reply("x")
    assert sent.id is not None
    await ctx.client.messages.update(sent.id, text=BROKEN)


async def write(ctx: Context) -> None:
    note = await ctx.state.person(Note)
    note.text, note.more = BROKEN, {BROKEN: [BROKEN]}


async def read(ctx: Context) -> None:
    note = await ctx.state.person(Note)
    assert (note.text, note.more) == (FIXED, {FIXED: [FIXED]})


async def record(ctx: Context) -> None:
    made = await ctx.once("made", lambda key: {"is": [BROKEN], BROKEN: 1})
    await ctx.reply(json.dumps(made, ensure_ascii=False))


async def model(ctx: Context) -> None:
    async def source(draft: Any) -> str:
        return BROKEN

    await ctx.model_step("model", source, kind=str, say=str)


async def preview(ctx: Context) -> None:
    shown = ctx.preview(BROKEN, TextPart(value=BROKEN), poll("b", BROKEN), media(PNG, filename=f"{BROKEN}.png"))
    for form in (shown.imessage, shown.rcs, shown.sms):
        for message in form.messages:
            f"{message.text}{message.files}".encode()


DECORATED = TextPart(value=f"{BROKEN} bold", text_decorations=(TextDecoration(range=(9, 13), style="bold"),))

DOORS: dict[str, tuple[Callable[[Context], Awaitable[object]], str | None]] = {
    "reply": (lambda ctx: ctx.reply(BROKEN), FIXED),
    "send": (lambda ctx: ctx.send(BROKEN), FIXED),
    "a card of a link": (
        lambda ctx: ctx.reply(f"{BROKEN} https://example.com/a now"),
        f"{FIXED} https://example.com/a now",
    ),
    "markdown": (lambda ctx: ctx.reply(markdown(f"**{BROKEN}**")), FIXED),
    "a part": (lambda ctx: ctx.reply(DECORATED), f"{FIXED} bold"),
    "a message": (lambda ctx: ctx.reply(MessageContent(parts=(TextPart(value=BROKEN),))), FIXED),
    "stream": (lambda ctx: ctx.stream(chunks()), FIXED),
    "ask": (lambda ctx: ctx.ask(BROKEN, cancel=[BROKEN]), FIXED),
    "choices": (lambda ctx: ctx.ask("?", choices=["b", BROKEN]), None),
    "vote": (lambda ctx: ctx.vote(["b", BROKEN], BROKEN), None),
    "pay": (lambda ctx: ctx.pay(500, BROKEN), None),
    "location": (lambda ctx: ctx.location(BROKEN), FIXED),
    "form": (lambda ctx: ctx.form(Guest), FIXED),
    "poll": (lambda ctx: ctx.reply(poll("b", BROKEN)), None),
    "file": (lambda ctx: ctx.reply(media(PNG, filename=f"{BROKEN}.png")), None),
    "voice memo": (lambda ctx: ctx.reply(voice_memo(MP3, text=BROKEN, filename=f"{BROKEN}.mp3")), None),
    "app card": (lambda ctx: ctx.card(app_card(APP, caption=BROKEN, fallback_text=BROKEN)), None),
    "send_later": (lambda ctx: ctx.send_later(BROKEN, after_s=60), None),
    "remind": (lambda ctx: ctx.remind(BROKEN, at=ctx.now() + timedelta(hours=2), before="1 hour"), None),
    "bot.send": (lambda ctx: ctx.bot.send(BROKEN, to=OTHER), None),
    "bot.broadcast": (lambda ctx: ctx.bot.broadcast([OTHER], BROKEN, name="july"), None),
    "client": (
        lambda ctx: ctx.client.chats.messages.send(ctx.chat_id, message={"parts": [{"type": "text", "value": BROKEN}]}),
        FIXED,
    ),
    "edit": (edit, FIXED),
    "reaction": (lambda ctx: ctx.react("custom", custom_emoji="\ud83d\ude00"), None),
    "state": (write, None),
    "state again": (read, None),
    "once": (record, json.dumps({"is": [FIXED], FIXED: 1}, ensure_ascii=False)),
    "model_step": (model, FIXED),
    "preview": (preview, None),
    "consent": (lambda ctx: ctx.bot.record_consent(OTHER, given=True, how=f"{BROKEN}\0"), None),
    "handoff": (
        lambda ctx: ctx.handoff(to=OTHER, say=BROKEN, summary=BROKEN, name=BROKEN, owner_name=BROKEN),
        FIXED,
    ),
    "mute": (lambda ctx: ctx.mute(for_s=1, reason=f"{BROKEN}\0"), None),
}


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.process)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return empty_storage_url("broken_text")
    return f"sqlite:///{tmp_path}/bot.db" if request.param == "sqlite" else "memory://"


async def test_half_characters_are_repaired_at_each_door_on_each_storage(
    storage_url: str, subtests: pytest.Subtests
) -> None:
    async def go_through(message: MessageReceived, ctx: Context) -> None:
        await DOORS[message.text][0](ctx)

    async with talking(bot_of(go_through), storage=storage_url) as phone:
        for number, (name, (_, said)) in enumerate(DOORS.items()):
            with subtests.test(name):
                # "state again" reads what "state" has stored.
                person = phone if name.startswith("state") else phone.person(f"+141555502{number:02}")
                told = await answers(person, name)
                assert said is None or said in [str(each) for each in told]
        bodies = [json.dumps(call.body, ensure_ascii=False) for call in phone.calls]
    assert [body for body in bodies if has_half(body)] == []
    assert sum(FIXED in body for body in bodies) > len(DOORS) / 2


async def test_the_ranges_of_a_repaired_text_stay_at_their_words() -> None:
    async with talking(bot_of(does(lambda ctx: ctx.reply(DECORATED)))) as phone:
        await phone.text("hi")
        (part,) = (await phone.next_reply()).message.parts
    assert isinstance(part, TextPart)
    assert part.value == f"{FIXED} bold"
    assert [utf16_slice(part.value, *each.range) for each in part.text_decorations or () if each.range] == ["bold"]


async def test_a_repaired_choice_is_chosen_by_what_the_person_reads() -> None:
    chosen: list[str] = []

    async def choose(message: MessageReceived, ctx: Context) -> None:
        chosen.append(await ctx.ask("Which?", choices=["b", BROKEN]))
        with pytest.raises(BotError, match="two choices are equal"):
            await ctx.ask("Which?", choices=["\ud83d", "\ud83e"])

    async with talking(bot_of(choose)) as phone:
        await answers(phone, "go", FIXED)
    assert chosen == [FIXED]


async def test_a_returned_text_and_the_words_of_the_bot_are_repaired() -> None:
    async def answer(message: MessageReceived, ctx: Context) -> str:
        if message.text == "ask":
            await ctx.ask("?", timeout_s=60)
        return BROKEN

    async with talking(bot_of(answer, on_ask_timeout=BROKEN)) as phone:
        assert await answers(phone, "hi") == [FIXED]
        await answers(phone, "ask")
        await phone.advance(120)
        assert await phone.replies() == [FIXED]
