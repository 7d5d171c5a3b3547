"""A wrong argument is an error at once: a fault that never happens would let a test pass that tests nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from answers import answers
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.testing import talking


async def test_a_fault_names_a_part_of_a_call_that_exists() -> None:
    unknown = {
        "chat.messages.send": "Did you mean 'chats.messages.send'?",
        "chats.messages.send ": "Did you mean 'chats.messages.send'?",
        "POST /v3/chat/": "POST /v3/chats",
        "POST /chats": "POST /v3/chats",
        "GET /v3/chats/0171ed67/messagez": "POST /v3/chats",
        "GET /attachment/": "POST /v3/chats",
    }
    chat = "0171ed67-b23c-4a44-9c90-6997b4adc5cb"
    known = ["", "read", "chats.messages.send", "POST", "POST /v3/chats", f"/v3/chats/{chat}/messages", chat]
    async with talking(Bot()) as phone:
        for call in (*known, f"{chat}/typing", "GET /attachments", "PUT /uploads"):
            phone.fail_next(call)
        for call, hint in unknown.items():
            for fail in (phone.fail_next, phone.drop_next, phone.slow_next):
                with pytest.raises(ValueError, match=re.escape(hint)):
                    fail(call)


async def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Write datetime\(…, tzinfo=UTC\)"):
        async with talking(Bot(), start=datetime(2030, 1, 1)):  # noqa: DTZ001
            pass


async def test_time_that_passes_backwards_is_refused() -> None:
    async with talking(Bot()) as phone:
        with pytest.raises(ValueError, match=r"advance\(-60\)"):
            await phone.advance(-60)


async def test_what_does_not_exist_is_refused_with_the_nearest_name(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Callable[[Any], object]]] = [
        ("no effect 'confettii'. Did you mean 'confetti'?", lambda phone: phone.text("hi", effect="confettii")),
        ("no tapback 'lovee'. Did you mean 'love'?", lambda phone: phone.react("m", "lovee")),
        ("no tapback 'sticker'.", lambda phone: phone.react("m", "sticker")),
        ("Did you mean 'iMessage'?", lambda phone: phone.person("+14155550143", service="imessage")),
        ("no lost 'reply'. There are: request, answer, connection.", lambda phone: phone.drop_next(lost="reply")),
        ("Did you mean 'message.received'?", lambda phone: phone.fail_next_delivery("mesage.received")),
        ("Did you mean 'message.received'?", lambda phone: phone.double_next("message.recieved")),
        ("A group needs another person", lambda phone: phone.group()),
        ("A group needs another person", lambda phone: phone.group(phone)),
        ("A group needs another person", lambda phone: phone.group(phone.handle)),
    ]
    async with talking(Bot()) as phone:
        for hint, act in rows:
            with subtests.test(hint), pytest.raises(ValueError, match=re.escape(hint)):
                await completed(act(phone))
        assert phone.messages == []
        phone.fail_next_delivery("message.")  # a part of a type is enough


async def completed(done: object) -> None:
    if inspect.isawaitable(done):
        await done


class Note(BaseModel):
    text: str = ""


NAMED: dict[str, Callable[[Context, str], Any]] = {
    "once": lambda ctx, name: ctx.once(name, lambda key: 1),
    "model_step": lambda ctx, name: ctx.model_step(name, never),
    "send_later, tag": lambda ctx, name: ctx.send_later("x", after_s=9, tag=name),
    "send_later, key": lambda ctx, name: ctx.send_later("x", after_s=9, key=name),
    "reschedule": lambda ctx, name: ctx.reschedule(name, after_s=9),
    "cancel": lambda ctx, name: ctx.cancel(name),
    "cancel, tag": lambda ctx, name: ctx.cancel(tag=name),
    "state": lambda ctx, name: ctx.state.person(Note, name=name),
    "reply, key": lambda ctx, name: ctx.reply("x", key=name),
    "ask, key": lambda ctx, name: ctx.ask("x", key=name),
    "bot.mute": lambda ctx, name: ctx.bot.mute(name),
    "bot.end_questions": lambda ctx, name: ctx.bot.end_questions(name),
    "bot.broadcast, audience": lambda ctx, name: ctx.bot.broadcast([name], "x", name="july"),
    "bot.broadcast, name": lambda ctx, name: ctx.bot.broadcast(["+14155550199"], "x", name=name),
    "bot.find_broadcast": lambda ctx, name: ctx.bot.find_broadcast(name),
}
"""Calls whose argument names something: repaired, two names could become equal."""


async def never(_: object) -> object:
    raise AssertionError


@pytest.mark.parametrize("name", ["a\ud800", "\ud83d\ude00", "a\0"])
async def test_half_of_a_character_in_a_name_is_an_error_at_the_call(name: str) -> None:
    found: dict[str, str] = {}

    async def try_all(message: MessageReceived, ctx: Context) -> str:
        for place, call in NAMED.items():
            try:
                await call(ctx, name)
            except BotError as error:
                found[place] = str(error)
        return "Done."

    async with talking(bot_of(try_all)) as phone:
        assert await answers(phone, "hi") == ["Done."]
    said = "half of a character|cannot be the name of a broadcast"
    assert [place for place in NAMED if not re.search(said, found.get(place, ""))] == []
    with pytest.raises(BotError, match="half of a character"):
        Bot(owner="+14155550142", mute_word=name)
