"""The time that a handler reads: before an answered question it is the time of then, whenever the handler runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from asking_talk import Talk
from fakes import NOW

from linqbot import Context, MessageReceived
from linqbot.engine.state import MOST_TIMES


async def test_before_an_answered_question_it_is_the_time_of_then(talk: Talk) -> None:
    async def book(message: MessageReceived, ctx: Context) -> None:
        day = ctx.now() + timedelta(days=1)
        who = await ctx.ask("Who comes?")
        asked = ctx.now()
        sure = await ctx.ask(f"{who}, on {day:%d.%m.}?")
        await ctx.reply(f"{sure}: {day:%d.%m.}, asked {asked:%d.%m.}, answered {ctx.now():%d.%m.}")

    start = datetime.fromtimestamp(NOW, UTC)
    then, a_day_later, at_last = (f"{start + timedelta(days=days):%d.%m.}" for days in (1, 0.9, 1.8))
    await talk.to(book, "table")
    await talk.pass_time(0.9 * 86_400)
    await talk.say("Ada")
    assert talk.said[-1] == f"Ada, on {then}?"
    await talk.restart()
    await talk.pass_time(0.9 * 86_400)
    await talk.say("Yes")
    assert talk.said[-1] == f"Yes: {then}, asked {a_day_later}, answered {at_last}"


async def test_a_function_that_reads_an_answer_reads_the_time_at_which_it_came(talk: Talk) -> None:
    read: list[datetime] = []

    async def book(message: MessageReceived, ctx: Context) -> None:
        def day(text: str) -> datetime:
            read.append(ctx.now())
            return ctx.now()

        await ctx.ask("Which day?", kind=day)
        await ctx.ask("Who comes?")
        await ctx.ask("Sure?")

    await talk.to(book, "table", "tomorrow")
    await talk.pass_time(86_400)
    await talk.say("Ada")
    assert read == [datetime.fromtimestamp(NOW, UTC)] * 2


async def test_each_reading_of_the_time_is_repeated_in_order(talk: Talk) -> None:
    read: list[list[datetime]] = []

    async def wait(message: MessageReceived, ctx: Context) -> None:
        times = [ctx.now()]
        talk.clock.advance(5)
        times += [ctx.now() for _ in range(2 * MOST_TIMES)]
        read.append(times)
        await ctx.ask("Ready?")

    await talk.to(wait, "hi")
    await talk.pass_time(3600)
    await talk.say("yes")
    first, again = read
    assert first == again
    assert first[1] - first[0] == timedelta(seconds=5)


async def test_a_run_that_begins_again_with_the_times_of_then_sends_nothing_twice(talk: Talk) -> None:
    """A question before the reading of the time was renamed, and new code sends something between the two."""

    async def old(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Table?")
        day = ctx.now() + timedelta(days=1)
        sure = await ctx.ask("Tomorrow, then?")
        await ctx.reply(f"{sure}: {day:%d.%m.}")

    async def new(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("A table?")
        await ctx.reply("Thanks.")
        made = await ctx.once("made", lambda key: talk.clock.now())
        day = ctx.now() + timedelta(days=1)
        sure = await ctx.ask("Tomorrow, then?")
        await ctx.reply(f"{sure}: {day:%d.%m.}, {made == talk.clock.now()}")

    new.__qualname__ = old.__qualname__
    day = datetime.fromtimestamp(NOW, UTC) + timedelta(days=1)
    await talk.to(old, "hi", "for four")
    await talk.pass_time(0.5 * 86_400)
    talk.deploy(new)
    await talk.say("yes")
    assert talk.said[2:] == ["A table?"]
    await talk.restart()
    await talk.pass_time(0.9 * 86_400)
    await talk.say("for five")
    assert talk.said[3:] == ["Thanks.", f"yes: {day:%d.%m.}, True"]
    assert await talk.storage.dead_letters() == []
