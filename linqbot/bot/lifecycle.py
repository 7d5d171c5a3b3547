"""Resources, and the functions of on_start and on_stop: a process opens them before the first event, and closes them after the last.

`server/app.py` runs the worker inside of `around`. Nothing here belongs to an event, so nothing is in a journal.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import structlog

from linqbot.bot.handlers import handler_name
from linqbot.engine.filters import takes
from linqbot.errors import BotError, StartFailed
from linqbot.frames import place_of
from linqbot.interrupts import RunningTask

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot
    from linqbot.bot.router import Router
    from linqbot.client.client import Client
    from linqbot.clock import Clock
    from linqbot.features.posts import Poster
    from linqbot.linq.events.event import Event
    from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.bot")

T = TypeVar("T")

LIMIT_S: Final = 60.0
"""Seconds that one function may run, and that a resource may take to open and to close."""

_CLOSED: Final = object()


@dataclass(frozen=True, slots=True)
class Running:
    """A running bot and what it runs on: the argument of `@bot.on_start`, `@bot.on_stop` and the hook `started`.

    Attributes:
        client: Client for calls outside any turn. They go through the outbound middleware of all plugins. They are not
            in the journal, so they are not repeated after a crash.
        storage: The bot's storage. It is open from `on_start` to `on_stop`.
        clock: Clock that retries and timers use.
        post: Puts an event from outside into a chat's lane: `await running.post("order.shipped", {…}, id=…, person=…)`.
        handled: Event classes that the handlers take, those of plugins included.
        lost: Returns the number of messages that this process had to fetch, because Linq had given up delivering their webhooks.
    """

    bot: Bot
    client: Client
    storage: Storage
    clock: Clock
    post: Poster
    handled: frozenset[type[Event]] = frozenset()
    lost: Callable[[], int] = lambda: 0


LifecycleHandler: TypeAlias = Callable[[Running], Awaitable[None]]


class Resource(Generic[T]):
    """Something that a process opens once, such as a pool of connections to a database: what `@bot.resource` returns.

    Args:
        open_: An `async def` with one `yield`. What it yields is the value.
    """

    def __init__(self, open_: Callable[..., AsyncIterator[T]]) -> None:
        self.name = handler_name(open_)
        self._open = asynccontextmanager(open_)
        self._takes_running = bool(inspect.signature(open_).parameters)
        self._value: Any = _CLOSED
        self._is_replaced = False

    @property
    def value(self) -> T:
        """The value, for handlers, filters, tools and everything else that runs while the bot does.

        Raises:
            BotError: the bot does not run, so the resource is not open.
        """
        if self._value is _CLOSED:
            raise BotError(
                f"The resource {self.name} is not open. It is while the bot is served, and never in a dry run. To have a value "
                f"elsewhere: with {self.name.rpartition(':')[2]}.replaced(…):"
            )
        value: T = self._value
        return value

    @contextmanager
    def replaced(self, value: T) -> Iterator[None]:
        """Use another value inside the block, such as in a test. The bot that starts there does not open the resource.

        Example: `with pool.replaced(FakePool()): …`
        """
        before = self._value, self._is_replaced
        self._value, self._is_replaced = value, True
        try:
            yield
        finally:
            self._value, self._is_replaced = before

    @asynccontextmanager
    async def opened(self, running: Running) -> AsyncIterator[None]:
        """Open the resource for the block, and close it afterwards. An error while it closes is logged.

        Raises:
            BotError: it cannot be opened, or is open already.
        """
        if self._is_replaced:
            yield
            return
        if self._value is not _CLOSED:
            raise BotError(
                f"The resource {self.name} is open already: two apps of this process serve one bot. Make a Bot for each."
            )
        context = self._open(*[running] if self._takes_running else [])
        self._value = await _in_time(context.__aenter__(), f"the resource {self.name}")
        try:
            yield
        finally:
            self._value = _CLOSED
            await _logged(context.__aexit__(None, None, None), "resource.close_failed", resource=self.name)


@asynccontextmanager
async def around(bot: Router, running: Running) -> AsyncIterator[None]:
    """Open the resources and run the functions of `@bot.on_start`, then the block, then the reverse with `@bot.on_stop`.

    Those of included routers come after those of the router that includes them. Errors at the end are logged, and keep
    nothing else from being closed.

    Raises:
        BotError: a resource could not be opened, or a function of `@bot.on_start` raised an error or took too long. What is
            open is closed, and nothing else runs.
    """
    routers = list(bot.routers())
    async with AsyncExitStack() as stack:
        for resource in (each for router in routers for each in router.resources):
            await stack.enter_async_context(resource.opened(running))
        for handler in (each for router in routers for each in router.start_handlers):
            await _in_time(handler(running), f"@bot.on_start {handler_name(handler)}")
        try:
            yield
        finally:
            for handler in reversed([each for router in routers for each in router.stop_handlers]):
                await _logged(handler(running), "stop.failed", handler=handler_name(handler))


async def _in_time(opening: Awaitable[T], name: str) -> T:
    task = RunningTask()
    try:
        async with asyncio.timeout(LIMIT_S):
            return await opening
    except BaseException as error:
        if task.is_ended_by(error):
            raise
        why = f"{type(error).__name__} at {place_of(error)}"
        raise StartFailed(f"The bot does not start, because {name} failed: {why}.") from error


async def _logged(closing: Awaitable[Any], event: str, **facts: str) -> None:
    task = RunningTask()
    try:
        async with asyncio.timeout(LIMIT_S):
            await closing
    except BaseException as error:
        if task.is_ended_by(error):
            raise
        log.error(event, **facts, error=type(error).__name__, at=place_of(error))


def check_resource(open_: Any) -> None:
    """Raise BotError if the function of a resource is not an `async def` with a `yield`, of no argument or one."""
    if not (inspect.isasyncgenfunction(open_) and (takes(open_, 0) or takes(open_, 1))):
        raise BotError(
            f"{handler_name(open_)} does not fit @bot.resource. Write: async def pool() -> AsyncIterator[Pool]: "
            "async with make_pool() as pool: yield pool"
        )
