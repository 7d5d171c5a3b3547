"""Runs an ASGI app with uvicorn, for `linqbot serve` and `linqbot dev` alike, until it is stopped.

The bot's code cannot end the event loop. `SystemExit` and `KeyboardInterrupt` leave an event loop at once when a task
or a callback raises them; here the loop is entered again, and no other turn ends. Only if the bot's code cancels the
server's own task, the process ends. A process that was asked to stop ends in time, even if a thread hangs or a task
refuses to be cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.errors import LinqbotError, PortTaken
from linqbot.frames import place_of
from linqbot.interrupts import is_ctrl_c
from linqbot.server import systemd
from linqbot.server.connection import ClientConnection, Connections, behind, uvicorn, with_client

MAX_CONNECTIONS: Final = 2048
"""Maximum number of open connections; fewer if this process may not open twice as many files."""

KEEP_ALIVE_S: Final = 65
"""Seconds that an idle connection is kept: longer than common load balancers keep it (60 s), so that they close it."""

YOUNG_OBJECTS: Final = 25_000
"""Number of new objects after which the garbage collector looks at them. Python's default is 700.

With 64 turns of an echo bot in flight, collections take no CPU time at this number, 0.5 % at 10,000, and 11 % at Python's
own numbers.
"""

OLD_AFTER: Final = 1
"""Collections of one generation after which the next one is looked at too. Python's default is 10."""

STARTUP_FAILURE: Final = 3
"""Exit code of uvicorn when a start-up fails."""

STOP_SLACK_S: Final = 30.0
"""Seconds after the time to drain until a process that was asked to stop is ended: plugins and disks may be slow."""


class Server(uvicorn.Server):
    """A server for an app, which stops gracefully on the first signal, and at once on the second.

    Args:
        trusted_proxies: Addresses of the proxies whose X-Forwarded-* headers are trusted; none by default.
        graceful_s: Seconds that open requests may take to finish after the server was asked to stop.
        before_exit: Called when the server stops, to end responses that would never end, such as event streams.
        when_ready: Called when the app has started and the server accepts connections.
        stop_s: Seconds from the first signal until the process is ended, even if code still runs.

    Attributes:
        start: The start of the app, which a signal that comes meanwhile cancels.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted_proxies: Sequence[str] = (),
        graceful_s: float = 5,
        before_exit: Callable[[], object] | None = None,
        when_ready: Callable[[], object] | None = None,
        stop_s: float = STOP_SLACK_S,
    ) -> None:
        self.start = _Start(app)
        config = uvicorn.Config(
            with_client(behind(trusted_proxies, self.start) if trusted_proxies else self.start),
            http=ClientConnection,
            loop="none",
            ws="none",
            interface="asgi3",  # an app of linqbot need not be a coroutine function, by which uvicorn would recognise it
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # see `with_client`
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(graceful_s)),
        )
        super().__init__(config)
        self.server_state: Connections = Connections(most_connections(), trusted_proxies)
        self._before_exit = before_exit
        self._when_ready = when_ready
        self._stop_s = stop_s
        self._alive: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at signals in a block, and outlive them. Before the block nothing would stop, so a signal ends the process."""
        outlive_signals()
        with super().capture_signals():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen; then tell systemd. Raises SystemExit if the app did not start."""
        await super().startup(sockets)
        if not self.started:
            # Since 0.50 uvicorn exits itself; before, it returned.
            raise SystemExit(STARTUP_FAILURE)
        systemd.notify("READY=1")
        if self._when_ready is not None:
            self._when_ready()
        # Kept, because the event loop itself holds tasks only weakly.
        self._alive = asyncio.create_task(systemd.keep_alive())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            # Ending at once loses nothing: every accepted delivery is on disk.
            os._exit(128 + sig)
        # A handler that blocks the event loop must not keep the process alive.
        end_within(self._stop_s, code=1)
        if not self.started:
            self.start.cancel()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        systemd.notify("STOPPING=1")
        if self._before_exit is not None:
            self._before_exit()
        await super().shutdown(sockets)
        self.server_state.log.end()


class SideServer(Server):
    """A server in a task of the main one's event loop, for an app without a lifespan. The main one has the signals."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.config.lifespan = "off"
        # The main server may use half of the files, and the bot needs the other half.
        self.server_state.max_connections //= 8

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.startup(self, sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.shutdown(self, sockets)
        self.server_state.log.end()


def most_connections() -> int:
    """Return the maximum number of connections. Half of the files that this process may open are left to the bot."""
    try:
        import resource
    except ImportError:  # Windows, where sockets are not files
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def listen(host: str, port: int, *, setting: str = "--port") -> socket.socket:
    """Bind a port early. One that is in use raises ConfigError with the name of its setting, and not a traceback later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on each connection. Without it, the body of an answer waits 40 ms
    # for the acknowledgement of its headers.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"{host}:{port} cannot be listened on: {error.strerror}. Stop what uses it, or choose another {setting}, or a --host "
            "of this machine."
        ) from error
    bound.set_inheritable(False)
    return bound


def address(bound: socket.socket) -> str:
    """Return the URL of a bound socket; for a Unix socket `unix:` and its path."""
    name = bound.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://{host_and_port(host, port)}"


def host_and_port(host: str, port: int) -> str:
    """Return a host and a port as a URL has them, which has IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run(
    app: ASGIApp,
    bound: socket.socket,
    *,
    trusted_proxies: Sequence[str] = (),
    before_exit: Callable[[], object] | None = None,
    when_ready: Callable[[], object] | None = None,
    drain_s: float = 0.0,
) -> None:
    """Serve `app` on a bound socket until a signal stops it. A signal while the app starts cancels the start.

    `before_exit` and `when_ready` are those of `Server`. The app may take `drain_s` seconds to stop.

    Raises:
        LinqbotError: the start-up of the app failed with this error.
        SystemExit: the start-up failed with another error, which has been logged.
    """
    serving = Server(
        app,
        trusted_proxies=trusted_proxies,
        before_exit=before_exit,
        when_ready=when_ready,
        stop_s=drain_s + STOP_SLACK_S,
    )
    tune_garbage_collector()
    try:
        run_until_stopped(serving.serve(sockets=[bound]))
    except SystemExit:
        start = serving.start
        if start.was_cancelled:
            return
        # uvicorn exits when a start-up fails. If the error is one of ours, the operator gets its message instead.
        if start.error is None:
            raise
        raise start.error from start.error.__cause__


def tune_garbage_collector() -> None:
    """Exempt all objects made so far from garbage collection, and collect less often.

    This saves a tenth of the CPU time of an ack. Imported code lives as long as the process, so there is no use in
    traversing it again and again while requests wait; and a turn of linqbot leaves few reference cycles behind. Garbage
    is not collected first: that takes 20 ms, and imports leave only about a thousand objects behind.

    The older generations are collected as soon as Python allows. The cycles of turns that are under way during a
    collection grow old, and agents make many: with Python's own numbers, a bot that answered eight messages a second
    grew by 30 MiB a minute. Without the imported code, a full collection takes some milliseconds.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, OLD_AFTER, OLD_AFTER)


def outlive_signals() -> None:
    """Let this process exit normally after a signal stopped its server. uvicorn raises that signal again at its end.

    A terminal that is closed (SIGHUP) stops the server as SIGTERM does, unless `nohup` protects it. Only the main thread may
    do this; a server in another thread gets no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: None)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


