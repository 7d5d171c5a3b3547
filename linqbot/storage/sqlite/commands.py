"""What can be asked of the writer: one class an operation, its arguments, and nothing else. See `sqlite_writer.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Finish, Lease
from linqbot.storage.journal import DeliveryStatus, JournalEntry
from linqbot.storage.sqlite.group_commit import Op
from linqbot.storage.timers import Timer

OpT = TypeVar("OpT", bound=Op)


@dataclass(slots=True, eq=False)
class PutOp(Op):
    delivery: Delivery


@dataclass(slots=True, eq=False)
class TakeOp(Op):
    limit: int
    lease_s: float


@dataclass(slots=True, eq=False)
class ReleaseOp(Op):
    """Give leases back that nobody will work on: whoever asked for them has gone."""

    leases: Sequence[Lease]


@dataclass(slots=True, eq=False)
class FinishOp(Op):
    lease: Lease
    finish: Finish


@dataclass(slots=True, eq=False)
class OrderOp(Op):
    """Store what was missed of a lane, and sort what waits in it."""

    lane: str
    missed: Sequence[Delivery]
    lease: Lease | None


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
    """`is_earliest` is set when it was stored and is due before every other."""

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
class CheckOp(Op):
    """Write so many bytes that mean nothing, and none to take them out again."""

    size: int


@dataclass(slots=True, eq=False)
class RefreshOp(Op):
    """Write nothing: its transaction notices what others have written beside us."""


@dataclass(slots=True, eq=False)
class TruncateOp(Op):
    """Empty the WAL after the commit. The result is False when another connection still reads from it."""


def of(batch: Iterable[Op], kind: type[OpT]) -> list[OpT]:
    """The operations of one kind, in the order they were asked."""
    return [op for op in batch if type(op) is kind]


def leaves_text(op: Op) -> bool:
    """Return True if text off the record may have been deleted, and so be left in the WAL."""
    match op:
        case FinishOp():
            return op.finish.off_the_record
        case CancelOp():
            return bool(op.result)
        case _:
            return False


def is_news(op: Op) -> bool:
    """Whether a `take` may find more after it, or a timer be due earlier than was known."""
    match op:
        case FinishOp() | ReleaseOp() | RefreshOp() | OrderOp():
            return True
        case ScheduleOp():
            return op.is_earliest
        case PutOp() | FireOp():
            return bool(op.result)
        case _:
            return False
