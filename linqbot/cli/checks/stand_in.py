"""Answers where the bot will, while nobody serves it: so that the way there can be checked before going live.

It takes the doctor's own events, with the server's own code. Whatever Linq sends meanwhile is asked to come again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from linqbot.cli import http
from linqbot.clock import SystemClock
from linqbot.errors import StorageBusy
from linqbot.events.delivery import PROBE_ID, Delivery
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.memory import MemoryStorage


class _OwnEventsOnly(MemoryStorage):
    async def put(self, delivery: Delivery) -> bool:
        if not delivery.id.startswith(PROBE_ID):
            raise StorageBusy("Only the doctor is here. The bot is not served yet.")
        return await super().put(delivery)


@asynccontextmanager
async def stand_in(bound: socket.socket, secrets: Sequence[str]) -> AsyncIterator[None]:
    """Serve the webhook on a bound socket."""
    async with _OwnEventsOnly() as inbox:
        webhook = WebhookEndpoint(inbox, KnownSecrets(secrets), SystemClock())
        webhook.is_open = True
        server = http.server(Starlette(routes=[Route(WEBHOOK_PATH, webhook)]), graceful_s=1)
        # Whoever comes before the server is ready waits for it.
        bound.listen()
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
