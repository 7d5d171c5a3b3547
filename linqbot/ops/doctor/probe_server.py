"""Answers where the bot will, while nobody serves it: so that the way there can be checked before going live.

It takes the doctor's own events, with the server's own code. Whatever Linq sends meanwhile is asked to come again, also
what is signed with a secret that is not here: a 401 would be the last word on it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from linqbot.clock import SystemClock
from linqbot.errors import StorageBusy
from linqbot.events.delivery import PROBE_ID, PROBE_TYPE, Delivery
from linqbot.server import uvicorn_server
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import RETRY_AFTER_S, WebhookEndpoint
from linqbot.storage.memory import MemoryStorage


class _OwnEventsOnly(MemoryStorage):
    async def put(self, delivery: Delivery) -> bool:
        if not delivery.id.startswith(PROBE_ID):
            raise StorageBusy("Only the doctor is here. The bot is not served yet.")
        return await super().put(delivery)


class _Patient:
    def __init__(self, webhook: WebhookEndpoint) -> None:
        self._webhook = webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def noted() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def patient(message: Message) -> None:
            if message.get("status") == 401 and PROBE_TYPE.encode() not in body:
                headers = [(b"content-length", b"0"), (b"retry-after", b"%d" % RETRY_AFTER_S)]
                message = {**message, "status": 503, "headers": headers}
            await send(message)

        await self._webhook(scope, noted, patient)


@asynccontextmanager
async def stand_in(bound: socket.socket, secrets: Sequence[str]) -> AsyncIterator[None]:
    """Serve the webhook on a bound socket."""
    async with _OwnEventsOnly() as inbox:
        webhook = WebhookEndpoint(inbox, KnownSecrets(secrets), SystemClock())
        webhook.is_open = True
        server = uvicorn_server.server(Starlette(routes=[Route(WEBHOOK_PATH, _Patient(webhook))]), graceful_s=1)
        # Whoever comes before the server is ready waits for it.
        bound.listen()
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
