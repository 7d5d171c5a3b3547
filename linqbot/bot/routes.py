"""The handlers of a bot, prepared once at the start: its own, those of its routers, and those that plugins add.

Each handler is wrapped in the middleware of its routers, and a bot with a handler that can never run is refused. Next step:
`bot/dispatch.py` asks which of these routes takes an event.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Final

import anyio

from linqbot.bot import from_plugins
from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.handlers import ErrorHandler, call_in_thread, check_wrapped, send_returned
from linqbot.bot.router import Middleware, Next, Router
from linqbot.bot.turn_context import TurnContext
from linqbot.engine.bag import Bag
from linqbot.engine.filters import covers, name_of, takes_muted
from linqbot.engine.routing import Route, RouteTable
from linqbot.errors import BotError, LinqbotError
from linqbot.features.handler_options import Gather
from linqbot.features.schedules import Schedule, check_names
from linqbot.frames import place_of
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.plugins.registry import Plugins


class Routes(RouteTable):
    """All handlers of a bot, in the order in which they are tried.

    Args:
        threads: Maximum number of handlers that are a plain `def` and run at once, each in a thread.
        plugins: Their routers come after the bot's handlers, or before them if the plugin asks for it.
    Attributes:
        after_middleware: The `__qualname__`s of the functions that middleware gets to await.
    Raises:
        BotError: a handler can never run, because an earlier one takes all its events; or two schedules have the same
            name.
        ConfigError: a hook of a required plugin failed.
    """

    def __init__(self, bot: Bot, plugins: Plugins, *, threads: int) -> None:
        self._bot = bot
        self._threads = anyio.CapacityLimiter(threads)
        self.after_middleware: set[str] = set()
        routes = [self._prepared(route, around) for route, around in bot.walk()]
        _refuse_unreachable(routes)
        self._routers: list[Router] = [bot]
        self._add_routers(plugins, routes)
        super().__init__(
            routes,
            dead_letter_routes=[route for router in self._every_router() for route in router.dead_letter_handlers],
            options=bot.options,
        )
        check_names(self.of_option(Schedule))

    def error_handler(self, error: Exception) -> ErrorHandler | None:
        known = (each for router in self._every_router() for each in router.error_handlers)
        return next((handler for kind, handler in known if isinstance(error, kind)), None)

    def speaking(self, handle: Next) -> Next:
        """Return a function of an event that runs in the language of the event's person: `Bot(language=…)`."""
        return handle if self._bot.languages is None else self._bot.languages.middleware(handle)

    def wrapped(self, inner: Next, middleware: Sequence[Middleware]) -> Next:
        """Return a function of an event in its middleware, of which the first is the outermost. Raises BotError if one fails."""
        for wrap in reversed(middleware):
            self.after_middleware.add(getattr(inner, "__qualname__", ""))
            try:
                outer = wrap(inner)
            except LinqbotError:
                raise
            except Exception as error:
                what = f"{type(error).__name__}: {error} (at {place_of(error)})"
                raise BotError(f"Middleware raised {what}. Correct it: linqbot dev shows the traceback.") from error
            check_wrapped(outer, wrap)
            inner = outer
        return inner

    def _every_router(self) -> Iterator[Router]:
        """Yield the bot and the routers of plugins, each with the routers that it includes."""
        for outer in self._routers:
            yield from outer.routers()

    def _prepared(self, route: Route, around: Sequence[Router]) -> Route:
        """Return a route with what the bot and the routers around it say about it. The first one is the bot."""
        is_async = inspect.iscoroutinefunction(route.handler)

        async def handle(event: Event, ctx: Context) -> None:
            assert isinstance(ctx, TurnContext)
            given = event if ctx.resumption is None else ctx.resumption.root
            try:
                ctx.enter_handler()
                if ctx.resumption is not None:
                    await ctx.resumption.begin(ctx)
                    ctx.after_ask = ctx.resumption.after_ask
                if is_async:
                    returned = await route.handler(given, ctx)
                else:
                    returned = await call_in_thread(route.handler, given, ctx, self._threads)
                if returned is not None:
                    await send_returned(returned, ctx)
            finally:
                ctx.leave_handler()

        # The bot's own middleware wraps the routing, and is not repeated here.
        inner = self.wrapped(handle, [wrap for router in around[1:] for wrap in router.added_middleware])
        options = Bag({Gather: Gather(_gather_s(route, around)), **route.options})
        return route._replace(handle=self.speaking(inner), options=options)

    def _add_routers(self, plugins: Plugins, routes: list[Route]) -> None:
        """Add the routers of plugins before or after the bot's handlers, which are the `routes`.

        A router is left out if one of its handlers can never run, or keeps another handler from running, or if its
        middleware fails. The error names its plugin.
        """
        first: list[Route] = []
        before: list[Router] = []
        for impl, router in from_plugins.routers(plugins, self._bot):
            is_first = impl.rank == 0
            try:
                # Treated like a router that the bot includes: its middleware wraps its handlers.
                added = [self._prepared(route, (self._bot, *around)) for route, around in router.walk()]
                if is_first:
                    _refuse_unreachable([*first, *added, *routes])
                else:
                    _refuse_unreachable([*first, *routes, *added], advice=_PLUGIN_LAST)
            except Exception as error:  # noqa: BLE001 - middleware may raise anything
                plugins.blame(impl.plugin, impl.hook, error)
                continue
            (first if is_first else routes).extend(added)
            (before if is_first else self._routers).append(router)
        routes[:0] = first
        self._routers[:0] = before


def _gather_s(route: Route, around: Sequence[Router]) -> float:
    """Return how long messages that fit a route wait for further ones. The innermost router that says it decides."""
    if not issubclass(MessageReceived, route.event):
        return 0.0
    return next((router.gather_s for router in reversed(around) if router.gather_s is not None), 0.0)


_PLUGIN_LAST: Final = "A plugin's handlers are tried after the bot's, and before them with @hookimpl(tryfirst=True)"


def _refuse_unreachable(
    routes: Sequence[Route], *, advice: str = "Put the more particular handler first, or remove one of them"
) -> None:
    before: list[Route] = []
    hidden: list[tuple[Route, Route]] = []
    reached: set[int] = set()
    for route in routes:
        if not route.is_tried:
            continue
        if (earlier := next((one for one in before if _hides(one, route)), None)) is not None:
            hidden.append((route, earlier))
        elif route.is_one_of_several:
            reached.add(id(route.handler))
        if route.when is None:
            before.append(route)
    for route, earlier in hidden:
        # A handler of all deliveries may follow one of those that failed: it runs for the others.
        if not (route.is_one_of_several and id(route.handler) in reached):
            raise BotError(_never_runs(route, earlier, advice))


def _hides(earlier: Route, route: Route) -> bool:
    """Return True if a handler takes every event that a later one would take."""
    if not issubclass(route.event, earlier.event) or (route.late and not earlier.late):
        return False
    if takes_muted(route.filters) and not takes_muted(earlier.filters):
        return False
    if not earlier.filters:
        return True
    if earlier.handler is route.handler:
        return False  # one function for several words, which does the same
    # While a question is open, only handlers with `during_ask` are tried.
    return (earlier.during_ask or not route.during_ask) and covers(earlier.filters, route.filters)


def _never_runs(route: Route, earlier: Route, advice: str) -> str:
    how = f"for {' and '.join(map(name_of, earlier.filters))}" if earlier.filters else "without a filter"
    return (
        f"Handler {route.name} can never run: {earlier.name}, registered before it {how}, takes all its events. "
        f"{advice}: {route.at}, {earlier.at}."
    )
