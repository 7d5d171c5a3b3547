"""Group commit: operations that arrive while a commit is being written share the next transaction.

An fsync costs as much for a hundred operations as for one. So operations are queued, written together in one
transaction, and answered together once it is on disk. The writer (`writer.py`) runs the SQL of each operation.

The event loop runs the statements. A separate thread runs COMMIT, the step that waits for the disk. The thread does not
run the statements too: the sqlite3 module releases the GIL at every step, and the thread must get it back each time
from a busy loop, which may keep it for 5 ms (`sys.getswitchinterval`). Measured with 64 turns in flight and 0.2 ms of
other work in each: a tenth fewer turns per second on idle cores, and half as many on busy ones. The statements
themselves take 3 to 10 µs per operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from linqbot.errors import StorageError, StorageUnavailable
from linqbot.storage.operations import Op, Unwritable
from linqbot.storage.sqlite.writer import SQLiteWriter

MAX_BATCH = 128
"""Maximum number of operations in one transaction. Their statements block the event loop for about a millisecond."""


_Step: TypeAlias = Callable[[list[Op]], None]


class GroupCommit:
    """The queue of operations, and the thread that waits for the disk.

    Args:
        settled: Called once per batch, after its futures were resolved.
    """

    def __init__(self, writer: SQLiteWriter, settled: _Step) -> None:
        self._writer = writer
        self._settled = settled
        self._waiting: deque[Op] = deque()
        self._bisected: list[list[Op]] = []
        self._idle = asyncio.Event()
        self._slow: queue.SimpleQueue[tuple[Callable[[], object], list[Op], _Step] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread and accept operations. Everything except `commit` and slow steps runs on `loop`."""
        self._loop = loop
        self._idle.set()
        # A daemon thread: an interpreter that ends without closing its storage must not hang. Every operation that
        # was answered is on disk.
        threading.Thread(target=self._work, args=(loop,), name="linqbot-storage-commit", daemon=True).start()

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones are on disk."""
        self._loop = None
        await self._idle.wait()
        self._slow.put(None)

    @property
    def is_idle(self) -> bool:
        """True while no operation is queued or being written."""
        return self._idle.is_set()

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Queue an operation, and return a future that has its result once the commit is on disk.

        Cancelling the future ends the wait, but never cancels the operation.

        Raises:
            StorageUnavailable: the storage is not open.
        """
        if self._loop is None:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        op.future = self._loop.create_future()
        self.post(op)
        return op.future

    def post(self, op: Op) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if self._loop is None:
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
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
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

    def _write(self, batch: list[Op]) -> None:
        try:
            to_disk = self._writer.write(batch)
            if not to_disk:
                self._writer.commit()
        except Unwritable as error:
            if len(batch) == 1:
                self._fail(batch, StorageError(str(error)))
            else:
                self._bisect(batch)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            self._fail(batch, error)
        else:
            if to_disk:
                self._slow.put((self._writer.commit, batch, self._after_commit))
            else:
                self._after_commit(batch)

    def _bisect(self, batch: list[Op]) -> None:
        """Split the batch until the operation that cannot be written is alone, and write all others."""
        self._writer.roll_back()
        middle = len(batch) // 2
        self._bisected += [batch[middle:], batch[:middle]]
        self._next()

    def _after_commit(self, batch: list[Op]) -> None:
        try:
            self._writer.after_commit()
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            self._fail(batch, error)
        else:
            self._resolve(batch)

    def _fail(self, batch: list[Op], error: Exception) -> None:
        self._writer.roll_back()
        for op in batch:
            # One error for each operation: an exception raised in two tasks would carry both tracebacks.
            op.error = (
                type(error)(*error.args)
                if isinstance(error, StorageError)
                else StorageError(f"The storage failed in an unforeseen way: {type(error).__name__}.")
            )
            op.error.__cause__ = error.__cause__ if isinstance(error, StorageError) else error
        self._resolve(batch)

    def _resolve(self, batch: list[Op]) -> None:
        for op in batch:
            future = op.future
            if future is None or future.done():
                continue
            if op.error is None:
                future.set_result(op.result)
            else:
                future.set_exception(op.error)
        self._settled(batch)
        # After the callers that were just answered have run: their next operations belong to this batch.
        asyncio.get_running_loop().call_soon(self._next)

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
