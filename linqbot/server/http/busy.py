"""The answer of a server that cannot take a request now: 503, with the time after which the client may send it again."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope, Send

RETRY_AFTER: Final = (b"retry-after", b"5")
"""The header with the time, in seconds."""


async def come_back_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 to any request. This is an ASGI app."""
    headers = [RETRY_AFTER, (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body"})
