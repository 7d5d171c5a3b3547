"""From an event to the first handler that fits: guards, middleware, router, filters, handler.

A Dispatcher is a Bot made ready to run: its handlers sorted by event class, its middleware composed once. It decides
nothing about retries; what a handler raises goes on to the worker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import anyio
import structlog

from linqbot.bot import from_plugins
from linqbot.bot.background import BackgroundTasks
from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.deadline import DEADLINE_S, Deadline
from linqbot.bot.handlers import ErrorHandler, Route, call
from linqbot.bot.loop_breaker import Loop, LoopBreaker
from linqbot.bot.message_split import files_of
from linqbot.bot.router import Middleware, Next, Router
from linqbot.bot.send_later import Later
from linqbot.bot.typing import TypingIndicator
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import BotError, NoVerdict
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.events.parse import EVENT_TYPES
from linqbot.plugins.registry import Plugins

log = structlog.get_logger("linqbot.bot")


class Dispatcher:
    """Runs a bot's handlers.

    Args:
        clock: Tells how old a message is.
        deadline_s: Longest a handler may run that does not say so itself.
        threads: How many plain handlers may run at once, each in a thread.
        plugins: What they add stands around the bot: middleware outside its own, routers behind it or before.
    Raises:
        BotError: a handler can never run, because one before it takes everything.
        ConfigError: a required plugin failed at adding something.
    """

    def __init__(
        self,
        bot: Bot,
        clock: Clock,
        *,
        deadline_s: float = DEADLINE_S,
        threads: int = 200,
        plugins: Plugins | None = None,
    ) -> None:
        self._bot = bot
        self._clock = clock
        self.deadline_s = deadline_s
        self._threads = anyio.CapacityLimiter(threads)
        plugins = plugins or Plugins()
        self._compiled = [(route, self._wrapped(route, around)) for route, around in bot.walk()]
        _refuse_unreachable(self._compiled)
        self._routers: list[Router] = [bot]
        self._add_routers(plugins)
        self._routes: dict[type[Event], list[tuple[Route, Next]]] = {}
        self._middleware = [*from_plugins.inbound(plugins), *bot.middleware]
        self._entry = _around(self._route, self._middleware)
        self._values = from_plugins.values(plugins)
        self._told: set[str] = set()
        self._without_handler: set[str] = set()
        self._loops = LoopBreaker()
        self._background = BackgroundTasks()

    def context(
        self, event: Event, client: Client, later: Later | None = None, deadline: Deadline | None = None
    ) -> Context:
        """The context a handler of this event gets."""
        shown = self._bot.typing and event.service in (None, "iMessage")
        dots = TypingIndicator(client, event.chat_id, shown=shown, background=self._background)
        values = partial(from_plugins.Values, self._values, event) if self._values else None
        return Context(
            event,
            client,
            typing=dots,
            said=self._said,
            later=later,
            clock=self._clock,
            plugins=values,
            deadline=deadline or Deadline(self.deadline_s),
        )

    async def aclose(self) -> None:
        """End what no turn waits for: read receipts, typing dots."""
        await self._background.aclose()

    @property
    def longest_s(self) -> float:
        """The longest any handler may run."""
        return max([self.deadline_s, *(route.deadline_s or 0.0 for route, _ in self._compiled)])

    def has_no_handler(self, event_type: str) -> bool:
        """Whether events of this type reach no code of the bot's, so that they need not be understood.

        False until the first one has come the whole way, and its author was told how to handle it.
        """
        return event_type in self._without_handler

    def _said(self, chat_id: str, text: str, files: str) -> None:
        self._loops.said(chat_id, text, self._clock.now(), files=files)

    async def dispatch(self, event: Event, ctx: Context) -> None:
        """Run the first handler that fits. Raises what it raises, unless an error handler takes it."""
        try:
            with ctx.deadline:
                await self._entry(event, ctx)
        except NoVerdict:
            raise  # the turn is deferred, which is no handler's to decide
        except Exception as error:
            handler = self._error_handler(error)
            if handler is None:
                raise
            ctx.deadline.give_extra_time()
            with ctx.deadline:
                await handler(error, event, ctx)
        finally:
            ctx.leave()

    async def _route(self, event: Event, ctx: Context) -> None:
        if (reason := self._unwanted(event)) is not None:
            self._tell(f"ignored: {reason}", "event.ignored", event, reason=reason)
            return
        if self._is_loop(event):
            return
        is_late = self._is_late(event)
        for route, handle in self._routes_for(type(event)):
            if is_late and not route.late:
                continue
            fit = route.fits(event)
            if fit:
                ctx.take(route.name, fit if isinstance(fit, re.Match) else None, route.attempts, route.at)
                self._be_polite(event, ctx)
                if route.deadline_s is not None:
                    ctx.deadline.restart(route.deadline_s)
                await handle(event, ctx)
                return
        self._unhandled(event)

    def _routes_for(self, kind: type[Event]) -> list[tuple[Route, Next]]:
        routes = self._routes.get(kind)
        if routes is None:
            routes = [(route, handle) for route, handle in self._compiled if issubclass(kind, route.event)]
            self._routes[kind] = routes
        return routes

    def _unwanted(self, event: Event) -> str | None:
        """Why this event must not reach a handler; None when it may."""
        if event.is_own and event.echoes:
            return "own echo"
        if self._bot.allow is not None and not self._bot.allow(event):
            return "not allowed"
        if event.is_group and self._bot.groups != "all":
            if self._bot.groups == "never":
                return "in a group"
            if isinstance(event, MessageReceived) and not event.is_addressed:
                return "in a group, not addressed"
        return None

    def _is_loop(self, event: Event) -> bool:
        if not isinstance(event, MessageReceived) or not self._bot.loop_breaker:
            return False
        now = self._clock.now()
        sent_at = now if event.sent_at is None else event.sent_at.timestamp()
        files = files_of(event.parts)
        loop = self._loops.heard(event.chat_id, event.text, sent_at, now, files=files, message_id=event.id)
        if loop is Loop.FOUND:
            log.error(
                "loop.broken",
                event_id=event.event_id,
                chat_id=event.chat_id,
                why="The other side repeats itself or quotes the bot, and either the replies repeat too or the messages "
                "come faster than a person writes: another bot. The chat is answered again once something new is said, "
                "or after a pause. Bot(loop_breaker=False) turns this off.",
            )
        return loop is not Loop.NONE

    def _is_late(self, event: Event) -> bool:
        if not isinstance(event, MessageReceived):
            return False
        if event.reconciled_at is not None:
            return True
        max_age_s = self._bot.max_age_s
        if max_age_s is None or event.sent_at is None:
            return False
        return self._clock.now() - event.sent_at.timestamp() > max_age_s

    def _be_polite(self, event: Event, ctx: Context) -> None:
        if not isinstance(event, MessageReceived):
            return
        ctx.show_typing_when_slow()
        if self._bot.read:
            # Not in the turn: a read receipt must neither delay nor fail a reply.
            self._background.start(ctx.mark_read())

    def _error_handler(self, error: Exception) -> ErrorHandler | None:
        for outer in self._routers:
            for router in outer.routers():
                for kind, handler in router.error_handlers:
                    if isinstance(error, kind):
                        return handler
        return None

    def _unhandled(self, event: Event) -> None:
        if event.type in EVENT_TYPES and not self._routes_for(type(event)) and not self._middleware:
            self._without_handler.add(event.type)
        # What our own sends cause, receipts above all, needs no handler for a bot to be whole; nor does a new chat.
        if event.is_own or event.type == "chat.created":
            log.debug("event.unhandled", type=event.type, event_id=event.event_id)
            return
        if tried := [route.name for route, _ in self._routes_for(type(event))]:
            self._tell(f"unmatched: {event.type}", "event.unmatched", event, tried=tried)
            return
        kind = type(event)
        function = "on_" + (re.sub(r"\W+", "_", event.type) or "unknown")
        code = (
            f"from {kind.__module__} import {kind.__name__}\n\n"
            f"@bot.on({kind.__name__})\nasync def {function}(event: {kind.__name__}, ctx: Context) -> None:\n    ..."
        )
        self._tell(f"unhandled: {event.type}", "event.unhandled", event, to_handle_it=code)

    def _tell(self, what: str, name: str, event: Event, **facts: object) -> None:
        """Log something once where it is seen, and after that for whoever looks closely."""
        if what in self._told:
            log.debug(name, type=event.type, event_id=event.event_id)
        else:
            self._told.add(what)
            log.info(name, type=event.type, event_id=event.event_id, **facts)

    def _wrapped(self, route: Route, around: Sequence[Router]) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            await call(route.handler, event, ctx, self._threads)

        # The bot's own middleware, the first of `around`, wraps the routing itself and is not repeated here.
        return _around(handle, [wrap for router in around[1:] for wrap in router.middleware])

    def _add_routers(self, plugins: Plugins) -> None:
        """Put plugins' routers around the bot's own handlers. One that does not fit there is its plugin's fault."""
        first: list[tuple[Route, Next]] = []
        before: list[Router] = []
        for impl, router in from_plugins.routers(plugins):
            # As if the bot included it: its middleware wraps its handlers.
            added = [(route, self._wrapped(route, (self._bot, *around))) for route, around in router.walk()]
            is_first = impl.rank == 0
            try:
                _refuse_unreachable(
                    [*first, *added, *self._compiled] if is_first else [*first, *self._compiled, *added]
                )
            except BotError as error:
                plugins.blame(impl.plugin, impl.hook, error, with_message=True)
                continue
            (first if is_first else self._compiled).extend(added)
            (before if is_first else self._routers).append(router)
        self._compiled[:0] = first
        self._routers[:0] = before


def _refuse_unreachable(routes: Sequence[tuple[Route, Next]]) -> None:
    catch_alls: list[Route] = []
    for route, _ in routes:
        for earlier in catch_alls:
            if issubclass(route.event, earlier.event) and (earlier.late or not route.late):
                raise BotError(
                    f"Handler {route.name} can never run: {earlier.name}, registered before it without a filter, "
                    f"takes every {route.event.__name__}. Put the more particular handler first."
                )
        if not route.filters:
            catch_alls.append(route)


def _around(inner: Next, middleware: Sequence[Middleware]) -> Next:
    for wrap in reversed(middleware):
        inner = wrap(inner)
    return inner