class _Start:
    """An ASGI app whose start-up can be cancelled. The LinqbotError of one that fails is kept, and not logged as a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._starts: asyncio.Task[object] | None = None
        self.error: LinqbotError | None = None
        self.was_cancelled = False

    def cancel(self) -> None:
        """Cancel the start-up, if one is under way. A signal handler may call this."""
        if self._starts is not None:
            self._starts.get_loop().call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._starts is not None:
            self.was_cancelled = True
            self._starts.cancel()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            return self._app(scope, receive, send)
        return self._lifespan(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            # The app sends its traceback before it raises its error. The error decides if the traceback is logged.
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                self._starts = None
                await send(message)

        failed: list[Message] = []
        self._starts = asyncio.current_task()
        try:
            await self._app(scope, receive, send_later)
        except LinqbotError as error:
            self.error = error
            failed = [{"type": "lifespan.startup.failed"}] if failed else []
        except asyncio.CancelledError:
            if not self.was_cancelled:
                raise
            failed = [{"type": "lifespan.startup.failed"}]
        finally:
            self._starts = None
            for message in failed:
                await send(message)


log = structlog.get_logger("linqbot.server")

LAST_S: Final = 3.0
"""Seconds from the end of the server to the end of the process, for tasks, threads and exit handlers of other code."""


def run_until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server in a new event loop until it has stopped. Raises its error, or the SystemExit that it asked for."""
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    try:
        main = loop.create_task(serving)
        while not main.done():
            try:
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                log.error("exit.cancelled", why=_WHY_CANCELLED)
                raise SystemExit(1) from None
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                # RuntimeError: the bot's code called `loop.stop()`.
                if main.done() or is_ctrl_c(error):
                    raise
                log.error("exit.ignored", error=type(error).__name__, at=place_of(error), why=_WHY)
    finally:
        end_at_next_signal()
        end_within(LAST_S, code=0 if sys.exc_info()[0] is None else 1)
        _close(loop)


_WHY: Final = "A task or a callback of the bot tried to end the process. linqbot goes on; only a signal stops it."
_WHY_CANCELLED: Final = (
    "A task of the bot has cancelled the task of the server, and perhaps every task: asyncio.all_tasks() has those of linqbot "
    "too. The process ends. Its next start counts a crash for the deliveries that were being handled."
)


def end_within(seconds: float, *, code: int) -> None:
    """End this process after the given seconds, unless it has ended by then. Best effort: this takes a thread."""

    def end() -> None:
        time.sleep(seconds)
        # Written directly: the process may hang anywhere, its logging included.
        with contextlib.suppress(OSError):
            os.write(2, b"linqbot: this process did not end in time; it is ended now.\n")
        os._exit(code)

    # Without memory or a place for another thread, the stop goes on. An error here would keep the signal from stopping it.
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=end, name="linqbot-end", daemon=True).start()


def end_at_next_signal() -> None:
    """Let the next signal end this process at once. This loses nothing: every accepted delivery is on disk."""
    if threading.current_thread() is threading.main_thread():
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda number, _: os._exit(128 + number))


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the remaining tasks and close the loop, without waiting for threads."""
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            waiting = loop.create_task(asyncio.wait(left, timeout=1.0))
            while not waiting.done():
                with contextlib.suppress(SystemExit, KeyboardInterrupt, RuntimeError):
                    loop.run_until_complete(waiting)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
