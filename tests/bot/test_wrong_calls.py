"""Errors of Python about a wrong call are completed with what the author meant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from one_handler import bot_of
from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import HandlerFailed, talking


class Visits(BaseModel):
    count: int = 0


async def loaded() -> Visits:
    return Visits()


async def misspelt(ctx: Any) -> None:
    await ctx.ask("Which?", choice=["a", "b"])


async def misspelt_in_a_form(ctx: Any) -> None:
    await ctx.form(Visits, timeout=5)


async def misspelt_send(ctx: Any) -> None:
    await ctx.send_later("x", after=5)


async def unlike_any(ctx: Any) -> None:
    await ctx.ask("Which?", zebra=True)


async def state(ctx: Any) -> None:
    visits = ctx.state.person(Visits)
    visits.count += 1


async def state_at_once(ctx: Any) -> None:
    await ctx.reply(str(ctx.state.chat(Visits).count))


async def added(ctx: Any) -> None:
    number = ctx.ask("How many?", kind=int)
    await ctx.reply(str(number + 1))


async def of_the_author(ctx: Any) -> None:
    visits: Any = loaded()
    await ctx.reply(str(visits.count))


ROWS: list[tuple[Callable[[Any], Awaitable[None]], str]] = [
    (misspelt, "unexpected keyword argument 'choice'. Did you mean 'choices'?"),
    (misspelt_in_a_form, "unexpected keyword argument 'timeout'. Did you mean 'timeout_s'?"),
    (misspelt_send, "unexpected keyword argument 'after'. Did you mean 'after_s'?"),
    (unlike_any, "unexpected keyword argument 'zebra'. It was given up"),
    (state, "ctx.state.person(), which was never awaited. Write: await ctx.state.person(…)"),
    (state_at_once, "ctx.state.chat(), which was never awaited. Write: await ctx.state.chat(…)"),
    (added, "ctx.ask(), which was never awaited. Write: await ctx.ask(…)"),
    (of_the_author, "loaded(), which was never awaited. Write: await loaded(…)"),
]


async def texted(bot: Bot) -> None:
    async with talking(bot) as phone:
        await phone.text("hi")
        await phone.quiet()


async def test_the_error_of_a_handler_names_what_its_author_meant() -> None:
    wrong = []
    for does, says in ROWS:

        async def handle(message: MessageReceived, ctx: Context, does: Any = does) -> None:
            await does(ctx)

        with pytest.raises(HandlerFailed) as failed:
            await texted(bot_of(handle))
        if says not in str(failed.value):
            wrong.append((does.__name__, str(failed.value)))
    assert wrong == []


async def test_an_error_handler_gets_the_error_with_what_was_meant() -> None:
    got: list[str] = []

    async def handle(message: MessageReceived, ctx: Context) -> None:
        await state(ctx)

    bot = bot_of(handle)

    @bot.on_error
    async def note(error: Exception, event: object, ctx: Context) -> None:
        got.append(type(error).__name__)

    await texted(bot)
    assert got == ["NeverAwaited"]
