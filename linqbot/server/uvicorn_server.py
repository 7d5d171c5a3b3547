"""Runs an app with uvicorn's protocol, for `linqbot serve` and `linqbot dev` alike, until it is stopped.

The bot's code cannot end the event loop. `SystemExit` and `KeyboardInterrupt` leave an event loop at once when a task
or a callback raises them; here the loop is entered again, and no other turn ends. Only if the bot's code cancels the
task of the server, or that of the app's lifespan, the process ends. A process that was asked to stop ends in time, even
if a thread hangs or a task refuses to be cancelled.
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
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from email.utils import formatdate
from functools import partial
from types import FrameType
from typing import Any, Final

import structlog
from starlette.applications import Starlette

from linqbot.errors import PortTaken
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

STOP_SLACK_S: Final = 30.0
"""Seconds after the time to drain until a process that was asked to stop is ended: plugins and disks may be slow."""

POLL_S: Final = 0.1
"""Seconds between two looks at `Server.should_exit`, and at the connections that are open while the server stops."""

BACKLOG: Final = 2048
"""Number of new connections that the kernel holds until the event loop accepts them."""

STOP_SIGNALS: Final = [each for each in signal.Signals if each.name in {"SIGTERM", "SIGINT", "SIGBREAK"}]
"""The signals that stop a server. SIGBREAK is Windows' Ctrl-Break."""

log = structlog.get_logger("linqbot.server")


