"""Handlers: checked when they are registered, as routes. `bot/dispatch.py` calls them with an event and its context."""

from __future__ import annotations

import asyncio
import inspect
import threading
import typing
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar, overload

import anyio
import anyio.to_thread
import structlog

from linqbot.bot.context import Context
from linqbot.content.message_split import Sendable
from linqbot.content.sent import Sent
from linqbot.engine import failure, reasons
from linqbot.engine.failure import Failure
from linqbot.engine.filters import AWAITING_FILTER, Filter, is_maker, takes
from linqbot.engine.routing import Route, handler_name
from linqbot.errors import BotError
from linqbot.frames import place_of_function, place_of_thread
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.nearest import nearest_name
from linqbot.speakers import SaidText
from linqbot.turn_events import Tried

log = structlog.get_logger("linqbot.bot")

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Event)
Own = TypeVar("Own", bound=Callable[..., Any])
ReturnValue: TypeAlias = "Sendable | Sequence[Sendable] | None"
"""The return value of a handler. It is sent as `ctx.reply` sends it; each element of a list or tuple is a reply."""
Returned = TypeVar("Returned", bound="Awaitable[ReturnValue] | ReturnValue")
"""The return type of a handler. As a type variable it is written out in no error message of a type checker."""
Handler: TypeAlias = Callable[[E, Context], Returned]


class Decorator(Protocol[E]):
    """The decorator that `@bot.on(MessageRead)` and its like return: it registers a handler of the event.

    A handler of several classes keeps its type, so that decorators for the other classes may stand above this one.
    """

    @overload
    def __call__(self, handler: Handler[E | F, Returned], /) -> Handler[E | F, Returned]: ...

    @overload  # pyright finds no F for a handler of E alone
    def __call__(self, handler: Handler[E, Returned], /) -> Handler[E, Returned]: ...


When: TypeAlias = Callable[[E, Context], Awaitable[bool]]
"""A predicate that may wait, such as for a classifier: an `async def` of (event, ctx)."""
ErrorHandler: TypeAlias = Callable[[Any, Any, Context], Awaitable[None]]


DeadLetterHandler: TypeAlias = Callable[[Failure, E, Context], Awaitable[None]]


async def send_returned(returned: Any, ctx: Context) -> None:
    """Send the return value of a handler as a reply."""
    for content in returned if isinstance(returned, list | tuple) else [returned]:
        # `return await ctx.reply(…)`, `ctx.stream(…)` and the `run` of an agent have sent it already.
        if not isinstance(content, Sent | SaidText):
            await ctx.reply(content)


async def call_in_thread(handler: Handler[Any, Any], event: Event, ctx: Context, threads: anyio.CapacityLimiter) -> Any:
    """Run a handler that is a plain `def` in a thread, and return its value. An awaitable that it returns is awaited.

    Python cannot stop a thread, so a cancelled handler goes on in its thread. It no longer counts towards the limit of
    `threads`.
    """
    ident: list[int] = []

    def run() -> Any:
        ident.append(threading.get_ident())
        try:
            return handler(event, ctx)
        finally:
            ident.clear()

    try:
        returned = await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=threads)
    except asyncio.CancelledError:
        if ident:
            ctx.stuck_at = place_of_thread(ident[0])
            log.warning("handler.stuck", event_id=event.event_id, handler=ctx.handler, at=ctx.stuck_at)
        raise
    return await returned if inspect.isawaitable(returned) else returned


def is_handler(given: Any) -> bool:
    """Return True if the argument of `@bot.on_message` is the handler itself and not a filter.

    A filter is a plain function of one argument. A function with any other number of arguments counts as a handler,
    even if the number is wrong, so that `check` can report the mistake.
    """
    if isinstance(given, str | Filter | type) or not callable(given) or is_maker(given):
        return False
    return inspect.iscoroutinefunction(given) or _positional(given) != 1


