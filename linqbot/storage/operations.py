"""The operations that a backend writes in shared transactions: one class for each, with its arguments and nothing else.

The queue answers the callers. `batch.py` runs the operations of one transaction, and sets the result or the error of each.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from linqbot.errors import StateConflict, StorageError, StorageUnavailable
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.journal import JournalEntry, Receipt
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

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
    """Store what a receipt reports. The delivery itself is only remembered as known, for nothing else wants it.

    The writer sets `is_put` if it has stored the delivery in its lane, because another process may want it.
    """

    receipt: Receipt
    is_put: bool = field(default=False, init=False)


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
class OrderOp(Op[int]):
    """Store missed deliveries of a lane, and sort the lane."""

    lane: str
    missed: Sequence[Delivery]
    lease: Lease | None
    keep: bool = False


@dataclass(slots=True, eq=False)
class HoldOp(Op[None]):
    """Give back a lease that was not used; its lane waits for more deliveries."""

    lease: Lease
    until: float
    known: int


@dataclass(slots=True, eq=False)
class JoinOp(Op[None]):
    """Replace the leased delivery, and the deliveries with these ids, by one delivery."""

    lease: Lease
    joined: Delivery
    ids: Sequence[str]
    again: bool


@dataclass(slots=True, eq=False)
class ProgressOp(Op[int]):
    """Note how far a turn has come that has crashed. The result is the number of crashes before."""

    lease: Lease
    progress: int


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


@dataclass(slots=True, eq=False)
class ReceiptOp(Op[JournalEntry | None]):
    receipt: Receipt


@dataclass(slots=True, eq=False)
class ScheduleOp(Op[bool]):
    """Store a timer. The writer sets `is_earliest` if it was stored and is due before all others."""

    timer: Timer
    is_earliest: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class CancelOp(Op[bool]):
    """Delete a timer, and store an entry about that in the journal if there is one."""

    timer_id: str
    record: JournalEntry | None


@dataclass(slots=True, eq=False)
class FireOp(Op[int]):
    now: float
    limit: int


@dataclass(slots=True, eq=False)
class AdvanceOp(Op[int]):
    """Carry out the steps of broadcasts that are due. The writer sets `leaves_text` if it deleted text off the record."""

    now: float
    leaves_text: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class CheckOp(Op[None]):
    """Write `size` bytes without a meaning; with 0 delete them again."""

    size: int


@dataclass(slots=True, eq=False)
class WorkOp(Op[Any]):
    """Run `work` in the transaction. It must raise a StorageError before it writes, or not at all.

    Attributes:
        news: True if a `take` may find more afterwards.
    """

    work: Callable[[Any], Awaitable[Any]]
    news: bool = True


async def nothing(_: object) -> None:
    """Write nothing: the transaction only notices what other processes have written, or sends what they must know."""


OpsByKind: TypeAlias = dict[type[Op[Any]], list[Any]]
"""The operations of a batch by their classes, each list in the order in which they were queued."""


def by_kind(batch: Iterable[Op[Any]]) -> OpsByKind:
    """Return the operations of a batch by their classes, each list in the order in which they were queued."""
    ops: OpsByKind = {}
    for op in batch:
        ops.setdefault(type(op), []).append(op)
    return ops


def of(ops: OpsByKind, kind: type[OpT]) -> list[OpT]:
    """Return the operations of one kind, of those that `by_kind` has sorted."""
    return ops.get(kind, [])


_NEWS: Final = frozenset({FinishOp, ReleaseOp, OrderOp, HoldOp})
_NEWS_WITH_RESULT: Final = frozenset({PutOp, FireOp, AdvanceOp})


def is_news(op: Op[Any]) -> bool:
    """Return True if a `take` may find more after the operation, or if it stored the earliest timer."""
    # By class, because this looks at every operation: a `match` would compare each with nine classes.
    kind = type(op)
    if kind in _NEWS_WITH_RESULT:
        return bool(op.result)
    if kind in _NEWS:
        return True
    if isinstance(op, WorkOp):
        return op.news
    return (isinstance(op, ScheduleOp) and op.is_earliest) or (isinstance(op, PutReceiptOp) and op.is_put)


MAX_BATCH: Final = 128
"""Maximum number of operations in one transaction. Their statements block the event loop for about a millisecond."""


class OpQueue(ABC):
    """The operations that wait for a transaction.

    A commit costs as much for a hundred operations as for one. So those that arrive while a transaction is being written
    are queued, written together in the next one, and answered together once it is committed.

    Args:
        settled: Called once per batch, before the callers of its operations go on.
    """

    def __init__(self, settled: Callable[[list[Op[Any]]], None]) -> None:
        self._settled = settled
        self._waiting: deque[Op[Any]] = deque()
        self._is_open = False

    def submit(self, op: Op[T]) -> asyncio.Future[T]:
        """Queue an operation, and return a future that has its result once it is committed.

        Cancelling the future ends the wait, but never cancels the operation.

        Raises:
            StorageUnavailable: the storage is not open.
        """
        if not self._is_open:
            raise StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        future = op.future = asyncio.get_running_loop().create_future()
        self.post(op)
        return future

    @abstractmethod
    def post(self, op: Op[Any]) -> None:
        """Queue an operation without a future to wait for. Do nothing if the storage is closed."""

    def _next_batch(self) -> list[Op[Any]]:
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]

    def _answer(self, batch: list[Op[Any]], error: Exception | None = None) -> None:
        """Resolve the futures of a batch: with `error`, if there is one, or else with what each operation has."""
        if error is not None:
            for op in batch:
                op.error = _for_one(error)
        self._settled(batch)
        for op in batch:
            if op.future is None or op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            else:
                op.future.set_exception(op.error)


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
