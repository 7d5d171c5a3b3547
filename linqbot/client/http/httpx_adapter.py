"""Requests over an httpx transport that was passed in, such as a test's or the emulator's, instead of the network.

This module is imported only when it is needed, because importing httpx takes longer than importing the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httpx

from linqbot.client.http.http11 import MAX_CONTENT_BYTES, MalformedResponse, Request, Response, StreamedResponse


class HttpxAdapter:
    """Sends requests with an httpx transport. The transport's own errors are not converted."""

    errors: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.StreamError, OSError)

    def __init__(self, http: httpx.AsyncBaseTransport, *, connect_timeout_s: float) -> None:
        self._http = http
        # The sender limits the whole attempt, so the transport limits only connecting.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}

    async def send(self, request: Request) -> Response:
        request.is_sent = True
        try:
            async with self.stream(request) as response:
                content = await _content(response)
        except Exception as error:
            # Nothing was sent if the connection could not be opened.
            request.is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise
        return Response(response.status, response.headers, content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """Send a request once and yield its response with unread content."""
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
        response = await self._http.handle_async_request(theirs)
        try:
            chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
            yield StreamedResponse(response.status_code, response.headers, chunks)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()


async def _content(response: StreamedResponse) -> bytes:
    content = bytearray()
    async for chunk in response.chunks:
        content += chunk
        if len(content) > MAX_CONTENT_BYTES:
            raise MalformedResponse(f"the response is larger than {MAX_CONTENT_BYTES} bytes")
    return bytes(content)
