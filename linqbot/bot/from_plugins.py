"""Additions of plugins to a bot: routers, inbound middleware, and the values of `ctx.plugins`.

An error in one plugin does not affect the additions of the others. `bot/routes.py` puts the routers in place, and
`bot/dispatch.py` all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from linqbot.bot.context import Context
from linqbot.bot.router import Middleware, Next, Router
from linqbot.errors import BotError, LinqbotError
from linqbot.interrupts import is_ctrl_c
from linqbot.linq.events.event import Event
from linqbot.plugins.guard import guarded, plain_functions
from linqbot.plugins.registry import Impl, Plugin, Plugins, describe, only

if TYPE_CHECKING:
    from linqbot.bot.bot import Bot

INBOUND = "inbound middleware"

Makers: TypeAlias = dict[str, tuple[str, Callable[[Event, Context], Any]]]
"""The name of the plugin and the function that makes the value, for each name of `ctx.plugins`."""


def routers(plugins: Plugins, bot: Bot) -> list[tuple[Impl, Router]]:
    """Return the routers of all plugins, in the order of the plugins. Raises ConfigError if a required one failed."""
    return [
        (impl, router) for impl, added in plugins.ask("register_routers", only(Router), bot=bot) for router in added
    ]


def values(plugins: Plugins) -> Callable[[Context], Mapping[str, Any]]:
    """Return a function that makes `ctx.plugins` for a context. Raises ConfigError as `routers` does.

    A name belongs to the first plugin that uses it. A second plugin with the same name is blamed, and loses its values.
    """
    makers: Makers = {}
    for impl, given in plugins.ask("register_context", _values):
        if taken := makers.keys() & given.keys():
            problem = BotError(f"ctx.plugins[{min(taken)!r}] is another plugin's")
            plugins.blame(impl.plugin, "register_context", problem)
        else:
            makers |= {name: (impl.plugin.name, make) for name, make in given.items()}
    return partial(_Values, makers)


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


class _Values(Mapping[str, Any]):
    """The mapping behind `ctx.plugins`. Each value is made at its first use."""

    def __init__(self, makers: Makers, ctx: Context) -> None:
        self._makers = makers
        self._ctx = ctx
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._makers:
                known = ", ".join(self._makers) or "none, unless a plugin was disabled: see the log or /readyz"
                raise KeyError(f"No plugin adds {name!r}. There are: {known}.")
            plugin, make = self._makers[name]
            try:
                self._made[name] = make(self._ctx.event, self._ctx)
            except Exception as error:
                # The handler cannot go on without the value.
                self._ctx.log.error("plugin.value_failed", plugin=plugin, why=describe(f"ctx.plugins[{name!r}]", error))
                raise
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    makers = dict(given)
    plain_functions(makers.values())
    return makers
