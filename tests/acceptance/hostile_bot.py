"""A bot whose handlers do what no handler should. The text of a message says which one runs.

`DEAD` names the ways that must end as a dead letter, with a word of its reason; the others reply `done: <way>` once. Those
that wait until released wait for the file `RELEASED`.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import inspect
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import click

from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None, loop_breaker=False)
ways: dict[str, Callable[[MessageReceived, Context], Any]] = {}
DEAD: dict[str, str] = {}
plain_ways: dict[str, Callable[[MessageReceived, Context], Any]] = {}
kept: list[Context] = []
RELEASED = Path("released")
ENDLESS = ("sleep beyond the deadline", "swallow the deadline and end", "hang in a thread")
"""The ways that end at a deadline. The others have the default one: all run at once, for seconds on a busy machine."""


def way(dead: str = "") -> Callable[[Any], Any]:
    """Register a way; `dead` is a word of the reason that its dead letter must give."""

    def register(function: Any) -> Any:
        name = function.__name__.replace("_", " ")
        (ways if inspect.iscoroutinefunction(function) else plain_ways)[name] = function
        if dead:
            DEAD[name] = dead
        return function

    return register


class Own(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


async def boom(error: BaseException | None = None) -> None:
    await asyncio.sleep(0)
    raise error or SystemExit(4)


# Errors


def raises(name: str, error: Callable[[], BaseException], dead: str) -> None:
    """Register a way that raises an error."""

    async def raise_it(message: MessageReceived, ctx: Context) -> None:
        raise error()

    ways[name], DEAD[name] = raise_it, dead


raises("an exception", ValueError, "ValueError")
raises("a base exception", Own, "Own")
raises("system exit", SystemExit, "SystemExit")
raises("exit with a text", lambda: SystemExit("no such thing"), "SystemExit")
raises("exit with zero", lambda: SystemExit(0), "SystemExit")
raises("keyboard interrupt", KeyboardInterrupt, "KeyboardInterrupt")
raises("generator exit", GeneratorExit, "GeneratorExit")
raises("stop iteration", StopIteration, "StopIteration")
raises("stop async iteration", StopAsyncIteration, "StopAsyncIteration")
raises("memory error", MemoryError, "MemoryError")
raises("a group", lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]), "ExceptionGroup")
raises("a group with an exit", lambda: BaseExceptionGroup("several", [ValueError("a"), SystemExit(1)]), "SystemExit")
raises("half an emoji in the text", lambda: ValueError("\ud83d and \x00"), "ValueError")
raises("five megabytes of text", lambda: ValueError("x" * 5_000_000), "left out")
raises("an error without a text", Unprintable, "Unprintable")
raises("a class named by a person", type("\n a name\x1b[31m" * 100, (Exception,), {}), "a name")
raises("cancelled error", asyncio.CancelledError, "CancelledError")
raises(
    "an anyio scope that leaks",
    lambda: asyncio.CancelledError("Cancelled by cancel scope 7f0000000000"),
    "CancelledError",
)


@way("SystemExit")
async def argparse_exits(message: MessageReceived, ctx: Context) -> None:
    parser = argparse.ArgumentParser(prog="remind")
    parser.add_argument("minutes", type=int)
    parser.parse_args(["soon"])


@way("SystemExit")
async def click_exits(message: MessageReceived, ctx: Context) -> None:
    click.Command("x", callback=lambda: None)(["--nothing"])


@way("RecursionError")
async def recurse(message: MessageReceived, ctx: Context) -> None:
    await recurse(message, ctx)


# Cancellation


def awaits(name: str, act: Callable[[], Awaitable[object]], dead: str) -> None:
    """Register a way that awaits what fails or never ends."""

    async def await_it(message: MessageReceived, ctx: Context) -> None:
        await act()

    ways[name], DEAD[name] = await_it, dead


awaits("sleep beyond the deadline", lambda: asyncio.sleep(3600), "TimeoutError")
awaits("wait for too little", lambda: asyncio.wait_for(asyncio.sleep(10), 0.01), "TimeoutError")


@way("CancelledError")
async def await_what_was_cancelled(message: MessageReceived, ctx: Context) -> None:
    task = asyncio.create_task(asyncio.sleep(1))
    task.cancel()
    await task


@way("CancelledError")
async def cancel_oneself_and_wait(message: MessageReceived, ctx: Context) -> None:
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(1)


@way()
async def cancel_oneself_and_return(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"done: {message.text}")
    task = asyncio.current_task()
    assert task
    task.cancel()


@way("and still runs")
async def ignore_the_deadline(message: MessageReceived, ctx: Context) -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(3600)


@way()
async def swallow_the_deadline_and_end(message: MessageReceived, ctx: Context) -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await ctx.reply(f"done: {message.text}")


@way("TimeoutError")
async def a_timeout_of_its_own(message: MessageReceived, ctx: Context) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(10)


# Blocking


@way()
async def block_the_loop(message: MessageReceived, ctx: Context) -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - that is the point
    await ctx.reply(f"done: {message.text}")


@way("TimeoutError")
def hang_in_a_thread(message: MessageReceived, ctx: Context) -> str:
    threading.Event().wait()
    return "never"


@way()
async def wait_until_released(message: MessageReceived, ctx: Context) -> None:
    while not RELEASED.exists():  # noqa: ASYNC240 - a moment
        await asyncio.sleep(0.05)
    await ctx.reply(f"done: {message.text}")


@way()
def wait_in_a_thread_until_released(message: MessageReceived, ctx: Context) -> str:
    while not RELEASED.exists():
        time.sleep(0.05)
    return f"done: {message.text}"


# Tasks


awaits("await a task that exits", lambda: asyncio.create_task(boom()), "SystemExit")
awaits("await a task that is interrupted", lambda: asyncio.create_task(boom(KeyboardInterrupt())), "KeyboardInterrupt")
awaits("gather with an exit", lambda: asyncio.gather(boom(), asyncio.sleep(0.05)), "SystemExit")
awaits("a thread that exits", lambda: asyncio.to_thread(sys.exit, 3), "SystemExit")


@way("SystemExit")
async def a_task_group_with_an_exit(message: MessageReceived, ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(boom())
        group.create_task(asyncio.sleep(10))


@way("Own")
async def a_task_group_with_a_base_exception(message: MessageReceived, ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(boom(Own()))


@way("SystemExit")
async def an_anyio_group_with_an_exit(message: MessageReceived, ctx: Context) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(boom)


def disturbs(name: str, act: Callable[[asyncio.AbstractEventLoop], object]) -> None:
    """Register a way that does something to the event loop, and replies after it."""

    async def disturb(message: MessageReceived, ctx: Context) -> None:
        act(asyncio.get_running_loop())
        await asyncio.sleep(0.05)
        await ctx.reply(f"done: {message.text}")

    ways[name] = disturb


disturbs("leave a task that exits", lambda loop: loop.create_task(boom()))
disturbs("a callback that exits", lambda loop: loop.call_soon(sys.exit, 3))
disturbs("a timer that exits", lambda loop: loop.call_later(0.01, sys.exit, 3))
disturbs("a callback that raises", lambda loop: loop.call_soon(int, "x"))
disturbs("stop the loop", lambda loop: loop.stop())
disturbs(
    "a done callback that exits",
    lambda loop: loop.create_task(asyncio.sleep(0)).add_done_callback(lambda _: sys.exit(3)),
)


@way("RuntimeError")
async def close_the_loop(message: MessageReceived, ctx: Context) -> None:
    asyncio.get_running_loop().close()


@way("RuntimeError")
async def a_loop_in_the_loop(message: MessageReceived, ctx: Context) -> None:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    finally:
        coroutine.close()


@way()
async def a_loop_in_a_thread(message: MessageReceived, ctx: Context) -> None:
    await asyncio.to_thread(asyncio.run, asyncio.sleep(0))
    await ctx.reply(f"done: {message.text}")


@way()
async def a_task_that_is_never_awaited(message: MessageReceived, ctx: Context) -> None:
    asyncio.create_task(ctx.reply(f"done: {message.text}"))  # noqa: RUF006


@way()
async def a_thousand_tasks(message: MessageReceived, ctx: Context) -> None:
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(1000)))
    await ctx.reply(f"done: {message.text}")


@way()
async def a_task_that_speaks_too_late(message: MessageReceived, ctx: Context) -> None:
    async def late() -> None:
        await asyncio.sleep(0.5)
        await ctx.reply("too late")

    asyncio.create_task(late())  # noqa: RUF006
    await ctx.reply(f"done: {message.text}")


@way()
async def a_thread_that_sends(message: MessageReceived, ctx: Context) -> None:
    loop = asyncio.get_running_loop()
    sending: concurrent.futures.Future[Any] = await asyncio.to_thread(
        lambda: asyncio.run_coroutine_threadsafe(ctx.reply(f"done: {message.text}"), loop)
    )
    await asyncio.wrap_future(sending)


@way("BotError")
async def use_a_context_that_was_kept(message: MessageReceived, ctx: Context) -> None:
    kept.append(ctx)
    if len(kept) == 1:
        raise ValueError("the first time")
    await kept[0].reply("with an old context")


# Return values


def returns(name: str, result: Callable[[MessageReceived, Context], Any], dead: str) -> None:
    """Register a way that returns what it must not."""

    async def return_it(message: MessageReceived, ctx: Context) -> Any:
        return result(message, ctx)

    ways[name], DEAD[name] = return_it, dead


async def numbers() -> Any:
    yield 1


returns("return a number", lambda _, __: 1, "BotError")
returns("return bytes", lambda _, __: b"bytes", "BotError")
returns("return a dict", lambda _, __: {"text": "x"}, "BotError")
returns("return a list of none", lambda _, __: [None], "BotError")
returns("return the context", lambda _, ctx: ctx, "BotError")
returns("return an async generator", lambda _, __: numbers(), "BotError")
returns("return what was not awaited", lambda message, ctx: ctx.reply(f"done: {message.text}"), "await")
returns("return nothing to say", lambda _, __: "", "RuleBroken")


# Plain functions


def raises_plainly(name: str, error: Callable[[], BaseException], dead: str) -> None:
    """Register a way that raises an error in a thread."""

    def raise_it(message: MessageReceived, ctx: Context) -> str:
        raise error()

    plain_ways[name], DEAD[name] = raise_it, dead


raises_plainly("exit in a plain function", lambda: SystemExit(3), "SystemExit")
raises_plainly("interrupt in a plain function", KeyboardInterrupt, "KeyboardInterrupt")
raises_plainly("stop iteration in a plain function", StopIteration, "StopIteration")
raises_plainly("cancelled in a plain function", asyncio.CancelledError, "CancelledError")
raises_plainly("base exception in a plain function", Own, "Own")


@way()
def a_plain_function_with_threads(message: MessageReceived, ctx: Context) -> str:
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()
    return f"done: {message.text}"


@way()
def signals_in_a_plain_function(message: MessageReceived, ctx: Context) -> str:
    with contextlib.suppress(ValueError):  # only the main thread may do this
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return f"done: {message.text}"


# Calls


@way()
async def swallow_everything(message: MessageReceived, ctx: Context) -> None:
    with contextlib.suppress(BaseException):
        await ctx.reply(f"done: {message.text}")
        raise Own


@way()
async def reply_within_typing_within_typing(message: MessageReceived, ctx: Context) -> None:
    async with ctx.typing(), ctx.typing():
        await ctx.reply(f"done: {message.text}")


async def run_way(message: MessageReceived, ctx: Context) -> Any:
    return await ways[message.text](message, ctx)


def run_plain_way(message: MessageReceived, ctx: Context) -> Any:
    return plain_ways[message.text](message, ctx)


@bot.on_message("ignore the deadline", attempts=1, deadline_s=2)
async def very_hostile(message: MessageReceived, ctx: Context) -> Any:
    return await run_way(message, ctx)


@bot.on_message("wait until released")
async def waiting(message: MessageReceived, ctx: Context) -> Any:
    return await run_way(message, ctx)


@bot.on_message("wait in a thread until released")
def waiting_in_a_thread(message: MessageReceived, ctx: Context) -> Any:
    return run_plain_way(message, ctx)


@bot.on_message(lambda message: message.text in ways and message.text in ENDLESS, attempts=2, deadline_s=2)
async def endlessly_hostile(message: MessageReceived, ctx: Context) -> Any:
    return await run_way(message, ctx)


@bot.on_message(lambda message: message.text in ways, attempts=2)
async def hostile(message: MessageReceived, ctx: Context) -> Any:
    return await run_way(message, ctx)


@bot.on_message(lambda message: message.text in plain_ways and message.text in ENDLESS, attempts=2, deadline_s=2)
def endlessly_plain_hostile(message: MessageReceived, ctx: Context) -> Any:
    return run_plain_way(message, ctx)


@bot.on_message(lambda message: message.text in plain_ways, attempts=2)
def plain_hostile(message: MessageReceived, ctx: Context) -> Any:
    return run_plain_way(message, ctx)


@bot.on_message
async def innocent(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"echo: {message.text}")
