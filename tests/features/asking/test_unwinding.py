"""The end of a handler that has asked: what its `finally` and `async with` do has not happened while the question is open."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, PERSON
from pydantic import BaseModel

from linqbot import Context, Event, MessageReceived
from linqbot.bot.router import Next


class Form(BaseModel):
    is_open: bool = False
    ends: int = 0
    words: list[str] = []


class Menu(BaseModel):
    soups: int = 0


async def stored(talk: Talk, model: type[BaseModel] = Form, scope: str = f"person:{PERSON}") -> Any:
    """Return the stored value; None if there is none."""
    value = (await talk.storage.load(scope)).get(model.__qualname__)
    return None if value is None else model.model_validate_json(value)


async def two_questions(message: MessageReceived, ctx: Context) -> None:
    form = await ctx.state.person(Form)
    form.is_open = True
    form.words.append("begun")
    try:
        for question in ("A?", "B?"):
            number = await ctx.ask(question, kind=int)
            form.words.append(str(number))
        await ctx.reply(f"Done: {form.is_open}")
    finally:
        form.is_open = False
        form.ends += 1
        form.words.append("ended")


async def test_a_finally_changes_state_once_when_the_handler_ends(talk: Talk) -> None:
    await talk.to(two_questions, "hi")
    assert await stored(talk) == Form(is_open=True, words=["begun"])
    await talk.restart()
    await talk.say("1")
    assert await stored(talk) == Form(is_open=True, words=["begun", "1"])
    await talk.say("no number")
    assert await stored(talk) == Form(is_open=True, words=["begun", "1"])
    await talk.restart()
    await talk.say("2")
    assert talk.said == ["A?", "B?", "Please give one whole number, such as 2 or twelve.", "Done: True"]
    assert await stored(talk) == Form(ends=1, words=["begun", "1", "2", "ended"])


async def test_each_scope_shows_the_values_at_the_question(talk: Talk) -> None:
    @contextlib.asynccontextmanager
    async def lock(ctx: Context) -> AsyncIterator[Form]:
        form = await ctx.state.chat(Form)
        form.is_open = True
        yield form
        raise AssertionError("not reached with a question")

    @contextlib.asynccontextmanager
    async def counted(ctx: Context) -> AsyncIterator[None]:
        menu = await ctx.state.bot(Menu)
        try:
            yield
        except BaseException:
            menu.soups += 1
            (await ctx.state.chat(Form)).is_open = False
            (await ctx.state.person(Form)).ends += 1  # read here for the first time
            raise

    async def ask(message: MessageReceived, ctx: Context) -> None:
        async with counted(ctx), lock(ctx):
            await ctx.ask("Name?")

    await talk.to(ask, "hi")
    assert await stored(talk, scope=f"chat:{CHAT}") == Form(is_open=True)
    assert await stored(talk, Menu, "bot") is None
    assert await stored(talk) is None


async def test_state_that_only_a_finally_uses_changes_once_too(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Name?")
        finally:
            (await ctx.state.person(Form)).ends += 1

    await talk.to(ask, "hi")
    assert await stored(talk) is None
    await talk.say("Ada")
    assert await stored(talk) == Form(ends=1)


async def test_after_a_swallowed_suspension_nothing_counts(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        form = await ctx.state.person(Form)
        with contextlib.suppress(BaseException):
            await ctx.ask("Name?")
        form.ends += 1
        form.words = object()  # type: ignore[assignment]

    await talk.to(ask, "hi")
    assert await talk.storage.dead_letters() == []
    assert talk.open_questions() == ["waiting"]
    assert await stored(talk) is None


async def test_no_step_and_no_send_of_a_finally_is_made_before_the_end(talk: Talk) -> None:
    made: list[str] = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Name?")
        finally:
            try:
                await ctx.once("close", made.append)
            finally:
                await ctx.send_later("Bye.", after_s=10)
                await ctx.reply("Closed.")

    await talk.to(ask, "hi")
    await talk.pass_time(20)
    assert (made, talk.said) == ([], ["Name?"])
    await talk.say("Ada")
    await talk.pass_time(20)
    assert (len(made), talk.said) == (1, ["Name?", "Closed.", "Bye."])


async def test_an_error_after_a_question_takes_nothing_back_that_was_done_before_it(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        form = await ctx.state.person(Form)
        form.is_open = True
        await ctx.send_later("A reminder.", after_s=10)
        try:
            await ctx.ask("Name?")
        finally:
            form.ends += 1
            raise ValueError

    bot = talk.deploy(ask)

    @bot.on_error(ValueError)
    async def sorry(error: ValueError, event: Event, ctx: Context) -> None:
        await ctx.reply("Sorry.")

    await talk.say("hi")
    assert talk.open_questions() == ["waiting"]
    assert await stored(talk) == Form(is_open=True)
    await talk.pass_time(20)
    assert talk.said == ["Name?", "A reminder."]


@pytest.mark.parametrize("uses_state", [False, True])
async def test_what_middleware_has_changed_behind_a_question_is_lost_with_its_error(
    talk: Talk, uses_state: bool
) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        if uses_state:
            (await ctx.state.person(Form)).is_open = True
        await ctx.ask("Name?")

    def failing(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            try:
                await next_(event, ctx)
            finally:
                (await ctx.state.person(Form)).ends += 1
                raise ValueError

        return handle

    async def note(error: Exception, event: Event, ctx: Context) -> None:
        (await ctx.state.person(Form)).words.append("failed")

    bot = talk.deploy(ask)
    bot.use(failing)
    bot.on_error(note)
    await talk.say("hi")
    assert await stored(talk) == Form(is_open=uses_state, words=["failed"])
