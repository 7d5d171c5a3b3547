"""The way out over an httpx transport that was given: a test's, the emulator's.

Nothing imports this module, and so httpx, before such a transport is there.
"""

from __future__ import annotations

from typing import cast

import httpx

from linqbot.client.http.http11 import MAX_CONTENT_BYTES, MalformedResponse, Request, Response, unpacked


class HttpxAdapter:
    """Sends requests with an httpx transport. Its own errors come through as they are."""

    def __init__(self, http: httpx.AsyncBaseTransport, *, connect_timeout_s: float) -> None:
        self._http = http
        # The whole attempt has a limit of its own; what is left to the transport is the handshake.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """httpx's, and the system's."""
        return (httpx.HTTPError, httpx.StreamError, OSError)

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
            # Without a connection nothing was sent.
            request.is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
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
            raise MalformedResponse(f"the answer is larger than {MAX_CONTENT_BYTES} bytes")
    return unpacked(bytes(content), response.headers.get("content-encoding", ""))
