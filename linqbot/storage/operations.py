"""The operations that a backend writes in shared transactions: one class for each, with its arguments and nothing else.

The writer of the backend runs them. It sets the result or the error of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from linqbot.errors import StateConflict
from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Commit, Lease
from linqbot.storage.journal import JournalEntry, Receipt, with_result
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

OpT = TypeVar("OpT", bound="Op")


@dataclass(slots=True, eq=False)
class Op:
    """One operation. The writer sets its `result` or its `error`."""

    future: asyncio.Future[Any] | None = field(default=None, init=False)
    result: Any = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)


class Unwritable(Exception):
    """One operation of a batch cannot be written, so none was. The others can be written without it."""


@dataclass(slots=True, eq=False)
class PutOp(Op):
    delivery: Delivery


@dataclass(slots=True, eq=False)
class PutReceiptOp(PutOp):
    """Store what a receipt reports. The delivery itself is only remembered as known, for nothing else wants it.

    The writer sets `is_put` if it has stored the delivery in its lane, because another process may want it.
    """

    receipt: Receipt
    is_put: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class TakeOp(Op):
    limit: int
    lease_s: float


@dataclass(slots=True, eq=False)
class ReleaseOp(Op):
    """Give back leases that no worker will use, because the `take` that asked for them was cancelled."""

    leases: Sequence[Lease]


@dataclass(slots=True, eq=False)
class FinishOp(Op):
    lease: Lease
    commit: Commit


@dataclass(slots=True, eq=False)
class OrderOp(Op):
    """Store missed deliveries of a lane, and sort the lane."""

    lane: str
    missed: Sequence[Delivery]
    lease: Lease | None
    keep: bool = False


@dataclass(slots=True, eq=False)
class HoldOp(Op):
    """Give back a lease that was not used; its lane waits for more deliveries."""

    lease: Lease
    until: float
    known: int


@dataclass(slots=True, eq=False)
class JoinOp(Op):
    """Replace the leased delivery, and the deliveries with these ids, by one delivery."""

    lease: Lease
    joined: Delivery
    ids: Sequence[str]
    again: bool


@dataclass(slots=True, eq=False)
class ProgressOp(Op):
    """Note how far a turn has come that has crashed. The result is the number of crashes before."""

    lease: Lease
    progress: int


@dataclass(slots=True, eq=False)
class BeginOp(Op):
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
class SettleOp(Op):
    entry: JournalEntry
    state: Sequence[StateWrite] = ()


@dataclass(slots=True, eq=False)
class ReceiptOp(Op):
    receipt: Receipt


@dataclass(slots=True, eq=False)
class ScheduleOp(Op):
    """Store a timer. The writer sets `is_earliest` if it was stored and is due before all others."""

    timer: Timer
    is_earliest: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class CancelOp(Op):
    """Delete a timer, and store an entry about that in the journal if there is one."""

    timer_id: str
    record: JournalEntry | None

    def recorded(self) -> list[JournalEntry]:
        """Return the entry to store once the result is known."""
        return [] if self.record is None else [with_result(self.record, self.result)]


@dataclass(slots=True, eq=False)
class FireOp(Op):
    now: float
    limit: int


@dataclass(slots=True, eq=False)
class AdvanceOp(Op):
    """Carry out the steps of broadcasts that are due. The writer sets `leaves_text` if it deleted text off the record."""

    now: float
    leaves_text: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class CheckOp(Op):
    """Write `size` bytes without a meaning; with 0 delete them again."""

    size: int


CHECK_BYTES: Final = 1 << 16
"""Bytes that `check` writes: as many as several deliveries."""


class QueuedWrites:
    """The methods of a storage that only queue an operation and wait for its result."""

    _submit: Callable[[Op], asyncio.Future[Any]]
    """Queue an operation. Cancelling the future ends the wait, but never cancels the operation."""
    settled: Collection[str] = ()
    """See `Inbox.settled`."""
    _post: Callable[[Op], None]
    """Queue an operation whose result nothing waits for."""

    async def check(self) -> None:
        """Write something durably, and delete it again; see `Storage.check`."""
        await self._submit(CheckOp(CHECK_BYTES))
        await self._submit(CheckOp(0))

    def put(self, delivery: Delivery) -> Awaitable[bool]:
        """Store a delivery durably; see `Inbox.put`."""
        if delivery.type in self.settled and (receipt := Receipt.of(delivery)) is not None:
            return self._submit(PutReceiptOp(delivery, receipt))
        return self._submit(PutOp(delivery))

    async def finish(self, lease: Lease, commit: Commit) -> None:
        """End a turn in one commit; see `Inbox.finish`."""
        await self._submit(FinishOp(lease, commit))

    async def _taken(self, future: asyncio.Future[Any]) -> list[Lease]:
        """Wait for the leases of a `TakeOp`. If this is cancelled, the leases are given back."""
        try:
            leases: list[Lease] = await asyncio.shield(future)
        except asyncio.CancelledError:
            # The commit may be over already, or still to come. No worker will use these leases.
            future.add_done_callback(self._give_back)
            raise
        return leases

    def _give_back(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None and future.result():
            self._post(ReleaseOp(future.result()))

    async def hold(self, lease: Lease, until: float, *, known: int) -> None:
        """Let the lane of a lease wait for more deliveries; see `Inbox.hold`."""
        await self._submit(HoldOp(lease, until, known))

    async def join(self, lease: Lease, joined: Delivery, ids: Sequence[str], *, again: bool = False) -> None:
        """Put one delivery in the place of several; see `Inbox.join`."""
        await self._submit(JoinOp(lease, joined, ids, again))

    async def note_progress(self, lease: Lease, progress: int) -> int:
        """Note how far a turn has come that has crashed; see `Inbox.note_progress`."""
        crashes: int = await self._submit(ProgressOp(lease, progress))
        return crashes

    async def put_in_order(
        self, lane: str, missed: Sequence[Delivery], lease: Lease | None = None, *, keep: bool = False
    ) -> int:
        """Store missed deliveries of a lane and sort the lane; see `Inbox.put_in_order`."""
        count: int = await self._submit(OrderOp(lane, missed, lease, keep))
        return count

    async def begin(
        self,
        entry: JournalEntry,
        lease: Lease | None = None,
        *,
        state: Sequence[StateWrite] = (),
        changes: JournalEntry | None = None,
        instead: JournalEntry | None = None,
    ) -> None:
        """Store a journal entry durably before the first attempt of its call; see `Journal.begin`."""
        await self._submit(BeginOp(entry, lease, state, changes, instead))

    async def settle(self, entry: JournalEntry, state: Sequence[StateWrite] = ()) -> None:
        """Store the outcome of a journal entry durably now; see `Journal.settle`."""
        await self._submit(SettleOp(entry, state))

    async def settle_receipt(self, receipt: Receipt) -> JournalEntry | None:
        """Store the state that a receipt reports; see `Journal.settle_receipt`."""
        entry: JournalEntry | None = await self._submit(ReceiptOp(receipt))
        return entry

    async def schedule(self, timer: Timer) -> bool:
        """Store a timer durably; see `Timers.schedule`."""
        stored: bool = await self._submit(ScheduleOp(timer))
        return stored

    async def cancel(self, timer_id: str, record: JournalEntry | None = None) -> bool:
        """Delete a timer; see `Timers.cancel`."""
        cancelled: bool = await self._submit(CancelOp(timer_id, record))
        return cancelled

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Move due timers into their lanes; see `Timers.fire`."""
        moved: int = await self._submit(FireOp(now, limit))
        return moved

    async def advance_broadcasts(self, now: float) -> int:
        """Carry out the steps of broadcasts that are due; see `Broadcasts.advance_broadcasts`."""
        count: int = await self._submit(AdvanceOp(now))
        return count


OpsByKind: TypeAlias = dict[type[Op], list[Any]]
"""The operations of a batch by their classes, each list in the order in which they were queued."""


def by_kind(batch: Iterable[Op]) -> OpsByKind:
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


def is_news(op: Op) -> bool:
    """Return True if a `take` may find more after the operation, or if it stored the earliest timer."""
    # By class, because this looks at every operation: a `match` would compare each with nine classes.
    kind = type(op)
    if kind in _NEWS_WITH_RESULT:
        return bool(op.result)
    if kind in _NEWS:
        return True
    return (isinstance(op, ScheduleOp) and op.is_earliest) or (isinstance(op, PutReceiptOp) and op.is_put)
