"""`@bot.on_start` and `@bot.on_stop`: what runs around the handlers."""

from __future__ import annotations

from typing import Any

import pytest

from linqbot import Bot, BotError, Context, MessageReceived, Router, Running
from linqbot.testing import talking


@pytest.mark.anyio
async def test_what_is_opened_at_the_start_is_there_for_handlers_and_closed_after_them() -> None:
    bot, router = Bot(), Router()
    bot.include(router)
    happened: list[str] = []

    @bot.on_start
    async def open_pool(running: Running) -> None:
        assert len([each async for each in running.client.phone_numbers.list()]) > 0
        happened.append("open")

    @router.on_start
    async def warm_up(running: Running) -> None:
        happened.append("warm")

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        happened.append("handle")

    @bot.on_stop
    async def close_pool(running: Running) -> None:
        happened.append("close")

    @router.on_stop
    async def cool_down(running: Running) -> None:
        happened.append("cool")
        raise OSError("gone")

    async with talking(bot) as phone:
        await phone.text("hi")
        await phone.restart()
    assert happened == ["open", "warm", "handle", "cool", "close", "open", "warm", "cool", "close"]


@pytest.mark.anyio
async def test_a_bot_whose_start_fails_does_not_start_and_says_where() -> None:
    bot = Bot()

    @bot.on_start
    async def open_pool(running: Running) -> None:
        raise OSError("secret detail")

    with pytest.raises(BotError, match=r"does not start.*open_pool failed: OSError at test_lifecycle.py:\d+") as error:
        async with talking(bot):
            pass
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("decorator", ["on_start", "on_stop"])
def test_a_function_with_other_arguments_is_refused(decorator: str) -> None:
    async def none() -> None: ...
    async def two(running: Running, ctx: Context) -> None: ...
    def plain(running: Running) -> None: ...

    for function in (none, two, plain):
        decorate: Any = getattr(Bot(), decorator)
        with pytest.raises(BotError, match=rf"{function.__name__} does not fit @bot.{decorator}: .*async def of one"):
            decorate(function)
