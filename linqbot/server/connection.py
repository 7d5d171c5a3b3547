"""A connection to a client that may be slow, endless or talk nonsense; uvicorn's own trusts it.

uvicorn waits for ever for a client that never finishes its request, and its parser has no bound on what comes before
a body. `ClientConnection` adds both. It never answers a 4xx, not even to what is no HTTP: Linq does not come back after one,
but after a lost connection it does. A body's size and time are its reader's business (server/webhook.py).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import httptools
import structlog
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from linqbot.server.bounded_log import BoundedLog

log = structlog.get_logger("linqbot.server")

HEAD_TIMEOUT_S: Final = 10.0
"""Longest from a connection's beginning, or a further request's first byte, to the end of its headers."""

ANSWER_TIMEOUT_S: Final = 30.0
"""How long a client that has closed its side of the connection is kept for its answer."""

MAX_HEAD_BYTES: Final = 1 << 16
"""How many bytes may come in a row that end no head and are no body: headers, trailers, the framing of chunks."""

MAX_PIPELINED: Final = 16
SPARE_CONNECTIONS: Final = 64
RETRY_AFTER_S: Final = 5


class Connections(ServerState):
    """What the connections of one server share.

    Attributes:
        most: How many there may be.
        waiting: Those that wait for their client's first request, or for the rest of it, longest first.
        kept: Those whose last request was answered and that wait for the next one, longest first.
        log: For what anybody can make them say.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.waiting: dict[ClientConnection, None] = {}
        self.kept: dict[ClientConnection, None] = {}
        self.log = BoundedLog(log)

    def next_to_go(self) -> ClientConnection | None:
        """Return the connection to drop when there are too many, or None if each is being answered.

        Kept connections are spared while they are at most half of all: the client's next request may already be on
        its way, and a flood of connections without a request would end it. The other half is for new clients.
        """
        spares_kept = self.waiting and len(self.kept) <= self.most // 2
        return next(iter(self.waiting if spares_kept else self.kept), None)

    def forget(self, connection: ClientConnection) -> None:
        """Note that a connection has ended, or that it is our turn on it."""
        self.waiting.pop(connection, None)
        self.kept.pop(connection, None)


class ClientConnection(HttpToolsProtocol):
    """uvicorn's connection, with an end to waiting for its client and a bound on what is held meanwhile."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = cast("Connections", server_state)
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._idle_bytes = 0
        self._moved_on = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.drop)
        everybody = self._all
        excess = len(self.connections) - everybody.most
        oldest = everybody.next_to_go()
        if excess > 0 and oldest is None:
            # The others are all being answered; this one is asked to come back, while that can be said.
            self.app = cast("Any", come_back_later)
            if excess > SPARE_CONNECTIONS:
                self.drop()
            return
        if excess > 0 and oldest is not None:
            oldest.drop()
        everybody.waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.forget(self)
        self._stop_head_timer()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > MAX_HEAD_BYTES:
            # In pieces, so that a head and a pipeline are bounded whatever one read brings.
            for start in range(0, len(data), MAX_HEAD_BYTES):
                if not self.transport.is_closing():
                    self.data_received(data[start : start + MAX_HEAD_BYTES])
            return
        self._moved_on = False
        self._parse(data)
        if self._moved_on:
            self._idle_bytes = 0
        else:
            self._went_nowhere(len(data))
        if len(self.pipeline) > MAX_PIPELINED:
            self.drop()

    def _parse(self, data: bytes) -> None:
        """Feed the parser. As uvicorn does it, but without an answer of 400 and without a log line for each."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # To a protocol that is not spoken here. The parser reads nothing more, not even the request's body.
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
                self.cycle.disconnected = True
                self.drop()
            else:
                self._answer_and_close()
        except httptools.HttpParserError:
            self._all.log.warning("request.malformed", client=self.client[0] if self.client else None)
            self._answer_and_close()

    def _answer_and_close(self) -> None:
        """Close once what came whole is answered; at once if nothing did."""
        if self._owes_an_answer:
            self.cycle.keep_alive = False
        else:
            self.drop()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has said everything: it has closed its side only, and may wait for what we say."""
        if not self._owes_an_answer or self.cycle.response_started:
            return False
        self.cycle.keep_alive = False
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(ANSWER_TIMEOUT_S, self.drop)
        return True

    def _went_nowhere(self, size: int) -> None:
        """Bytes came that ended no head and were no body: headers, trailers, framing of chunks. The parser keeps them."""
        self._idle_bytes += size
        if self._idle_bytes >= MAX_HEAD_BYTES:
            self.drop()
        elif self._head_timer is None and self._is_between_requests:
            # The beginning of a head has ended uvicorn's own keep-alive timer.
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.drop)

    def on_headers_complete(self) -> None:
        self._moved_on = True
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._moved_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._all.forget(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        latest = self.cycle  # the one answered now, or one pipelined behind it
        if latest.response_complete and latest.more_body:
            # Answered before it was whole: what still comes would be read for nobody, for as long as it comes.
            self.transport.close()
        elif latest.response_complete:
            self._all.kept[self] = None
        elif latest.more_body:
            self._all.waiting[self] = None

    def shutdown(self) -> None:
        if self in self._all.waiting or self in self._all.kept:
            self.drop()
        else:
            super().shutdown()

    def drop(self) -> None:
        """Close without an answer."""
        self._all.forget(self)
        self.transport.close()

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    @property
    def _owes_an_answer(self) -> bool:
        """The latest request came whole, and is not answered yet."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


async def come_back_later(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that answers 503 to everything."""
    headers = [(b"retry-after", b"%d" % RETRY_AFTER_S), (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body"})
