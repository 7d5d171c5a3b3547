"""Connections to clients that may be slow, send without end, or send something other than HTTP.

uvicorn waits forever for a client that never finishes its request, and its parser has no limit on what comes before a
body. `ClientConnection` adds a timeout and a limit. It never answers 4xx, not even to a request that is not HTTP: Linq
does not deliver again after a 4xx, but does after a lost connection. `webhook.py` limits the size and time of a body.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import httptools
import structlog
from starlette.types import ASGIApp, Scope

from linqbot.server.bounded_log import BoundedLog
from linqbot.server.webhook import ENDPOINT, Answer, DirectEndpoint, come_back_later
from linqbot.server.without_reload import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle, ServerState, uvicorn

log = structlog.get_logger("linqbot.server")

HEAD_TIMEOUT_S: Final = 10.0
"""Seconds from the start of a connection, or from the first byte of a later request, to the end of the headers."""

RESPONSE_TIMEOUT_S: Final = 30.0
"""Seconds that a client that has closed its side of the connection may wait for its response."""

MAX_HEAD_BYTES: Final = 1 << 16
"""Bytes that may arrive without completing headers or adding to a body: headers, trailers, framing of chunks."""

MAX_PIPELINED: Final = 16
"""Requests of one connection that may wait behind the one being answered."""

SPARE_CONNECTIONS: Final = 64
"""Connections beyond the maximum that are still answered 503; further ones are closed at once."""

MAPPED_IPV4: Final = "::ffff:"


class Connections(ServerState):
    """State that the connections of one server share.

    Attributes:
        max_connections: Maximum number of open connections.
        waiting: Connections that wait for the client's first request or for the rest of a request, longest first.
        kept: Connections whose latest request was answered and that wait for the next one, longest first.
        log: Rate-limited log for events that any client can cause.
    """

    def __init__(self, max_connections: int) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.waiting: dict[ClientConnection, None] = {}
        self.kept: dict[ClientConnection, None] = {}
        self.log = BoundedLog(log)

    def next_to_drop(self) -> ClientConnection | None:
        """Return the connection to drop when there are too many; None if all of them are being answered.

        Kept connections are spared while they are at most half of the maximum. A client's next request may already be
        on its way on a kept connection, and a flood of connections without a request would lose it. The other half is
        for new clients.
        """
        spares_kept = self.waiting and len(self.kept) <= self.max_connections // 2
        return next(iter(self.waiting if spares_kept else self.kept), None)

    def forget(self, connection: ClientConnection) -> None:
        """Remove a connection that has ended, or whose request is complete and is being answered now."""
        self.waiting.pop(connection, None)
        self.kept.pop(connection, None)


class ClientConnection(HttpToolsProtocol):
    """uvicorn's connection, with timeouts for the client and a limit on the bytes that are held for it."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._shared = cast("Connections", server_state)
        self._head_timer: asyncio.TimerHandle | None = None
        self._response_timer: asyncio.TimerHandle | None = None
        self._idle_bytes = 0
        self._has_progressed = False

        # The emulator closes connections on purpose, for clients that must bear it: see `emulator/api.py`.
        self._extensions: dict[str, dict[object, object]] = {"linqbot.close_connection": {"close": self.drop}}
        self._endpoint: DirectEndpoint | None = app_state.get(ENDPOINT)
        # While a piece of data is parsed: the request for the endpoint whose headers are in it.
        self._is_parsing = False
        self._arriving: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = _as_written(self.client, transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.drop)
        shared = self._shared
        excess = len(self.connections) - shared.max_connections
        oldest = shared.next_to_drop()
        if excess > 0 and oldest is None:
            # All other connections are being answered. The client gets a 503, unless even that would be too much.
            self.app = cast("Any", come_back_later)
            if excess > SPARE_CONNECTIONS:
                self.drop()
            return
        if excess > 0 and oldest is not None:
            oldest.drop()
        shared.waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.forget(self)
        self._stop_head_timer()
        if self._response_timer is not None:
            self._response_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > MAX_HEAD_BYTES:
            # In pieces, so that the limits on headers and pipelined requests hold however much one read returns.
            for start in range(0, len(data), MAX_HEAD_BYTES):
                if not self.transport.is_closing():
                    self.data_received(data[start : start + MAX_HEAD_BYTES])
            return
        self._has_progressed = False
        self._is_parsing = True
        self._parse(data)
        self._is_parsing = False
        if self._arriving is not None:
            # Nearly every body arrives together with its headers. For any other, the app counts bytes and time.
            arrived, self._arriving = self._arriving, None
            self._start(arrived, self.app)
        if self._has_progressed:
            self._idle_bytes = 0
        else:
            self._note_no_progress(len(data))
        if len(self.pipeline) > MAX_PIPELINED:
            self.drop()

    def _parse(self, data: bytes) -> None:
        """Feed the parser like uvicorn, but without a 400 response and without a log line for each error."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No upgrade is supported here. The parser reads nothing more, not even the body of the request.
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
                self.cycle.disconnected = True
                self.drop()
            else:
                self._answer_and_close()
        except httptools.HttpParserError:
            self._shared.log.warning("request.malformed", client=self.client[0] if self.client else None)
            self._answer_and_close()

    def _answer_and_close(self) -> None:
        """Close after the latest complete request is answered; close at once if there is none."""
        if self._owes_a_response:
            self.cycle.keep_alive = False
            # Since 0.53 uvicorn adds this header itself, unless it is there.
            self.cycle.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        else:
            self.drop()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Still answer a client that has closed its side of the connection: it may wait for the response.

        Returns:
            True to keep the connection open for the response.
        """
        if not self._owes_a_response or self.cycle.response_started:
            return False
        self.cycle.keep_alive = False
        if self._response_timer is None:
            self._response_timer = self.loop.call_later(RESPONSE_TIMEOUT_S, self.drop)
        return True

    def _note_no_progress(self, size: int) -> None:
        """Count bytes that completed no headers and were no body. The parser keeps them; see `MAX_HEAD_BYTES`."""
        self._idle_bytes += size
        if self._idle_bytes >= MAX_HEAD_BYTES:
            self.drop()
        elif self._head_timer is None and self._is_between_requests:
            # The first bytes of a request have stopped uvicorn's own keep-alive timer.
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.drop)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        self._has_progressed = True
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._shared.forget(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        latest = self.cycle  # the request answered now, or one pipelined after it
        if latest.response_complete and latest.more_body:
            # Answered before the request was complete: reading the rest is useless, and the rest may never end.
            self.transport.close()
        elif latest.response_complete:
            self._shared.kept[self] = None
        elif latest.more_body:
            self._shared.waiting[self] = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        """Start a request whose headers are complete, and that no other request of the connection is in front of."""
        if self._is_parsing and self._endpoint is not None and cycle.scope["path"] in self._endpoint.paths:
            self._arriving = cycle
        else:
            self._start(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        """Hand a request to the endpoint. Start the app for requests that are not for it, and for what it leaves."""
        if not self._is_for_endpoint(cycle, app) or not self._is_taken(cycle, app):
            super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _is_for_endpoint(self, cycle: RequestResponseCycle, app: ASGIApp) -> bool:
        """Return True for a complete request that needs nothing but an answer. The connection stays open after it."""
        if cycle.more_body or self._endpoint is None or app is not self.config.loaded_app:
            return False
        scope = cycle.scope
        if scope["path"] not in self._endpoint.paths or scope["method"] != "POST":
            return False
        # Older releases of uvicorn see only in `send` that the client has asked to close the connection.
        is_last = not cycle.keep_alive or (b"connection", b"close") in scope["headers"]
        return not (is_last or cycle.waiting_for_100_continue or cycle.disconnected or cycle.flow.write_paused)

    def _is_taken(self, cycle: RequestResponseCycle, app: ASGIApp) -> bool:
        assert self._endpoint is not None
        # A context of its own, like that of a task: a plugin may set variables in it.
        context = contextvars.copy_context()
        try:
            taken = context.run(self._endpoint.take, cast("Scope", cycle.scope), bytes(cycle.body))
        except Exception:  # noqa: BLE001 - the app fails in the same way, and then uvicorn answers and logs it
            return False
        if taken is None:
            return False
        work, answer = taken
        work.add_done_callback(partial(self._end, cycle, app, answer), context=context)
        return True

    def _end(
        self,
        cycle: RequestResponseCycle,
        app: ASGIApp,
        answer: Callable[[asyncio.Future[bool]], Answer],
        work: asyncio.Future[bool],
    ) -> None:
        try:
            status, headers = answer(work)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - as above
            super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]
            return
        if not (cycle.disconnected or self.transport.is_closing()):
            self._answer(cycle, status, headers)

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer a request in one step, without a body."""
        shown = [*cycle.default_headers, *headers, (b"content-length", b"0")]
        if not cycle.keep_alive and (b"connection", b"close") not in shown:
            shown.append((b"connection", b"close"))
        cycle.response_started = cycle.response_complete = True
        cycle.body.clear()  # a connection that waits for its next request keeps the cycle
        self.transport.write(b"%b%b\r\n" % (STATUS_LINE[status], b"".join([b"%b: %b\r\n" % each for each in shown])))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        cycle.on_response = _nothing  # it refers to this connection, which refers to the cycle

    def shutdown(self) -> None:
        if self in self._shared.waiting or self in self._shared.kept:
            self.drop()
        else:
            super().shutdown()

    def drop(self) -> None:
        """Close the connection without a response."""
        self._shared.forget(self)
        self.transport.close()

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    @property
    def _owes_a_response(self) -> bool:
        """True if the latest request is complete and not answered yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _as_written(client: tuple[str, int] | None, transport: asyncio.Transport) -> tuple[str, int] | None:
    """Return the address of a client as people write it in LINQBOT_TRUSTED_PROXIES.

    A socket for IPv6 that also takes IPv4 shows the IPv4 address 10.0.0.1 as ::ffff:10.0.0.1. A Unix socket shows none.
    """
    if client is None:
        connected = transport.get_extra_info("socket")
        is_unix = connected is not None and connected.family == getattr(socket, "AF_UNIX", None)
        return ("unix:", 0) if is_unix else None
    host, port = client
    return (host.removeprefix(MAPPED_IPV4), port) if host.startswith(MAPPED_IPV4) and "." in host else client


def _nothing() -> None:
    pass
