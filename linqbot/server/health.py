"""The health checks of the app: `/livez` says that the process answers, `/readyz` that it does its part of the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from linqbot.errors import StorageError
from linqbot.plugins.registry import Plugins
from linqbot.server.plugin_routes import Checks
from linqbot.server.readiness import Readiness
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.backend import Storage
from linqbot.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class Health:
    """The health checks of one process.

    Attributes:
        checks: The health checks that plugins add.
        receives: True if the process stores deliveries.
        works: True if it handles them.
    """

    role: str
    webhook: WebhookEndpoint
    worker: Worker
    readiness: Readiness
    checks: Checks
    storage: Storage
    plugins: Plugins
    receives: bool
    works: bool

    async def livez(self, _: Request) -> PlainTextResponse:
        """Answer 200."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> JSONResponse:
        """Answer 200 if the process does its part of the work, else 503 with the reason."""
        reason = self._not_running()
        results: Mapping[str, object] = {}
        waiting = None
        if reason is None:
            results, all_required_ok = await self.checks.run()
            reason = await self.readiness.problem() or self.worker.failing
            if reason is None and not all_required_ok:
                reason = "A health check of a required plugin failed; see checks."
            waiting = await depth_of(self.storage)
            if reason is None and waiting is None:
                reason = "The storage cannot be read; see the log."
        report: dict[str, object] = {
            "ready": reason is None,
            "role": self.role,
            "busy": self.worker.busy,
            "waiting": waiting,
        }
        if reason is not None:
            report["reason"] = reason
        if statuses := self.plugins.report():
            failing = [plugin.name for plugin in self.plugins.every if plugin.status == "failing"]
            report |= {"plugins": statuses, "checks": results, "failing": failing}
        return JSONResponse(report, 503 if reason else 200)

    def _not_running(self) -> str | None:
        """Return the reason why this process does not do its part now; None if it does."""
        is_open, is_running = self.webhook.is_open, self.worker.is_running
        if (is_open or not self.receives) and (is_running or not self.works):
            return None
        if is_open and self.receives and self.works:
            return "The worker has ended; see the log."
        return "The app is starting or stopping."


async def depth_of(storage: Storage) -> int | None:
    """Return the number of deliveries that are not finished; None if the storage cannot be read now."""
    try:
        return await storage.depth()
    except StorageError:
        return None
