"""Questions between a phone and a bot, through the emulator."""

from __future__ import annotations

import asyncio

import pytest

from linqbot import AskTimeout, Bot, Context, MessageReceived
from linqbot.testing import HandlerFailed, talking

pytestmark = pytest.mark.anyio

bot = Bot()


@bot.on_message("help", during_ask=True)
async def helping(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Answer or write cancel.")


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    day = await ctx.ask("Which day?", choices=["Friday", "Saturday"])
    people = await ctx.ask("How many people?", kind=int)
    try:
        sure = await ctx.ask(f"{day}, {people} people?", yes="like", timeout_s=600)
    except AskTimeout:
        await ctx.send("Too late, I did not book.")
        return
    await ctx.reply("Booked!" if sure else "Not booked.")


async def test_a_booking_with_a_vote_a_mistake_and_a_tapback() -> None:
    async with talking(bot) as phone:
        await phone.text("book")
        assert await phone.next_reply() == "Which day?"
        poll = await phone.next_reply()
        assert list(poll.votes) == ["Friday", "Saturday"]
        await phone.vote(poll, "Saturday")
        assert await phone.next_reply() == "How many people?"
        await phone.text("help")
        assert await phone.next_reply() == "Answer or write cancel."
        assert await phone.next_reply() == "How many people?"
        await phone.text("a few")
        assert await phone.next_reply() == "Please answer with a whole number."
        await phone.text("3")
        sure = await phone.next_reply()
        assert sure == "Saturday, 3 people?"
        await phone.react(sure, "like")
        assert await phone.next_reply() == "Booked!"


async def test_a_booking_that_times_out() -> None:
    async with talking(bot) as phone:
        for text in ("book", "1", "2"):
            await phone.text(text)
            await phone.next_reply()
        await phone.advance(601)
        replies = [await phone.next_reply() for _ in range(2)]
        assert replies[-1] == "Too late, I did not book."


async def test_stop_ends_a_booking_in_silence() -> None:
    async with talking(bot) as phone:
        await phone.text("book")
        assert await phone.next_reply() == "Which day?"
        await phone.next_reply()
        await phone.text("STOP")
        await phone.quiet()
        await phone.text("book")
        assert await phone.next_reply() == "Which day?"


async def test_two_questions_at_once_are_named_as_the_mistake() -> None:
    twice = Bot()

    @twice.on_message
    async def both(message: MessageReceived, ctx: Context) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.ask("One?"))
            tasks.create_task(ctx.ask("Two?"))

    with pytest.raises(HandlerFailed, match=r"the first is BotError: ctx.ask\(\) was called in a task"):
        async with talking(twice) as phone:
            await phone.text("hi")
