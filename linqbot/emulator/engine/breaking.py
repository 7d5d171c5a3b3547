"""Faults of requests over HTTP: a late answer, an error in place of the answer, and a connection that breaks.

`linq/endpoints.py` uses them for calls, and `web/app.py` for the uploads and downloads of files. `model/faults.py` says which
fault a request meets.
"""

from __future__ import annotations

import httpx
from starlette.types import Receive, Scope, Send

from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, EndpointResponse
from linqbot.emulator.model.faults import Fault, Lost

CONNECTION = "linqbot.connection"
"""The key of the server's connection in the state of a request; its `drop` closes it. See `server/connection.py`."""

_CODES = {400: 1005, 401: 2004, 403: 2005, 404: 2001, 409: 1006, 429: 1007}


async def wait(fault: Fault | None, world: World) -> None:
    """Wait as long as a fault delays its request, on the emulator's clock."""
    if fault is not None and fault.delay_ms:
        await world.clock.wait_until(world.now() + fault.delay_ms / 1000)


def answer(fault: Fault) -> EndpointResponse:
    """Return the answer that a fault gives in place of the endpoint."""
    status = fault.status or 500
    if status < 400:
        return EndpointResponse(status, {})
    code = fault.code or _CODES.get(status, 3006)
    return ApiError(status, code, "Answered by a fault", retry_after=fault.retry_after).answer()


async def break_connection(lost: Lost, scope: Scope, receive: Receive, send: Send) -> None:
    """Break the connection of a request, as `Fault.drop` says; what was to be done before is done.

    Raises:
        httpx.TransportError: always, except over a connection that was closed without a byte.
    """
    if lost != "connection":
        await _hang_up(send)
    await _close_without_a_byte(scope, receive)


async def _hang_up(send: Send) -> None:
    """End the connection without an answer: the app begins an answer and then fails.

    A server then closes the socket. An in-process client gets the error that a closed socket would cause.
    """
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    raise httpx.ReadError("The emulator dropped the connection, as a fault asked")


async def _close_without_a_byte(scope: Scope, receive: Receive) -> None:
    """Close the connection before anything is answered.

    ASGI has no message for this, so the server of `linqbot dev` offers its connection. An
    in-process client gets the error that a closed socket would cause.
    """
    connection = scope.get("state", {}).get(CONNECTION)
    if connection is None:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    # Read first: the system resets a connection that is closed with bytes unread, and a client notices the difference.
    while (await receive()).get("more_body"):
        pass
    connection.drop()
    # A server answers 500 for an app that returns without an answer while the connection is open.
    while (await receive())["type"] != "http.disconnect":
        pass
