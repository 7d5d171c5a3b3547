"""A temporary webhook server, so that the public address can be checked before the bot is served.

It accepts the doctor's test events with the server's own code. It answers every delivery of Linq's with 503, so that Linq
retries it: also one signed with a secret that is not stored here, because Linq gives up on a delivery after a 401.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from linqbot.clock import SystemClock
from linqbot.errors import StorageBusy
from linqbot.events.delivery import PROBE_ID, PROBE_TYPE, Delivery
from linqbot.server import uvicorn_server
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.http.busy import RETRY_AFTER
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.memory.storage import MemoryStorage

_MOST_BYTES: Final = 4096
"""Maximum size of a body to remember. Those of the doctor's own events have some hundred bytes."""


class Arrivals:
    """The doctor's own events that arrived at the temporary server, unchanged or not. Only the latest are remembered."""

    def __init__(self) -> None:
        self._bodies: deque[bytes] = deque(maxlen=100)

    def note(self, body: bytes) -> None:
        """Remember the body of a request if it is an event of the doctor."""
        if len(body) <= _MOST_BYTES and PROBE_TYPE.encode() in body:
            self._bodies.append(body)

    def __contains__(self, delivery_id: str) -> bool:
        event_id = delivery_id.removeprefix(PROBE_ID).encode()
        return any(event_id in body for body in self._bodies)


class _ProbesOnly(MemoryStorage):
    """Refuses every delivery except the doctor's own."""

    async def put(self, delivery: Delivery) -> bool:
        if not delivery.id.startswith(PROBE_ID):
            raise StorageBusy("Only the doctor is here. The bot is not served yet.")
        return await super().put(delivery)


class _NeverUnauthorized:
    """Wraps the webhook, and answers 503 in place of 401 to deliveries that are not the doctor's own."""

    def __init__(self, webhook: WebhookEndpoint, arrivals: Arrivals) -> None:
        self._webhook = webhook
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def record() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def send_retryable(message: Message) -> None:
            if message.get("status") == 401 and PROBE_TYPE.encode() not in body:
                headers = [(b"content-length", b"0"), RETRY_AFTER]
                message = {**message, "status": 503, "headers": headers}
            await send(message)

        try:
            await self._webhook(scope, record, send_retryable)
        finally:
            self._arrivals.note(bytes(body))


@asynccontextmanager
async def probe_server(bound: socket.socket, secrets: Sequence[str]) -> AsyncIterator[Arrivals]:
    """Serve the webhook on a bound socket while the context lasts. Yield the record of the doctor's events.

    Args:
        secrets: Signing secrets that the test events may be signed with.
    """
    async with _ProbesOnly() as inbox:
        webhook = WebhookEndpoint(inbox, KnownSecrets(secrets), SystemClock())
        webhook.is_open = True
        arrivals = Arrivals()
        server = uvicorn_server.server(
            Starlette(routes=[Route(WEBHOOK_PATH, _NeverUnauthorized(webhook, arrivals))]), graceful_s=1
        )
        # From here on the kernel queues connections, until the server is ready to accept them.
        bound.listen()
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield arrivals
        finally:
            server.should_exit = True
            await serving
