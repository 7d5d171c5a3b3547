"""`@bot.on_start`, `@bot.on_stop` and `@bot.resource`: what runs around the handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from answers import answers

from linqbot import Bot, BotError, Context, MessageReceived, Resource, Router, Running
from linqbot.ops.explanations import of_raised
from linqbot.testing import talking


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


@pytest.mark.parametrize("raised", [OSError("secret"), SystemExit("secret"), asyncio.CancelledError("secret")])
async def test_a_bot_whose_start_fails_does_not_start_and_says_where(raised: BaseException) -> None:
    bot = Bot()

    @bot.on_start
    async def open_pool(running: Running) -> None:
        raise raised

    place = rf"does not start.*open_pool failed: {type(raised).__name__} at test_lifecycle.py:\d+"
    with pytest.raises(BotError, match=place) as error:
        async with talking(bot):
            pass
    assert "secret" not in str(error.value)


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


async def test_a_start_that_fails_is_not_said_to_be_the_fault_of_a_handler() -> None:
    bot = Bot()

    @bot.on_start
    async def open_pool(running: Running) -> None:
        raise OSError

    with pytest.raises(BotError) as failed:
        async with talking(bot):
            pass
    what, to_do, code = of_raised(failed.value)
    assert "open_pool failed: OSError at test_lifecycle.py" in what
    assert to_do.startswith("Correct the line that the message names")
    assert "handler" not in to_do
    assert code != BotError.lqb


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


class Pool:
    """A pool that notes what happens to it."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        happened.append("opened")

    def price(self, dish: str) -> int:
        return len(dish)


def restaurant(happened: list[str]) -> tuple[Bot, Resource[Pool]]:
    """A bot with a pool that its handler and a filter use, and with a second resource that stands on the pool."""
    bot, router = Bot(), Router()
    bot.include(router)

    @bot.resource
    async def pool(running: Running) -> AsyncIterator[Pool]:
        assert running.bot is bot
        yield Pool(happened)
        happened.append("closed")

    @router.resource
    async def menu() -> AsyncIterator[list[str]]:
        assert pool.value.price("soup") == 4
        yield ["soup"]
        happened.append("menu closed")

    @bot.on_start
    async def start(running: Running) -> None:
        assert menu.value == ["soup"]

    @bot.on_message(lambda message: pool.value.price(message.text) > 0)
    def answer(message: MessageReceived, ctx: Context) -> str:  # in a thread
        return f"${pool.value.price(message.text)}"

    return bot, pool


async def test_a_resource_is_open_while_the_bot_runs_and_is_closed_in_reverse_order() -> None:
    happened: list[str] = []
    bot, pool = restaurant(happened)
    async with talking(bot) as phone:
        assert await answers(phone, "soup") == ["$4"]
        await phone.restart()
        assert await answers(phone, "risotto") == ["$7"]
    assert happened == ["opened", "menu closed", "closed"] * 2
    with pytest.raises(BotError, match="pool is not open"):
        _ = pool.value


async def test_a_test_replaces_a_resource_in_one_line() -> None:
    happened: list[str] = []
    bot, pool = restaurant(happened)

    class Fake(Pool):
        def price(self, dish: str) -> int:
            return 4

    fake = Fake([])
    with pool.replaced(fake):
        async with talking(bot) as phone:
            assert await answers(phone, "risotto") == ["$4"]
    assert happened == ["menu closed"]


async def test_a_resource_that_cannot_be_opened_keeps_the_bot_from_starting_and_closes_the_others() -> None:
    happened: list[str] = []
    bot, _ = restaurant(happened)

    @bot.resource
    async def cache() -> AsyncIterator[str]:
        raise OSError("secret detail")
        yield ""

    with pytest.raises(BotError, match=r"the resource .*cache failed: OSError at test_lifecycle.py:\d+") as error:
        async with talking(bot):
            pass
    assert "secret" not in str(error.value)
    assert happened == ["opened", "closed"]


async def test_a_resource_that_fails_to_close_keeps_no_other_from_closing() -> None:
    happened: list[str] = []
    bot, _ = restaurant(happened)

    @bot.resource
    async def cache() -> AsyncIterator[str]:
        yield "cache"
        raise OSError

    async with talking(bot):
        pass
    assert happened == ["opened", "menu closed", "closed"]


async def test_two_apps_of_one_bot_do_not_share_a_resource() -> None:
    bot, _ = restaurant([])
    async with talking(bot):
        with pytest.raises(BotError, match="open already"):
            async with talking(bot):
                pass


def test_a_resource_is_an_async_generator_function() -> None:
    async def no_yield() -> None: ...

    async def two(running: Running, more: int) -> AsyncIterator[int]:
        yield more

    for wrong in (no_yield, two, 7):
        with pytest.raises(BotError, match=r"does not fit @bot\.resource"):
            Bot().resource(wrong)  # type: ignore[arg-type]
