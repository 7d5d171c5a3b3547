"""The operations that a backend writes in shared transactions, the queue in front of them, and the transaction they get.

Those that every turn needs have a class, with their arguments and nothing else: a transaction runs all of a kind together. Any
other is a function with its SQL, in a `WorkOp`. Lanes are not the same for every backend: SQLite leases from an index in memory,
PostgreSQL by functions in the database. So each backend has its `LaneTransaction`. Next step: `run` in `operations.py`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar

from linqbot.branch import leave_turn
from linqbot.errors import BotError, StateConflict, StorageError, StorageUnavailable
from linqbot.linq.events.delivery import Delivery
from linqbot.storage import outcomes
from linqbot.storage.dialect import Writable
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.indexes import StorageMemory
from linqbot.storage.journal import JournalEntry, Receipt
from linqbot.storage.state import StateWrite

T = TypeVar("T")
OpT = TypeVar("OpT", bound="Op[Any]")


@dataclass(slots=True, eq=False)
class Op(Generic[T]):
    """One operation. The writer sets its `result` or its `error`."""

    future: asyncio.Future[T] | None = field(default=None, init=False)
    result: Any = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


class Unwritable(Exception):
    """One operation of a batch cannot be written, so none was. The others can be written without it."""


@dataclass(slots=True, eq=False)
class PutOp(Op[bool]):
    delivery: Delivery


@dataclass(slots=True, eq=False)
class PutReceiptOp(PutOp):
    """Store what a receipt reports. The delivery itself is only remembered as known, for nothing else wants it."""

    receipt: Receipt


@dataclass(slots=True, eq=False)
class TakeOp(Op[list[Lease]]):
    limit: int
    lease_s: float


@dataclass(slots=True, eq=False)
class ReleaseOp(Op[None]):
    """Give back leases that no worker will use, because the `take` that asked for them was cancelled."""

    leases: Sequence[Lease]


@dataclass(slots=True, eq=False)
class FinishOp(Op[None]):
    lease: Lease
    commit: Commit


@dataclass(slots=True, eq=False)
class BeginOp(Op[None]):
    entry: JournalEntry
    lease: Lease | None = None
    state: Sequence[StateWrite] = ()
    changes: JournalEntry | None = None
    instead: JournalEntry | None = None

    @property
    def entries(self) -> Sequence[JournalEntry]:
        """The entries to store, by the `error` that was found."""
        if self.error is None:
            return (self.entry,) if self.changes is None else (self.entry, self.changes)
        return (self.instead,) if isinstance(self.error, StateConflict) and self.instead is not None else ()


@dataclass(slots=True, eq=False)
class SettleOp(Op[None]):
    entry: JournalEntry
    state: Sequence[StateWrite] = ()
    changes: JournalEntry | None = None


@dataclass(slots=True, eq=False)
class WorkOp(Op[T]):
    """Run `work` in the transaction. It must raise a StorageError before it writes, or not at all.

    `lane` is the lane that it lets gather, shortens or sorts, which PostgreSQL locks before the batch runs; None if it does none of that.
    """

    work: Callable[[Any], Awaitable[T]]
    lane: str | None = None


async def nothing(_: object) -> None:
    """Write nothing. The transaction still reads what other processes have stored, notifies them, and deletes old rows."""


OpsByKind: TypeAlias = dict[type[Op[Any]], list[Any]]
"""The operations of a batch by their classes, each list in the order in which they were queued."""


def by_kind(batch: Iterable[Op[Any]]) -> OpsByKind:
    """Return the operations of a batch by their classes, each list in the order in which they were queued."""
    ops: OpsByKind = {}
    for op in batch:
        ops.setdefault(type(op), []).append(op)
    return ops


def of(ops: OpsByKind, kind: type[OpT]) -> list[OpT]:
    return ops.get(kind, [])


MAX_BATCH: Final = 128
"""Maximum number of operations in one transaction. Their statements block the event loop for about a millisecond."""


WRITER: Final = "linqbot storage"
"""The name of the task that writes operations."""


class OpQueue(ABC):
    """The operations that wait for a transaction, and the task that writes them in batches.

    A commit costs as much for a hundred operations as for one. So those that arrive while a transaction is being
    written are queued, written together in the next one, and answered together once it is committed. One transaction
    runs at a time, so deliveries keep the order in which `put` was called. `memory` forgets leases that could not be
    given back: they have no holder any more.
    """

    _pause: ClassVar[int] = 1
    """Iterations of the event loop between two transactions: callers that were answered call their next operations."""

    def __init__(self, memory: StorageMemory) -> None:
        self._memory = memory
        self._waiting: list[Op[Any]] = []
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """True if no operation is queued."""
        return not self._waiting

    def open(self) -> None:
        """Accept operations, from now on and in this event loop."""
        self._loop = asyncio.get_running_loop()
        # The task that writes belongs to the process that has opened the storage, and to no turn, whatever turn calls an operation.
        self._context = copy_context()
        self._context.run(leave_turn)
        self._is_open = True

    async def close(self) -> None:
        """Refuse further operations, and return when all queued ones were written or have failed."""
        self._is_open = False
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        self._refuse_waiting()

    def submit(self, op: Op[T]) -> asyncio.Future[T]:
        """Queue an operation, and return a future that has its result once it is committed.

        Cancelling the future ends the wait, but never cancels the operation. Raises StorageUnavailable if the storage
        is not open, and BotError in another event loop: a task that writes there would end with that loop, and everything
        that is stored later would wait for it.
        """
        if not self._is_open:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        loop = asyncio.get_running_loop()
        if loop is not self._loop and self._loop is not None:
            raise BotError(
                "A call runs in another event loop than the bot, such as that of asyncio.run(…), and was not made. "
                "Write the handler with async def and await the call, or let a plain def return its reply."
            )
        future = op.future = loop.create_future()
        self.post(op)
        return future

    def post(self, op: Op[Any]) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""
        if not self._is_open:
            return
        begins = self._task is None or self._task.done()
        if begins and self._waiting:
            # The last task was cancelled before it had begun.
            self._refuse_waiting()
        self._waiting.append(op)
        if begins:
            create = asyncio.get_running_loop().create_task
            self._task = create(self._write_all(), name=WRITER, context=self._context)

    async def _write_all(self) -> None:
        batch: list[Op[Any]] = []
        try:
            # The task begins in the next iteration of the loop: operations that are called in this one belong to the same batch.
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                await self._settle(batch)
                for _ in range(self._pause):
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._waiting = batch + self._waiting
            self._refuse_waiting()
            raise

    def _refuse_waiting(self) -> None:
        """Fail the operations whose task was cancelled, because the event loop ends: no caller may wait for ever."""
        refused, self._waiting = self._waiting, []
        self._answer(refused, StorageUnavailable("The event loop has ended. Nothing was stored."))

    async def _settle(self, batch: list[Op[Any]]) -> None:
        try:
            await self._write(batch)
        except Exception as error:  # noqa: BLE001 - the callers must get any error
            if not isinstance(error, Unwritable) or len(batch) == 1:
                self._answer(batch, error)
                return
            # Split the batch until the operation that cannot be written is alone, and write all others.
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
        else:
            self._answer(batch)

    @abstractmethod
    async def _write(self, batch: list[Op[Any]]) -> None:
        """Write a batch in one transaction; memory follows it. Raises Unwritable if an operation cannot be stored."""

    def _answer(self, batch: list[Op[Any]], error: Exception | None = None) -> None:
        """Resolve the futures of a batch: with `error`, if there is one, or else with what each operation has."""
        if error is not None:
            for op in batch:
                op.error = _for_one(error)
                if isinstance(op, ReleaseOp):
                    self._memory.release(op.leases)
        for op in batch:
            if op.future is None or op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            else:
                op.future.set_exception(op.error)
        if error is None and self._memory.keep_outcomes_s:
            self._record_duplicates(batch)

    def _record_duplicates(self, batch: list[Op[Any]]) -> None:
        """Store the outcomes of deliveries that were known, in a transaction of their own: they had no other one."""
        known = [op.delivery for op in batch if type(op) is PutOp and op.result is False]
        if known and (found := [row for each in known if (row := outcomes.duplicate(each)) is not None]):
            self.post(WorkOp(lambda tx: outcomes.write(tx, found)))


def _for_one(error: Exception) -> StorageError:
    """Return the error for one operation: an exception raised in two tasks would carry both tracebacks."""
    if isinstance(error, StorageError):
        one = type(error)(*error.args)
        one.__cause__ = error.__cause__
    elif isinstance(error, Unwritable):
        one = StorageError(str(error))
    else:
        one = StorageError(f"The storage failed in an unforeseen way: {type(error).__name__}.")
        one.__cause__ = error
    return one


class LaneTransaction(Writable, Protocol):
    """An open transaction that also moves lanes, which each backend does in its own way.

    A step that gets all operations of a kind sets the result or the error of each. A step of one operation may raise an error
    before it writes: then this operation alone has failed. For `gather` and `put_in_order` see the methods of `Storage`.
    """

    old_ids: ClassVar[str]
    """The SQL that deletes the ids of deliveries that left the inbox before $1, at most $2."""

    async def release(self, ops: Sequence[ReleaseOp]) -> None: ...
    async def gather(self, lease: Lease, until: float, known: int) -> None: ...
    async def put(self, ops: Sequence[PutOp]) -> None: ...
    async def put_receipts(self, ops: Sequence[PutReceiptOp]) -> None: ...
    async def put_in_order(self, lane: str, missed: Sequence[Delivery], lease: Lease | None, *, keep: bool) -> int: ...
    async def take(self, ops: Sequence[TakeOp]) -> None: ...

    async def join(self, lease: Lease, ids: Sequence[str], head: int) -> None:
        """Remove the deliveries with these ids, which have joined the leased one with the sequence number `head`."""
        ...

    async def has_room(self) -> bool:
        """Return False if the inbox is full."""
        ...

    async def in_force(self, leases: Sequence[Lease]) -> dict[int, int]:
        """Return the sequence numbers of the deliveries under leases that are in force, by token."""
        ...

    async def postpone(self, ops: Mapping[int, FinishOp]) -> None:
        """Note that the leases of turns that run again are over. The deliveries are given by sequence number."""
        ...

    async def remove(self, ops: Mapping[int, FinishOp], ending: Collection[int]) -> None:
        """End the leases of turns that are over, and remove their deliveries. Turns that were acked end too.

        For `ending`, those that `ends_its_turn` names, the outcomes of journal entries are stored.
        """
        ...

    async def store(self, deliveries: Sequence[Delivery]) -> object:
        """Store new deliveries at the tails of their lanes.

        Backlog limits do not apply: Linq does not deliver them again if they are refused.
        """
        ...

    async def number(self, deliveries: Sequence[Delivery]) -> Sequence[int]:
        """Give deliveries that come back numbers at the tails of their lanes, and remember their ids."""
        ...

    async def forget(self, ids: Collection[str]) -> int:
        """Remove those of these deliveries that wait, whatever their lanes, and return how many there were."""
        ...
