"""A Router holds handlers, in the order they were written; `bot/dispatch.py` walks them.

A Bot is a Router too. Routers nest: `bot.include(router)` puts a router's handlers where the call stands, wrapped in
that router's own middleware.
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
"""Takes what comes next and returns what stands in its place: `def timed(next): async def handle(event, ctx): …`."""
X = TypeVar("X", bound=Exception)


class Router:
    """Handlers, the filters they wait behind, and the middleware around them."""

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
        """Handle events of a class, when every filter holds.

        Args:
            event: Any event class; a base class takes everything below it, `Event` takes all.
            late: Also take old news: reconciled messages, and messages older than the bot's `max_age_s`.
            attempts: How often it is run before an event it fails on becomes a dead letter; None is the worker's 5.
            deadline_s: How long it may run before it counts as failed; None is the worker's 15 minutes.

        Example:
            `@bot.on(MessageRead)`
        """
        if not (isinstance(event, type) and issubclass(event, Event)):
            raise BotError(f"@bot.on() needs an event class such as MessageReceived, not {event!r}.")
        for predicate in filters:
            if not callable(predicate) or inspect.iscoroutinefunction(predicate):
                raise BotError(f"{predicate!r} is no filter. A filter is a plain function of one argument, the event.")

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
        """Handle messages from people.

        Args:
            given: Filters. Strings are whole texts, trimmed and in any case; any of them fits.
            how: `late`, `attempts` and `deadline_s`: see `on`.

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
        """Handle edits people make to their messages. Arguments are those of `on_message`."""
        return self._register(MessageEdited, given, how)

    @overload
    def on_reaction(self, handler: Handler[ReactionAdded], /) -> Handler[ReactionAdded]: ...

    @overload
    def on_reaction(
        self, *given: ReactionType | Filter[ReactionAdded] | Predicate[ReactionAdded]
    ) -> Callable[[Handler[ReactionAdded]], Handler[ReactionAdded]]: ...

    def on_reaction(self, *given: Any) -> Any:
        """Handle tapbacks people add.

        Args:
            given: Names of tapbacks, any of which fits, and filters.

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
        """Handle what a handler raised: returning acks the event, raising again retries it.

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
        """Put another router's handlers here, after those already registered."""
        if any(inner is self for inner in router.routers()):
            raise BotError("A router cannot include itself, neither directly nor through another.")
        self._entries.append(router)

    def use(self, middleware: Middleware) -> Middleware:
        """Wrap what this router handles; the first one used is the outermost. Works as a decorator."""
        self._middleware.append(middleware)
        return middleware

    def routers(self) -> Iterator[Router]:
        """This router and all that are included in it."""
        yield self
        for entry in self._entries:
            if isinstance(entry, Router):
                yield from entry.routers()

    def walk(self) -> Iterator[tuple[Route, tuple[Router, ...]]]:
        """All routes in order, each with the routers around it, the outermost first."""
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
