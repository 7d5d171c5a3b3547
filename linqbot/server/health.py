"""The health checks of the app: `/livez` says that the process answers, `/readyz` that it does its part of the work.

The routes of plugins, and their hooks that run when the app starts and stops, are here too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import Receive, Scope, Send

from linqbot.bot.lifecycle import Running
from linqbot.clock import Clock
from linqbot.engine.worker import Worker
from linqbot.errors import StorageError
from linqbot.interrupts import RunningTask
from linqbot.options import Role
from linqbot.plugins.registry import Plugin, Plugins, WrongUse, only
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.backend import Storage

START_S: Final = 10.0
"""Seconds that `started` or `stopped` of one plugin may take."""


def routes(plugins: Plugins, running: Running) -> list[BaseRoute]:
    """Return the routes of all plugins, those of each under `/plugins/<name>`. Raises ConfigError if a required one failed."""
    # Of any other object, every request to the plugin would be answered with 500.
    asked = plugins.ask("register_routes", only(BaseRoute), running=running)
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


async def start(plugins: Plugins, running: Running) -> None:
    """Call `started` of each plugin, one after the other. Raises ConfigError if a required one failed."""
    await _call_each(plugins, "started", plugins.blame, running=running)


async def stop(plugins: Plugins) -> None:
    """Call `stopped` of each plugin, one after the other. Errors are logged and do not keep the app from stopping."""
    await _call_each(plugins, "stopped", plugins.note_failure)


async def _call_each(
    plugins: Plugins, hook: str, failed: Callable[[Plugin, str, BaseException], object], **given: object
) -> None:
    task = RunningTask()
    for plugin, call in plugins.lifecycle_calls(hook, **given):
        try:
            await _run(call)
        except BaseException as error:
            if task.is_ended_by(error):
                raise
            failed(plugin, hook, error)


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


@dataclass
class Health:
    """The health checks of one process."""

    role: Role
    webhook: WebhookEndpoint
    worker: Worker
    running: Running
    plugins: Plugins
    clock: Clock

    async def livez(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> JSONResponse:
        """Answer 200 if the process does its part of the work, else 503 with the reason."""
        reason, waiting = await self._examined()
        report: dict[str, object] = {
            "ready": reason is None,
            "role": self.role,
            "busy": self.worker.busy,
            "waiting": waiting,
            "oldest_s": None if waiting is None else await self._oldest_s(),
            "lost": self.running.lost(),
        }
        if reason is not None:
            report["reason"] = reason
        if statuses := self.plugins.report():
            failing = [plugin.name for plugin in self.plugins.every if plugin.status == "failing"]
            report |= {"plugins": statuses, "failing": failing}
        return JSONResponse(report, 503 if reason else 200)

    async def is_ready(self) -> bool:
        """Return True if `/readyz` answers 200."""
        return (await self._examined())[0] is None

    async def _examined(self) -> tuple[str | None, int | None]:
        """Return the reason why the process is not ready, and the number of deliveries that wait; None if not known."""
        reason = self._not_running()
        if reason is not None:
            return reason, None
        reason = self.storage_trouble()
        waiting = await depth_of(self.running.storage)
        if reason is None and waiting is None:
            reason = "The storage cannot be read; see the log."
        return reason, waiting

    def storage_trouble(self) -> str | None:
        """Return the reason why this process cannot store or handle deliveries; None if none is known."""
        return self.running.storage.trouble or self.webhook.storage_trouble or self.worker.failing

    async def _oldest_s(self) -> int | None:
        """Return the seconds for which the webhook that waits longest has waited; 0 if none waits, None if it is not known."""
        try:
            oldest = await self.running.storage.oldest_webhooks()
        except StorageError:
            return None
        return max(round(self.clock.now() - oldest[0]), 0) if oldest else 0

    def _not_running(self) -> str | None:
        """Return the reason why this process does not do its part now; None if it does."""
        is_open, is_running = self.webhook.is_open, self.worker.is_running
        if (is_open or self.role == "work") and (is_running or self.role == "receive"):
            return None
        if is_open and self.role == "all":
            return "The worker has ended; see the log."
        return "The app is starting or stopping."


async def depth_of(storage: Storage) -> int | None:
    try:
        return await storage.depth()
    except StorageError:
        return None
