"""Routes: the handlers of a bot as data, in the order in which they are tried, and the run of one of them.

Nothing here runs a handler. `bot/routes.py` fills the table when the bot starts. Next step: `handling.py` answers questions from the
table, and `bot/dispatch.py` runs the first handler that fits an event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from linqbot.engine.bag import Bag, Option
from linqbot.engine.filters import Fit, name_of, text_of, words_among
from linqbot.language.reading import chosen, exactly, plain, readings
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.turn_events import Tried

if TYPE_CHECKING:
    from linqbot.engine.state import TurnState
    from linqbot.storage.inbox import Lease

D = TypeVar("D")

NO_OPTIONS: Final = Bag()


def handler_name(handler: Any) -> str:
    """Return the name of a handler, as `module:qualname`."""
    return f"{getattr(handler, '__module__', '?')}:{getattr(handler, '__qualname__', type(handler).__name__)}"


class Route(NamedTuple):
    """A registered handler, with its event class, its filters and its limits.

    Attributes:
        event: The class of events that the handler takes, subclasses included.
        handler: The function as its author wrote it; that of `on_dead_letter` takes the failure first.
        name: The handler's `module:qualname`.
        late, during_ask, when: See `Router.on`.
        attempts, deadline_s: The handler's own maximum number of runs, and of seconds; None means the worker's.
        at: `file:line` of the handler's definition.
        options: What its author has chosen for features: see `features/handler_options.py`.
        is_tried: False if events are not tried on it, because a feature has its events, which no other handler takes.
        is_one_of_several: True if one decorator registered the handler for several classes of events.
        handle: The handler in the middleware of its routers. A Dispatcher makes it.
    """

    event: type[Event]
    filters: tuple[Callable[[Any], Fit], ...]
    handler: Callable[..., Any]
    name: str
    late: bool = False
    attempts: int | None = None
    deadline_s: float | None = None
    at: str | None = None
    during_ask: bool = False
    options: Bag = NO_OPTIONS
    is_tried: bool = True
    is_one_of_several: bool = False
    when: Callable[..., Awaitable[bool]] | None = None
    handle: Callable[..., Awaitable[None]] | None = None

    def fits(self, event: Event, tried: list[Tried] | None = None) -> Fit:
        """Return the last match of a regular expression, or else True, if every filter fits; False if one does not.

        `tried` gets the filters, up to the first one that does not fit.
        """
        found: Fit = True
        for fits in self.filters:
            fit = fits(event)
            if tried is not None:
                tried.append(Tried(self.name, self.at, name_of(fits), bool(fit)))
            if not fit:
                return False
            if fit is not True:
                found = fit
        return found

    def misses(self, condition: str) -> Tried:
        """Return that the handler does not take an event because of a condition that is no filter."""
        return Tried(self.name, self.at, condition, fits=False)


class RouteTable:
    """All handlers of a bot, in the order in which they are tried.

    Args:
        routes: The routes of handlers; those of `on_dead_letter` are apart.
        dead_letter_routes: The routes of `on_dead_letter`, in the order in which they are tried.
        options: The options of the bot.
    Attributes:
        all: The routes of handlers.
        needed: The types of events that the bot needs because of options of its own or of its handlers.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        dead_letter_routes: Sequence[Route] = (),
        options: Bag = NO_OPTIONS,
    ) -> None:
        self.all = routes
        self.dead_letter_routes = dead_letter_routes
        chosen = (each for bag in (options, *(route.options for route in routes)) for each in bag.values())
        self.needed = frozenset(name for each in chosen if isinstance(each, Option) for name in each.needs)
        self._near_words = _near_words(routes)
        self._by_event: dict[type[Event], list[Route]] = {}
        self._by_name = {route.name: route for route in reversed(routes)}

    @property
    def handled(self) -> frozenset[type[Event]]:
        """The event classes that the bot needs: those that handlers take, and those that are needed because of options."""
        return frozenset([*(route.event for route in self.all), *(EVENT_TYPES[name] for name in self.needed)])

    def of_option(self, kind: type[D]) -> list[D]:
        """Return the options of a class, in the order of the handlers that have one."""
        return [found for route in self.all if (found := route.options.find(kind)) is not None]

    def of(self, kind: type[Event]) -> list[Route]:
        """Return the routes that are tried for events of a class."""
        routes = self._by_event.get(kind)
        if routes is None:
            routes = [route for route in self.all if issubclass(kind, route.event) and route.is_tried]
            self._by_event[kind] = routes
        return routes

    def tried(self, event: Event) -> list[Route]:
        """Return the routes that may take an event, in the order in which they are tried.

        It is the order in which they were registered; but a handler for exactly the text of a message, such as `sí`, comes
        before one whose words are nearly this text, such as `si`.
        """
        routes = self._by_event.get(type(event)) or self.of(type(event))  # each turn asks: a call less
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

    def dead_letter_handler(self, kind: type[Event]) -> Route | None:
        """Return the route of `on_dead_letter` for events of a class that were given up; None if there is none."""
        return next((route for route in self.dead_letter_routes if issubclass(kind, route.event)), None)


class HandlerRun(ABC):
    """The run of a handler in a turn, as the engine knows it: its event, its handler, and how it went.

    Attributes:
        event: The event being handled. After a question of `ask` it is the answer.
        root: The event with which the handler began.
        handler: The name of the handler that was chosen for the event; None before dispatch has chosen one.
        handler_at: `file:line` of the handler's definition.
        attempts: The handler's own maximum number of runs, if it was registered with one.
        stuck_at: For a handler that is a plain `def` and ran past its time limit: the `file:line` at which its thread
            was then. None otherwise.
        turn_state: The values of `ctx.state` that the run has read and changed.
        rerun: The lease of the turn, if an earlier run of it has begun; None in a first run. A replay is handled as if it
            were new, so its first run is one.
        is_answer: True if no handler with `during_ask=True` takes the event, so that it answers the open question.
        is_outdated: True if the message became too old for its handlers after an earlier run had begun.
        passed_over: Why no handler takes the event; None if one does, or if middleware has ended the event.
        tried: The filters of the handlers that did not take the event, in order.
        has_begun: True once a handler has begun.
        recovered: The error that ended the handler, and the error handler that took it; None without one.
    """

    event: Event
    root: Event
    handler: str | None
    handler_at: str | None
    attempts: int | None
    stuck_at: str | None
    turn_state: TurnState
    rerun: Lease | None = None
    is_answer = False
    is_outdated = False
    passed_over: str | None = None
    tried: Sequence[Tried] = ()
    has_begun = False
    recovered: str | None = None

    @abstractmethod
    def stop_typing(self) -> None:
        """End the typing dots of the run."""

    @abstractmethod
    def discard_plugins(self) -> None:
        """Forget the values of plugins at the end of the turn: many hold the context, which would be a reference cycle."""


def _near_words(routes: Sequence[Route]) -> frozenset[str]:
    """Return the words of handlers that are nearly words of other handlers: `sí` next to `si`, or `menu please` next to `menu`."""
    found = (words_among(route.filters) for route in routes)
    words = {exactly(word) for each in found if each is not None for word in each.words}
    by_form: dict[str, set[str]] = {}
    for word in words:
        by_form.setdefault(plain(word), set()).add(word)
    return frozenset(word for word in words if any(by_form.get(form, {word}) != {word} for form in readings(word)))
