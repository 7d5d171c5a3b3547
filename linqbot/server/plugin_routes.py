"""Routes and health checks that plugins add to the app, and the hooks called when the app starts and stops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import Receive, Scope, Send

from linqbot.hookspecs import Running
from linqbot.interrupts import RunningTask
from linqbot.plugins.error_text import WrongUse
from linqbot.plugins.plugin import Plugin
from linqbot.plugins.registry import Plugins

START_S: Final = 10.0
"""Seconds that `started` or `stopped` of one plugin may take."""
CHECK_S: Final = 2.0
"""Seconds that one health check may take."""

Check = Callable[[], Awaitable[str | None]]


def routes(plugins: Plugins, running: Running) -> list[BaseRoute]:
    """Return the routes of all plugins, those of each plugin under `/plugins/<name of the plugin>`.

    Raises:
        ConfigError: a required plugin failed.
    """
    asked = plugins.ask("register_routes", _routes, running=running)
    return [Mount(f"/plugins/{impl.plugin.name}", app=_Mounted(impl.plugin, added)) for impl, added in asked]


class _Mounted:
    """A plugin's routes; they answer 503 once the plugin is disabled."""

    def __init__(self, plugin: Plugin, routes: list[BaseRoute]) -> None:
        self._plugin = plugin
        self._router = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._plugin.is_on:
            await self._router(scope, receive, send)
        else:
            disabled = PlainTextResponse(f"The plugin {self._plugin.name} is disabled. See /readyz.\n", status_code=503)
            await disabled(scope, receive, send)


class Checks:
    """The health checks of all plugins.

    Raises:
        ConfigError: a required plugin failed.
    """

    def __init__(self, plugins: Plugins, running: Running) -> None:
        asked = plugins.ask("register_health_checks", _checks, running=running)
        self._checks = [(impl.plugin, name, check) for impl, added in asked for name, check in added.items()]

    async def run(self) -> tuple[dict[str, str], bool]:
        """Run the checks of all plugins that are not disabled.

        Returns:
            `ok` or the problem for each check, by `plugin.check`; and True if no check of a required plugin failed.
        """
        on = [each for each in self._checks if each[0].is_on]
        problems = await asyncio.gather(*(_problem(check) for _, _, check in on))
        results = {f"{plugin.name}.{name}": why or "ok" for (plugin, name, _), why in zip(on, problems, strict=True)}
        return results, not any(why and plugin.required for (plugin, _, _), why in zip(on, problems, strict=True))


async def start(plugins: Plugins, running: Running) -> None:
    """Call `started` of each plugin, one after the other.

    Raises:
        ConfigError: a required plugin failed.
    """
    task = RunningTask()
    for plugin, call in plugins.lifecycle_calls("started", running=running):
        try:
            with plugins.watch(plugin.name, "started"):
                await _run(call)
        except BaseException as error:
            if task.is_ended_by(error):
                raise
            plugins.blame(plugin, "started", error, with_message=True)


async def stop(plugins: Plugins) -> None:
    """Call `stopped` of each plugin, one after the other. Errors are logged and do not keep the app from stopping."""
    task = RunningTask()
    for plugin, call in plugins.lifecycle_calls("stopped"):
        try:
            with plugins.watch(plugin.name, "stopped"):
                await _run(call)
        except BaseException as error:
            if task.is_ended_by(error):
                raise
            plugins.note_failure(plugin, "stopped", error)


async def _run(call: Callable[[], Any]) -> None:
    result = call()
    if not inspect.isawaitable(result):
        return
    try:
        async with asyncio.timeout(START_S) as limit:
            await result
    except TimeoutError as error:
        if limit.expired():
            raise WrongUse(f"it did not end within {START_S:g} s") from error
        raise


async def _problem(check: Check) -> str | None:
    """Run a check and return the problem in one sentence; None if all is well."""
    task = RunningTask()
    try:
        async with asyncio.timeout(CHECK_S):
            problem: object = await check()
    except TimeoutError:
        return f"no answer in {CHECK_S:g} s"
    except BaseException as error:
        if task.is_ended_by(error):
            raise
        return f"raised {type(error).__name__}"
    if problem is None or isinstance(problem, str):
        return problem
    return f"returned a {type(problem).__name__}, and must return the problem as a text, or None"


def _routes(given: Iterable[BaseRoute]) -> list[BaseRoute]:
    routes = list(given)
    if wrong := next((each for each in routes if not isinstance(each, BaseRoute)), None):
        raise TypeError(f"a {type(wrong).__name__} is not a Starlette route")
    return routes


def _checks(given: Mapping[str, Check]) -> dict[str, Check]:
    checks = dict(given)
    if wrong := next((name for name, check in checks.items() if not callable(check)), None):
        raise TypeError(f"the check {wrong} cannot be called")
    return checks
