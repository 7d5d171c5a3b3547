"""Watches the event loop from a thread, and names the handler that keeps it from running: meanwhile nobody is answered."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from linqbot.bot import handlers
from linqbot.frames import is_authors

log = structlog.get_logger("linqbot.server")

BLOCKED_S: Final = 1.0
"""Seconds that the event loop of a served bot may stand still before that is logged."""


def watched(app: ASGIApp, *, blocked_s: float = BLOCKED_S) -> ASGIApp:
    """Return an app that logs `loop.blocked` while it runs."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with watching(asyncio.get_running_loop(), blocked_s=blocked_s):
                await app(scope, receive, send)
        else:
            await app(scope, receive, send)

    return served


@contextmanager
def watching(loop: asyncio.AbstractEventLoop, *, blocked_s: float = BLOCKED_S) -> Iterator[None]:
    """Log `loop.blocked` whenever the author's code keeps the loop of this thread from running for so long."""
    done = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(loop, threading.get_ident(), blocked_s, done), name="loop-watch", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        done.set()


def _watch(loop: asyncio.AbstractEventLoop, thread: int, blocked_s: float, done: threading.Event) -> None:
    known: set[tuple[str, str]] = set()
    while not done.wait(blocked_s / 2):
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return
        if answered.wait(blocked_s):
            continue
        # The stack shows now what blocks the loop; later it would show something innocent.
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread's stack
        if frame is not None and (found := culprit(traceback.extract_stack(frame))):
            _log(*found, blocked_s, known)
        while not answered.wait(1.0) and not done.is_set():
            pass


def culprit(stack: traceback.StackSummary) -> tuple[str, str] | None:
    """Return the author's function that linqbot called, and the place in the author's code at which it stands.

    None if no code of the author's is on the stack: a machine that is busy elsewhere is no mistake of the author's.
    """
    own = [number for number, frame in enumerate(stack) if is_authors(frame.filename)]
    if not own:
        return None
    called = (n for n in own if n and stack[n - 1].filename == handlers.__file__)
    handler, at = stack[next(called, own[0])], stack[own[-1]]
    return f"{Path(handler.filename).stem}:{handler.name}", f"{Path(at.filename).name}:{at.lineno}"


_ADVICE: Final = (
    "Meanwhile the bot answers nobody. Await what waits (asyncio.sleep, httpx.AsyncClient), or write the handler "
    "with def instead of async def: then it runs in a thread, and returns what to say."
)


def _log(handler: str, at: str, blocked_s: float, known: set[tuple[str, str]]) -> None:
    advice = {} if (handler, at) in known else {"what_to_do": _ADVICE}
    known.add((handler, at))
    log.warning("loop.blocked", handler=handler, at=at, longer_than_ms=round(blocked_s * 1000), **advice)
