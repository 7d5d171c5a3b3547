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
from linqbot.bot.handlers import ErrorHandler, Route, call_in_thread, check_wrapped, send_returned
from linqbot.bot.router import Middleware, Next, Router
from linqbot.bot.turn_context import TurnContext
from linqbot.engine.filters import covers, name_of, takes_muted, text_of, words_among
from linqbot.errors import BotError, LinqbotError
from linqbot.features.bot_options import manners_of
from linqbot.frames import place_of
from linqbot.language.reading import chosen, exactly, plain, readings
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.plugins.registry import Plugins

# By name, because only a bot that gathers needs their module.
TYPING: Final = ("chat.typing_indicator.started", "chat.typing_indicator.stopped")
_EDITED: Final = "message.edited"


class Routes:
    """All handlers of a bot, in the order in which they are tried.

    Args:
        threads: Maximum number of handlers that are a plain `def` and run at once, each in a thread.
        plugins: Their routers come after the bot's handlers, or before them if the plugin asks for it.
    Attributes:
        all: The routes of handlers; those of `on_dead_letter` and `on_error` are apart.
        overlaps: True if a message may reach a handler that runs already.
        gathers: True if messages wait for further ones, so that a burst is one message.
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
        self.all = [self._prepared(route, around) for route, around in bot.walk()]
        _refuse_unreachable(self.all)
        self._routers: list[Router] = [bot]
        self._add_routers(plugins)
        self.schedules = tuple(route.schedule for route in self.all if route.schedule is not None)
        if self.schedules:
            from linqbot.features.schedules import check_names

            check_names(self.schedules)
        self._near_words = _near_words(self.all)
        self._by_event: dict[type[Event], list[Route]] = {}
        self._by_name = {route.name: route for route in reversed(self.all)}
        self.overlaps: bool = any(route.overlap != "queue" for route in self.all)
        self.gathers = bool(bot.gather_s) or any(route.gather_s for route in self.all)

    @property
    def handled(self) -> frozenset[type[Event]]:
        """The event classes that the bot needs: those that handlers take, plugins' included, and those of `_joining`.

        A bot with manners answers START and HELP.
        """
        taken = (route.event for route in self.all)
        answered = [MessageReceived] if manners_of(self._bot.options) is not None else []
        return frozenset([*taken, *answered, *_joining(gathers=self.gathers, overlaps=self.overlaps)])

    def of(self, kind: type[Event]) -> list[Route]:
        """Return the routes that may take events of a class. Those for people who opt out are not among them."""
        routes = self._by_event.get(kind)
        if routes is None:
            routes = [route for route in self.all if issubclass(kind, route.event) and not route.opt_out]
            self._by_event[kind] = routes
        return routes

    def tried(self, event: Event) -> list[Route]:
        """Return the routes that may take an event, in the order in which they are tried.

        It is the order in which they were registered; but a handler for exactly the text of a message, such as `sí`, comes
        before one whose words are nearly this text, such as `si`.
        """
        routes = self.of(type(event))
        if not self._near_words or not isinstance(event, MessageReceived | MessageEdited):
            return routes
        if (said := chosen(text := text_of(event), self._near_words)) is None:
            return routes
        words = [words_among(route.filters) for route in routes]
        exact = [each is not None and each.is_exact(said) for each in words]
        near = (n for n, each in enumerate(words) if each is not None and not exact[n] and each.fits_text(text))
        first = next(near, len(routes))
        behind = sorted(range(first, len(routes)), key=lambda n: not exact[n])  # else in their order
        return [*routes[:first], *(routes[n] for n in behind)]

    def fits(self, event: Event) -> bool:
        """Return True if the filters of a handler take an event."""
        return any(route.fits(event) for route in self.of(type(event)))

    def named(self, name: str) -> Route | None:
        """Return the route of the handler of this name; None if there is none. Of several with one name, the first counts."""
        return self._by_name.get(name)

    def is_name_of_several(self, name: str) -> bool:
        """Return True if several functions are registered under this name, such as those that a factory makes."""
        first = self.named(name)
        return first is not None and any(route.name == name and route.handler != first.handler for route in self.all)

    def error_handler(self, error: Exception) -> ErrorHandler | None:
        known = (each for router in self._every_router() for each in router.error_handlers)
        return next((handler for kind, handler in known if isinstance(error, kind)), None)

    def dead_letter_handler(self, kind: type[Event]) -> Route | None:
        routes = (route for router in self._every_router() for route in router.dead_letter_handlers)
        return next((route for route in routes if issubclass(kind, route.event)), None)

    @property
    def has_dead_letter_handlers(self) -> bool:
        return any(router.dead_letter_handlers for router in self._every_router())

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
        return route._replace(handle=self.speaking(inner), gather_s=_gather_s(route, around))

    def _add_routers(self, plugins: Plugins) -> None:
        """Add the routers of plugins before or after the bot's handlers.

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
                    _refuse_unreachable([*first, *added, *self.all])
                else:
                    _refuse_unreachable([*first, *self.all, *added], advice=_PLUGIN_LAST)
            except Exception as error:  # noqa: BLE001 - middleware may raise anything
                plugins.blame(impl.plugin, impl.hook, error)
                continue
            (first if is_first else self.all).extend(added)
            (before if is_first else self._routers).append(router)
        self.all[:0] = first
        self._routers[:0] = before


def _near_words(routes: Sequence[Route]) -> frozenset[str]:
    """Return the words of handlers that are nearly words of other handlers: `sí` next to `si`, or `menu please` next to `menu`."""
    found = (words_among(route.filters) for route in routes)
    words = {exactly(word) for each in found if each is not None for word in each.words}
    by_form: dict[str, set[str]] = {}
    for word in words:
        by_form.setdefault(plain(word), set()).add(word)
    return frozenset(word for word in words if any(by_form.get(form, {word}) != {word} for form in readings(word)))


def _joining(*, gathers: bool, overlaps: bool) -> list[type[Event]]:
    """Return the event classes that a bot needs for messages which join: typing for bursts, edits for bursts and overlaps."""
    names = [*(TYPING if gathers else ()), *([_EDITED] if gathers or overlaps else ())]
    return [EVENT_TYPES[name] for name in names]


def _gather_s(route: Route, around: Sequence[Router]) -> float:
    """Return how long messages that fit a route wait for further ones. The innermost router that says it decides."""
    if not route.gather or not issubclass(MessageReceived, route.event):
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
        if route.opt_out:
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
