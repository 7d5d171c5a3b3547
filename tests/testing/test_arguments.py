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

from linqbot import Bot, BotError, Context, MessageReceived, RuleBroken, markdown
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


HALF = "a\ud800"
"""A text with half of a character."""


class Note(BaseModel):
    text: str = ""


async def test_half_of_a_character_is_an_error_at_the_call() -> None:
    calls: dict[str, Callable[[Context], Any]] = {
        "once": lambda ctx: ctx.once(HALF, lambda key: 1),
        "send_later, tag": lambda ctx: ctx.send_later("x", after_s=9, tag=HALF),
        "send_later, text": lambda ctx: ctx.send_later(HALF, after_s=9),
        "send_later, key": lambda ctx: ctx.send_later("x", after_s=9, key=HALF),
        "cancel": lambda ctx: ctx.cancel(HALF),
        "state": lambda ctx: ctx.state.person(Note, name=HALF),
        "reply": lambda ctx: ctx.reply(HALF),
        "key": lambda ctx: ctx.reply("x", key=HALF),
        "bot.send": lambda ctx: ctx.bot.send(HALF, to="+14155550199"),
        "bot.broadcast": lambda ctx: ctx.bot.broadcast([HALF], "x", name="july"),
        "bot.broadcast, text": lambda ctx: ctx.bot.broadcast(["+14155550199"], HALF, name="july"),
        "ask": lambda ctx: ctx.ask(HALF),
        "ask, Markdown": lambda ctx: ctx.ask(markdown(HALF)),
        "ask, key": lambda ctx: ctx.ask("x", key=HALF),
        "ask, choices": lambda ctx: ctx.ask("x", choices=["y", HALF]),
        "ask, cancel": lambda ctx: ctx.ask("x", cancel=[HALF]),
        "vote": lambda ctx: ctx.vote(["y", HALF], "x"),
        "pay": lambda ctx: ctx.pay(500, HALF),
    }
    found: dict[str, str] = {}

    async def try_all(message: MessageReceived, ctx: Context) -> str:
        for name, call in calls.items():
            try:
                await call(ctx)
            except (BotError, RuleBroken) as error:
                found[name] = str(error)
        return "Done."

    async with talking(bot_of(try_all)) as phone:
        assert await answers(phone, "hi") == ["Done."]
    assert [name for name in calls if not re.search("half of a character|half an emoji", found.get(name, ""))] == []
    with pytest.raises(BotError, match="half of a character"):
        Bot(on_trouble=HALF)
