"""Resources, and the functions of on_start and on_stop: a process opens them before the first event, and closes them after the last.

`server/app.py` runs the worker inside of `around`. Nothing here belongs to an event, so nothing is in a journal.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, overload

import structlog

from linqbot.bot.handlers import check_async
from linqbot.engine.bag import Bag
from linqbot.engine.filters import takes
from linqbot.engine.routing import handler_name
from linqbot.errors import BotError, StartFailed
from linqbot.frames import place_of
from linqbot.interrupts import RunningTask

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot
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
        handled: Event classes that the handlers take, those of plugins included.
        lost: Returns the number of messages that this process had to fetch, because Linq had given up delivering their webhooks.
        options: The options of the bot that features read, by their classes.
    """

    bot: Bot
    client: Client
    storage: Storage
    clock: Clock
    handled: frozenset[type[Event]] = frozenset()
    lost: Callable[[], int] = lambda: 0
    options: Bag = field(default_factory=Bag)

    @property
    def post(self) -> Poster:
        """Puts an event from outside into a chat's lane: `await running.post("order.shipped", {…}, id=…, person=…)`."""
        from linqbot.features.posts import Poster  # few bots post

        return Poster(self.storage, self.clock)


LifecycleHandler: TypeAlias = Callable[[Running], Awaitable[None]]
L = TypeVar("L", bound=LifecycleHandler)


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


class Lifecycle(ABC):
    """The resources and functions that a process opens and runs at its start and its stop: a base of Router."""

    def __init__(self) -> None:
        self.resources: list[Resource[Any]] = []
        self.start_handlers: list[LifecycleHandler] = []
        self.stop_handlers: list[LifecycleHandler] = []

    @abstractmethod
    def routers(self) -> Iterator[Lifecycle]:
        """Yield this router, then all routers included in it."""

    def on_start(self, handler: L, /) -> L:
        """Register a function that runs in each process before the first event is handled, such as to open a pool.

        Several run in the order of registration. If one raises an error, or runs for more than 60 seconds, the bot does
        not start. A crash may repeat what it does: its calls are in no journal, unlike those of handlers.

        Args:
            handler: An `async def` of one argument, the `Running` bot with its `client`.
        Raises:
            BotError: the handler is not an `async def` of one argument.

        Example:
            `@bot.on_start` above `async def open_pool(running: Running) -> None: …`
        """
        check_async(handler, "@bot.on_start", "running")
        self.start_handlers.append(handler)
        return handler

    def on_stop(self, handler: L, /) -> L:
        """Register a function that runs when the bot stops, after the last handler has ended.

        Several run in the reverse order of registration. An error is logged. After a crash or a kill none of them runs.

        Args:
            handler: An `async def` of one argument, the `Running` bot.
        Raises:
            BotError: the handler is not an `async def` of one argument.

        Example:
            `@bot.on_stop` above `async def close_pool(running: Running) -> None: …`
        """
        check_async(handler, "@bot.on_stop", "running")
        self.stop_handlers.append(handler)
        return handler

    @overload
    def resource(self, open_: Callable[[], AsyncIterator[T]], /) -> Resource[T]: ...

    @overload
    def resource(self, open_: Callable[[Running], AsyncIterator[T]], /) -> Resource[T]: ...

    def resource(self, open_: Any) -> Any:
        """Declare what each process opens once, such as a pool of connections. The name becomes a `Resource`, with a `value`.

        Resources are opened in the order of registration before the functions of `on_start` run, and closed in the reverse
        order at the stop. If one cannot be opened within 60 seconds, the bot does not start. In a test,
        `with pool.replaced(FakePool()):` gives it another value.

        Args:
            open_: An `async def` with one `yield`, of no argument or of one, the `Running` bot.
        Raises:
            BotError: it is another kind of function.

        Example:
            `@bot.resource` above `async def pool() -> AsyncIterator[Pool]: …`, and in a handler `await pool.value.fetch(…)`
        """
        check_resource(open_)
        self.resources.append(Resource(open_))
        return self.resources[-1]


@asynccontextmanager
async def around(bot: Lifecycle, running: Running) -> AsyncIterator[None]:
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