def event_class(given: Any, decorator: str) -> type[Event]:
    """Return the event class that was given to a decorator.

    Raises BotError for anything else, with the name of the class of an event type, or of the nearest one.
    """
    if isinstance(given, type) and issubclass(given, Event):
        return given
    hint = ""
    if isinstance(given, str):
        near = nearest_name(given, EVENT_TYPES, cutoff=0.5)
        if near is not None:
            kind = EVENT_TYPES[near].__name__
            of = "It is the class of" if near == given else "The nearest type is"
            hint = f" {of} {near!r}: from linqbot.events import {kind}, then {decorator}({kind})."
    raise BotError(f"{decorator}() needs an event class such as MessageReceived, not {given!r}.{hint}")


def error_class(given: Any) -> type[Exception]:
    """Return the class of exceptions that was given to `@bot.on_error`.

    Raises BotError for anything else, and for one that ends a program, such as KeyboardInterrupt.
    """
    if isinstance(given, type) and issubclass(given, Exception):
        return given
    raise BotError(
        f"@bot.on_error() needs a class of exceptions such as ValueError, not {given!r}. For several classes, write one "
        "@bot.on_error(…) above the other; for every error of a handler, @bot.on_error without a class."
    )


def shown_as(name: str) -> Callable[[Own], Own]:
    """Name a handler of linqbot's own as authors know it, such as `Bot.mute_word`, in the log and in `linqbot why`."""

    def named(handler: Own) -> Own:
        handler.__module__, handler.__qualname__ = "linqbot", name
        return handler

    return named


def check(handler: Any, event: type[Event]) -> str:
    """Check a handler when it is registered, so that its author sees a mistake at once. Return its `module:qualname`.

    Raises BotError if it takes another number of arguments than two, is a generator, or is annotated for another event or
    with `bool` as its result.
    """
    if not callable(handler):
        raise BotError(f"A handler must be a function of (event, ctx), not {type(handler).__name__}.")
    name = handler_name(handler)
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise BotError(
            f"Handler {name} is a generator: it has a yield in it. Send each message with await ctx.reply(…), or return "
            "a list of them."
        )
    count = _positional(handler)
    if count != 2:
        # A decorator cannot tell an `async def` that is meant as a filter from a handler.
        hint = f". {AWAITING_FILTER}" if count == 1 and inspect.iscoroutinefunction(handler) else ""
        takes = {-1: "has other arguments than a handler", 1: "takes 1 argument"}.get(count, f"takes {count} arguments")
        raise BotError(
            f"Handler {name} {takes}; it is called with two, the event and the context: "
            f"async def {_last(name)}(event: {event.__name__}, ctx: Context) -> None{hint}"
        )
    wanted, returned = _annotations(handler)
    if returned is bool:
        raise BotError(
            f"Handler {name} returns a bool, which is no reply. If it chooses events, give it to the decorator of a handler: "
            f"when={_last(name)}."
        )
    if wanted is Context:
        raise BotError(f"Handler {name} takes (ctx, event); it is called with the event first: (event, ctx).")
    if isinstance(wanted, type) and issubclass(wanted, Event) and not issubclass(event, wanted):
        raise BotError(
            f"Handler {name} is written for {wanted.__name__} but registered for {event.__name__}. "
            f"Register it with @bot.on({wanted.__name__}), or change its annotation."
        )
    return name


def _last(name: str) -> str:
    """Return the name of a function without its module and class, to write a `def` with; a lambda has none."""
    last = name.rpartition(":")[2].rpartition(".")[2]
    return last if last.isidentifier() else "function"


def check_async(function: Any, use: str, *arguments: str) -> str:
    """Check a function when it is registered, and return its name, `module:qualname`.

    Raises BotError if it is not an `async def` that takes these arguments.
    """
    name = handler_name(function)
    if not inspect.iscoroutinefunction(function) or not takes(function, len(arguments)):
        raise BotError(f"{name} does not fit {use}. Write: async def {_last(name)}({', '.join(arguments)})")
    return name


