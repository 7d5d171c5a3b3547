"""A handler that goes on after a question: what it does on another way, and what middleware does around it."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import PERSON
from pydantic import BaseModel
from simulated_crash import crash
from structlog.testing import capture_logs

from linqbot import Context, Event, MessageReceived, Router
from linqbot.bot.router import Next
from linqbot.client.call import Call
from linqbot.storage.state import StateWrite


class Shop:
    """A shop whose handler goes on only while there is stock."""

    def __init__(self) -> None:
        self.has_stock = True

    async def order(self, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Welcome!")
        if not self.has_stock:
            await ctx.reply("We are sold out.")
            return
        name = await ctx.ask("Your name?")
        await ctx.reply(f"Ordered, {name}.")


async def test_a_handler_that_takes_a_way_without_the_question_says_what_is_on_it(talk: Talk) -> None:
    shop = Shop()
    await talk.to(shop.order, "hi")
    shop.has_stock = False
    with capture_logs() as logs:
        await talk.say("Ada")
    assert talk.said == ["Welcome!", "Your name?", "We are sold out."]
    assert [line["handler"] for line in logs if line["event"] == "ask.not_reached"] == [f"{__name__}:Shop.order"]
    assert talk.open_questions() == []
    await talk.say("again")
    assert talk.said[3:] == ["Welcome!", "We are sold out."]


@pytest.mark.parametrize("survives", [0, 1])
async def test_a_crash_on_another_way_sends_nothing_twice(talk: Talk, survives: int) -> None:
    shop = Shop()
    await talk.to(shop.order, "hi")
    shop.has_stock = False

    async def crash_once(call: Call) -> None:
        if survives:
            talk.linq.calls.append(call)  # Linq got it, and the answer was lost
        await crash()

    talk.linq.before = crash_once
    assert await talk.crashable.run(talk.say("Ada"))
    await talk.restart()
    await talk.pass_time(2000)
    assert talk.said == ["Welcome!", "Your name?", "We are sold out."]
    assert await talk.storage.depth() == 0


class Visits(BaseModel):
    count: int = 0


class Counted:
    """A handler that counts before each question, and asks only while `asks` lasts."""

    def __init__(self) -> None:
        self.questions = ["Your name?", "Your town?"]
        self.shown: list[int] = []

    async def handle(self, message: MessageReceived, ctx: Context) -> None:
        visits = await ctx.state.person(Visits)
        for question in self.questions:
            visits.count += 1
            await ctx.ask(question)
        visits.count += 1
        self.shown.append(visits.count)
        await ctx.reply(f"Counted {visits.count}")


async def count_of(talk: Talk) -> int:
    return Visits.model_validate_json((await talk.storage.load(f"person:{PERSON}"))["Visits"]).count


@pytest.mark.parametrize(
    ("answers", "stored_meanwhile", "left", "count"),
    [([], 0, 0, 1), (["Ada"], 0, 1, 2), (["Ada"], 0, 0, 1), ([], 40, 0, 41), (["Ada"], 40, 0, 42)],
)
async def test_state_before_questions_that_are_not_asked_any_more_counts_once(
    talk: Talk, answers: list[str], stored_meanwhile: int, left: int, count: int
) -> None:
    counted = Counted()
    await talk.to(counted.handle, "hi")
    if stored_meanwhile:
        value = Visits(count=stored_meanwhile).model_dump_json().encode()
        await talk.storage.write_state([StateWrite(f"person:{PERSON}", "Visits", value)])
    await talk.say(*answers)
    del counted.questions[left:]
    await talk.restart()
    await talk.say("Paris")
    assert talk.said[-1].startswith("Counted ")
    assert stored_meanwhile or talk.said[-1] == f"Counted {count}"
    assert await count_of(talk) == count


def guard(next_: Next) -> Next:
    async def handle(event: Any, ctx: Context) -> None:
        if isinstance(event, MessageReceived) and "damn" in event.text:
            await ctx.reply("Mind your language!")
            return
        if isinstance(event, MessageReceived):
            await ctx.reply(f"Received {event.text}")
            language = await ctx.once("language", lambda _: event.text)
            assert language == event.text
        await next_(event, ctx)

    return handle


async def ask_name(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Welcome!")
    name = await ctx.ask("Your name?")
    await ctx.reply(f"Hello {name}")


@pytest.mark.parametrize("of_router", [False, True])
async def test_what_middleware_does_for_an_answer_is_its_own(talk: Talk, of_router: bool) -> None:
    bot, inner = talk.deploy(), Router()
    inner.on_message(ask_name)
    (inner if of_router else bot).use(guard)
    bot.include(inner)
    await talk.say("hi", "damn", "damn it")
    await talk.restart()
    await talk.say("Ada", "hi again")
    assert talk.said == [
        *("Received hi", "Welcome!", "Your name?"),
        *("Mind your language!", "Mind your language!"),
        *("Received Ada", "Hello Ada"),
        *("Received hi again", "Welcome!", "Your name?"),
    ]


async def test_an_answer_that_runs_again_repeats_nothing_that_its_middleware_did(talk: Talk) -> None:
    fails = [True]

    async def fail_once(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask("Your name?")
        if fails:
            fails.pop()
            raise ValueError
        await ctx.reply(f"Hello {name}")

    talk.deploy(fail_once).use(guard)
    await talk.say("hi", "Ada")
    assert talk.said == ["Received hi", "Your name?", "Received Ada"]
    await talk.pass_time(10)
    assert talk.said == ["Received hi", "Your name?", "Received Ada", "Hello Ada"]


class Messages(BaseModel):
    count: int = 0
    booked: int = 0


def counting(inner: Next) -> Next:
    async def count(event: Event, ctx: Context) -> None:
        if isinstance(event, MessageReceived):
            (await ctx.state.person(Messages)).count += 1
        await inner(event, ctx)

    return count


async def test_state_that_middleware_changes_is_stored_for_each_answer_and_the_handler_sees_it(talk: Talk) -> None:
    async def book(message: MessageReceived, ctx: Context) -> None:
        messages = await ctx.state.person(Messages)
        counts = [messages.count]
        for question in ("Your name?", "When?"):
            messages.booked += 1
            await ctx.ask(question)
            counts.append(messages.count)
        await ctx.reply(f"{counts}, {messages.booked}")

    talk.deploy(book).use(counting)
    await talk.say("hi", "Ada")
    await talk.restart()
    await talk.say("at 8")
    assert talk.said == ["Your name?", "When?", "[1, 2, 3], 2"]
    values = await talk.storage.load(f"person:{PERSON}")
    assert Messages.model_validate_json(values["Messages"]) == Messages(count=3, booked=2)


async def test_a_crash_after_the_question_was_not_reached_counts_once(talk: Talk) -> None:
    counted = Counted()
    await talk.to(counted.handle, "hi")
    counted.questions.clear()
    talk.linq.before = lambda call: crash()
    assert await talk.crashable.run(talk.say("Ada"))
    await talk.restart()
    await talk.pass_time(2000)
    assert talk.said[-1] == "Counted 1"
    assert await count_of(talk) == 1
