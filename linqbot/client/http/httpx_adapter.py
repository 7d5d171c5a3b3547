"""Requests over httpx: through a transport that was passed in, or only to addresses that were checked before.

`HttpxAdapter` sends over a transport such as a test's or the emulator's, instead of the network. `CheckedTransport`
serves `media_fetch.py`. It never resolves a name: the connection goes to one of the given addresses, whatever host the
request names, and TLS still requires the certificate of that name. It keeps no connection between requests and uses no
proxy from the environment. This module is imported only when one of them is needed, because importing httpx takes
longer than importing the client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import httpcore
import httpx

from linqbot.client.http.addresses import Target
from linqbot.client.http.connector import NEXT_ADDRESS_AFTER_S, certified
from linqbot.client.http.http11 import MAX_CONTENT_BYTES, MalformedResponse, Request, Response, unpacked


class HttpxAdapter:
    """Sends requests with an httpx transport. The transport's own errors are not converted."""

    def __init__(self, http: httpx.AsyncBaseTransport, *, connect_timeout_s: float) -> None:
        self._http = http
        # The sender limits the whole attempt, so the transport limits only connecting.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Return the errors of httpx and of the operating system."""
        return (httpx.HTTPError, httpx.StreamError, OSError)

    async def send(self, request: Request) -> Response:
        """Send a request once.

        Raises:
            httpx.HTTPError, httpx.StreamError, OSError: The transport failed, or the response is malformed or too
            large.
        """
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
            # Nothing was sent if the connection could not be opened.
            request.is_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise
        return Response(response.status_code, response.headers, content)

    async def aclose(self) -> None:
        """Close the given transport."""
        await self._http.aclose()


async def _content(response: httpx.Response) -> bytes:
    """Return the content as a network connection would return it: with the same size limit and the same decoding."""
    content = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        content += chunk
        if len(content) > MAX_CONTENT_BYTES:
            raise MalformedResponse(f"the response is larger than {MAX_CONTENT_BYTES} bytes")
    return unpacked(bytes(content), response.headers.get("content-encoding", ""))


CONNECT_TIMEOUT_S: Final = 10.0

ERRORS: Final = (httpx.HTTPError, httpx.StreamError, ConnectionError, ssl.SSLError)
"""Network errors. Other `OSError`s come from writing the file."""


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Sends one request over a connection to one of the given addresses."""

    def __init__(self, addresses: Sequence[str], tls: ssl.SSLContext | None) -> None:
        # `super().__init__` is not called: it reads certificates and accepts no network backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=1, max_keepalive_connections=0, network_backend=CheckedBackend(addresses)
        )


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to the given addresses, whatever host is requested. Addresses are raced as in RFC 8305."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return the first connection that opens. Each address has a head start over the next one.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: No connection opened; the error is that of the last attempt.
        """
        left = list(reversed(self._addresses))
        running: set[asyncio.Task[httpcore.AsyncNetworkStream]] = set()
        error: BaseException = httpcore.ConnectError("no address")
        try:
            while left or running:
                if left:
                    opening = self._network.connect_tcp(left.pop(), port, timeout, local_address, socket_options)
                    running.add(asyncio.create_task(opening))
                delay_s = NEXT_ADDRESS_AFTER_S if left else None
                done, _ = await asyncio.wait(running, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    if (failed := task.exception()) is None:
                        return task.result()
                    error = failed
        finally:
            await _abandon(running)
        raise error


async def _abandon(running: Iterable[asyncio.Task[httpcore.AsyncNetworkStream]]) -> None:
    """Cancel the attempts that lost the race, and close connections that opened too late."""
    for task in running:
        task.cancel()
    for opened in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(opened, httpcore.AsyncNetworkStream):
            await opened.aclose()


def request(goal: Target, headers: dict[str, str]) -> httpx.Request:
    """Return a GET request for a checked URL.

    Path and query are sent exactly as in the URL, because signatures are computed over the encoded form. httpx would
    encode and normalise them by its own rules.
    """
    origin = goal.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return httpx.Request(
        "GET",
        f"{origin.scheme}://{host}:{origin.port}/",
        headers={"Host": origin.authority, **headers, "Connection": "close"},
        extensions={
            "target": goal.target.encode("ascii"),
            "sni_hostname": certified(origin),
            # Only connecting is limited here: the whole fetch has its own time limit.
            "timeout": {"connect": CONNECT_TIMEOUT_S, "read": None, "write": None, "pool": None},
        },
    )
