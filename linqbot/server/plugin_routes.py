"""What plugins add to the app: routes, health checks, and a word at its start and end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import Receive, Scope, Send

from linqbot.hookspecs import Running
from linqbot.plugins.plugin import Plugin
from linqbot.plugins.registry import Plugins

START_S: Final = 10.0
"""Longest `started` and `stopped` may take."""
CHECK_S: Final = 2.0

Check = Callable[[], Awaitable[str | None]]


def routes(plugins: Plugins, running: Running) -> list[BaseRoute]:
    """The plugins' routes, each plugin's under `/plugins/<its name>`."""
    asked = plugins.ask("register_routes", _routes, running=running)
    return [Mount(f"/plugins/{impl.plugin.name}", app=_Mounted(impl.plugin, added)) for impl, added in asked]


class _Mounted:
    """A plugin's routes, for as long as it takes part."""

    def __init__(self, plugin: Plugin, routes: list[BaseRoute]) -> None:
        self._plugin = plugin
        self._router = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._plugin.is_on:
            await self._router(scope, receive, send)
        else:
            gone = PlainTextResponse(f"The plugin {self._plugin.name} is disabled. See /readyz.\n", status_code=503)
            await gone(scope, receive, send)


class Checks:
    """The plugins' health checks."""

    def __init__(self, plugins: Plugins, running: Running) -> None:
        asked = plugins.ask("register_health_checks", _checks, running=running)
        self._checks = [(impl.plugin, name, check) for impl, added in asked for name, check in added.items()]

    async def look(self) -> tuple[dict[str, str], bool]:
        """How each check is, by `plugin.check`; and whether no required plugin's is unwell."""
        on = [each for each in self._checks if each[0].is_on]
        found = await asyncio.gather(*(_well(check) for _, _, check in on))
        told = {f"{plugin.name}.{name}": why or "ok" for (plugin, name, _), why in zip(on, found, strict=True)}
        return told, not any(why and plugin.required for (plugin, _, _), why in zip(on, found, strict=True))


async def start(plugins: Plugins, running: Running) -> None:
    """Tell plugins that the app has `started`.

    Raises:
        ConfigError: a required plugin failed at it.
    """
    for plugin, begin in plugins.lifecycle_calls("started", running=running):
        try:
            with plugins.watch(plugin.name, "started"):
                await _ended(begin)
        except Exception as error:  # noqa: BLE001 - the plugin's, whatever it is
            plugins.blame(plugin, "started", error, with_message=True)


async def stop(plugins: Plugins) -> None:
    """Tell plugins that the app has `stopped`. Nothing keeps it from ending."""
    for plugin, end in plugins.lifecycle_calls("stopped"):
        try:
            with plugins.watch(plugin.name, "stopped"):
                await _ended(end)
        except Exception as error:  # noqa: BLE001 - as above
            plugins.note_failure(plugin, "stopped", error)


async def _ended(function: Callable[[], Any]) -> None:
    async with asyncio.timeout(START_S):
        said = function()
        if inspect.isawaitable(said):
            await said


async def _well(check: Check) -> str | None:
    """What is wrong, in one sentence; None when nothing is."""
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return f"no answer in {CHECK_S:g} s"
    except Exception as error:  # noqa: BLE001 - a check that fails tells that too
        return f"raised {type(error).__name__}"


def _routes(given: Iterable[BaseRoute]) -> list[BaseRoute]:
    routes = list(given)
    if wrong := next((each for each in routes if not isinstance(each, BaseRoute)), None):
        raise TypeError(f"a {type(wrong).__name__} is no route of Starlette's")
    return routes


def _checks(given: Mapping[str, Check]) -> dict[str, Check]:
    checks = dict(given)
    if wrong := next((name for name, check in checks.items() if not callable(check)), None):
        raise TypeError(f"the check {wrong} cannot be called")
    return checks
