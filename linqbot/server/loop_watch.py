"""Watches the event loop from a thread, and logs the handler that blocks it. A blocked loop answers no chat."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from linqbot.bot.routing import handlers
from linqbot.frames import is_authors, stack_of

log = structlog.get_logger("linqbot.server")

BLOCKED_S: Final = 1.0
"""Seconds for which the event loop of a served bot may be blocked before this is logged."""


Found = Callable[[str, str], None]


def _nothing(_handler: str, _at: str) -> None:
    pass


def watched(app: ASGIApp, *, blocked_s: float = BLOCKED_S, found: Found = _nothing) -> ASGIApp:
    """Return the app, wrapped so that `loop.blocked` is logged while its lifespan runs.

    Args:
        found: Called from another thread with the names of the function and of the place that block the loop.
    """

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        with watching(asyncio.get_running_loop(), blocked_s=blocked_s, found=found):
            await app(scope, receive, send)

    def served(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (lifespan if scope["type"] == "lifespan" else app)(scope, receive, send)

    return served


@contextmanager
def watching(
    loop: asyncio.AbstractEventLoop, *, blocked_s: float = BLOCKED_S, found: Found = _nothing
) -> Iterator[None]:
    """Log `loop.blocked` whenever the author's code blocks the event loop of this thread for `blocked_s` seconds."""
    done = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(loop, threading.get_ident(), blocked_s, found, done), name="loop-watch", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        done.set()


def _watch(loop: asyncio.AbstractEventLoop, thread: int, blocked_s: float, found: Found, done: threading.Event) -> None:
    known: set[tuple[str, str]] = set()
    while not done.wait(blocked_s / 2):
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return
        if answered.wait(blocked_s):
            continue
        # Read at once, because the stack shows now what blocks the loop. Later it would show other code.
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread's stack
        if frame is not None and (names := culprit(stack_of(frame))):
            _log(*names, blocked_s, known)
            found(*names)
        while not answered.wait(1.0) and not done.is_set():
            pass


def culprit(stack: traceback.StackSummary) -> tuple[str, str] | None:
    """Return the author's function that linqbot called, and the place in the author's code that is running.

    Returns:
        Names such as `bot:greet` and `bot.py:12`; None if the stack holds no code of the author. Then the machine may
        be busy with other work, which is not the author's mistake.
    """
    own = [number for number, frame in enumerate(stack) if is_authors(frame.filename)]
    if not own:
        return None
    called = (n for n in own if n and stack[n - 1].filename == handlers.__file__)
    handler, at = stack[next(called, own[0])], stack[own[-1]]
    return f"{Path(handler.filename).stem}:{handler.name}", f"{Path(at.filename).name}:{at.lineno}"


_ADVICE: Final = (
    "While the loop is blocked, the bot answers no chat. Await slow calls (asyncio.sleep, httpx.AsyncClient), or write "
    "the handler with def instead of async def: then it runs in a thread, and returns the reply."
)


def _log(handler: str, at: str, blocked_s: float, known: set[tuple[str, str]]) -> None:
    advice = {} if (handler, at) in known else {"what_to_do": _ADVICE}
    known.add((handler, at))
    log.warning("loop.blocked", handler=handler, at=at, longer_than_ms=round(blocked_s * 1000), **advice)
