"""Connections to clients that may be slow, send without end, or send something other than HTTP.

uvicorn's own protocol waits forever for a client that never finishes its headers, has no limit on what comes before a
body, and answers 400 to what is not HTTP. Linq does not deliver again after a 4xx, but does after a lost connection. So
`ClientConnection` parses everything first. It answers webhooks itself. Every other request is written to uvicorn's
protocol as it arrives, which runs the app; so uvicorn sees only correct HTTP. It is the last request of its connection,
because only the end of the connection shows that uvicorn's response is complete. A client sends again what it has
pipelined behind it. Next step: `WebhookEndpoint.answer` in `webhook.py`.

The server speaks no other protocol, so a request that offers one, as clients of Java do, is answered as if it did not (RFC 9110,
7.8). A request that is closed without an answer is logged with its cause: `request.malformed`, or else `request.unanswered`.

These names of uvicorn are used here and in `uvicorn_server.py`, and are not in its documentation: `Config.load`;
`HttpToolsProtocol` and the arguments of its constructor; `ServerState` with `connections`, `tasks` and `default_headers`;
`ProxyHeadersMiddleware`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from linqbot.server.refusals import BoundedLog
from linqbot.server.webhook import CLOSE, RETRY_AFTER, Answer, WebhookEndpoint

# `import uvicorn` also imports watchfiles, where it is installed, with its native library: nearly a MiB for a reload that
# linqbot never asks uvicorn for. uvicorn does without it where the import fails. As for rich in `cli/logs.py`, None in
# `sys.modules` makes the import fail, and is removed at once, so that `linqbot dev` can import watchfiles.
sys.modules.setdefault("watchfiles", None)  # type: ignore[arg-type]
import uvicorn as uvicorn  # noqa: E402, PLC0414 - `uvicorn_server.py` imports it from here
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: E402
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

if sys.modules["watchfiles"] is None:
    del sys.modules["watchfiles"]

log = structlog.get_logger("linqbot.server")

HEAD_TIMEOUT_S: Final = 10.0
"""Seconds from the start of a connection, or from the first byte of a later request, to the end of the headers."""

RESPONSE_TIMEOUT_S: Final = 30.0
"""Seconds that a client that has closed its side of the connection may wait for its response, or any may take to read its last."""

MAX_HEAD_BYTES: Final = 1 << 16
"""Bytes that may arrive without completing headers or adding to a body: headers, trailers, framing of chunks."""

MAX_PIPELINED: Final = 16
"""Webhooks of one connection that may be answered at the same time."""

SPARE_CONNECTIONS: Final = 64
"""Connections beyond the maximum that are still answered 503; further ones are closed at once."""

CONNECTION: Final = "linqbot.connection"
"""The key of the `ClientConnection` in the state of a scope."""

MAPPED_IPV4: Final = "::ffff:"

_STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}
_OFFERS: Final = {b"upgrade", b"http2-settings"}
"""The headers with which a client offers another protocol."""


class Connections(ServerState):
    """State that the connections of one server share.

    Args:
        trusted_proxies: Addresses of the proxies whose X-Forwarded-* headers are trusted.
    Attributes:
        waiting: Connections that wait for the client's first request or for the rest of a request, longest first.
        kept: Connections whose latest request was answered and that wait for the next one, longest first.
        find_client: Sets the client in a scope to the one that a trusted proxy names; None if no proxy is trusted.
        log: Rate-limited log for events that any client can cause.
    """

    def __init__(self, max_connections: int, trusted_proxies: Sequence[str] = ()) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.waiting: dict[ClientConnection, None] = {}
        self.kept: dict[ClientConnection, None] = {}
        self.find_client = behind(trusted_proxies, _nothing) if trusted_proxies else None
        self.log = BoundedLog(log)

    def next_to_drop(self) -> ClientConnection | None:
        """Return the connection to drop when there are too many; None if all of them are being answered.

        Kept connections are spared while they are at most half of the maximum. A client's next request may already be
        on its way on a kept connection, and a flood of connections without a request would lose it. The other half is
        for new clients.
        """
        spares_kept = self.waiting and len(self.kept) <= self.max_connections // 2
        return next(iter(self.waiting if spares_kept else self.kept), None)


class ClientConnection(asyncio.Protocol):
    """A connection with timeouts for the client and a limit on the bytes that are held for it.

    `client` is written as in LINQBOT_TRUSTED_PROXIES; None if unknown.

    Args:
        endpoints: Those that are answered without the app, by path.
    """

    transport: asyncio.Transport
    _endpoint: WebhookEndpoint

    def __init__(self, config: uvicorn.Config, shared: Connections, endpoints: Mapping[str, WebhookEndpoint]) -> None:
        self.client: tuple[str, int] | None = None
        self._config = config
        self._shared = shared
        self._endpoints = endpoints
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._is_excess = False
        # The request that arrives now.
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._idle_bytes = 0
        self._has_head = False
        self._is_chunked = False
        self._is_last = False
        self._without_offer: bytes | None = None
        self._webhook: Scope | None = None
        self._body = bytearray()
        self._answers: deque[asyncio.Task[Answer]] = deque()  # of webhooks, in the order of their requests
        self._uvicorn: HttpToolsProtocol | None = None

    # --- called by the event loop and by the server ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.client = _client(transport)
        shared = self._shared
        shared.connections.add(self)  # type: ignore[arg-type]
        self._set_timer(HEAD_TIMEOUT_S, self._end_slow_head)
        excess = len(shared.connections) - shared.max_connections
        oldest = shared.next_to_drop()
        if excess > 0 and oldest is None:
            # All other connections are being answered. The client gets a 503, unless even that would be too much.
            self._is_excess = True
            if excess > SPARE_CONNECTIONS:
                self._drop_unanswered("too many connections, and all of them are being answered")
            return
        if excess > 0 and oldest is not None:
            if oldest in shared.waiting:
                oldest._drop_unanswered("too many connections, and this one sends no whole request")  # noqa: SLF001
            else:
                oldest.drop()
        shared.waiting[self] = None

    def data_received(self, data: bytes) -> None:
        shared = self._shared
        if self in shared.kept:
            del shared.kept[self]
            shared.waiting[self] = None
            self._stop_timer()
        # In pieces, so that the limits hold however much one read returns.
        for start in range(0, len(data), MAX_HEAD_BYTES):
            if self.transport.is_closing() or (self._is_last and not self._has_head):
                return
            piece = data[start : start + MAX_HEAD_BYTES]
            self._idle_bytes += len(piece)
            try:
                self._parse(piece)
            except httptools.HttpParserError as error:
                if not self._is_last:
                    # Neither quotes what was sent: the parser's errors have fixed texts, and so have ours.
                    why = str(error.__context__ if isinstance(error.__context__, EOFError) else error)
                    self._warn("request.malformed", why)
                self._end()
            if self._idle_bytes >= MAX_HEAD_BYTES:
                self._drop_unanswered(f"{MAX_HEAD_BYTES} bytes without whole headers or a part of a body")
            elif len(self._answers) > MAX_PIPELINED:
                self._drop_unanswered(f"more than {MAX_PIPELINED} webhooks at once on one connection")
        if self._webhook is not None:
            self._await_body(self._webhook)
        elif self._idle_bytes and self._timer is None and not self._has_head:
            self._set_timer(HEAD_TIMEOUT_S, self._end_slow_head)

    def eof_received(self) -> bool:
        """Return True to keep the connection open for the response: a client that has closed its side may wait for it."""
        self._warn_if_half("the client closed its side before its request was whole")
        self._end()
        if self.transport.is_closing():
            return False
        late = f"no response {RESPONSE_TIMEOUT_S:g} s after the client closed its side"
        self._set_timer(RESPONSE_TIMEOUT_S, partial(self._drop_unanswered, late))
        return True

    def pause_writing(self) -> None:
        # A client that does not read the answers to its webhooks may send no more of them.
        (self.transport.pause_reading if self._uvicorn is None else self._uvicorn.pause_writing)()

    def resume_writing(self) -> None:
        (self.transport.resume_reading if self._uvicorn is None else self._uvicorn.resume_writing)()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.connections.discard(self)
        self._forget()
        self._stop_timer()
        if self._webhook is not None:
            self._answer(ConnectionError())
        if self._uvicorn is not None:
            self._uvicorn.connection_lost(exc)
        # These refer to this connection.
        self._uvicorn = None
        del self._parser

    def shutdown(self) -> None:
        """Close the connection because the server stops: once all complete requests are answered; at once if there is none."""
        self._warn_if_half("the server stops before the request is whole")
        self._end()

    def _end(self) -> None:
        """Close the connection once all complete requests are answered; at once if there is none."""
        self._is_last = True
        if self._answers and self._webhook is not None:
            self._answer(ConnectionError())
        elif not self._answers and (self._uvicorn is None or self._has_head):
            self.drop()

    def drop(self) -> None:
        self._forget()
        self._close()

    def _drop_unanswered(self, why: str) -> None:
        """Close the connection although a request of it gets no answer, and log the cause."""
        if not self.transport.is_closing():
            self._warn("request.unanswered", why)
        self.drop()

    def _end_slow_head(self) -> None:
        """Close a connection whose request did not arrive in time. A connection without any byte of one is no request."""
        self._warn_if_half(f"no whole headers in {HEAD_TIMEOUT_S:g} s")
        self.transport.abort()

    def _warn_if_half(self, why: str) -> None:
        """Log that a connection is closed if a part of a request has arrived. The endpoint itself logs a webhook without its body."""
        is_for_app = self._has_head and self._uvicorn is not None
        if is_for_app or (self._idle_bytes and not self._has_head):
            self._warn("request.unanswered", why)

    def _warn(self, event: str, why: str) -> None:
        self._shared.log.warning(event, kind=why, client=self.client[0] if self.client else None, why=why)

    def _parse(self, data: bytes) -> None:
        """Feed received bytes to the parser. It stops behind the headers of a request that offers another protocol.

        Such headers are parsed again without the offer, so that the body is read.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                head, self._without_offer = self._without_offer or b"", None
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)
                data = data[stopped.args[0] :]
            else:
                return

    # --- called by the parser ---

    def on_url(self, url: bytes) -> None:
        """Note a part of the URL of a request. Raises EOFError if no further request is read."""
        if self._is_last:
            raise EOFError("a request behind the last one of its connection")
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Find who answers a request. Raises EOFError if it cannot be answered."""
        parser = self._parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise EOFError("CONNECT, which only a proxy answers")
            self._without_offer = _head(parser, self._url, [each for each in self._headers if each[0] not in _OFFERS])
            self._url, self._headers = b"", []
            return
        self._idle_bytes = 0
        if self._timer is not None:
            self._stop_timer()
        url, self._url = self._url, b""
        headers, self._headers = self._headers, []
        path = _path(url)
        endpoint = self._endpoints.get(path)
        if endpoint is None or not parser.should_keep_alive() or parser.get_http_version() == "1.0":
            self._is_last = True
        if self._is_excess:
            self._is_last = True
            self._write((503, [RETRY_AFTER, CLOSE], b""))
            return
        if endpoint is None:
            self._hand_over(url, headers)
        else:
            self._endpoint = endpoint
            method = parser.get_method().decode()
            self._webhook = {"type": "http", "method": method, "headers": headers, "client": self.client}
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        if self._webhook is not None:
            self._body += body
            self._endpoint.held_bytes += len(body)
        elif self._uvicorn is not None:
            self._uvicorn.data_received(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)

    def on_message_complete(self) -> None:
        if self._without_offer is not None:
            return  # Only its headers were read.
        self._has_head = False
        self._headers.clear()  # of trailers
        self._shared.waiting.pop(self, None)
        if self._webhook is not None:
            self._answer()
        elif self._uvicorn is not None and self._is_chunked:
            self._uvicorn.data_received(b"0\r\n\r\n")

    # --- requests ---

    def _hand_over(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Write the headers of a request to uvicorn's protocol. The body follows as it arrives."""
        if self._answers:
            raise EOFError("a request for the app behind webhooks: the connection is closed after these")
        self._uvicorn = HttpToolsProtocol(self._config, self._shared, {CONNECTION: self}, self._loop)
        self._uvicorn.connection_made(self.transport)
        self._shared.connections.discard(self._uvicorn)  # This connection is there already.
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
        kept = [each for each in headers if each[0] != b"connection"]
        self._uvicorn.data_received(_head(self._parser, url, [*kept, (b"connection", b"close")]))

    def _await_body(self, webhook: Scope) -> None:
        """Limit the size and the time of a body that has not arrived with its headers."""
        endpoint = self._endpoint
        if len(self._body) > endpoint.max_body_bytes:
            self._answer()
        elif endpoint.held_bytes > endpoint.max_held_bytes:
            self._answer(MemoryError())
        elif self._timer is None:
            self._set_timer(endpoint.body_timeout_s, partial(self._answer, TimeoutError()))
            if any(name == b"expect" and value.lower() == b"100-continue" for name, value in webhook["headers"]):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, problem: Exception | None = None) -> None:
        """Begin to answer the webhook that has arrived, or say why its body is incomplete."""
        assert self._webhook is not None
        webhook, self._webhook = self._webhook, None
        body, self._body = bytes(self._body), bytearray()
        self._endpoint.held_bytes -= len(body)
        if self._timer is not None:
            self._stop_timer()
        answer = self._endpoint.answer
        if self._shared.find_client is not None:
            answer = partial(_answer_behind_proxy, self._shared.find_client, answer)
        task = self._loop.create_task(answer(webhook, problem or body))
        self._shared.tasks.add(task)  # type: ignore[arg-type]
        task.add_done_callback(self._write_answers)
        self._answers.append(task)

    def _write_answers(self, done: asyncio.Task[Answer]) -> None:
        self._shared.tasks.discard(done)
        answers = self._answers
        while answers and answers[0].done() and not self.transport.is_closing():
            try:
                self._write(answers.popleft().result())
            except asyncio.CancelledError:
                self._drop_unanswered("its answer was cancelled, as the server stops")
            except BaseException:
                self.drop()
                raise  # The event loop logs it.
        if answers or self.transport.is_closing():
            return
        if self._timer is None:
            self._shared.kept[self] = None
            self._set_timer(self._config.timeout_keep_alive, self.transport.abort)
        else:
            self._shared.waiting[self] = None

    def _write(self, answer: Answer) -> None:
        status, given, body = answer
        headers = [*self._shared.default_headers, *given, (b"content-length", b"%d" % len(body))]
        is_last = CLOSE in given or (self._is_last and not self._answers and self._webhook is None)
        if is_last and CLOSE not in given:
            headers.append(CLOSE)
        content = _STATUS_LINES[status]
        for name, value in headers:
            content += b"%b: %b\r\n" % (name, value)
        self.transport.write(b"%b\r\n%b" % (content, body))
        if is_last:
            self._close()

    def _close(self) -> None:
        """Close the connection as soon as the client has read what is written, and at the latest after a while."""
        self._set_timer(RESPONSE_TIMEOUT_S, self.transport.abort)
        self.transport.close()

    def _forget(self) -> None:
        self._shared.waiting.pop(self, None)
        self._shared.kept.pop(self, None)

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _path(url: bytes) -> str:
    """Return the path of a URL. Raises EOFError for a URL without one."""
    try:
        path: str = httptools.parse_url(url).path.decode("ascii")
    except (httptools.HttpParserInvalidURLError, AttributeError, UnicodeDecodeError):
        raise EOFError("a URL without a path") from None
    return unquote(path) if "%" in path else path


