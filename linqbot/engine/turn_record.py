"""The row of a run, which the commit that ends it keeps for operators, in `storage/outcomes.py`.

A row has ids, times and names. Why a turn failed is said by the class of its error and its place, by Linq's status and code, or by
a sentence that the log has too: the message of any other error may quote a person.
"""

from __future__ import annotations

import json
from typing import Any, Final

from linqbot.engine.reasons import MIDDLEWARE, MUTED, short
from linqbot.engine.turn import Turn
from linqbot.linq.events.lane import is_lane_of_receipts, token
from linqbot.linq.events.message import MessageFailed
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Outcome, Retry
from linqbot.storage.outcomes import OutcomeRow, Result, message_of
from linqbot.turn_events import TurnEnded

_MOST_TRIED: Final = 40


def row_of(turn: Turn, ended: TurnEnded, outcome: Outcome) -> OutcomeRow | None:
    """Return the row of a run that ends with an outcome; None if it needs none."""
    delivery, event, handler, runs = ended.delivery, ended.event, ended.handler, turn.lease.delivery_count + 1
    failed_send = event if isinstance(event, MessageFailed) else None
    if isinstance(outcome, Ack):
        is_silent = handler is None and failed_send is None
        if is_silent and (is_lane_of_receipts(delivery.lane) or not turn.kind.has_row):
            return None
    elif not isinstance(outcome, DeadLetter) and runs & (runs - 1):
        return None  # of a turn that runs again and again, the runs 1, 2, 4, 8 and so on have a row
    message_id, trace_id, tried, calls, steps = message_of(delivery), None, None, None, None
    if (ctx := turn.ctx) is not None and event is not None:
        message_id, trace_id = message_id or token(event.message_id), token(event.trace_id)
        if missed := [(each.handler, each.filter) for each in ctx.tried if not each.fits]:
            tried = json.dumps(missed[:_MOST_TRIED])
        if failed := [*turn.journal.failed_calls, *([] if failed_send is None else [_failed_send(failed_send)])]:
            calls = json.dumps(failed)
        if turn.journal.ended_steps:
            steps = json.dumps(turn.journal.ended_steps)
    result, why, has_failed = _result(turn, outcome)
    return OutcomeRow(
        delivery=delivery.id,
        lane=delivery.lane,
        type=delivery.type,
        message_id=message_id,
        trace_id=trace_id,
        received_at=delivery.received_at,
        outcome=result,
        handler=handler,
        why=why,
        turn=None if turn.opening.turn_id == delivery.id else turn.opening.turn_id,
        replay=ended.replay,
        runs=runs,
        attempts=ended.attempts + has_failed,
        ms=round(ended.took_s * 1000, 1),
        tried=tried,
        calls=calls,
        steps=steps,
    )


def _result(turn: Turn, outcome: Outcome) -> tuple[Result, str | None, bool]:
    """Return what became of the delivery, why, and True if its handler has failed."""
    if isinstance(outcome, DeadLetter):
        return "dead_letter", short(turn.why or outcome.error), outcome.failed
    if isinstance(outcome, Retry):
        return "retry", short(turn.why or outcome.error), True
    if isinstance(outcome, Defer):
        return "deferred", short(turn.why or outcome.reason), False
    ctx, why = turn.ctx, turn.why
    if why is None and ctx is not None and turn.kind.run is None:
        why = ctx.passed_over or (None if ctx.has_begun else MIDDLEWARE)
        if why is None:
            return "handled", ctx.recovered, False
    result: Result = "handled" if why is None else "muted" if why == MUTED else "ignored"
    return result, why, False


def _failed_send(event: MessageFailed) -> dict[str, Any]:
    return {"call": event.type, **({} if event.code is None else {"code": event.code})}
