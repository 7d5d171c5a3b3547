"""Runs a server in an event loop until the server stops, even if the bot's code tries to end the loop.

`SystemExit` and `KeyboardInterrupt` leave an event loop at once when a task or a callback raises them. Here they end
neither the process nor any other turn: the loop is entered again. If the bot's code cancels the server's own task, the
process ends. A process that was asked to stop ends in time, even if a thread hangs or a task refuses to be cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from linqbot.frames import place_of
from linqbot.interrupts import is_ctrl_c

log = structlog.get_logger("linqbot.server")

LAST_S: Final = 3.0
"""Seconds from the end of the server to the end of the process, for tasks, threads and exit handlers of other code."""


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server in a new event loop until it has stopped.

    Raises:
        SystemExit: the server asked for it.
        Exception: the server failed.
    """
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