_MIDDLEWARE = """\
def {name}(next_):
    async def handle(event, ctx):
        await next_(event, ctx)
    return handle"""


def check_middleware(middleware: Any) -> None:
    """Raise BotError if middleware is not a function of one argument, or an `async def` or a generator."""
    if callable(middleware) and not _is_suspendable(middleware) and takes(middleware, 1):
        return
    raise _no_middleware(middleware, "")


def check_wrapped(wrapped: Any, middleware: Any) -> None:
    """Raise BotError if what middleware has returned for the next step is not a function of (event, ctx)."""
    if not callable(wrapped):
        raise _no_middleware(middleware, f" It returned {wrapped!r}.")
    if not takes(wrapped, 2):
        raise _no_middleware(middleware, " It returned a function that does not take these two arguments.")


def _no_middleware(middleware: Any, returned: str) -> BotError:
    function = getattr(middleware, "__name__", "")
    shape = _MIDDLEWARE.format(name=function if function.isidentifier() else "middleware")
    shown = f"{getattr(middleware, '__module__', '?')}:{function}" if function else repr(middleware)
    at = place_of_function(middleware) if returned else None
    return BotError(
        f"{shown}{f' ({at})' if at else ''} does not fit @bot.use: middleware is a plain function of one argument, the "
        f"next step, and returns an async def of (event, ctx).{returned} Write:\n{shape}"
    )


def _is_suspendable(function: Any) -> bool:
    checks = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_such(function) for is_such in checks)


def _positional(function: Any) -> int:
    """Return the number of arguments that a function needs, or -1 if it cannot be called with them alone."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return -1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    keyword_only = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if keyword_only:
        return -1
    # An async wrapper, as decorators return it. A plain one may wrap a filter.
    takes_any = inspect.iscoroutinefunction(function) and any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return max(len(required), 2) if takes_any else len(required)


def _annotations(handler: Any) -> tuple[Any, Any]:
    """Return the annotations of a handler's event and of its result, or None."""
    first = next(iter(inspect.signature(handler).parameters))
    try:
        hints = typing.get_type_hints(handler)
    except Exception:  # noqa: BLE001 - names that exist only for the type checker cannot be resolved here
        return None, None
    return hints.get(first), hints.get("return")


# Why no handler takes an event. Each is a clause with a subject and a verb: the page and the terminal of `linqbot dev` show
# it after "No handler took it: ", and logs have it as `reason`.
NO_HANDLER: Final = reasons.NO_HANDLER
NO_FILTER: Final = "no filter fits"
TOO_OLD: Final = "the message came too late"
OWN_ECHO: Final = reasons.OWN_ECHO
NOT_ALLOWED: Final = reasons.NOT_ALLOWED
IN_GROUP: Final = reasons.IN_GROUP
NOT_ADDRESSED: Final = reasons.NOT_ADDRESSED
KEYWORD: Final = "linqbot answers this word"
LOOP: Final = "two bots answer each other"
OPTED_OUT: Final = failure.OPTED_OUT.why
OVERTAKEN: Final = "it was written before a STOP or START that came first"
MUTED: Final = reasons.MUTED
LATE: Final = "takes late messages"
"""The name of the condition that a late message meets in no other handler than those with `late`."""


def reason(routes: Iterable[Route], *, is_late: bool) -> str:
    """Return why none of the routes for an event takes it."""
    routes = tuple(routes)
    if not routes:
        return NO_HANDLER
    return TOO_OLD if is_late and not any(route.late for route in routes) else NO_FILTER


def untaken(reason: str | None, tried: Iterable[Tried]) -> str:
    """Return a clause about an event that no handler takes: the reason, and the handlers that were tried."""
    names = dict.fromkeys(each.handler for each in tried)
    return f"no handler took it: {reason}" + (f" (tried {', '.join(names)})" if names else "")
