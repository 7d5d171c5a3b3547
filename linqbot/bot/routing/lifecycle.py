"""The functions that run when the bot starts and stops: `@bot.on_start` and `@bot.on_stop`.

They belong to no event. They open and close what handlers use, such as a connection pool. Next step:
`server/app.py` runs the worker inside of `around`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import structlog

from linqbot.bot.routing.handlers import handler_name
from linqbot.errors import BotError
from linqbot.frames import place_of
from linqbot.hookspecs import Running
from linqbot.interrupts import RunningTask

if TYPE_CHECKING:
    from linqbot.bot.routing.router import Router

log = structlog.get_logger("linqbot.bot")

LifecycleHandler: TypeAlias = Callable[[Running], Awaitable[None]]
L = TypeVar("L", bound=LifecycleHandler)

LIMIT_S: Final = 60.0
"""Seconds that one function may run."""


@asynccontextmanager
async def around(bot: Router, running: Running) -> AsyncIterator[None]:
    """Run the functions of `@bot.on_start`, then the block, then the functions of `@bot.on_stop`.

    Functions of included routers come after those of the router that includes them. The functions of `@bot.on_stop` run
    in reverse order. Their errors are logged, and keep no other function from running.

    Raises:
        BotError: a function of `@bot.on_start` raised an error, or took too long. The block and no further function run.
    """
    task = RunningTask()
    for handler in (each for router in bot.routers() for each in router.start_handlers):
        try:
            async with asyncio.timeout(LIMIT_S):
                await handler(running)
        except BaseException as error:
            if task.is_ended_by(error):
                raise
            why = f"{type(error).__name__} at {place_of(error)}"
            raise BotError(
                f"The bot does not start, because @bot.on_start {handler_name(handler)} failed: {why}."
            ) from error
    try:
        yield
    finally:
        task = RunningTask()
        for handler in reversed([each for router in bot.routers() for each in router.stop_handlers]):
            try:
                async with asyncio.timeout(LIMIT_S):
                    await handler(running)
            except BaseException as error:  # the other functions must close what they have opened
                if task.is_ended_by(error):
                    raise
                log.error("stop.failed", handler=handler_name(handler), error=type(error).__name__, at=place_of(error))


def check(handler: Any, decorator: str) -> None:
    """Check a function when it is registered.

    Raises:
        BotError: it is not an `async def` of one argument.
    """
    takes_one = False
    if inspect.iscoroutinefunction(handler):
        try:
            inspect.signature(handler).bind(object())
            takes_one = True
        except TypeError:
            pass
    if not takes_one:
        function = getattr(handler, "__name__", "function")
        raise BotError(
            f"{handler_name(handler)} does not fit {decorator}: it must be an async def of one argument. "
            f"Write: async def {function}(running: Running) -> None"
        )
