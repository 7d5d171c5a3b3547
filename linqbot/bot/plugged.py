"""What plugins add to a bot: routers, inbound middleware, values on `ctx`. Each kept apart from the others' faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from linqbot.bot.context import Context
from linqbot.bot.router import Middleware, Next, Router
from linqbot.errors import BotError, LinqbotError, NoVerdict
from linqbot.events.event import Event
from linqbot.plugins import Impl, Plugin, Plugins

INBOUND = "inbound middleware"


def routers(plugins: Plugins) -> list[tuple[Impl, Router]]:
    """The plugins' routers, in order."""
    return [(impl, router) for impl, added in plugins.ask("register_routers", _routers) for router in added]


def values(plugins: Plugins) -> dict[str, Callable[[Event, Context], Any]]:
    """What makes the values of `ctx.plugins`. A name is its first plugin's."""
    found: dict[str, Callable[[Event, Context], Any]] = {}
    for impl, added in plugins.ask("register_context", _values):
        if taken := found.keys() & added.keys():
            problem = BotError(f"ctx.plugins[{min(taken)!r}] is another plugin's")
            plugins.blame(impl.plugin, "register_context", problem, tell_all=True)
        else:
            found |= added
    return found


def inbound(plugins: Plugins) -> list[Middleware]:
    """The plugins' inbound middleware, the outermost first."""
    asked = plugins.ask("register_middleware", _callables)
    stopping: set[str] = set()
    return [partial(_guarded, plugins, impl.plugin, stopping, wrap) for impl, added in asked for wrap in added]


def _guarded(plugins: Plugins, plugin: Plugin, stopping: set[str], wrap: Middleware, handle: Next) -> Next:
    try:
        return _Guarded(plugins, plugin, stopping, wrap, handle)
    except Exception as error:  # noqa: BLE001 - the plugin's, whatever it is
        plugins.blame(plugin, INBOUND, error, tell_all=True)
        return handle


@dataclass(slots=True)
class _Passage:
    """One event on its way through one middleware: what that did with it."""

    went_on: bool = False
    error: BaseException | None = None


_passage: ContextVar[_Passage] = ContextVar("linqbot_passage")


class _Guarded:
    """A plugin's middleware, told apart from what it wraps: errors that pass through it are not its own.

    Args:
        stopping: Names of the plugins that have ended an event, each of which is logged once.
    """

    def __init__(self, plugins: Plugins, plugin: Plugin, stopping: set[str], wrap: Middleware, handle: Next) -> None:
        self._plugins = plugins
        self._plugin = plugin
        self._stopping = stopping
        self._handle = handle
        self._wrapped = wrap(self._onward)

    async def __call__(self, event: Any, ctx: Context) -> None:
        if not self._plugin.is_on:
            await self._handle(event, ctx)
            return
        passage = _Passage()
        token = _passage.set(passage)
        try:
            with self._plugins.watch(self._plugin.name, INBOUND):
                await self._wrapped(event, ctx)
        except LinqbotError:
            raise
        except Exception as error:
            if passage.error is not None:
                raise  # the handler's error, or what the middleware made of it
            why = self._plugins.gone_wrong(self._plugin, INBOUND, error)
            if self._plugin.required:
                raise NoVerdict(f"The required plugin {self._plugin.name} failed: {why}.") from error
        else:
            self._plugins.well(self._plugin)
            if not passage.went_on and self._plugin.name not in self._stopping:
                self._stopping.add(self._plugin.name)
                ctx.log.info("event.stopped", plugin=self._plugin.name)
            return
        finally:
            _passage.reset(token)
        if not passage.went_on:
            await self._handle(event, ctx)

    async def _onward(self, event: Any, ctx: Context) -> None:
        passage = _passage.get()
        passage.went_on = True
        try:
            await self._handle(event, ctx)
        except BaseException as error:
            passage.error = error
            raise


class Values(Mapping[str, Any]):
    """`ctx.plugins`: what plugins bring, each made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[Event, Context], Any]], event: Event, ctx: Context) -> None:
        self._makers = makers
        self._event = event
        self._ctx = ctx
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._makers:
                raise KeyError(f"No plugin brings {name!r}. There are: {', '.join(self._makers) or 'none'}.")
            self._made[name] = self._makers[name](self._event, self._ctx)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _routers(given: Iterable[Router]) -> list[Router]:
    routers = list(given)
    if wrong := next((each for each in routers if not isinstance(each, Router)), None):
        raise TypeError(f"a {type(wrong).__name__} is no Router")
    return routers


def _callables(given: Iterable[Any]) -> list[Any]:
    callables = list(given)
    if wrong := next((each for each in callables if not callable(each)), None):
        raise TypeError(f"a {type(wrong).__name__} cannot be called")
    return callables


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    makers = dict(given)
    _callables(makers.values())
    return makers
