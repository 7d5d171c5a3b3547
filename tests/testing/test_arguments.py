"""A wrong argument is an error at once: a fault that never happens would let a test pass that tests nothing."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast

import pytest
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, MessageReceived, RuleBroken, markdown
from linqbot.testing import Phone, talking

pytestmark = pytest.mark.anyio

Act = Callable[[Any], Awaitable[object]]


async def test_a_fault_of_a_call_that_does_not_exist_is_refused(subtests: pytest.Subtests) -> None:
    calls: list[tuple[str, str]] = [
        ("chat.messages.send", r"Did you mean 'chats\.messages\.send'\?"),
        ("chats.messages.send ", r"Did you mean 'chats\.messages\.send'\?"),
        ("POST /v3/chat/", "POST /v3/chats"),
        ("post /v3/chats", "POST /v3/chats"),
        ("POST /chats", "POST /v3/chats"),
        ("GET /v3/chats/0171ed67/messagez", "POST /v3/chats"),
        ("GET /attachment/", "POST /v3/chats"),
    ]
    names: list[str] = ["fail_next", "drop_next", "slow_next"]
    for call, hint in calls:
        for name in names:
            with subtests.test(call=call, name=name):
                async with talking(Bot()) as phone:
                    with pytest.raises(ValueError, match=hint):
                        getattr(phone, name)(call)


async def test_a_fault_may_name_any_part_of_a_call(subtests: pytest.Subtests) -> None:
    rows: list[str] = [
        "",
        "read",
        "messages",
        "chats.messages.send",
        "POST",
        "POST /v3/chats",
        "/v3/chats/0171ed67-b23c-4a44-9c90-6997b4adc5cb/messages",
        "0171ed67-b23c-4a44-9c90-6997b4adc5cb",
        "0171ed67-b23c-4a44-9c90-6997b4adc5cb/typing",
        "GET /attachments",
        "/attachments/1f/cake.png",
        "PUT /uploads",
    ]
    for call in rows:
        with subtests.test(call=call):
            async with talking(Bot()) as phone:
                phone.fail_next(call)


async def test_a_fault_of_an_event_that_does_not_exist_is_refused() -> None:
    async with talking(Bot()) as phone:
        with pytest.raises(ValueError, match=r"Did you mean 'message\.received'\?"):
            phone.fail_next_delivery("mesage.received")
        with pytest.raises(ValueError, match=r"Did you mean 'message\.received'\?"):
            phone.double_next("message.recieved")
        phone.fail_next_delivery("message.")


async def test_a_fault_that_never_happens_or_is_no_failure_is_refused() -> None:
    async with talking(Bot()) as phone:
        for times in (0, -1):
            with pytest.raises(ValueError, match="lets nothing go wrong"):
                phone.fail_next(times=times)
        for status in (200, 999):
            with pytest.raises(ValueError, match="is no error"):
                phone.fail_next(status=status)
        with pytest.raises(ValueError, match="is no error"):
            phone.fail_next_delivery("message.received", status=204)
        with pytest.raises(ValueError, match=r"There is no lost 'reply'\. There are: request, answer, connection\."):
            phone.drop_next(lost=cast("Any", "reply"))


async def test_a_time_that_cannot_pass_is_refused_and_the_clock_stays(subtests: pytest.Subtests) -> None:
    acts: dict[str, Callable[[Phone, float], Any]] = {
        "advance": lambda phone, seconds: phone.advance(seconds),
        "restart": lambda phone, seconds: phone.restart(down_s=seconds),
        "text": lambda phone, seconds: phone.text("hi", late_s=seconds),
        "slow_next": lambda phone, seconds: phone.slow_next(delay_s=seconds),
    }
    async with talking(Bot()) as phone:
        before = phone.now
        for (name, act), seconds in itertools.product(acts.items(), [-1, math.nan, math.inf]):
            with subtests.test(name=name, seconds=seconds):
                with pytest.raises(ValueError, match="is no time that can pass"):
                    await act(phone, seconds)
                assert phone.now == before


async def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Write datetime\(…, tzinfo=UTC\)"):
        async with talking(Bot(), start=datetime(2030, 1, 1)):  # noqa: DTZ001
            pass


@pytest.mark.parametrize(
    ("act", "hint"),
    [
        (
            lambda phone: phone.text("hi", effect="confettii"),
            "There is no effect 'confettii'. Did you mean 'confetti'?",
        ),
        (lambda phone: phone.react("m", "lovee"), "There is no tapback 'lovee'. Did you mean 'love'?"),
        (lambda phone: phone.react("m", "sticker"), "There is no tapback 'sticker'."),
        (lambda phone: phone.person("+14155550143", service="imessage"), "Did you mean 'iMessage'?"),
    ],
    ids=["effect", "tapback", "sticker", "service"],
)
async def test_a_misspelt_name_is_refused_with_the_nearest_one(act: Act, hint: str) -> None:
    async with talking(Bot()) as phone:
        with pytest.raises(ValueError, match=re.escape(hint)):
            await act(phone)
        assert phone.messages == []


async def test_a_misspelt_service_of_the_first_person_is_refused() -> None:
    with pytest.raises(ValueError, match="Did you mean 'iMessage'"):
        async with talking(Bot(), service=cast("Any", "imessage")):
            pass


async def test_a_group_without_another_person_is_refused() -> None:
    async with talking(Bot()) as phone:
        for others in ((), (phone,), (phone.handle,)):
            with pytest.raises(ValueError, match="A group needs another person"):
                phone.group(*others)


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
        await phone.text("hi")
        assert await phone.next_reply() == "Done."
    assert [name for name in calls if not re.search("half of a character|half an emoji", found.get(name, ""))] == []
    with pytest.raises(BotError, match="half of a character"):
        Bot(on_trouble=HALF)
