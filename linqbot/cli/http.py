"""Runs an ASGI app with uvicorn, the one way both `serve` and `emulator` do.

uvicorn waits for ever for a client that never finishes its request, and its parser has no bound on what comes before
a body. `Connection` adds both. It never answers a 4xx: Linq does not come back after one, but after a lost connection
it does. A body's size and time are its reader's business (server/webhook.py).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from linqbot.cli import systemd
from linqbot.errors import ConfigError, LinqbotError

MAX_CONNECTIONS: Final = 2048
"""Open at once; fewer where this process may not open twice as many files."""

HEAD_TIMEOUT_S: Final = 10.0
"""Longest from a connection's beginning, or a further request's first byte, to the end of its headers."""

KEEP_ALIVE_S: Final = 65
"""How long an idle connection is kept: longer than the 60 s of common load balancers, so that they close it first."""

MAX_HEAD_BYTES: Final = 1 << 16
"""How many bytes may come in a row that end no head and are no body: headers, trailers, the framing of chunks."""

YOUNG_OBJECTS: Final = 4000
"""How many more objects there may be before those are looked at for cycles. Python's own number is 700."""

MAX_PIPELINED: Final = 16
SPARE_CONNECTIONS: Final = 64
RETRY_AFTER_S: Final = 5


class Connections(ServerState):
    """What the connections of one server share.

    Attributes:
        most: How many there may be.
        waiting: Those that wait for their client's first request, or for the rest of it, longest first.
        kept: Those whose last request was answered and that wait for the next one, longest first.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.waiting: dict[Connection, None] = {}
        self.kept: dict[Connection, None] = {}

    def next_to_go(self) -> Connection | None:
        """Return the connection to drop when there are too many, or None if each is being answered.

        Kept connections are spared while they are at most half of all: the client's next request may already be on
        its way, and a flood of connections without a request would end it. The other half is for new clients.
        """
        spares_kept = self.waiting and len(self.kept) <= self.most // 2
        return next(iter(self.waiting if spares_kept else self.kept), None)

    def forget(self, connection: Connection) -> None:
        """Note that a connection has ended, or that it is our turn on it."""
        self.waiting.pop(connection, None)
        self.kept.pop(connection, None)


class Connection(HttpToolsProtocol):
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
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > MAX_HEAD_BYTES:
            # In pieces, so that a head and a pipeline are bounded whatever one read brings.
            for start in range(0, len(data), MAX_HEAD_BYTES):
                if not self.transport.is_closing():
                    self.data_received(data[start : start + MAX_HEAD_BYTES])
            return
        self._moved_on = False
        super().data_received(data)
        if self._moved_on:
            self._idle_bytes = 0
        else:
            self._went_nowhere(len(data))
        if len(self.pipeline) > MAX_PIPELINED:
            self.drop()

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

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


async def come_back_later(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that answers 503 to everything."""
    headers = [(b"retry-after", b"%d" % RETRY_AFTER_S), (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body"})


class Server(uvicorn.Server):
    """A server that a first signal asks to stop and a second one stops at once.

    Args:
        before_exit: Called on the first signal, to end answers that would never end by themselves.
    """

    def __init__(self, config: uvicorn.Config, before_exit: Callable[[], object] | None = None) -> None:
        super().__init__(config)
        self.server_state = Connections(most_connections())
        self._before_exit = before_exit
        self._alive: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            systemd.notify("READY=1")
            self._alive = asyncio.create_task(systemd.keep_alive())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            # Everything accepted is on disk: nothing is lost by not saying goodbye.
            os._exit(128 + sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        systemd.notify("STOPPING=1")
        if self._before_exit is not None:
            self._before_exit()
        await super().shutdown(sockets)


def most_connections() -> int:
    """How many connections to hold: half of the files we may open are for the bot, its storage and Linq."""
    try:
        import resource
    except ImportError:  # Windows, where sockets are not files
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def listen(host: str, port: int) -> socket.socket:
    """Bind the port now, so that a taken one is a clear error and not a traceback.

    Raises:
        ConfigError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}. Stop what uses it, or choose another --port."
        ) from error
    bound.set_inheritable(False)
    return bound


def address(bound: socket.socket) -> str:
    """Where a bound socket is reached, as an URL or, for one in the file system, its path."""
    name = bound.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(
    app: ASGIApp,
    *,
    trusted_proxies: Sequence[str] = (),
    graceful_s: float = 5,
    before_exit: Callable[[], object] | None = None,
) -> Server:
    """A server for `app`, not yet running.

    Args:
        trusted_proxies: Whose X-Forwarded-* headers count; nobody's by default.
        graceful_s: How long open requests may take to end once it is asked to stop.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="uvloop" if os.name != "nt" else "asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies) or None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(graceful_s)),
    )
    return Server(config, before_exit)


def run(
    app: ASGIApp,
    bound: socket.socket,
    *,
    trusted_proxies: Sequence[str] = (),
    before_exit: Callable[[], object] | None = None,
) -> None:
    """Serve `app` on a bound socket until a signal ends it.

    Raises:
        LinqbotError: what its start-up failed with.
        SystemExit: it failed with something else, which has been logged.
    """
    starting = _Starting(app)
    serving = server(starting, trusted_proxies=trusted_proxies, before_exit=before_exit)
    outlive_signals()
    quieten_collector()
    try:
        serving.run(sockets=[bound])
    except SystemExit:
        # uvicorn ends the process when a start-up fails; ours has a sentence to say first.
        if starting.error is None:
            raise
        raise starting.error from None


def quieten_collector() -> None:
    """Let garbage collection leave alone what is imported by now, and come less often: a tenth of the CPU of an ack.

    What lives as long as the process need not be walked through again and again, nor hold up what is being answered;
    and a turn leaves few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def outlive_signals() -> None:
    """Let a signal that stopped a server end this process as done: uvicorn raises it again once it has stopped."""
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: None)


class _Starting:
    """Keeps the error an app's start-up failed with, which its operator reads, from being shown as a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.error: LinqbotError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def after_the_error(message: Message) -> None:
            # The app sends its traceback before it raises; what it raises tells whether anybody needs that.
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        failed: list[Message] = []
        try:
            await self._app(scope, receive, after_the_error)
        except LinqbotError as error:
            self.error = error
            failed = [{"type": "lifespan.startup.failed"}] if failed else []
        finally:
            for message in failed:
                await send(message)
