"""The operations that a backend writes in shared transactions: one class for each, with its arguments and nothing else.

The writer of the backend runs them. It sets the result or the error of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Finish, Lease
from linqbot.storage.journal import DeliveryStatus, JournalEntry
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
    finish: Finish


@dataclass(slots=True, eq=False)
class OrderOp(Op):
    """Store missed deliveries of a lane, and sort the lane."""

    lane: str
    missed: Sequence[Delivery]
    lease: Lease | None


@dataclass(slots=True, eq=False)
class HoldOp(Op):
    """Give back a lease that was not used; its lane waits for more deliveries."""

    lease: Lease
    until: float
    known: int


@dataclass(slots=True, eq=False)
class JoinOp(Op):
    """Put one delivery in the place of the leased one and of those with these ids."""

    lease: Lease
    joined: Delivery
    ids: Sequence[str]
    again: bool


@dataclass(slots=True, eq=False)
class BeginOp(Op):
    entry: JournalEntry


@dataclass(slots=True, eq=False)
class SettleOp(Op):
    entry: JournalEntry


@dataclass(slots=True, eq=False)
class ReceiptOp(Op):
    key: str | None
    message_id: str | None
    status: DeliveryStatus


@dataclass(slots=True, eq=False)
class ScheduleOp(Op):
    """Store a timer. The writer sets `is_earliest` if it was stored and is due before all others."""

    timer: Timer
    is_earliest: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class CancelOp(Op):
    timer_id: str


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


def of(batch: Iterable[Op], kind: type[OpT]) -> list[OpT]:
    """Return the operations of one kind, in the order in which they were queued."""
    return [op for op in batch if type(op) is kind]


def is_news(op: Op) -> bool:
    """Return True if a `take` may find more after the operation, or if it stored the earliest timer."""
    match op:
        case FinishOp() | ReleaseOp() | OrderOp() | HoldOp():
            return True
        case ScheduleOp():
            return op.is_earliest
        case PutOp() | FireOp() | AdvanceOp():
            return bool(op.result)
        case _:
            return False
