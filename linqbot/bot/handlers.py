"""What a handler is, checked when it is registered, and how one is run."""

from __future__ import annotations

import asyncio
import inspect
import threading
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import structlog

from linqbot.bot.context import Context, Sent
from linqbot.bot.filters import Filter, Fit
from linqbot.bot.message_split import Content
from linqbot.errors import BotError
from linqbot.events.event import Event
from linqbot.frames import place_of_thread

log = structlog.get_logger("linqbot.bot")

E = TypeVar("E", bound=Event)
Said: TypeAlias = "Content | Sequence[Content] | None"
"""What a handler may return: it is said as `ctx.reply` would say it."""
Handler: TypeAlias = Callable[[E, Context], "Awaitable[Said] | Said"]
ErrorHandler: TypeAlias = Callable[[Any, Any, Context], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, what it is for, and what must hold.

    Attributes:
        event: The class of events it takes, subclasses included.
        late: True when it asked for old news: reconciled messages, and messages older than the bot's `max_age_s`.
        attempts, deadline_s: How often and how long it may run, where it says so itself.
        at: `file:line` of its definition.
    """

    event: type[Event]
    filters: tuple[Callable[[Any], Fit], ...]
    handler: Handler[Any]
    name: str
    late: bool = False
    attempts: int | None = None
    deadline_s: float | None = None
    at: str | None = None

    def fits(self, event: Event) -> Fit:
        """True or a regular expression's match when every filter holds."""
        found: Fit = True
        for fits in self.filters:
            fit = fits(event)
            if not fit:
                return False
            if fit is not True:
                found = fit
        return found


async def call(handler: Handler[Any], event: Event, ctx: Context, threads: anyio.CapacityLimiter) -> None:
    """Run a handler, in a thread when it is a plain `def`, and say what it returns."""
    if inspect.iscoroutinefunction(handler):
        said = await handler(event, ctx)
    else:
        said = await _in_thread(handler, event, ctx, threads)
        if inspect.isawaitable(said):
            said = await said
    if said is None or isinstance(said, Sent):  # `return await ctx.reply(…)` has said it already
        return
    for content in [said] if _is_one(said) else said:
        await ctx.reply(content)


async def _in_thread(handler: Handler[Any], event: Event, ctx: Context, threads: anyio.CapacityLimiter) -> Any:
    """Run a plain handler. One that is cancelled goes on in its thread, for nobody can stop it; its place is free."""
    ident: list[int] = []

    def run() -> Any:
        ident.append(threading.get_ident())
        try:
            return handler(event, ctx)
        finally:
            ident.clear()

    try:
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=threads)
    except asyncio.CancelledError:
        if ident:
            ctx.stuck_at = place_of_thread(ident[0])
            log.warning("handler.stuck", event_id=event.event_id, handler=ctx.handler, at=ctx.stuck_at)
        raise


def _is_one(said: Any) -> bool:
    return not isinstance(said, list | tuple)


def is_handler(given: Any) -> bool:
    """Whether `@bot.on_message` without brackets got this, and no filter: a filter is a plain function of one argument.

    A handler of a wrong shape is one too, so that `check` can say what is wrong with it.
    """
    if isinstance(given, str | Filter | type) or not callable(given):
        return False
    return inspect.iscoroutinefunction(given) or _positional(given) != 1


def check(handler: Any, event: type[Event]) -> str:
    """Refuse a handler that cannot work, while its author is watching.

    Returns:
        Its name, `module:qualname`.
    Raises:
        BotError: wrong number of arguments, or annotated for another event.
    """
    if not callable(handler):
        raise BotError(f"A handler must be a function of (event, ctx), not {type(handler).__name__}.")
    name = f"{getattr(handler, '__module__', '?')}:{getattr(handler, '__qualname__', type(handler).__name__)}"
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise BotError(
            f"Handler {name} is a generator: it has a yield in it. Send each message with await ctx.reply(…), or return "
            "a list of them."
        )
    count = _positional(handler)
    if count != 2:
        raise BotError(
            f"Handler {name} takes {count} arguments; it is called with two, the event and the context: "
            f"async def {name.rpartition('.')[2].rpartition(':')[2]}(event: {event.__name__}, ctx: Context) -> None"
        )
    wanted = _annotation_of_event(handler)
    if wanted is Context:
        raise BotError(f"Handler {name} takes (ctx, event); it is called with the event first: (event, ctx).")
    if isinstance(wanted, type) and issubclass(wanted, Event) and not issubclass(event, wanted):
        raise BotError(
            f"Handler {name} is written for {wanted.__name__} but registered for {event.__name__}. "
            f"Register it with @bot.on({wanted.__name__}), or change its annotation."
        )
    return name


def _positional(function: Any) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return -1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    keyword_only = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    return -1 if keyword_only else len(required)


def _annotation_of_event(handler: Any) -> Any:
    first = next(iter(inspect.signature(handler).parameters))
    try:
        return typing.get_type_hints(handler).get(first)
    except Exception:  # noqa: BLE001 - names that exist only for the type checker cannot be read here, and need not be
        return None
