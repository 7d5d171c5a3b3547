"""Whatever is asked while a commit is on its way to the disk shares the next one.

An fsync costs as much for a hundred operations as for one. So operations are queued, written together in one
transaction, and answered together once it is on disk. What an operation means is the writer's: `sqlite_writer.py`.

The event loop runs the statements, a thread of its own runs COMMIT, which is where a disk is waited for. Not both in
the thread: the sqlite3 module drops the GIL at every step, and the thread must win each one back from a busy loop,
which may keep it for 5 ms (`sys.getswitchinterval`). Tried: with 64 turns in flight and 0.2 ms of other work in each,
that cost a tenth of the turns a second on idle cores, and half of them on crowded ones. The statements themselves
take 3 to 10 µs an operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

from linqbot.errors import StorageError, StorageUnavailable

MAX_BATCH = 128
"""Operations in one transaction, at most: the loop is held up while their statements run, about a millisecond."""


@dataclass(slots=True, eq=False)
class Op:
    """One thing to write, and how it went: `result` or `error`, set by the writer."""

    future: asyncio.Future[Any] | None = field(default=None, init=False)
    result: Any = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


class Unwritable(Exception):
    """One operation of a batch cannot be written as it is, so none was. The others can be, without it."""


class BatchWriter(Protocol):
    """What writes: one transaction at a time, step by step. It raises StorageErrors that callers may see."""

    def begin(self, *, wait: bool) -> bool:
        """Open a transaction. False if that may take long: then call again with `wait`, in the thread."""
        ...

    def write(self, batch: list[Op]) -> bool:
        """Run the statements, and set each operation's result or error. May raise Unwritable.

        Returns:
            False when nothing changed, so that `commit` has nothing to bring to the disk.
        """
        ...

    def commit(self) -> None:
        """Bring the transaction to the disk. In the thread, if there is anything to bring."""
        ...

    def after_commit(self) -> None:
        """The transaction is on disk: change memory likewise."""
        ...

    def roll_back(self) -> None:
        """Undo the transaction, if one is open, and whatever memory had of it."""
        ...


_Step: TypeAlias = Callable[[list[Op]], None]


class GroupCommit:
    """The queue of operations and the thread that waits for the disk.

    Args:
        settled: Called once per batch, after its futures were resolved.
    """

    def __init__(self, writer: BatchWriter, settled: _Step) -> None:
        self._writer = writer
        self._settled = settled
        self._waiting: deque[Op] = deque()
        self._bisected: list[list[Op]] = []
        self._idle = asyncio.Event()
        self._slow: queue.SimpleQueue[tuple[Callable[[], object], list[Op], _Step] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write. Everything but the thread's part runs on `loop`."""
        self._loop = loop
        self._idle.set()
        # A daemon: an interpreter that ends without closing its storage must not hang; what was promised is on disk.
        threading.Thread(target=self._work, args=(loop,), name="linqbot-storage-commit", daemon=True).start()

    async def close(self) -> None:
        """Refuse what comes from now on, and return when all that was queued is on disk."""
        self._loop = None
        await self._idle.wait()
        self._slow.put(None)

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Queue an operation; its future has the result once the commit is on disk.

        Cancelling the future cancels the waiting, never the operation.
        """
        if self._loop is None:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        op.future = self._loop.create_future()
        self.post(op)
        return op.future

    def post(self, op: Op) -> None:
        """Queue an operation nobody waits for. Once closed, nothing happens."""
        if self._loop is None:
            return
        self._waiting.append(op)
        if self._idle.is_set():
            self._idle.clear()
            # At the end of this round of the loop, together with whatever else is asked in it.
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
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
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
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            self._fail(batch, error)
        else:
            if to_disk:
                self._slow.put((self._writer.commit, batch, self._after_commit))
            else:
                self._after_commit(batch)

    def _bisect(self, batch: list[Op]) -> None:
        """Find what cannot be written by halves, and write everything else."""
        self._writer.roll_back()
        middle = len(batch) // 2
        self._bisected += [batch[middle:], batch[:middle]]
        self._next()

    def _after_commit(self, batch: list[Op]) -> None:
        try:
            self._writer.after_commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            self._fail(batch, error)
        else:
            self._resolve(batch)

    def _fail(self, batch: list[Op], error: Exception) -> None:
        self._writer.roll_back()
        for op in batch:
            # An error each: one exception raised in two tasks would carry both tracebacks.
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
        # After those just answered have run: what they ask next belongs into this batch.
        asyncio.get_running_loop().call_soon(self._next)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread: do what is slow, go on on the loop."""
        while job := self._slow.get():
            work, batch, then = job
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
                then = partial(self._fail, error=error)
            # RuntimeError: the loop was closed meanwhile, so nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(then, batch)
