"""A refusal of Linq means the same for replies, scheduled sends, broadcasts, handoffs and notices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from linqbot import Bot, Context, MessageReceived, poll
from linqbot.testing import Phone, talking

ANN, BOB, OWNER = "+14155550142", "+14155550143", "+14155550100"
LINE = "+12025550100"

START = datetime(2026, 11, 19, 12, 30, tzinfo=UTC)
"""Far from a full hour, at which the recurring sends are due."""


def shop() -> Bot:
    bot = Bot(read=False, typing=False)

    @bot.on_message("reply")
    async def reply(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Here.")

    @bot.on_message("poll")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(poll("one", "two"))

    @bot.on_message("send")
    async def send(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.send("Here.", to=BOB)

    @bot.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Here.", after_s=1)

    @bot.on_message("again")
    async def again(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Here.", every="hour", timezone="UTC")

    @bot.on_message("broadcast")
    async def broadcast(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.broadcast([BOB], "Here.", name="all", line=LINE)

    @bot.on_message("handoff")
    async def hand_over(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say="A person answers.")

    return bot


CALLS = {
    "reply": "chats.messages.send",
    "poll": "chats.polls.create",
    "send": "chats.create",
    "later": "chats.messages.send",
    "again": "chats.messages.send",
    "broadcast": "chats.create",
    "handoff": "chats.create",
}


def bubbles(phone: Phone) -> list[str]:
    people = (phone, phone.person(BOB), phone.person(OWNER))
    return [str(each) for person in people for each in person.messages if each.from_bot]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "code": 2027, "times": 8},
        {"status": 409, "code": 2015, "times": 8},
        {"status": 401, "code": 2004, "times": 8},
        {"status": 503, "code": 3006, "times": 8},
    ],
    ids=["line suspended", "no line", "key", "away"],
)
async def test_what_is_not_about_the_call_delays_it_at_every_door(
    fault: dict[str, Any], subtests: pytest.Subtests
) -> None:
    for door, call in CALLS.items():
        with subtests.test(door=door):
            async with talking(shop(), handle=ANN, start=START) as usual:
                await usual.text(door)
                await usual.advance(3600)
                wanted = bubbles(usual)
            async with talking(shop(), handle=ANN, start=START) as phone:
                phone.fail_next(call, **fault)
                await phone.text(door)
                await phone.advance(3600)
                assert bubbles(phone) == wanted
                assert await phone.dead_letters() == []


async def test_a_recurring_send_goes_on_after_its_message_was_deleted() -> None:
    async with talking(shop(), handle=ANN, start=START) as phone:
        await phone.text("again")
        await phone.quiet()
        phone.drop_next("chats.messages.send", lost="request", times=1000)
        due = phone.now // 3600 * 3600 + 3600
        await phone.advance(due + 60 - phone.now)  # its second run is under way
        phone.emulator.world.faults.clear()
        phone.fail_next("chats.messages.send", status=404, code=2002)
        await phone.advance(2 * 3600)
        assert await phone.replies() == ["Here."] * 2
