"""The meaning of an error that ended a turn: run again soon, run again later, or give up.

An error of the bot's own code is retried with growing pauses and given up after a few attempts, whatever it is: an
exception, `SystemExit` out of argparse, a stray cancellation. Linq being away is no error of the bot's, and only
defers the turn.
"""

from __future__ import annotations

import random
import re
import traceback
from dataclasses import dataclass
from typing import Final

import structlog

from linqbot.errors import (
    AmbiguousCall,
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    NoVerdict,
    RateLimited,
    Refused,
    RuleBroken,
    StorageUnavailable,
    TurnDeferred,
)
from linqbot.events.parse import EventNotUnderstood
from linqbot.frames import place_of
from linqbot.storage.inbox import DeadLetter, Defer, Lease, Retry

log = structlog.get_logger("linqbot.worker")

STORAGE_PAUSE_S: Final = 1.0
"""Seconds to leave a storage alone that could not write."""

LONGEST_TEXT: Final = 20_000
"""Characters of a traceback that a dead letter keeps: its beginning and its end."""

_NO_TEXT: Final = re.compile(r"[\ud800-\udfff\x00]")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failures are retried.

    Attributes:
        attempts: Runs of a handler before its delivery is dead-lettered.
        first_s, most_s: Pause after the first failure, doubled each time up to the most; a quarter of it is chance.
        crashes: Times the process may die over a delivery before it is dead-lettered.
        deadline_s: Longest a handler may run; then it counts as failed.
        defer_s: Pause when Linq is away and does not say for how long.
        longest_defer_s: Longest pause, whatever Linq asks for.
        defer_for_s: Longest a turn stays deferred, counted from its delivery.
    """

    attempts: int = 5
    first_s: float = 1.0
    most_s: float = 300.0
    crashes: int = 3
    deadline_s: float = 900.0
    defer_s: float = 30.0
    longest_defer_s: float = 3600.0
    defer_for_s: float = 86_400.0

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        pause = min(self.first_s * 2.0 ** (failures - 1), self.most_s)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True)
class TurnFailure:
    """An error that ended a turn, and what is known of the handler that ran.

    Attributes:
        handler: Its name; None if the turn came not so far.
        attempts: How often this handler may run; None for the worker's own number.
        at: `file:line` of the author's code at which it stood when it was given up.
        handler_at: `file:line` of the handler's definition, for an error that passed through no code of the author's.
        is_final: A further run would end in the same way.
    """

    error: BaseException
    handler: str | None = None
    attempts: int | None = None
    at: str | None = None
    handler_at: str | None = None
    is_final: bool = False

    @property
    def place(self) -> str:
        return self.at or place_of(self.error, self.handler_at)


def decide(
    lease: Lease, failure: TurnFailure, retry_policy: RetryPolicy, *, now: float, log_tracebacks: bool = False
) -> Retry | Defer | DeadLetter:
    """Decide what a failure means for its delivery, and log it."""
    cause = _cause(failure.error)
    if (wait := _wait_for(cause)) is not None:
        return _defer(lease, *wait, retry_policy, now)
    if isinstance(cause, Refused):
        log.info("turn.refused", delivery=lease.delivery.id, plugin=cause.plugin, reason=str(cause))
        return DeadLetter(f"A call was refused by {cause.plugin or 'outbound middleware'}: {cause}", failure.handler)
    if failure.is_final or isinstance(cause, AmbiguousCall | EventNotUnderstood):
        # A person decides, or the next release.
        return DeadLetter(readable(str(cause)), failure.handler)
    return _retry(lease, failure, retry_policy, now, log_tracebacks=log_tracebacks)


def readable(text: str) -> str:
    """Return a text that any storage can keep: of bounded length, and without half a surrogate pair."""
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return _NO_TEXT.sub("\ufffd", text)


def _wait_for(cause: BaseException) -> tuple[str, float | None] | None:
    """Return why a turn waits, and for how many seconds if that is known; None if it failed by itself."""
    match cause:
        case TurnDeferred():
            return str(cause), cause.after_s
        case LinqUnavailable() | RateLimited():
            return str(cause), cause.retry_after_s
        case LinqApiError(status=401):
            # A wrong key is the operator's to correct, and must not cost any person a message.
            return f"{cause} Check LINQ_API_V3_API_KEY.", None
        case StorageUnavailable():
            return str(cause), STORAGE_PAUSE_S
        case NoVerdict():
            return str(cause), None
        case _:
            return None


def _defer(
    lease: Lease, reason: str, after_s: float | None, retry_policy: RetryPolicy, now: float
) -> Defer | DeadLetter:
    if now - lease.delivery.received_at > retry_policy.defer_for_s:
        return DeadLetter(f"It waited in vain for {retry_policy.defer_for_s / 3600:.0f} hours: {readable(reason)}")
    log.warning("turn.deferred", delivery=lease.delivery.id, reason=reason)
    pause_s = retry_policy.defer_s if after_s is None else min(max(after_s, 0.0), retry_policy.longest_defer_s)
    return Defer(now + pause_s, readable(reason))


def _retry(
    lease: Lease, failure: TurnFailure, retry_policy: RetryPolicy, now: float, *, log_tracebacks: bool
) -> Retry | DeadLetter:
    failures, error = lease.attempts + 1, failure.error
    kind = _name_of(error)
    facts = {
        "delivery": lease.delivery.id,
        "handler": failure.handler,
        "attempt": failures,
        "error": kind,
        "at": failure.place,
        **_numbers(error),
        # A traceback quotes what the handler was given, so it is for one's own terminal.
        "exc_info": error if log_tracebacks else None,
    }
    if failures >= (failure.attempts or retry_policy.attempts):
        log.error("turn.dead_lettered", **facts, see="linqbot inbox dead")
        return DeadLetter(_traceback(failure), failure.handler, failed=True)
    pause_s = retry_policy.pause_s(failures)
    log.warning("turn.failed", **facts, again_in_s=round(pause_s, 1))
    return Retry(now + pause_s, f"{kind} at {failure.place}")


def _traceback(failure: TurnFailure) -> str:
    try:
        told = "".join(traceback.format_exception(failure.error))
    except Exception:  # noqa: BLE001 - the error's own code may run here, and fail
        told = f"{_name_of(failure.error)} at {failure.place}\n"
    return readable(f"{told}It stood at {failure.at}.\n" if failure.at else told)


def _cause(error: BaseException) -> BaseException:
    """Return what ended a handler, also when it came out of a task group: a deferred call wins over what it cancelled."""
    if isinstance(error, BaseExceptionGroup):
        found: BaseException | None = error.subgroup(
            (TurnDeferred, LinqUnavailable, MessageGone, NoVerdict, RateLimited, StorageUnavailable)
        )
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return found or error
    return error


def _name_of(error: BaseException) -> str:
    """Return the class's name; one that was made from a message is cut, and shown as ASCII."""
    name = type(error).__name__
    return name if len(name) <= 64 and name.isascii() and name.isidentifier() else ascii(name)[:64]


def _numbers(error: BaseException) -> dict[str, object]:
    """Return what may be logged of an error beside its name: numbers and names of Linq's, no words."""
    if isinstance(error, LinqApiError):
        return {"call": error.call, "status": error.status, "code": error.code, "trace_id": error.trace_id}
    return {"rule": error.rule} if isinstance(error, RuleBroken) else {}
