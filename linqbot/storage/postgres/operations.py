"""The queue of the operations that are written in shared transactions, and the one that only PostgreSQL has.

A commit costs as much for a hundred operations as for one. So operations that arrive while a transaction runs are queued,
and written together in the next one. Deliveries keep the order in which `put` was called, because one transaction runs at
a time. `writer.py` runs the SQL.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linqbot.errors import StorageError, StorageUnavailable
from linqbot.storage import operations
from linqbot.storage.operations import Op, Unwritable
from linqbot.storage.postgres.transaction import Transaction

MAX_BATCH: Final = 128
"""Maximum number of operations in one transaction."""

_ITERATIONS: Final = 4
"""Iterations of the event loop between two transactions."""


@dataclass(slots=True, eq=False)
class WorkOp(Op):
    """Run `work` in the transaction. It must raise a StorageError before it writes, or not at all.

    Attributes:
        news: True if a `take` may find more afterwards.
    """

    work: Callable[[Transaction], Awaitable[Any]]
    news: bool = True


Write: TypeAlias = Callable[[list[Op]], Awaitable[None]]


class Operations:
    """The queue of operations.

    Args:
        write: Writes a batch in one transaction, and sets the result or the error of each operation. It raises
            Unwritable, or a StorageError for all of them.
        settled: Called once per batch, before its futures are resolved.
    """

    def __init__(self, write: Write, settled: Callable[[list[Op]], None]) -> None:
        self._write = write
        self._settled = settled
        self._waiting: deque[Op] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False

    def open(self) -> None:
        """Accept operations."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones were written or have failed."""
        self._is_open = False
        while self._task is not None:
            await asyncio.wait([self._task])

    def submit(self, op: Op) -> asyncio.Future[Any]:
        """Queue an operation, and return a future that has its result once it is committed.

        Cancelling the future ends the wait, but never cancels the operation.

        Raises:
            StorageUnavailable: the storage is not open.
        """
        if not self._is_open:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        op.future = asyncio.get_running_loop().create_future()
        self.post(op)
        return op.future

    def post(self, op: Op) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        self._waiting.append(op)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="linqbot storage")

    async def _run(self) -> None:
        try:
            # The operations that are called in this iteration of the loop belong to the same batch.
            await asyncio.sleep(0)
            while self._waiting:
                await self._settle([self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))])
                # After the callers that were just answered have run: their next operations belong to the next batch. A worker
                # leases again three iterations after a turn has ended: the task of the turn ends, then its callbacks run, then
                # the worker.
                for _ in range(_ITERATIONS):
                    await asyncio.sleep(0)
        finally:
            self._task = None

    async def _settle(self, batch: list[Op]) -> None:
        try:
            await self._write(batch)
        except StorageError as error:
            _fail(batch, error, error.__cause__)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if len(batch) > 1:
                # One operation must not fail the others.
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
                return
            if isinstance(error, Unwritable):
                _fail(batch, StorageError(str(error)), error.__cause__)
            else:
                _fail(batch, StorageError(f"The storage failed in an unforeseen way: {type(error).__name__}."), error)
        self._settled(batch)
        for op in batch:
            if op.future is None or op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            else:
                op.future.set_exception(op.error)


def _fail(batch: list[Op], error: StorageError, cause: BaseException | None) -> None:
    for op in batch:
        # One error for each operation: an exception raised in two tasks would carry both tracebacks.
        op.error = type(error)(*error.args)
        op.error.__cause__ = cause


def is_news(op: Op) -> bool:
    """Return True as `operations.is_news`, and after work that may have news."""
    return op.news if isinstance(op, WorkOp) else operations.is_news(op)
