"""Names of Linq that an author writes, and those that arrive: known, misspelt, and new at Linq."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from linqbot_dev.emulator.acts.conversation import React, SetBackground, Write
from one_handler import bot_of
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived, ReactionAdded, UnknownEvent, voice_memo
from linqbot.errors import BotError, RuleBroken
from linqbot.linq.types.message import Effect, MessageContent, UnknownPart
from linqbot.testing import talking

pytestmark = pytest.mark.usefixtures("no_name_met")

HOLOGRAM = {"type": "hologram", "value": "x", "depth": 3}

VERBS: list[tuple[str, Callable[[Context, str], Any], str, str, str]] = [
    ("react", lambda ctx, name: ctx.react(name), "like", "lkie", "image2"),
    ("effect", lambda ctx, name: ctx.reply("hi", effect=name), "slam", "slamm", "swirl"),
    ("Effect", lambda ctx, name: ctx.reply("hi", effect=Effect(name=name, type="bubble")), "loud", "luod", "jello"),
    ("effect of a card's type", lambda ctx, name: ctx.send("hi", effect=Effect(type=name)), "screen", "scren", "desk"),
    ("color", lambda ctx, name: ctx.chat.set_background(name), "mango", "mago", "khaki"),
    ("scene", lambda ctx, name: ctx.chat.set_background(f"{name} dark"), "water", "watr", "desert"),
    ("variant", lambda ctx, name: ctx.chat.set_background(f"sky {name}"), "dusk", "duks", "eclipse"),
    (
        "service",
        lambda ctx, name: ctx.reply(MessageContent.model_validate({"parts": [{"type": "text", "value": "hi"}], "preferred_service": name})),
        "iMessage",
        "iMesage",
        "satellite2",
    ),
    (
        "part",
        lambda ctx, name: ctx.reply(UnknownPart.model_validate({"type": name, "value": "hi"})),
        "text",
        "txet",
        "wormhole",
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", VERBS, ids=[row[0] for row in VERBS])
async def test_a_verb_sends_a_new_name_with_one_warning_and_refuses_a_misspelt_one(row: tuple[Any, ...]) -> None:
    _, act, known, near, new = row
    refused: list[str] = []

    async def use(message: MessageReceived, ctx: Context) -> None:
        try:
            await act(ctx, message.text)
        except (RuleBroken, BotError) as error:
            refused.append(str(error))

    async with talking(bot_of(use, read=False, typing=False)) as phone:
        for name, is_refused, is_new in ((known, False, False), (near, True, False), (new, False, True)):
            refused.clear()
            before = len(phone.calls)
            with capture_logs() as logs:
                await phone.text(name)
                await phone.text(name)
                await phone.quiet()
            assert len(refused) == (2 if is_refused else 0), name
            assert all("Did you mean" in said for said in refused)
            assert (len(phone.calls) == before) is is_refused, name
            warned = [one for one in logs if one["event"] == "linq.unknown"]
            assert [one["value"] for one in warned] == ([new] if is_new else []), name


async def test_a_question_and_a_handler_take_a_new_reaction() -> None:
    bot = Bot(read=False, typing=False)
    answers: list[Any] = []

    with capture_logs() as logs:

        @bot.on_reaction("puzzle")
        async def puzzled(event: ReactionAdded, ctx: Context) -> None:
            answers.append(event.reaction_type)

    assert [one["value"] for one in logs] == ["puzzle"]

    @bot.on_message
    async def ask(message: MessageReceived, ctx: Context) -> None:
        answers.append(await ctx.ask("Sure?", yes="wave"))

    async with talking(bot) as phone:
        await phone.text("hi")
        question = await phone.next_reply()
        await phone.react(question, "wave")
        await phone.quiet()
        await phone.react(question, "puzzle")
        await phone.quiet()
    assert answers == [True, "puzzle"]
    for wrong in ("lvoe", "❤️"):
        with pytest.raises(BotError, match="There is no reaction"):
            bot.on_reaction(wrong)


async def test_a_voice_memo_of_a_handler_may_notify() -> None:
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(voice_memo(b"x", filename="a.m4a", force_notify=True))
        await ctx.reply(voice_memo(b"y", filename="b.m4a"))

    async with talking(bot_of(answer)) as phone:
        await phone.text("hi")
        await phone.quiet()
        first, second = (call.body for call in phone.calls if call.name == "chats.send_voicememo")
        assert (first["force_notify"], "force_notify" in second) == (True, False)


async def test_what_is_new_at_linq_reaches_handlers() -> None:
    bot, seen = Bot(read=False, typing=False), list[Any]()

    @bot.on_message
    async def message(event: MessageReceived, ctx: Context) -> None:
        effect, part = event.effect, event.parts[0]
        seen.append((event.text, effect and effect.name, event.service, part.type, part.model_extra))

    @bot.on_reaction
    async def reaction(event: ReactionAdded, ctx: Context) -> None:
        seen.append((event.reaction_type, event.sticker and event.sticker.url))

    @bot.on(UnknownEvent)
    async def other(event: UnknownEvent, ctx: Context) -> None:
        seen.append((event.type, event.data))

    with capture_logs() as logs:
        async with talking(bot, service="pigeon") as phone:
            for _ in range(2):
                bubble = await phone.text("hi", effect="confettissimo9")
            await phone.react(bubble, "wink")
            hologram = Write(from_=phone.handle, to=phone.line, parts=[HOLOGRAM])
            image = "https://e.example/i.png"
            phone.emulator.do(React(from_=phone.handle, message_id=bubble.id, type="picture", url=image))
            phone.emulator.do(hologram)
            await phone.quiet()
            await phone.event("message.translated", {"chat": {"id": "c"}})
            await phone.event("phone_number.assigned", {"phone_number": phone.line, "mood": "gloomy"})
            await phone.quiet()
    assert seen == [
        ("hi", "confettissimo9", "pigeon", "text", {}),
        ("hi", "confettissimo9", "pigeon", "text", {}),
        ("wink", None),
        ("picture", "https://e.example/i.png"),
        ("", None, "pigeon", "hologram", {"value": "x", "depth": 3}),
        ("message.translated", {"chat": {"id": "c"}}),
    ]
    warned = Counter(str(one.get("value") or one["field"]) for one in logs if one["event"] == "linq.unknown")
    new = ("pigeon", "confettissimo9", "wink", "picture", "hologram", "message.translated", "PhoneNumberAssigned.mood")
    assert warned == dict.fromkeys(new, 1)


async def test_an_act_of_the_emulator_refuses_a_misspelt_name_only() -> None:
    for fields in ({"type": "lvoe"}, {"type": "stickr"}):
        with pytest.raises(ValueError, match="Did you mean"):
            React(from_="+14155550142", message_id="m", **fields)
    with pytest.raises(ValueError, match="Did you mean"):
        SetBackground(from_="+14155550142", chat_id="c", type="colour")
    assert SetBackground(from_="+14155550142", chat_id="c", type="gradient").type == "gradient"
