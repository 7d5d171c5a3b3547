"""Watches the event loop from a thread, and logs the function that blocks it. A blocked loop answers no chat."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from linqbot.bot import routes
from linqbot.frames import file_name, is_authors, stack_of
from linqbot.plugins import guard, registry

log = structlog.get_logger("linqbot.server")

BLOCKED_S: Final = 1.0
"""Seconds for which the event loop of a served bot may be blocked before this is logged."""


Found = Callable[[str, str], None]


@contextmanager
def watching(
    blocked_s: float = BLOCKED_S, found: Found = lambda _handler, _at: None, *, handlers_only: bool = False
) -> Iterator[None]:
    """Log `loop.blocked` whenever a function of the author or of a plugin blocks the running loop for `blocked_s` seconds.

    Args:
        found: Called from another thread with the names of the function and of the place that block the loop.
        handlers_only: True logs handlers only: in a test, the code of the test runs in the same loop.
    """
    done = threading.Event()
    about = asyncio.get_running_loop(), threading.get_ident(), blocked_s, found, done, handlers_only
    threading.Thread(target=_watch, args=about, name="loop-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(  # noqa: PLR0917 - the arguments of a thread
    loop: asyncio.AbstractEventLoop,
    thread: int,
    blocked_s: float,
    found: Found,
    done: threading.Event,
    handlers_only: bool,
) -> None:
    known: set[Culprit] = set()
    while not done.wait(blocked_s / 2):
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return
        if answered.wait(blocked_s) or done.is_set():
            continue
        # Read at once, because the stack shows now what blocks the loop. Later it would show other code.
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread's stack
        blocking = None if frame is None else culprit(stack_of(frame))
        if blocking is not None and (blocking.is_handler or not handlers_only):
            _log(blocking, blocked_s, known)
            found(blocking.function, blocking.at)
        while not answered.wait(1.0) and not done.is_set():
            pass


class Culprit(NamedTuple):
    """The function that blocks the loop.

    Attributes:
        function: Its module and its name, such as `bot:greet`: of a handler, or of other code that linqbot calls.
        at: The place that is running, such as `bot.py:12`.
        is_handler: True if linqbot called it as a handler.
    """

    function: str
    at: str
    is_handler: bool


def culprit(stack: traceback.StackSummary) -> Culprit | None:
    """Return the function of the author or of a plugin that is running.

    None if the stack holds no such code, or if that code waits for linqbot's, such as for a module that the first
    `ctx.ask` imports. Then the machine may be busy with other work.
    """
    own = [number for number, frame in enumerate(stack) if is_authors(frame.filename)]
    plugins = _running_plugin(stack)
    if plugins is not None and (not own or own[-1] < plugins):
        return Culprit(_name(stack[plugins]), _place(stack[plugins]), is_handler=False)
    if not own or _calls_ours(stack[own[-1] + 1 :]):
        return None
    handler = next((n for n in own if n and _runs_handlers(stack[n - 1])), None)
    function = stack[own[0] if handler is None else handler]
    return Culprit(_name(function), _place(stack[own[-1]]), is_handler=handler is not None)


def _calls_ours(inner: Sequence[traceback.FrameSummary]) -> bool:
    return bool(inner) and inner[0].filename.startswith(_OURS)


def _runs_handlers(frame: traceback.FrameSummary) -> bool:
    """Return True for the function of routes that runs the chosen handler: `handle` in `Routes._prepared`."""
    return frame.filename == routes.__file__ and frame.name == "handle"


def _running_plugin(stack: traceback.StackSummary) -> int | None:
    """Return the number of the frame of a plugin's function that is running; None if no plugin is."""
    for number in range(len(stack) - 1, 0, -1):
        if stack[number].filename == guard.__file__:
            return None  # The middleware goes on with the code that it wraps.
        if stack[number - 1].filename in _PLUGIN_CALLERS and stack[number].filename != registry.COMPILED:
            return None if stack[number].filename.startswith(_OURS) else number
    return None


def _name(frame: traceback.FrameSummary) -> str:
    return f"{file_name(frame.filename).removesuffix('.py').removesuffix('/__init__')}:{frame.name}"


def _place(frame: traceback.FrameSummary) -> str:
    return f"{file_name(frame.filename)}:{frame.lineno}"


_PLUGIN_CALLERS: Final = frozenset({guard.__file__, registry.__file__, registry.COMPILED})
"""The files whose functions call those of plugins: middleware, and hooks."""

_OURS: Final = f"{Path(guard.__file__).parents[1]}{os.sep}"

_BLOCKED: Final = "While the loop is blocked, the bot answers no chat. "
_IN_HANDLERS: Final = (
    "Await slow calls (asyncio.sleep, httpx.AsyncClient), or write the handler with def instead of async def: then it "
    "runs in a thread, and returns the reply."
)
_ELSEWHERE: Final = "Await slow calls, or make them in a thread: await asyncio.to_thread(…)."


def _log(found: Culprit, blocked_s: float, known: set[Culprit]) -> None:
    advice = {} if found in known else {"what_to_do": _BLOCKED + (_IN_HANDLERS if found.is_handler else _ELSEWHERE)}
    known.add(found)
    name = "handler" if found.is_handler else "function"
    log.warning("loop.blocked", **{name: found.function}, at=found.at, longer_than_ms=round(blocked_s * 1000), **advice)
