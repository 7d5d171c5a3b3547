"""The operations that only SQLite has. The others are in `storage/operations.py`."""

from __future__ import annotations

from dataclasses import dataclass

from linqbot.storage import operations
from linqbot.storage.operations import AdvanceOp, CancelOp, FinishOp, Op, OpsByKind, of


@dataclass(slots=True, eq=False)
class RefreshOp(Op):
    """Write nothing. Its transaction notices what other processes have written."""


@dataclass(slots=True, eq=False)
class TruncateOp(Op):
    """Empty the WAL after the commit. The result is False if another connection still reads from it."""


def leaves_text(ops: OpsByKind) -> bool:
    """Return True if one of the operations may have deleted text off the record, which is then left in the WAL."""
    return (
        any(op.finish.off_the_record for op in of(ops, FinishOp))
        or any(op.result for op in of(ops, CancelOp))
        or any(op.leaves_text for op in of(ops, AdvanceOp))
    )


def has_news(ops: OpsByKind) -> bool:
    """Return True as `operations.has_news`, and after another process may have written."""
    return any(op.error is None for op in of(ops, RefreshOp)) or operations.has_news(ops)
