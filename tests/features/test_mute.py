"""A muted chat: the bot says nothing there, what comes is kept, and what waits goes on when the mute is over."""

from __future__ import annotations

import pytest

from linqbot import AskTimeout, Bot, Context, MessageReceived, muted
from linqbot.testing import Phone, killed_between_calls, talking

pytestmark = pytest.mark.usefixtures("phone_for")

ANN, OWNER = "+14155550142", "+14155550143"


def desk() -> Bot:
    bot = Bot()

    @bot.on_message("person")
    async def person(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("A person takes over.")
        await ctx.mute(for_s=600, reason="asked for")
        lost = await ctx.reply("You do not see this.")
        await ctx.bot.send(f"Please look: {lost.status}", to=OWNER)

    @bot.on_message("#done", muted)
    async def done(message: MessageReceived, ctx: Context) -> None:
        assert (await ctx.reply("Not yet.")).status == "muted"
        await ctx.react("like")
        await ctx.unmute()
        await ctx.reply("I am back.")

    @bot.on_message("name")
    async def name(message: MessageReceived, ctx: Context) -> None:
        try:
            answer = await ctx.ask("Your name?", timeout_s=60)
        except AskTimeout:
            answer = "nobody"
        await ctx.reply(f"Hello, {answer}.")

    @bot.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("It is time.", after_s=60)

    @bot.on_message("mute this", during_ask=True)
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute(for_s=600)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    return bot


async def test_a_muted_chat_is_silent_until_the_mute_is_over() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("person")
        assert await phone.replies() == ["A person takes over."]
        await phone.text("hello?")
        await phone.quiet()
        await phone.advance(601)
        await phone.text("hello again")
        assert await phone.replies() == ["hello again"]


async def test_only_a_handler_with_the_filter_runs_and_ends_the_mute() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("#done")  # not muted
        assert await phone.replies() == ["#done"]
        await phone.text("person")
        assert await phone.replies() == ["A person takes over."]
        await phone.text("#done")
        assert await phone.replies() == ["I am back."]
        await phone.text("hello")
        assert await phone.replies() == ["hello"]


async def test_a_question_waits_and_is_answered_after_the_mute() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("name")
        assert await phone.next_reply() == "Your name?"
        await phone.text("mute this")
        await phone.text("Ada")
        await phone.advance(300)  # longer than the question waits
        await phone.quiet()
        await phone.advance(301)
        assert await phone.replies() == ["Hello, nobody."]


async def test_a_scheduled_send_waits_until_the_mute_is_over() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("later")
        await phone.text("mute this")
        await phone.advance(300)
        await phone.quiet()
        await phone.advance(301)
        assert await phone.replies() == ["It is time."]


async def test_nothing_is_lost_or_doubled_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("person")
        assert await phone.next_reply() == "A person takes over."
        await phone.text("hello?")
        await phone.text("#done")
        assert await phone.next_reply() == "I am back."
        await phone.text("hello")
        assert await phone.next_reply() == "hello"

    async for phone in killed_between_calls(desk(), scenario, handle=ANN):
        said = ["person", "A person takes over.", "hello?", "#done", "I am back.", "hello", "hello"]
        assert phone.messages == said, phone.killed
        assert phone.person(OWNER).messages == ["Please look: muted"], phone.killed


async def test_a_tapback_that_answers_counts_after_the_mute() -> None:
    async with talking(asking(), handle=ANN) as phone:
        await phone.text("book")
        question = await phone.next_reply()
        await phone.text("mute this")
        await phone.react(question, "like")
        await phone.text("yes")
        await phone.quiet()
        await phone.advance(601)
        assert await phone.replies() == ["Booked: True."]


def asking() -> Bot:
    bot = Bot()

    @bot.on_message("mute this", during_ask=True)
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute(for_s=600)

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Booked: {await ctx.ask('Book it?', yes='like')}.")

    return bot