class Server:
    """A server for an app, which stops gracefully on the first signal, and at once on the second.

    It runs the app's lifespan itself, without ASGI's messages, so the error of a failed start is raised as it is.

    Args:
        trusted_proxies: Addresses of the proxies whose X-Forwarded-* headers are trusted; none by default.
        graceful_s: Seconds that open requests may take to finish after the server was asked to stop.
        before_exit: Called when the server stops, to end responses that would never end, such as event streams.
        when_ready: Called when the app has started and the server accepts connections.
        stop_s: Seconds from the first signal until the process is ended, even if code still runs.
        around: Returns the context manager inside which the app's lifespan runs.
        is_main: False for a server in the event loop of another one, which gets the signals and notifies systemd.

    Attributes:
        should_exit: True once the server was asked to stop, by a signal or by other code. An app that starts is cancelled then.
        shared: State that the connections share.
    """

    def __init__(
        self,
        app: Starlette,
        *,
        trusted_proxies: Sequence[str] = (),
        graceful_s: float = 5,
        before_exit: Callable[[], object] = lambda: None,
        when_ready: Callable[[], object] = lambda: None,
        stop_s: float = STOP_SLACK_S,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
        is_main: bool = True,
    ) -> None:
        self.config = uvicorn.Config(
            with_client(behind(trusted_proxies, app) if trusted_proxies else app),
            http="httptools",
            ws="none",
            interface="asgi3",  # an app of linqbot need not be a coroutine function, by which uvicorn would recognise it
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # see `with_client`
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self.config.load()
        # The main server may use half of the files, and the bot needs the other half.
        self.shared = Connections(most_connections() // (1 if is_main else 8), trusted_proxies)
        self.should_exit = False
        self._app = app
        self._graceful_s = graceful_s
        self._before_exit = before_exit
        self._when_ready = when_ready
        self._stop_s = stop_s
        self._around = around
        self._is_main = is_main
        self._alive: asyncio.Task[None] | None = None

    async def serve(self, bound: socket.socket) -> None:
        """Start the app, serve it on a bound socket until `should_exit`, and stop it. Raises the error of its start or stop."""
        loop = asyncio.get_running_loop()
        is_up, ends = loop.create_future(), asyncio.Event()
        if self._is_main:
            on_signal(self._stop)
        try:
            # A task of its own: if the bot's code cancels the task of the server, the process ends, and no handler is waited for.
            life = loop.create_task(self._live(is_up, ends))
            while not (self.should_exit or is_up.done() or life.done()):
                await asyncio.wait({is_up, life}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            was_cancelled = False
            if is_up.done():
                async with self._accepting(bound):
                    while not (self.should_exit or life.done()):
                        self.shared.default_headers = [(b"date", formatdate(usegmt=True).encode())]
                        await asyncio.sleep(POLL_S)
            else:
                was_cancelled = life.cancel()  # False if the start has failed
            ends.set()  # also for an app that starts although it was cancelled
            await asyncio.wait({life})
            if not was_cancelled:
                life.result()
            elif not life.cancelled():
                life.exception()  # else asyncio would log it at the end: a start that was cancelled may fail
        finally:
            if self._is_main:
                on_signal(lambda *_: None)  # so that what the caller still does is not cut short

    async def _live(self, is_up: asyncio.Future[None], ends: asyncio.Event) -> None:
        with self._around():
            async with self._app.router.lifespan_context(self._app):
                is_up.set_result(None)
                await ends.wait()

    @asynccontextmanager
    async def _accepting(self, bound: socket.socket) -> AsyncIterator[None]:
        """Accept connections during the block, and answer what is open after it. An error in the block ends this at once."""
        shared = self.shared
        # In an app with middleware, the webhooks go its way too.
        webhooks = {} if self._app.user_middleware else getattr(self._app.state, "webhooks", {})
        made = partial(ClientConnection, self.config, shared, webhooks)
        listening = await asyncio.get_running_loop().create_server(made, sock=bound, backlog=BACKLOG)
        if self._is_main:
            systemd.notify("READY=1")
            # Kept, because the event loop itself holds tasks only weakly.
            self._alive = asyncio.create_task(systemd.keep_alive())
        self._when_ready()
        yield
        if self._is_main:
            systemd.notify("STOPPING=1")
        self._before_exit()
        listening.close()
        for connection in [*shared.connections]:
            connection.shutdown()
        try:
            async with asyncio.timeout(self._graceful_s):
                while shared.connections or shared.tasks:  # noqa: ASYNC110 - these sets do not tell when they are empty
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            log.error("requests.cancelled", count=len(shared.tasks), deadline_s=self._graceful_s)
            for task in shared.tasks:
                task.cancel()
        shared.log.end()

    def _stop(self, sig: int, _: FrameType | None) -> None:
        if self.should_exit:
            # Ending at once loses nothing: every accepted delivery is on disk.
            os._exit(128 + sig)
        # A handler that blocks the event loop must not keep the process alive.
        end_within(self._stop_s, code=1)
        self.should_exit = True


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
    app: Starlette,
    bound: socket.socket,
    *,
    trusted_proxies: Sequence[str] = (),
    before_exit: Callable[[], object] = lambda: None,
    when_ready: Callable[[], object] = lambda: None,
    drain_s: float = 0.0,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Serve `app` on a bound socket until a signal stops it. A signal while the app starts cancels the start.

    The app may take `drain_s` seconds to stop. The other arguments are those of `Server`. Raises the error of a start or stop
    that failed.
    """
    serving = Server(
        app,
        trusted_proxies=trusted_proxies,
        before_exit=before_exit,
        when_ready=when_ready,
        stop_s=drain_s + STOP_SLACK_S,
        around=around,
    )
    tune_garbage_collector()
    run_until_stopped(serving.serve(bound))


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


def on_signal(then: Callable[[int, FrameType | None], object]) -> None:
    """Call a function at each signal that asks this process to stop, instead of the one before.

    A terminal that is closed (SIGHUP) stops the server as SIGTERM does, unless `nohup` protects it. Only the main thread may
    do this; a server in another thread gets no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for sig in STOP_SIGNALS:
        signal.signal(sig, then)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


LAST_S: Final = 3.0
"""Seconds from the end of the server to the end of the process, for tasks, threads and exit handlers of other code."""


def run_until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server in a new event loop until it has stopped. Raises its error, or SystemExit if the bot's code cancelled it."""
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
        # Ending at the next signal loses nothing: every accepted delivery is on disk.
        on_signal(lambda number, _: os._exit(128 + number))
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
