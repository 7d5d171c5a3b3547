"""The thread that runs the steps of a transaction that wait: for the disk, or for another process that writes.

A simulation has a `CommitThread` without a thread, whose steps take virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class CommitThread:
    """Runs one step after the other. `run_in_executor` would take several times as long."""

    def __init__(self) -> None:
        self._steps: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()

    def open(self) -> None:
        """Start the thread, for steps of the running event loop."""
        # A daemon thread: an interpreter that ends without closing its storage must not hang. Every operation that
        # was answered is on disk.
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(loop,), name="linqbot-storage-commit", daemon=True).start()

    def run(self, step: Callable[[], T]) -> asyncio.Future[T]:
        """Run a step in the thread, and return a future with its result."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._steps.put((step, done))
        return done

    def close(self) -> None:
        """End the thread after the steps that it was given."""
        self._steps.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while job := self._steps.get():
            step, done = job
            try:
                end = partial(done.set_result, step())
            except Exception as error:  # noqa: BLE001 - the writer must get any error
                end = partial(done.set_exception, error)
            # RuntimeError: the loop was closed in the meantime, so no caller waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_end, done, end)


def _end(done: asyncio.Future[Any], end: Callable[[], None]) -> None:
    if not done.cancelled():
        end()
