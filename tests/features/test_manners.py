"""Manners: what a bot does not send, and why."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import Phone, killed_between_calls, talking

pytestmark = pytest.mark.usefixtures("phone_for")

ANN, BOB = "+14155550142", "+14155550143"


def on_trial() -> Bot:
    bot = Bot(allow_to=[ANN], groups="all")

    @bot.on_message("broadcast")
    async def broadcast(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.broadcast([ANN, BOB], "Hello all.", name="all")

    @bot.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("It is time.", after_s=60)

    @bot.on_message
    async def tell_bob(message: MessageReceived, ctx: Context) -> None:
        there = await ctx.bot.send("Hello, Bob.", to=BOB)
        here = await ctx.reply(f"Bob: {there.status}")
        await ctx.reply(f"Here: {here.status}")

    return bot


async def test_only_the_people_on_the_list_get_anything() -> None:
    with capture_logs() as logs:
        async with talking(on_trial(), handle=ANN) as phone:
            await phone.text("hello")
            assert await phone.replies() == ["Bob: refused", "Here: accepted"]
            await phone.text("broadcast")
            await phone.advance(60)
            assert await phone.replies() == ["Hello all."]
            await phone.text("later")
            await phone.advance(61)
            assert await phone.replies() == ["It is time."]
            bob, group = phone.person(BOB), phone.group(BOB)
            for text in ("hello", "later"):
                await bob.text(text)
                await group.text(text)
                await phone.advance(61)
            assert (await bob.replies(), await group.replies()) == ([], [])
            assert await phone.dead_letters() == []
    assert any(each["event"] == "send.withheld" for each in logs)
    assert not any(BOB in str(each) or "Hello" in str(each) for each in logs)


async def test_nothing_is_sent_to_others_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("hello")
        assert await phone.next_reply() == "Bob: refused"
        assert await phone.next_reply() == "Here: accepted"

    async for phone in killed_between_calls(on_trial(), scenario, handle=ANN):
        assert phone.messages == ["hello", "Bob: refused", "Here: accepted"], phone.killed
        assert phone.person(BOB).messages == [], phone.killed
