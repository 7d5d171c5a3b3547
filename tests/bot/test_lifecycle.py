"""`@bot.on_start` and `@bot.on_stop`: what runs around the handlers."""

from __future__ import annotations

import asyncio
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


@pytest.mark.anyio
@pytest.mark.parametrize("raised", [SystemExit("no database"), asyncio.CancelledError()])
async def test_a_start_that_exits_or_cancels_itself_says_where_like_any_other_that_fails(raised: BaseException) -> None:
    bot = Bot()

    @bot.on_start
    async def open_pool(running: Running) -> None:
        raise raised

    with pytest.raises(BotError, match=rf"open_pool failed: {type(raised).__name__} at test_lifecycle.py:\d+"):
        async with talking(bot):
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("raised", [SystemExit("bye"), asyncio.CancelledError()])
async def test_a_stop_that_exits_or_cancels_itself_keeps_no_other_function_from_running(raised: BaseException) -> None:
    bot = Bot()
    closed: list[str] = []

    @bot.on_stop
    async def close_pool(running: Running) -> None:
        closed.append("pool")

    @bot.on_stop
    async def close_log(running: Running) -> None:
        raise raised

    async with talking(bot):
        pass
    assert closed == ["pool"]


@pytest.mark.anyio
async def test_a_start_that_is_cancelled_from_outside_ends_its_task() -> None:
    bot = Bot()
    began = asyncio.Event()

    @bot.on_start
    async def wait_for_ever(running: Running) -> None:
        began.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async with talking(bot):
            pass

    task = asyncio.create_task(run())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("decorator", ["on_start", "on_stop"])
def test_a_function_with_other_arguments_is_refused(decorator: str) -> None:
    async def none() -> None: ...
    async def two(running: Running, ctx: Context) -> None: ...
    def plain(running: Running) -> None: ...

    for function in (none, two, plain):
        decorate: Any = getattr(Bot(), decorator)
        with pytest.raises(BotError, match=rf"{function.__name__} does not fit @bot.{decorator}: .*async def of one"):
            decorate(function)
