"""The processes of `linqbot dev` and `linqbot rehearse`: their end, Ctrl-C, and plain HTTP between them with a key.

A child process ends when its parent is gone. Ctrl-C in a terminal sends SIGINT to the parent and to its children, and
Python answers it with a traceback of the module that is being imported. So a child begins with SIGINT held back, which
it inherits. Then SIGINT ends the child at once, until its server handles the signal.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linqbot import Running, hookimpl
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.server import uvicorn_server

LOOK_EVERY_S: Final = 0.1
INSIDE: Final = "linqbot-dev-runner"
"""The name of the plugin in the bot's process that the emulator's process calls."""


def end_with_parent() -> None:
    """Stop this process when its parent has died without stopping it: an orphaned bot would occupy the port."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold SIGINT back in this thread, and in the processes that are started here. Afterwards this thread gets the signal."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_without_traceback() -> None:
    """Let SIGINT end this process at once, also one that was held back until now."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end(process: Process, *, at_once: bool) -> None:
    """Ask a child process to stop, or kill it, on Windows in any case. The process may have ended.

    The methods of `Process` look first whether the process has ended, in many versions of Python. If it has just ended,
    that takes its exit code away from asyncio, which then logs a warning and reports 255.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL if at_once and sys.platform != "win32" else signal.SIGTERM)


async def stop(process: Process, *, within_s: float) -> None:
    """Stop a child process; kill it if it does not stop in time. It may have ended."""
    if process.returncode is not None:
        return
    end(process, at_once=False)
    try:
        await asyncio.wait_for(process.wait(), within_s)
    except TimeoutError:
        end(process, at_once=True)
        await process.wait()


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


class Needs(NamedTuple):
    types: tuple[str, ...]  # of events
    everything: bool  # also events for which linqbot has no class


class NeededEvents:
    """A built-in plugin that answers which events the bot needs."""

    name = "linqbot-needs"

    @hookimpl
    def register_routes(self, running: Running) -> list[Route]:
        # Imported here: the parent process does not load the bot.
        from linqbot.ops.subscriptions import events_among, handled_by

        handled = handled_by(running.handled)
        events, _ = events_among(tuple(EVENT_TYPES), handled)

        async def answer(_: Request) -> JSONResponse:
            return JSONResponse({"types": events, "everything": handled.everything})

        return [Route("/events", answer)]


@contextmanager
def bots_socket() -> Iterator[tuple[int, socket.socket | None]]:
    """Yield a free port and the socket that listens on it for the bot; on Windows, which passes none on, only the port."""
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        if os.name == "posix":
            yield port, bound
        else:
            bound.close()
            yield port, None


def hang_up(bound: socket.socket) -> None:
    bound.setblocking(False)  # the flag is shared with the bot's process
    with suppress(BlockingIOError):
        while True:
            bound.accept()[0].close()


def inherited(number: str) -> socket.socket:
    """Return the listening socket with a file descriptor that the parent process has passed on."""
    bound = socket.socket(fileno=int(number))
    bound.set_inheritable(False)  # programs that the bot starts do not listen on it
    return bound
