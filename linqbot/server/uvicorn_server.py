"""Runs an ASGI app with uvicorn, the one way both `serve` and `emulator` do."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.errors import ConfigError, LinqbotError
from linqbot.server import event_loop, systemd
from linqbot.server.connection import ClientConnection, Connections

MAX_CONNECTIONS: Final = 2048
"""Open at once; fewer where this process may not open twice as many files."""

KEEP_ALIVE_S: Final = 65
"""How long an idle connection is kept: longer than the 60 s of common load balancers, so that they close it first."""

YOUNG_OBJECTS: Final = 25_000
"""How many more objects there may be before those are looked at for cycles. Python's own number is 700."""

STOP_SLACK_S: Final = 30.0
"""Seconds beyond the time to drain until a process that was asked to stop is ended: plugins and disks may be slow."""


class Server(uvicorn.Server):
    """A server that a first signal asks to stop and a second one stops at once.

    Args:
        before_exit: Called on the first signal, to end answers that would never end by themselves.
        stop_s: Seconds from the first signal to the end of the process, whatever still runs in it.
    """

    def __init__(
        self, config: uvicorn.Config, before_exit: Callable[[], object] | None = None, *, stop_s: float = STOP_SLACK_S
    ) -> None:
        super().__init__(config)
        self.server_state: Connections = Connections(most_connections())
        self._before_exit = before_exit
        self._stop_s = stop_s
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
        # A handler that blocks the event loop must not keep the process from ending.
        event_loop.end_within(self._stop_s, code=1)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        systemd.notify("STOPPING=1")
        if self._before_exit is not None:
            self._before_exit()
        await super().shutdown(sockets)
        self.server_state.log.end()


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
    stop_s: float = STOP_SLACK_S,
) -> Server:
    """A server for `app`, not yet running.

    Args:
        trusted_proxies: Whose X-Forwarded-* headers count; nobody's by default.
        graceful_s: How long open requests may take to end once it is asked to stop.
        stop_s: See `Server`.
    """
    config = uvicorn.Config(
        app,
        http=ClientConnection,
        loop="none",
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
    return Server(config, before_exit, stop_s=stop_s)


def run(
    app: ASGIApp,
    bound: socket.socket,
    *,
    trusted_proxies: Sequence[str] = (),
    before_exit: Callable[[], object] | None = None,
    drain_s: float = 0.0,
) -> None:
    """Serve `app` on a bound socket until a signal ends it.

    Args:
        drain_s: How long the app may take to end once it is asked to stop.

    Raises:
        LinqbotError: what its start-up failed with.
        SystemExit: it failed with something else, which has been logged.
    """
    starting = _Starting(app)
    serving = server(starting, trusted_proxies=trusted_proxies, before_exit=before_exit, stop_s=drain_s + STOP_SLACK_S)
    outlive_signals()
    quieten_collector()
    try:
        event_loop.run(serving.serve(sockets=[bound]))
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
