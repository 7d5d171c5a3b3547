"""Requests over an httpx transport that was passed in, such as a test's or the emulator's, instead of the network.

This module is imported only when it is needed, because importing httpx takes longer than importing the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import cast

import httpx

from linqbot.client.http.http11 import (
    MAX_CONTENT_BYTES,
    MalformedResponse,
    Request,
    Response,
    StreamedResponse,
    TransportError,
)


class HttpxAdapter:
    """Sends requests with an httpx transport, whose errors become the cause of a TransportError."""

    def __init__(self, http: httpx.AsyncBaseTransport, *, connect_timeout_s: float) -> None:
        self._http = http
        # The sender limits the whole attempt, so the transport limits only connecting.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}

    async def send(self, request: Request) -> Response:
        """Send a request once. Raises TransportError if the network fails."""
        request.is_sent = True
        try:
            async with self.stream(request) as response:
                content = await _content(response)
        except TransportError as error:
            # Nothing was sent if the connection could not be opened.
            request.is_sent = not isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
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
        with _converted():
            response = await self._http.handle_async_request(theirs)
        try:
            yield StreamedResponse(response.status_code, response.headers, _chunks(response))
        except BaseException:
            with suppress(*_ERRORS):  # the first error counts, above all a cancellation
                await response.aclose()
            raise
        with _converted():
            await response.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()


_ERRORS = (httpx.HTTPError, httpx.StreamError, OSError)


@contextmanager
def _converted() -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise TransportError from error


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    with _converted():
        async for chunk in cast("httpx.AsyncByteStream", response.stream):
            yield chunk


async def _content(response: StreamedResponse) -> bytes:
    content = bytearray()
    async for chunk in response.chunks:
        content += chunk
        if len(content) > MAX_CONTENT_BYTES:
            raise MalformedResponse(f"the response is larger than {MAX_CONTENT_BYTES} bytes")
    return bytes(content)
