"""The operations that only SQLite has. The others are in `storage/operations.py`."""

from __future__ import annotations

from dataclasses import dataclass

from linqbot.storage import operations
from linqbot.storage.operations import AdvanceOp, CancelOp, FinishOp, Op


@dataclass(slots=True, eq=False)
class RefreshOp(Op):
    """Write nothing. Its transaction notices what other processes have written."""


@dataclass(slots=True, eq=False)
class TruncateOp(Op):
    """Empty the WAL after the commit. The result is False if another connection still reads from it."""


def leaves_text(op: Op) -> bool:
    """Return True if the operation may have deleted text off the record, which is then left in the WAL."""
    match op:
        case FinishOp():
            return op.finish.off_the_record
        case CancelOp():
            return bool(op.result)
        case AdvanceOp():
            return op.leaves_text
        case _:
            return False


def is_news(op: Op) -> bool:
    """Return True as `operations.is_news`, and after another process may have written."""
    return isinstance(op, RefreshOp) or operations.is_news(op)
