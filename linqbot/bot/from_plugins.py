"""Additions of plugins to a bot: routers, inbound middleware, and the values of `ctx.plugins`.

An error in one plugin does not affect the additions of the others. `bot/dispatch.py` puts the additions in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from linqbot.bot.context import Context
from linqbot.bot.router import Middleware, Next, Router
from linqbot.errors import BotError, LinqbotError
from linqbot.interrupts import is_ctrl_c
from linqbot.linq.events.event import Event
from linqbot.plugins.guard import guarded, plain_functions
from linqbot.plugins.registry import Impl, Plugin, Plugins, describe

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot

INBOUND = "inbound middleware"


def routers(plugins: Plugins, bot: Bot) -> list[tuple[Impl, Router]]:
    """Return the routers of all plugins, in the order of the plugins. Raises ConfigError if a required one failed."""
    return [(impl, router) for impl, added in plugins.ask("register_routers", _routers, bot=bot) for router in added]


def values(plugins: Plugins) -> dict[str, Callable[[Event, Context], Any]]:
    """Return the functions that make the values of `ctx.plugins`, by name. Raises ConfigError as `routers` does.

    A name belongs to the first plugin that uses it. A second plugin with the same name is blamed, and loses its values.
    """
    found: dict[str, Callable[[Event, Context], Any]] = {}
    for impl, given in plugins.ask("register_context", _values):
        added = {name: partial(_made, impl.plugin.name, name, make) for name, make in given.items()}
        if taken := found.keys() & added.keys():
            problem = BotError(f"ctx.plugins[{min(taken)!r}] is another plugin's")
            plugins.blame(impl.plugin, "register_context", problem)
        else:
            found |= added
    return found


def inbound(plugins: Plugins) -> list[Middleware]:
    """Return the inbound middleware of all plugins, the outermost first. Raises ConfigError as `routers` does."""
    asked = plugins.ask("register_middleware", plain_functions)
    stopping: set[str] = set()
    return [partial(_guarded, plugins, impl.plugin, stopping, wrap) for impl, added in asked for wrap in added]


def _guarded(plugins: Plugins, plugin: Plugin, stopping: set[str], wrap: Middleware, handle: Next) -> Next:
    def ended(_: Event, ctx: Context) -> None:
        if plugin.name not in stopping:
            stopping.add(plugin.name)
            ctx.log.info("event.stopped", plugin=plugin.name)

    try:
        # LinqbotErrors are not the plugin's fault: its middleware may send, and Linq may refuse the send.
        return guarded(
            plugins, plugin, INBOUND, wrap, handle, written="next(event, ctx)", passing=LinqbotError, ended=ended
        )
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        plugins.blame(plugin, INBOUND, error)
        return handle


def _made(plugin: str, name: str, make: Callable[[Event, Context], Any], event: Event, ctx: Context) -> Any:
    """Return a value of `ctx.plugins`. An error fails the handler, which cannot go on without it, and names the plugin."""
    try:
        return make(event, ctx)
    except Exception as error:
        ctx.log.error("plugin.value_failed", plugin=plugin, why=describe(f"ctx.plugins[{name!r}]", error))
        raise


class Values(Mapping[str, Any]):
    """The mapping behind `ctx.plugins`. Each value is made at its first use."""

    def __init__(self, makers: Mapping[str, Callable[[Event, Context], Any]], event: Event, ctx: Context) -> None:
        self._makers = makers
        self._event = event
        self._ctx = ctx
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._makers:
                known = ", ".join(self._makers) or "none, unless a plugin was disabled: see the log or /readyz"
                raise KeyError(f"No plugin adds {name!r}. There are: {known}.")
            self._made[name] = self._makers[name](self._event, self._ctx)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _routers(given: Iterable[Router]) -> list[Router]:
    routers = list(given)
    if wrong := next((each for each in routers if not isinstance(each, Router)), None):
        raise TypeError(f"a {type(wrong).__name__} is not a Router")
    return routers


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    makers = dict(given)
    plain_functions(makers.values())
    return makers
