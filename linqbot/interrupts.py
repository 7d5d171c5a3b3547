"""Interrupts of running code: a Ctrl-C, or a coroutine that is being closed.

Code that catches every error of a bot or a plugin must not catch these two: they end the process or the coroutine.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any


def is_ctrl_c(error: BaseException) -> bool:
    """Return True if an error is a KeyboardInterrupt that a signal may have raised; False if other code raised it."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def is_closing(task: asyncio.Task[Any] | None) -> bool:
    """Return True if a coroutine is being closed from outside: it runs, but `task`, which ran it so far, does not."""
    try:
        return task is None or asyncio.current_task() is not task
    except RuntimeError:  # no event loop runs any more
        return True