def _head(parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request as bytes, with other headers than it came with."""
    line = b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())
    return b"\r\n".join([line, *(b"%b: %b" % each for each in headers), b"", b""])


def _client(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Return the address and port of a client as people write them in LINQBOT_TRUSTED_PROXIES.

    A socket for IPv6 that also takes IPv4 shows the IPv4 address 10.0.0.1 as ::ffff:10.0.0.1. A Unix socket shows none.
    """
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        connected = transport.get_extra_info("socket")
        is_unix = connected is not None and connected.family == getattr(socket, "AF_UNIX", None)
        return ("unix:", 0) if is_unix else None
    host, port = peer[:2]
    return (host.removeprefix(MAPPED_IPV4), port) if host.startswith(MAPPED_IPV4) and "." in host else (host, port)


def with_client(app: ASGIApp) -> ASGIApp:
    """Return an app that sets the client in each scope as `ClientConnection` names it."""

    def seen(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            scope["client"] = scope["state"][CONNECTION].client
        return app(scope, receive, send)

    return seen


def behind(trusted_proxies: Sequence[str], app: ASGIApp) -> ASGIApp:
    """Return an app that sets client and scheme in each scope as the X-Forwarded-* headers of trusted proxies name them."""
    return cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), list(trusted_proxies)))


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def _answer_behind_proxy(
    find_client: ASGIApp, answer: Callable[..., Awaitable[Answer]], webhook: Scope, body: bytes | Exception
) -> Answer:
    await cast("Any", find_client)(webhook, None, None)
    return await answer(webhook, body)
