"""HTTP between the processes of `linqbot dev` and of `linqbot rehearse`: plain, on this machine, and with a key."""

from __future__ import annotations

import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

_Respond: TypeAlias = Callable[[Request], Awaitable[Response]]


def no_authorities() -> ssl.SSLContext:
    """Return a context that trusts no certificate, for a client that never uses TLS.

    Without it, httpx reads the certificates of all authorities: 40 ms of each start of a bot.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def guarded(respond: _Respond, key: str) -> _Respond:
    """Return `respond`, which answers requests, so that it answers 401 to requests without the key as their bearer token."""
    wanted = f"Bearer {key}".encode()

    async def checked(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        return await respond(request) if secrets.compare_digest(given, wanted) else Response(status_code=401)

    return checked


def hang_up(bound: socket.socket) -> None:
    """Close the connections that wait at a listening socket."""
    bound.setblocking(False)  # the flag is shared with the bot's process
    with suppress(BlockingIOError):
        while True:
            bound.accept()[0].close()


def inherited(number: str) -> socket.socket:
    """Return the listening socket with a file descriptor that the parent process has passed on."""
    bound = socket.socket(fileno=int(number))
    bound.set_inheritable(False)  # programs that the bot starts do not listen on it
    return bound
