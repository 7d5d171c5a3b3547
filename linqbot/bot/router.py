"""A Router: handlers with their filters, middleware and error handlers, in the order of registration.

A Bot is a Router too. Routers can be nested: `bot.include(router)` adds the router's handlers after those already
registered, inside the router's own middleware. Next step: `bot/dispatch.py` runs the first handler that fits an event.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias, TypeVar, get_args, overload

from linqbot.bot.context import Context
from linqbot.bot.filters import Filter, Predicate, exact
from linqbot.bot.handlers import ErrorHandler, Handler, Route, check, is_handler
from linqbot.errors import BotError
from linqbot.events.event import Event
from linqbot.events.message import MessageEdited, MessageReceived
from linqbot.events.reaction import ReactionAdded
from linqbot.frames import place_of_function
from linqbot.types.message import ReactionType

E = TypeVar("E", bound=Event)
Next: TypeAlias = Callable[[Any, Context], Awaitable[None]]
Middleware: TypeAlias = Callable[[Next], Next]
"""A function that takes the next step and returns a function to run instead of it, which usually calls the next step:
`def timed(next): async def handle(event, ctx): …; return handle`."""
X = TypeVar("X", bound=Exception)


class Router:
    """A list of handlers with their filters, and the middleware around them."""

    def __init__(self) -> None:
        self._entries: list[Route | Router] = []
        self._middleware: list[Middleware] = []
        self._error_handlers: list[tuple[type[Exception], ErrorHandler]] = []

    def on(
        self,
        event: type[E],
        *filters: Predicate[E],
        late: bool = False,
        attempts: int | None = None,
        deadline_s: float | None = None,
    ) -> Callable[[Handler[E]], Handler[E]]:
        """Register a handler for the events of a class. It runs if every filter fits the event.

        Args:
            event: The event class. A base class includes its subclasses, so `Event` means every event.
            filters: Functions that take the event and return a true value if the handler fits: see `bot/filters.py`.
            late: True also handles late messages: those older than the bot's `max_age_s`, and those fetched from Linq
                after a long downtime.
            attempts: Number of runs after which an event whose runs all failed becomes a dead letter. None means the
                worker's setting, by default 5.
            deadline_s: Seconds that the handler may run before it is cancelled and counts as failed. None means the
                worker's setting, by default 900.
        Returns:
            A decorator for the handler, which is an `async def` or a plain `def` of (event, ctx).
        Raises:
            BotError: `event` is not an event class, a filter is not a plain function, or the decorated handler takes
                other arguments than (event, ctx).

        Example:
            `@bot.on(MessageRead)`
        """
        if not (isinstance(event, type) and issubclass(event, Event)):
            raise BotError(f"@bot.on() needs an event class such as MessageReceived, not {event!r}.")
        for predicate in filters:
            if not callable(predicate) or inspect.iscoroutinefunction(predicate):
                raise BotError(
                    f"{predicate!r} is not a filter. A filter is a plain function of one argument, the event."
                )

        def register(handler: Handler[E]) -> Handler[E]:
            name = check(handler, event)
            self._entries.append(
                Route(event, filters, handler, name, late, attempts, deadline_s, place_of_function(handler))
            )
            return handler

        return register

    @overload
    def on_message(self, handler: Handler[MessageReceived], /) -> Handler[MessageReceived]: ...

    @overload
    def on_message(
        self,
        *filters: str | Predicate[MessageReceived],
        late: bool = False,
        attempts: int | None = None,
        deadline_s: float | None = None,
    ) -> Callable[[Handler[MessageReceived]], Handler[MessageReceived]]: ...

    def on_message(self, *given: Any, **how: Any) -> Any:
        """Register a handler for the messages that people send. Works with and without arguments.

        Args:
            given: Filters, which must all fit. Strings are whole texts, compared without surrounding white space and
                ignoring case; one of the strings must fit.
            how: `late`, `attempts` and `deadline_s`, as for `on`.
        Raises:
            BotError: as for `on`; or a string is empty.

        Example:
            `@bot.on_message`, `@bot.on_message("hi", "hello")`, `@bot.on_message(regex(r"order (\\d+)"), in_direct)`
        """
        return self._register(MessageReceived, given, how)

    @overload
    def on_edit(self, handler: Handler[MessageEdited], /) -> Handler[MessageEdited]: ...

    @overload
    def on_edit(
        self,
        *filters: str | Predicate[MessageEdited],
        late: bool = False,
        attempts: int | None = None,
        deadline_s: float | None = None,
    ) -> Callable[[Handler[MessageEdited]], Handler[MessageEdited]]: ...

    def on_edit(self, *given: Any, **how: Any) -> Any:
        """Register a handler for the edits that people make to their messages.

        Args:
            given: Filters and texts, as for `on_message`. They apply to the text after the edit.
            how: `late`, `attempts` and `deadline_s`, as for `on`.
        Raises:
            BotError: as for `on_message`.
        """
        return self._register(MessageEdited, given, how)

    @overload
    def on_reaction(self, handler: Handler[ReactionAdded], /) -> Handler[ReactionAdded]: ...

    @overload
    def on_reaction(
        self, *given: ReactionType | Filter[ReactionAdded] | Predicate[ReactionAdded]
    ) -> Callable[[Handler[ReactionAdded]], Handler[ReactionAdded]]: ...

    def on_reaction(self, *given: Any) -> Any:
        """Register a handler for the reactions (tapbacks) that people add.

        Args:
            given: Names of reactions, one of which must fit, and filters, which must all fit.
        Raises:
            BotError: as for `on`; or a name is not one of Linq's reactions.

        Example:
            `@bot.on_reaction("love", "like")`
        """
        if len(given) == 1 and is_handler(given[0]):
            return self.on(ReactionAdded)(given[0])
        names = frozenset(name for name in given if isinstance(name, str))
        for name in names:
            _known_reaction(name)
        filters = [predicate for predicate in given if not isinstance(predicate, str)]
        if names:
            filters.insert(0, Filter(lambda event: event.reaction_type in names, f"reaction{tuple(sorted(names))!r}"))
        return self.on(ReactionAdded, *filters)

    def on_error(
        self, error: type[X]
    ) -> Callable[[Callable[[X, Any, Context], Awaitable[None]]], Callable[[X, Any, Context], Awaitable[None]]]:
        """Register an error handler, for the errors of a class that any handler of the bot raises.

        If the error handler returns, the event counts as handled. If it raises, the event is retried. An error without
        a fitting error handler is retried too. Of several that fit, the first one runs: those of a router come before
        those of the routers it includes.

        Args:
            error: The class of the errors; subclasses are included.
        Returns:
            A decorator for the error handler, an `async def` of (error, event, ctx).

        Example:
            `@bot.on_error(ValueError)` above `async def sorry(error, event, ctx): …`
        """

        def register(
            handler: Callable[[X, Any, Context], Awaitable[None]],
        ) -> Callable[[X, Any, Context], Awaitable[None]]:
            self._error_handlers.append((error, handler))
            return handler

        return register

    def include(self, router: Router) -> None:
        """Add the handlers of another router, after the handlers already registered here.

        Raises:
            BotError: the router is this router, or includes it.
        """
        if any(inner is self for inner in router.routers()):
            raise BotError("A router cannot include itself, neither directly nor through another.")
        self._entries.append(router)

    def use(self, middleware: Middleware) -> Middleware:
        """Add middleware around the handlers of this router. Works as a decorator.

        The middleware added first is the outermost. A bot's middleware runs for every event, even if no handler fits;
        the middleware of an included router runs only if one of the router's handlers was chosen.

        Args:
            middleware: A function that takes the next step and returns an `async def` of (event, ctx).
        Returns:
            The same middleware.
        """
        self._middleware.append(middleware)
        return middleware

    def routers(self) -> Iterator[Router]:
        """Yield this router, then all routers included in it."""
        yield self
        for entry in self._entries:
            if isinstance(entry, Router):
                yield from entry.routers()

    def walk(self) -> Iterator[tuple[Route, tuple[Router, ...]]]:
        """Yield the routes in order, each with the routers it is nested in, the outermost first."""
        for entry in self._entries:
            if isinstance(entry, Router):
                for route, around in entry.walk():
                    yield route, (self, *around)
            else:
                yield entry, (self,)

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        return tuple(self._middleware)

    @property
    def error_handlers(self) -> tuple[tuple[type[Exception], ErrorHandler], ...]:
        return tuple(self._error_handlers)

    def _register(self, event: type[Event], given: tuple[Any, ...], how: dict[str, Any]) -> Any:
        if len(given) == 1 and is_handler(given[0]):
            return self.on(event)(given[0])
        texts = tuple(text for text in given if isinstance(text, str))
        filters = [predicate for predicate in given if not isinstance(predicate, str)]
        if texts:
            filters.insert(0, exact(*texts))
        return self.on(event, *filters, **how)


def _known_reaction(name: str) -> None:
    known = get_args(ReactionType)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
        raise BotError(f"There is no reaction {name!r}, so this handler could never run. {hint}")
