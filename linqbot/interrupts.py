"""Interrupts of running code: a Ctrl-C, the cancellation of a task, or a coroutine that is being closed.

Code that catches every error of a bot or a plugin must not catch these: they end the process, the task or the coroutine.
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


class RunningTask:
    """The task that runs now. Created before the code whose errors it tells from interrupts."""

    __slots__ = ("_cancelling", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0

    def is_ended_by(self, error: BaseException) -> bool:
        """Return True if an error is an interrupt; False if the code raised it, such as a stray CancelledError."""
        if isinstance(error, asyncio.CancelledError):
            return self._task is not None and self._task.cancelling() > self._cancelling
        return is_ctrl_c(error) or (isinstance(error, GeneratorExit) and is_closing(self._task))
