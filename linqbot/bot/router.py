"""A Router: handlers with their filters, middleware and error handlers, in the order of registration.

A Bot is a Router too. Routers can be nested: `bot.include(router)` adds the router's handlers after those already
registered, inside the router's own middleware. Functions of `@bot.on_start` and `@bot.on_stop` belong to the process
and not to an event: see `lifecycle.py`. Next step: `bot/dispatch.py` runs the first handler that fits an event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, Unpack, get_args, overload

from linqbot.bot.context import Context
from linqbot.bot.event_decorators import EventDecorators
from linqbot.bot.handlers import (
    DeadLetterHandler,
    Decorator,
    ErrorHandler,
    Handler,
    Returned,
    When,
    check,
    check_async,
    check_middleware,
    error_class,
    event_class,
    is_handler,
)
from linqbot.bot.lifecycle import Lifecycle
from linqbot.engine.bag import Bag
from linqbot.engine.filters import Filter, Predicate, check_filters, exact
from linqbot.engine.routing import Route
from linqbot.errors import BotError
from linqbot.features.handler_options import ForOptOut, HandlerOptions, chosen
from linqbot.frames import place_of_function
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived, ReactionAdded, ReactionRemoved
from linqbot.linq.events.proactive import BroadcastDone, Posted, ScheduleDue
from linqbot.linq.types.message import ReactionType
from linqbot.linq.types.names import misspelt
from linqbot.nearest import no_attribute, suggestion
from linqbot.options import check_gather_s, check_limits, check_timezone

E = TypeVar("E", bound=Event)
Next: TypeAlias = Callable[[Any, Context], Awaitable[None]]
Middleware: TypeAlias = Callable[[Next], Next]
"""A function that takes the next step and returns a function to run instead of it, which usually calls the next step:
`def timed(next): async def handle(event, ctx): …; return handle`."""
X = TypeVar("X", bound=Exception)
_RUN: Final = "Run the bot with: linqbot dev bot.py"
_HINTS: Final = {
    **dict.fromkeys(("run", "serve", "run_forever", "run_polling", "start", "start_polling"), _RUN),
    **dict.fromkeys(("message", "message_handler", "command"), "Take messages with: @bot.on_message"),
    "middleware": "Add middleware with: @bot.use",
}
"""What bots of other frameworks have, with the sentence that helps."""


class Router(EventDecorators, Lifecycle):
    """A list of handlers with their filters, and the middleware around them.

    Args:
        gather_s: Seconds that a message waits for further ones of the same person, for messages that fit a handler of
            this router; see `Bot`. None leaves it to the router or the bot that includes this one.
    Raises:
        BotError: `gather_s` is not a number from 0 to 60.
    """

    _is_includable = True  # False for a Bot

    def __init__(self, *, gather_s: float | None = None) -> None:
        check_gather_s(gather_s)
        super().__init__()
        self.gather_s = gather_s
        self._entries: list[Route | Router] = []
        self.added_middleware: list[Middleware] = []
        self.error_handlers: list[tuple[type[Exception], ErrorHandler]] = []
        self.dead_letter_handlers: list[Route] = []

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            return no_attribute(self, name, hint=_HINTS.get(name, ""))

    def on(
        self,
        event: type[E],
        *filters: Predicate[E],
        late: bool = False,
        attempts: int | None = None,
        deadline_s: float | None = None,
        during_ask: bool = False,
        when: When[E] | None = None,
        **options: Unpack[HandlerOptions],
    ) -> Decorator[E]:
        """Register a handler for the events of a class. It runs if every filter fits the event.

        Args:
            event: The event class. A base class includes its subclasses, so `Event` means every event.
            filters: Functions that take the event and return a true value if the handler fits: see
                `engine/filters.py`.
            late: True also handles late messages: those older than the bot's `max_age_s`, and those fetched from Linq
                after a long downtime.
            attempts: Number of runs after which an event whose runs all failed becomes a dead letter. None means the
                worker's setting, by default 5.
            deadline_s: Seconds that the handler may run before it is cancelled and counts as failed. None means the
                worker's setting, by default 900.
            during_ask: True also handles events of a person while `ctx.ask` waits for their answer. The question stays
                open. Without it, or if `when` says no, their messages are answers.
            when: An `async def` of (event, ctx) that returns True if the handler shall run. It is asked after the filters,
                and before the read receipt and the typing dots. So a classifier may choose silence in a group. The
                result is stored, so each event is classified once, however often its handler runs.
            options: `gather=False` handles a message that fits at once, although the bot joins bursts of messages with
                `gather_s`. `overlap=` says what happens with a message of the same person that comes while the handler runs,
                if it fits this handler too: `queue` handles it afterwards; `restart` cancels the handler and runs it again
                with both messages; `steer` offers it to the running handler, in `ctx.incoming()`.
        Returns:
            A decorator for the handler, which is an `async def` or a plain `def` of (event, ctx).
        Raises:
            BotError: `event` is not an event class, a filter is not a plain function or is one of linqbot for other events,
                `attempts` is not a whole number of at least 1, `deadline_s` is not a number greater than 0, `when` is not
                an `async def`, or the decorated handler takes other arguments than (event, ctx).

        Example:
            `@bot.on(MessageRead)`
        """
        event_class(event, "@bot.on")
        check_limits(attempts, deadline_s)
        if when is not None:
            check_async(when, "when=", "event", "ctx")
        check_filters(filters, event)

        def register(handler: Any) -> Any:
            limits = {"attempts": attempts, "deadline_s": deadline_s}
            how = {"late": late, "during_ask": during_ask, "when": when, "options": chosen(options, handler)}
            return self._add(event, handler, *filters, **limits, **how)

        return register

    @overload
    def on_message(self, handler: Handler[MessageReceived, Returned], /) -> Handler[MessageReceived, Returned]: ...

    @overload
    def on_message(
        self,
        *filters: str | Predicate[MessageReceived],
        late: bool = False,
        attempts: int | None = None,
        deadline_s: float | None = None,
        during_ask: bool = False,
        when: When[MessageReceived] | None = None,
        **options: Unpack[HandlerOptions],
    ) -> Decorator[MessageReceived]: ...

    def on_message(self, *given: Any, **how: Any) -> Any:
        """Register a handler for the messages that people send. Works with and without arguments.

        Args:
            given: Filters, which must all fit. Strings are whole texts, compared without surrounding white space and
                ignoring case; one of the strings must fit.
            how: `late`, `attempts`, `deadline_s`, `during_ask`, `gather`, `overlap` and `when`, as for `on`.
        Raises:
            BotError: as for `on`; or a string is empty.

        Example:
            `@bot.on_message`, `@bot.on_message("hi", "hello")`, `@bot.on_message(regex(r"order (\\d+)"), in_direct)`
        """
        return self._register(MessageReceived, given, **how)

    @overload
    def on_edit(self, handler: Handler[MessageEdited, Returned], /) -> Handler[MessageEdited, Returned]: ...

    @overload
    def on_edit(self, *filters: str | Predicate[MessageEdited]) -> Decorator[MessageEdited]: ...

    def on_edit(self, *given: Any) -> Any:
        """Register a handler for the edits that people make to their messages.

        Args:
            given: Filters and texts, as for `on_message`. They apply to the text after the edit.
        Raises:
            BotError: as for `on_message`.
        """
        return self._register(MessageEdited, given)

    @overload
    def on_reaction(self, handler: Handler[ReactionAdded, Returned], /) -> Handler[ReactionAdded, Returned]: ...

    @overload
    def on_reaction(
        self, *given: ReactionType | str | Predicate[ReactionAdded], removed: Literal[False] = False
    ) -> Decorator[ReactionAdded]: ...

    @overload
    def on_reaction(
        self, *given: ReactionType | str | Predicate[ReactionRemoved], removed: Literal[True]
    ) -> Decorator[ReactionRemoved]: ...

    def on_reaction(self, *given: Any, removed: bool = False) -> Any:
        """Register a handler for the reactions (tapbacks) that people add. Those to a poll are `PollReactionAdded`.

        Args:
            given: Names of reactions, one of which must fit, and filters, which must all fit.
            removed: True takes the reactions that people remove instead. Stickers cannot be removed.
        Raises:
            BotError: as for `on`; or a name is a misspelt one of Linq's reactions.

        Example:
            `@bot.on_reaction("love", "like")`
        """
        return self._register(ReactionRemoved if removed else ReactionAdded, given, named=_reaction)

    def every(
        self,
        spec: str,
        *,
        timezone: str = "UTC",
        name: str | None = None,
        attempts: int | None = None,
        deadline_s: float | None = None,
    ) -> Decorator[ScheduleDue]:
        """Register a handler that runs on a schedule, even if the process restarts in between.

        Each due time has one event. The schedule never overlaps itself: due times that pass while its handler runs, or
        while the bot is down, become one event, whose `missed` counts the others. A handler that fails is retried, and
        becomes a dead letter, like any other.

        Args:
            spec: Days with times of day (`weekdays 09:00`, `mon, thu 19:30`), an interval (`hour`, `15 min`), or a cron
                expression (`0 9 1 * *`).
            timezone: The IANA name of the time zone of times of day. A time that daylight saving time skips means the
                moment after the gap. A time that occurs twice means the first.
            name: The schedule's name in the storage and for `linqbot trigger schedule`. None is the name of the
                function.
            attempts, deadline_s: As for `on`.
        Raises:
            BotError: as for `on`; or the rhythm or the time zone is not known, or the name cannot be used.

        Example:
            `@bot.every("weekdays 09:00", timezone="Europe/Paris")` above
            `async def standup(event: ScheduleDue, ctx: Context) -> None: …`
        """

        from linqbot.features.schedules import Schedule

        def register(handler: Any) -> Any:
            path = check(handler, ScheduleDue)
            schedule = Schedule(name or path.rpartition(":")[2].rpartition(".")[2], spec, timezone)
            is_its = Filter[ScheduleDue](lambda event: event.name == schedule.name, f"schedule {schedule.name!r}")
            how = {"attempts": attempts, "deadline_s": deadline_s, "options": Bag.holding(schedule)}
            return self._add(ScheduleDue, handler, is_its, **how)

        if not isinstance(spec, str):
            raise BotError('@bot.every() needs a rhythm: @bot.every("weekdays 09:00", timezone="Europe/Paris").')
        check_timezone("@bot.every", timezone)
        check_limits(attempts, deadline_s)
        return register

    def on_broadcast_done(self, handler: Handler[BroadcastDone, Returned], /) -> Handler[BroadcastDone, Returned]:
        """Register a handler that runs when a broadcast has ended: each person has an outcome.

        Its event has the name, and the number of people for each outcome. `ctx.bot.recipients(event.name)` yields the people.
        The handler is retried like any other.

        Raises:
            BotError: as for `on`.

        Example:
            `@bot.on_broadcast_done` above `async def report(broadcast: BroadcastDone, ctx: Context) -> None: …`
        """
        return self.on(BroadcastDone)(handler)

    def on_post(self, *names: str, attempts: int | None = None, deadline_s: float | None = None) -> Decorator[Posted]:
        """Register a handler for what programs outside the bot post with `running.post`, a command, HTTP or SQL.

        It runs in the order of the post's chat, and also while `ctx.ask` waits there. It is retried like any other. A
        reply in a direct chat obeys the person's STOP.

        Args:
            names: Names of posts, one of which must fit, such as `order.shipped`.
            attempts, deadline_s: As for `on`.
        Raises:
            BotError: as for `on`; or there is no name, or one cannot be that of a post.

        Example:
            `@bot.on_post("order.shipped")` above `async def shipped(post: Posted, ctx: Context) -> None: …`
        """
        from linqbot.features.schedules import check_name

        if not names or is_handler(names[0]):
            raise BotError('@bot.on_post() needs the names of the posts: @bot.on_post("order.shipped").')
        for name in names:
            check_name(name, "post")
        return self.on(
            Posted,
            Filter[Posted](lambda event: event.name in names, f"post{tuple(sorted(names))!r}"),
            attempts=attempts,
            deadline_s=deadline_s,
            during_ask=True,
        )

    def on_opt_out(self, handler: Handler[MessageReceived, Returned], /) -> Handler[MessageReceived, Returned]:
        """Register a handler for the messages by which people opt out, such as to record it.

        These are STOP and its synonyms, alone and as Linq defines them (R69), in a direct chat. They reach no other
        handler. Without this handler too, open questions of the chat end, and its scheduled sends are cancelled. From
        then on Linq refuses messages to the person, until the person writes anything else. Of several handlers, the
        first one runs.

        Args:
            handler: The handler of (message, ctx). What it sends to the chat is not sent, and `Sent.status` is
                `opted_out`.
        Raises:
            BotError: the handler takes other arguments than (message, ctx).

        Example:
            `@bot.on_opt_out` above `async def record(message: MessageReceived, ctx: Context) -> None: …`
        """
        return self._add(MessageReceived, handler, late=True, is_tried=False, options=Bag.holding(ForOptOut()))

    @overload
    def on_error(
        self, error: type[X], /
    ) -> Callable[[Callable[[X, Any, Context], Awaitable[None]]], Callable[[X, Any, Context], Awaitable[None]]]: ...

    @overload
    def on_error(
        self, handler: Callable[[Exception, Any, Context], Awaitable[None]], /
    ) -> Callable[[Exception, Any, Context], Awaitable[None]]: ...

    def on_error(self, given: Any) -> Any:
        """Register an error handler, for the errors that any handler of the bot raises. Works with and without a class.

        If the error handler returns, the event counts as handled. If it raises, the event is retried. An error without
        a fitting error handler is retried too. Of several that fit, the first one runs: those of a router come before
        those of the routers it includes.

        Args:
            given: The class of the errors, subclasses included; then this returns a decorator for the error handler. Or
                the error handler itself, an `async def` of (error, event, ctx), for every Exception.
        Raises:
            BotError: the handler is not an `async def` of three arguments, or `given` is not a class of exceptions.

        Example:
            `@bot.on_error(ValueError)` above
            `async def sorry(error: ValueError, event: Event, ctx: Context) -> None: …`
        """
        if callable(given) and not isinstance(given, type):
            return self._add_error_handler(Exception, given)
        error = error_class(given)
        return lambda handler: self._add_error_handler(error, handler)

    def _add_error_handler(self, error: type[Exception], handler: Any) -> Any:
        check_async(handler, "@bot.on_error", "error", "event", "ctx")
        self.error_handlers.append((error, handler))
        return handler

    @overload
    def on_dead_letter(self, handler: DeadLetterHandler[MessageReceived], /) -> DeadLetterHandler[MessageReceived]: ...

    @overload
    def on_dead_letter(self, event: type[E], /) -> Callable[[DeadLetterHandler[E]], DeadLetterHandler[E]]: ...

    def on_dead_letter(self, given: Any) -> Any:
        """Register a handler for events that were given up, such as to apologise to the person.

        It runs once after an event became a dead letter, whatever the reason, also after a restart. Its own sends are
        journalled, so a crash repeats none of them. It waits its turn in the chat, behind messages that came meanwhile.
        If it raises, the error is logged and it does not run again. People whom the bot's settings exclude (`allow`,
        `groups`) hear nothing. Of several that fit, the first one runs, in the order of `on_error`.

        Args:
            given: The handler, an `async def` of (failure, event, ctx), for messages of people. Or the class of other
                events; then this returns a decorator for the handler.
        Raises:
            BotError: the handler is not an `async def` of three arguments, or `given` is not an event class.

        Example:
            `@bot.on_dead_letter` above `async def apologise(failure, message, ctx): await ctx.reply("Sorry …")`
        """
        if not isinstance(given, type):
            return self._add_dead_letter_handler(MessageReceived, given)
        event = event_class(given, "@bot.on_dead_letter")
        return lambda handler: self._add_dead_letter_handler(event, handler)

    def _add_dead_letter_handler(self, event: type[Event], handler: Any) -> Any:
        name = check_async(handler, "@bot.on_dead_letter", "failure", "event", "ctx")
        self.dead_letter_handlers.append(Route(event, (), handler, name, attempts=1, at=place_of_function(handler)))
        return handler

    def include(self, router: Router) -> None:
        """Add the handlers of another router, after the handlers already registered here.

        Raises:
            BotError: the router is this router, or includes it, or is a Bot, or is no Router.
        """
        if not isinstance(router, Router):
            raise BotError(
                f"include() takes one Router, not {router!r}. Write: router = Router(), bot.include(router)."
            )
        if any(inner is self for inner in router.routers()):
            raise BotError("A router cannot include itself, neither directly nor through another.")
        if not router._is_includable:
            raise BotError(
                "include() takes a Router, not a Bot: the options of an included bot, such as allow=, would not count. "
                "Write: router = Router(), and register its handlers with @router.on_message."
            )
        self._entries.append(router)

    def use(self, middleware: Middleware, /) -> Middleware:
        """Add middleware around the handlers of this router. Works as a decorator.

        The middleware added first is the outermost. A bot's middleware runs for every event, even if no handler fits;
        the middleware of an included router runs only if one of the router's handlers was chosen.

        Args:
            middleware: A plain function that takes the next step and returns an `async def` of (event, ctx).
        Returns:
            The same middleware.
        Raises:
            BotError: the middleware is an `async def`, or does not take exactly one argument.

        Example:
            `@bot.use` above
            `def timed(next_): async def handle(event, ctx): …; await next_(event, ctx); return handle`
        """
        check_middleware(middleware)
        self.added_middleware.append(middleware)
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

    def _add(
        self, event: type[E], handler: Handler[E, Returned], *filters: Predicate[E], **how: Any
    ) -> Handler[E, Returned]:
        """Add a checked handler, with the attributes of its `Route` in `how`."""
        name = check(handler, event)
        self._entries.append(Route(event, filters, handler, name, at=place_of_function(handler), **how))
        return handler

    def _register(
        self, event: type[Event], given: tuple[Any, ...], named: Callable[..., Filter[Any]] = exact, **how: Any
    ) -> Any:
        """Register a handler with filters and texts, of which `named` makes one filter."""
        if len(given) == 1 and is_handler(given[0]):
            return self.on(event, **how)(given[0])
        texts = tuple(text for text in given if isinstance(text, str))
        filters = [predicate for predicate in given if not isinstance(predicate, str)]
        return self.on(event, *([named(*texts)] if texts else []), *filters, **how)


def _reaction(*names: str) -> Filter[Any]:
    known = get_args(ReactionType)
    for name in names:
        # An emoji has the type `custom`.
        if not name.isascii() or misspelt("reaction.type", name, known):
            raise BotError(f"There is no reaction {name!r}, so this handler could never run. {suggestion(name, known)}")
    return Filter(lambda event: event.reaction_type in names, f"reaction{tuple(sorted(set(names)))!r}")
