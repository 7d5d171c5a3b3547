"""New code runs on conversations of then: from the first delivery on, with the answers that are on record."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from fakes import CHAT
from pydantic import BaseModel

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.client.call import ApiResponse
from linqbot.errors import AskCancelled, AskTimeout
from linqbot.events.message import MessageReceived
from linqbot.storage.upkeep import Selection

pytestmark = pytest.mark.anyio


def booking(question: str = "How many?", kind: Any = int, thanks: str = "A table for {} on {}.") -> Any:
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            people = await ctx.ask(question, kind=kind)
            day = await ctx.ask("Which day?", choices=["Friday", "Saturday"])
        except AskCancelled:
            await ctx.reply("Another time!")
            return
        await ctx.reply(thanks.format(people, day))

    return book


async def test_a_conversation_runs_from_its_first_delivery_with_the_answers_of_then(day: Day) -> None:
    day.deploy(booking())
    await day.say("book", "4", "Friday", service="SMS")
    report = await day.compared(booking())
    assert report.counts == {"same": 1}
    assert report.answers == 2
    group = the_group(await day.compared(booking(thanks="{}, {}: booked.")))
    assert texts(group) == [("A table for 4 on Friday.", "4, Friday: booked.")]


async def test_a_question_in_other_words_gets_the_answer_of_then(day: Day) -> None:
    day.deploy(booking())
    await day.say("book", "4", "Friday", service="SMS")
    group = the_group(await day.compared(booking("For how many?")))
    assert texts(group) == [("How many?", "For how many?")]


async def test_an_answer_that_the_new_code_refuses_ends_its_run(day: Day) -> None:
    def even(text: str) -> int:
        if int(text) % 2:
            raise ValueError("An even number, please.")
        return int(text)

    day.deploy(booking())
    await day.say("book", "3", "Friday", service="SMS")
    group = the_group(await day.compared(booking(kind=even)))
    assert texts(group)[0] == (texts(group)[0][0], "An even number, please.")
    assert group.kind == "different answer"


async def test_refused_answers_and_a_word_that_ends_the_question_are_part_of_the_conversation(day: Day) -> None:
    day.deploy(booking())
    await day.say("book", "many", "4", "cancel", "book", "2", service="SMS")
    report = await day.compared(booking())
    assert report.counts == {"same": 2}
    assert report.answers == 4


async def test_a_conversation_that_began_earlier_runs_too(day: Day) -> None:
    day.deploy(booking())
    await day.say("book", "4", service="SMS")
    since = day.clock.now() + 1
    await day.say("Friday", service="SMS")
    group = the_group(await day.compared(booking(thanks="{}, {}: booked."), selection=Selection(since=since)))
    assert group.count == 1
    assert texts(group) == [("A table for 4 on Friday.", "4, Friday: booked.")]


async def test_a_question_that_nobody_answered_ends_as_then(day: Day) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Your name?", timeout_s=60)
        except AskTimeout:
            await ctx.reply(f"Too late: {ctx.now():%H:%M}")

    day.deploy(ask)
    await day.say("hi")
    await day.pass_time(60)
    report = await day.compared(ask)
    assert report.counts == {"same": 1}
    assert report.answers == 1


async def test_a_handler_that_failed_after_an_answer_runs_from_the_first_delivery(day: Day) -> None:
    def ask(*, fails: bool) -> Any:
        async def greet(message: MessageReceived, ctx: Context) -> None:
            name = await ctx.ask("Your name?")
            await ctx.reply(f"Hello {name}!")
            if fails:
                raise ValueError

        return greet

    day.deploy(ask(fails=True))
    await day.say("hi", "Ada")
    report = await day.compared(ask(fails=True))
    assert (report.counts, report.answers) == ({"same": 1}, 1)
    group = the_group(await day.compared(ask(fails=False)))
    assert (group.kind, group.count) == ("fixed failure", 1)
    assert texts(group) == []


async def test_a_dead_answer_whose_conversation_is_not_kept_cannot_be_compared(tmp_path: Path) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        raise ValueError

    async with contextlib.AsyncExitStack() as stack:
        day = Day(tmp_path, stack, keep_days=0)
        await day.open()
        day.deploy(ask)
        await day.say("hi", "Ada")
        group = the_group(await day.compared(ask))
        assert (group.kind, group.count) == ("could not be compared", 1)
        assert "is not kept" in group.cause
        await day.crashable.clear()


async def test_the_history_after_a_question_ends_with_the_answer(day: Day) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        await ctx.reply((await ctx.history(3)).as_text())

    day.deploy(ask)
    day.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": []}))
    await day.say("hi", "Ada")
    ((_, now),) = texts(the_group(await day.compared(ask)))
    assert now == "them: hi\nme: Your name?\nthem: Ada"


async def test_a_new_question_differs(day: Day) -> None:
    async def ask_more(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask("Your name?")
        await ctx.ask(f"{name}, your age?")

    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")

    day.deploy(ask)
    await day.say("hi", "Ada")
    group = the_group(await day.compared(ask_more))
    assert texts(group) == [(None, "Ada, your age?")]


async def test_a_message_that_another_handler_took_while_a_question_was_open_is_the_same(day: Day) -> None:
    def bot(dish: str) -> Bot:
        made = Bot(read=False, typing=False)

        @made.on_message("menu", during_ask=True)
        def menu(message: MessageReceived, ctx: Context) -> str:
            return dish

        made.on_message(booking())
        return made

    day.bot = bot("Soup.")
    await day.say("book", "menu", "4", "Friday", service="SMS")
    report = await day.compared(day.bot)
    assert report.counts == {"same": 2}
    group = the_group(await day.compared(bot("Fish.")))
    assert texts(group) == [("Soup.", "Fish.")]


async def test_a_handler_of_a_conversation_sees_the_state_of_then(day: Day) -> None:
    class Guest(BaseModel):
        visits: int = 0

    async def ask(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.chat(Guest)
        await ctx.reply(f"Visit {guest.visits}")
        guest.visits += 1
        await ctx.ask("Again?")

    day.deploy(ask)
    await day.say("one", "yes", "two", "yes")
    assert (await day.compared(ask, selection=Selection(lane=f"c:{CHAT}"))).counts == {"same": 2}
