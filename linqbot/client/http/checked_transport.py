"""An httpx transport whose connections go to addresses that were checked, and to no others.

A name is never looked up here: whatever host a request names, the connection goes to one of the given addresses, and
TLS still asks for the name's own certificate. Nothing is kept between requests, and no proxy of the environment is
used. Only `fetch.py` imports this module, and only when it fetches: httpx takes longer to import than the client does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final

import httpcore
import httpx

from linqbot.client.http.addresses import Target
from linqbot.client.http.connector import NEXT_ADDRESS_AFTER_S, certified

CONNECT_TIMEOUT_S: Final = 10.0

ERRORS: Final = (httpx.HTTPError, httpx.StreamError, ConnectionError, ssl.SSLError)
"""What goes wrong on the network. Other errors of the system are those of a file that cannot be written."""


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Sends one request over a connection to one of these addresses."""

    def __init__(self, addresses: Sequence[str], tls: ssl.SSLContext | None) -> None:
        # Not `super().__init__`, which reads certificates and takes no network backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, max_connections=1, max_keepalive_connections=0, network_backend=CheckedBackend(addresses)
        )


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to these addresses, whatever host is asked for. They are raced as RFC 8305 has it."""

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
        """Return the first connection that opens; each address has a head start over the next.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: none opened; the error is the last one's.
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
    """End the attempts that lost the race, and close the connections that opened too late."""
    for task in running:
        task.cancel()
    for opened in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(opened, httpcore.AsyncNetworkStream):
            await opened.aclose()


def request(goal: Target, headers: dict[str, str]) -> httpx.Request:
    """A GET of a checked URL.

    Its path and query go over the wire as they stand in the URL: signatures are made over the encoded form, and
    httpx would encode and shorten it by its own rules.
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
            # The whole fetch has a limit of its own.
            "timeout": {"connect": CONNECT_TIMEOUT_S, "read": None, "write": None, "pool": None},
        },
    )
