"""Group commit: the queue of operations in front of a file, and the thread that waits for the disk.

The event loop runs the statements. A separate thread runs COMMIT, the step that waits for the disk. The thread does not
run the statements too: the sqlite3 module releases the GIL at every step, and the thread must get it back each time
from a busy loop, which may keep it for 5 ms (`sys.getswitchinterval`). Measured with 64 turns in flight and 0.2 ms of
other work in each: a tenth fewer turns per second on idle cores, and half as many on busy ones. The statements
themselves take 3 to 10 µs per operation. The writer (`writer.py`) runs them.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from linqbot.storage.operations import MAX_BATCH, Op, OpQueue, Unwritable
from linqbot.storage.sqlite.index import Index, IndexChanges
from linqbot.storage.sqlite.writer import SQLiteWriter

_Step: TypeAlias = Callable[[list[Op[Any]]], None]


class GroupCommit(OpQueue):
    """The queue of operations, and the thread that waits for the disk.

    Args:
        settled: Called once per batch, with its changes if it was written, before the callers of its operations go on.
    """

    _loop: asyncio.AbstractEventLoop

    def __init__(self, writer: SQLiteWriter, index: Index, settled: Callable[[IndexChanges | None], None]) -> None:
        super().__init__(index)
        self._writer = writer
        self._settled = settled
        self._bisected: list[list[Op[Any]]] = []
        self._idle = asyncio.Event()
        self._slow: queue.SimpleQueue[tuple[Callable[[], object], list[Op[Any]], _Step] | None] = queue.SimpleQueue()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread and accept operations. Everything except `commit` and slow steps runs on `loop`."""
        self._loop = loop
        self._is_open = True
        self._idle.set()
        # A daemon thread: an interpreter that ends without closing its storage must not hang. Every operation that
        # was answered is on disk.
        threading.Thread(target=self._work, args=(loop,), name="linqbot-storage-commit", daemon=True).start()

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones are on disk."""
        self._is_open = False
        await self._idle.wait()
        self._slow.put(None)

    @property
    def is_idle(self) -> bool:
        """True while no operation is queued or being written."""
        return self._idle.is_set()

    def post(self, op: Op[Any]) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        self._waiting.append(op)
        if self._idle.is_set():
            self._idle.clear()
            # At the end of this iteration of the loop, together with the other operations queued in it.
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        if self._bisected:
            batch = self._bisected.pop()
        else:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        if not batch:
            self._idle.set()
            return
        try:
            begun = self._writer.begin(wait=False)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            self._fail(batch, error)
        else:
            if begun:
                self._write(batch)
            else:
                self._slow.put((partial(self._writer.begin, wait=True), batch, self._write))

    def _write(self, batch: list[Op[Any]]) -> None:
        try:
            to_disk = self._writer.write(batch)
            if not to_disk:
                self._writer.commit()
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if isinstance(error, Unwritable) and len(batch) > 1:
                # Split the batch until the operation that cannot be written is alone, and write all others.
                self._writer.roll_back()
                middle = len(batch) // 2
                self._bisected += [batch[middle:], batch[:middle]]
                self._next()
            else:
                self._fail(batch, error)
        else:
            if to_disk:
                self._slow.put((self._writer.commit, batch, self._after_commit))
            else:
                self._after_commit(batch)

    def _after_commit(self, batch: list[Op[Any]]) -> None:
        try:
            self._settled(self._writer.after_commit())
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            self._fail(batch, error)
        else:
            self._resolve(batch)

    def _fail(self, batch: list[Op[Any]], error: Exception) -> None:
        self._writer.roll_back()
        self._settled(None)
        self._resolve(batch, error)

    def _resolve(self, batch: list[Op[Any]], error: Exception | None = None) -> None:
        self._answer(batch, error)
        # After the callers that were just answered have run: their next operations belong to this batch.
        self._loop.call_soon(self._next)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the slow steps, in the thread, and continue on the loop."""
        while job := self._slow.get():
            work, batch, then = job
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the callers must get any error
                then = partial(self._fail, error=error)
            # RuntimeError: the loop was closed in the meantime, so no caller waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(then, batch)
