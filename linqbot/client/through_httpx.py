"""The way out over an httpx transport somebody gave: a test's, the emulator's. The only module of the client that
imports httpx, and nothing imports it before such a transport is there."""

from __future__ import annotations

import sys
from typing import cast

import httpx

from linqbot.client.wire import MAX_CONTENT_BYTES, MalformedAnswer, Request, Response, unpacked


class ThroughHttpx:
    """Sends requests with an httpx transport. Its own errors come through as they are."""

    def __init__(self, http: httpx.AsyncBaseTransport, *, connect_timeout_s: float) -> None:
        self._http = http
        # The whole attempt has a limit of its own; what is left to the transport is the handshake.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """httpx's, the system's, and those `httpx-aiohttp` lets through."""
        aiohttp = sys.modules.get("aiohttp")
        return (httpx.HTTPError, httpx.StreamError, OSError, *((aiohttp.ClientError,) if aiohttp else ()))

    async def send(self, request: Request) -> Response:
        """Send a request once."""
        fields = list(request.fields.pairs)
        if request.content is not None and not isinstance(request.content, bytes):
            fields.append(("Content-Length", str(request.size)))
        theirs = httpx.Request(
            request.method,
            f"{request.origin}{request.target}",
            headers=fields,
            content=request.content,
            extensions=self._extensions,
        )
        request.is_sent = True
        try:
            response = await self._http.handle_async_request(theirs)
            try:
                content = await _content(response)
            finally:
                await response.aclose()
        except Exception as error:
            request.is_sent = _was_sent(error)
            raise
        return Response(response.status_code, response.headers, content)

    async def aclose(self) -> None:
        """Close the transport that was given."""
        await self._http.aclose()


async def _content(response: httpx.Response) -> bytes:
    """The content as the network's own connections would give it: limited, and unpacked by the same rules."""
    content = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        content += chunk
        if len(content) > MAX_CONTENT_BYTES:
            raise MalformedAnswer(f"the answer is larger than {MAX_CONTENT_BYTES} bytes")
    return unpacked(bytes(content), response.headers.get("content-encoding", ""))


def _was_sent(error: BaseException) -> bool:
    """False when surely nothing was sent: no connection was made for this request.

    httpx-aiohttp names several failures ConnectTimeout, lost connections among them: aiohttp's own error decides.
    """
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is not None:
        cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
        if isinstance(cause, aiohttp.ClientError):
            return not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
