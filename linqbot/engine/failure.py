"""Failed turns: decide whether to retry a turn, to defer it, or to make its delivery a dead letter.

Any error of the bot's own code is retried with an increasing back-off, a few times: an exception, a `SystemExit` from
argparse, a stray cancellation. An error that the same code must raise again for the same event is not retried: see
`is_final`. An outage of Linq is not the bot's error. It only defers the turn, without counting an attempt. Next step:
`engine/turns.py` stores the outcome.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import structlog

from linqbot.client.outcome import Refusal, meaning_of
from linqbot.clock import Clock
from linqbot.engine.deadline import DEADLINE_S
from linqbot.error_details import ErrorDetails, details_of, readable
from linqbot.errors import (
    Ambiguous,
    AmbiguousCall,
    LinqApiError,
    LinqbotError,
    NeverAwaited,
    NoVerdict,
    Refused,
    RuleBroken,
    SendMissed,
    StateConflict,
    StateUnreadable,
    Stopped,
    StorageError,
    StorageUnavailable,
    TurnDeferred,
    error_name,
)
from linqbot.frames import place_of
from linqbot.linq.events.parse import EventNotUnderstood
from linqbot.storage.inbox import DeadLetter, Defer, Lease, Retry

log = structlog.get_logger("linqbot.worker")

STORAGE_PAUSE_S: Final = 1.0
"""Seconds to wait before the storage is used again after it failed."""

MAX_CONFLICTS: Final = 50
"""Number of runs after which a turn whose state was changed meanwhile counts as failed, and so waits before its next run."""

CONFLICT_WAIT_S: Final = 60.0
"""Maximum seconds that a turn waits for its place in a `StateQueue`. Then it runs all the same, and may lose again."""

_PACKAGE: Final = "linqbot."
_WRONG_CALL: Final = re.compile(
    r"(?:Context|ChatContext|BotContext|State)\.\w+\(\) "
    r"(?:got an unexpected keyword argument|got multiple values for|missing \d+ required|takes )"
)
"""Python's message for a call of linqbot whose arguments do not fit."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why an event was given up: the first argument of an `on_dead_letter` handler.

    Attributes:
        reason: The reason as `linqbot why --body` prints it, such as a traceback. It may quote a person's text, so do not
            log or send it; the repr does not show it.
        handler: The name of the handler that failed, as `module:name`; None if no handler was at fault.
        attempts: The number of failed runs.
    """

    reason: str = field(repr=False)
    handler: str | None
    attempts: int


class ChoiceFailed(Exception):
    """The bot's `allow` or a filter has raised an error, the cause, before the turn of the event ran a handler."""


OTHER_RELEASE_S: Final = 60.0
"""Seconds after its arrival for which a delivery is left to processes with another release of the bot."""


class OfOtherRelease(TurnDeferred):
    """Defers a turn that needs a handler, a question or a schedule that this process does not have, and had not since it began.

    So another process, with another release of the bot, shares the storage, as during a rolling update.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is in another release of the bot, and waits for a process that serves it.", after_s=1.0
        )


class RetryPolicy(NamedTuple):
    """The limits and pauses for failed turns.

    Attributes:
        attempts: Number of failed runs after which a delivery becomes a dead letter.
        first_s: Seconds before the first retry. The pause doubles with each failure. Up to a quarter of it is randomly
            taken off.
        most_s: Maximum of that pause, in seconds.
        crashes: Number of crashes of the process during a turn after which its delivery becomes a dead letter. A crash
            counts only if the run has added nothing to the journal since the one before, and a run that has added
            something ends the count: a machine that dies again and again for another reason may hit a long turn many times.
        crashes_in_all: Number of crashes after which it does so in any case.
        deadline_s: Seconds that a handler may run. Then it is cancelled and counts as failed.
        defer_s: Seconds for which a turn is deferred if Linq is unavailable and names no time.
        longest_defer_s: Maximum seconds for which a turn is deferred at once, even if Linq asks for more.
        defer_for_s: Seconds after its arrival at which a delivery is no longer deferred, but becomes a dead letter. What
            an operator has put back is deferred without an end.
    """

    attempts: int = 5
    first_s: float = 1.0
    most_s: float = 300.0
    crashes: int = 5
    crashes_in_all: int = 25
    deadline_s: float = DEADLINE_S
    defer_s: float = 30.0
    longest_defer_s: float = 3600.0
    defer_for_s: float = 86_400.0

    def pause_s(self, failures: int) -> float:
        """Return the seconds to wait before the next run, after at least 1 failed one."""
        # The exponent is limited, because a handler may have any number of attempts, and floats end at 2 to the 1024.
        pause = min(self.first_s * 2.0 ** min(failures - 1, 100), self.most_s)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 - the chance spreads load; it protects no secret


class TurnFailure(NamedTuple):
    """An error that ended a turn, with facts about the handler that ran.

    Attributes:
        handler: The name of the handler; None if no handler was chosen yet.
        attempts: The handler's own maximum number of runs; None means that of the RetryPolicy.
        at: For a handler that ignored its time limit: `file:line` of the author's code that it was running.
        handler_at: `file:line` of the handler's definition, used if the traceback has no code of the author.
        is_final: True if a retry would fail in the same way, although another error of this class may heal.
    """

    error: BaseException
    handler: str | None = None
    attempts: int | None = None
    at: str | None = None
    handler_at: str | None = None
    is_final: bool = False

    @property
    def place(self) -> str:
        """`file:line` of the author's code at which the turn failed."""
        if isinstance(self.error, NeverAwaited):
            return self.error.at or self.handler_at or "?"
        return self.at or place_of(self.error, self.handler_at)


def decide(
    lease: Lease, failure: TurnFailure, retry_policy: RetryPolicy, *, now: float, log_tracebacks: bool = False
) -> Retry | Defer | DeadLetter:
    """Decide the outcome of a failed turn, and log it. A logged traceback may quote texts of people."""
    cause = _cause(failure.error)
    cause = conflict_of(cause) or cause
    if isinstance(cause, StateConflict) and lease.delivery_count < MAX_CONFLICTS:
        # Not counted, and at once: the turn that was faster has ended, so each conflict is progress of another turn.
        log.info("turn.state_conflict", delivery=lease.delivery.id, runs=lease.delivery_count + 1)
        return Defer(now, str(cause))
    if (wait := _wait_for(cause)) is not None:
        return replace(_defer(lease, *wait, retry_policy, now), details=_of_linq(cause))
    if isinstance(cause, Refused):
        why = readable(str(cause))
        log.info("turn.refused", delivery=lease.delivery.id, plugin=cause.plugin, reason=why)
        by = refused_by(cause)
        return DeadLetter(f"A call was refused by {by}: {why}", failure.handler)
    if failure.is_final or isinstance(cause, Ambiguous | AmbiguousCall | EventNotUnderstood):
        # No retry can help: the operator decides, or a later release understands the event.
        return DeadLetter(reason_of(failure), failure.handler, details=_details(failure))
    return _retry(lease, failure, retry_policy, now, log_tracebacks=log_tracebacks)


def conflict_of(error: BaseException | None) -> StateConflict | None:
    """Return the conflict because of which a call was not made and its turn runs again; None for any other error."""
    found = error.__cause__ if isinstance(error, TurnDeferred) else error
    return found if isinstance(found, StateConflict) else None


class StateQueue:
    """Turns whose state was changed while they ran. Those that lost the same value run again one after the other.

    Without the queue, a value that many chats change at the same time would cost a run of every turn for each commit. Turns
    that have not lost yet do not wait, so a value that is mostly read costs no more. In memory only: after a crash, turns
    just run again.
    """

    def __init__(self) -> None:
        self._lost: dict[str, tuple[str, str]] = {}
        self._held: dict[str, asyncio.Lock] = {}
        # The lock of each value, as long as a turn holds it or waits for it.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def is_empty(self) -> bool:
        return not (self._lost or self._held or self._locks)

    def note(self, delivery_id: str, conflict: StateConflict) -> None:
        """Note that a turn lost a value: its next run waits for its place."""
        self._lost[delivery_id] = conflict.scope, conflict.name

    async def enter(self, delivery_id: str, clock: Clock) -> None:
        """Wait until the turns that lost the same value earlier have ended. Return at once for a turn that lost none."""
        place = self._lost.pop(delivery_id, None)
        if place is None:
            return
        lock = self._locks.setdefault(place, asyncio.Lock())
        acquiring = asyncio.ensure_future(lock.acquire())
        limit = asyncio.ensure_future(clock.wait_until(clock.now() + CONFLICT_WAIT_S))
        try:
            await asyncio.wait((acquiring, limit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            if acquiring.done():
                self._held[delivery_id] = lock
            else:
                acquiring.cancel()

    def leave(self, delivery_id: str, *, runs_again: bool) -> None:
        """Let the next turn run, now that a turn has ended. If it does not run again, forget a value that it has lost."""
        if not runs_again:
            self._lost.pop(delivery_id, None)
        if (lock := self._held.pop(delivery_id, None)) is not None:
            lock.release()


def outdated(lease: Lease) -> DeadLetter:
    """Return the end of a message that became older than `max_age_s` before its handler succeeded, and log it."""
    log.error(
        "turn.dead_lettered", delivery=lease.delivery.id, why="older than max_age_s", see="linqbot waiting list --dead"
    )
    return DeadLetter(
        "Before its handler succeeded, it became older than Bot(max_age_s=…) allows. If it is still to be handled: "
        f"linqbot waiting retry {lease.delivery.id}"
    )


def refused_by(error: Refused) -> str:
    # A rule of the bot is no plugin, although its error passes through the plugins' middleware.
    return error.by if isinstance(error, Stopped) else error.plugin or "outbound middleware"


class Unreachable(NamedTuple):
    """Why a send is not made: the word for the log, and the reason for the row of the turn."""

    word: str
    why: str


OPTED_OUT: Final = Unreachable("opted_out", "the person opted out")
LEFT: Final = Unreachable("left", "the bot's line is not in the group")


def unreachable(error: BaseException | None) -> Unreachable | None:
    """Return why a send is not made: a rule of the bot, an opt-out, or a group that was left; else None."""
    if isinstance(error, Stopped):
        return Unreachable(error.word, error.why)
    refusal = meaning_of(error) if isinstance(error, LinqApiError) else None
    if refusal is Refusal.OPTED_OUT:
        return OPTED_OUT
    return LEFT if refusal is Refusal.LEFT else None


def is_final(error: BaseException) -> bool:
    """Return True if the same code must raise this error again for the same event, so that a retry is useless."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_final(each) for each in error.exceptions)
    return error.is_final if isinstance(error, LinqbotError) else _is_slip(error)


def _is_slip(error: BaseException) -> bool:
    """Return True for a misspelt name, and for an attribute or an argument that linqbot does not have.

    Other errors of these classes may heal, such as one of a value that a server has left out.
    """
    match error:
        case UnboundLocalError():
            return False  # the branch that sets the variable may run next time
        case NameError():
            return True
        case ImportError():
            return f"{error.name}.".startswith(_PACKAGE)
        case AttributeError():
            # linqbot gives the errors of its own `__getattr__` an empty name; see `nearest.py`.
            return error.name == "" or type(error.obj).__module__.startswith(_PACKAGE)
        case TypeError():
            return _WRONG_CALL.match(str(error)) is not None
        case _:
            return False


def _wait_for(cause: BaseException) -> tuple[str, float | None] | None:
    """Return the reason and the seconds (None if unknown) for which to defer a turn; None if its own code failed."""
    match cause:
        case TurnDeferred():
            return str(cause), cause.after_s
        case LinqApiError(status=401):
            return f"{cause.summary}. Check LINQ_API_V3_API_KEY.", None
        case LinqApiError() if meaning_of(cause) is Refusal.WAIT:
            return cause.summary, cause.retry_after_s
        case StorageUnavailable():
            return str(cause), STORAGE_PAUSE_S
        case NoVerdict():
            return str(cause), None
        case _:
            return None


def _defer(
    lease: Lease, reason: str, after_s: float | None, retry_policy: RetryPolicy, now: float
) -> Defer | DeadLetter:
    # What an operator has put back may be older than that from the start.
    if now - lease.delivery.received_at > retry_policy.defer_for_s and not lease.put_back:
        return DeadLetter(
            f"It was deferred for {retry_policy.defer_for_s / 3600:.0f} hours without success: {readable(reason)}"
        )
    log.warning("turn.deferred", delivery=lease.delivery.id, reason=reason)
    pause_s = retry_policy.defer_s if after_s is None else min(max(after_s, 0.0), retry_policy.longest_defer_s)
    return Defer(now + pause_s, readable(reason))


def _retry(
    lease: Lease, failure: TurnFailure, retry_policy: RetryPolicy, now: float, *, log_tracebacks: bool
) -> Retry | DeadLetter:
    failures, error = lease.attempts + 1, failure.error
    facts = {
        "delivery": lease.delivery.id,
        "handler": failure.handler,
        "attempt": failures,
        "error": error_name(error),
        "at": failure.place,
        **_numbers(error),
        # A traceback may quote the texts that the handler got, so it is only shown in the author's own terminal.
        "exc_info": error if log_tracebacks and error.__traceback__ is not None else None,
    }
    final = is_final(error)
    if final or failures >= (failure.attempts or retry_policy.attempts):
        why = {"why": _why(error)} if final else {}
        log.error("turn.dead_lettered", **facts, **why, see="linqbot waiting list --dead")
        return DeadLetter(reason_of(failure), failure.handler, failed=True, details=_details(failure))
    pause_s = retry_policy.pause_s(failures)
    log.warning("turn.failed", **facts, again_in_s=round(pause_s, 1))
    # The text is kept of what is given up: a row that waits stays small.
    return Retry(now + pause_s, reason_of(failure), details=_details(failure, with_text=False))


def _why(error: BaseException) -> str:
    return str(error) if isinstance(error, _WITHOUT_TEXTS) else "A retry would fail in the same way."


_WITHOUT_TEXTS: Final = (
    Ambiguous,
    AmbiguousCall,
    EventNotUnderstood,
    NeverAwaited,
    NoVerdict,
    Refused,
    SendMissed,
    StateUnreadable,
    StorageError,
    TurnDeferred,
)
"""The errors whose messages quote no person: they are linqbot's, or words of a plugin that may be logged."""


def reason_of(failure: TurnFailure) -> str:
    """Return why a turn has failed, in words that quote no person: they may be logged, stored and shown."""
    error = failure.error
    if isinstance(error, _WITHOUT_TEXTS):
        return readable(str(error))
    return error.summary if isinstance(error, LinqApiError) else f"{error_name(error)} at {failure.place}"


def _details(failure: TurnFailure, *, with_text: bool = True) -> ErrorDetails | None:
    """Return what is kept of an error besides its reason: nothing of one whose message is the reason."""
    if isinstance(failure.error, _WITHOUT_TEXTS):
        return None
    found = details_of(failure.error, with_text=with_text)
    if failure.at is None or found.text is None:
        return found
    return replace(found, text=f"{found.text}It was running {failure.at}.\n")


def _of_linq(cause: BaseException) -> ErrorDetails | None:
    """Return Linq's explanation of the answer because of which a turn is deferred."""
    answer = cause.__cause__ if isinstance(cause, TurnDeferred) else cause
    return ErrorDetails(text=readable(str(answer))) if isinstance(answer, LinqApiError) else None


def _cause(error: BaseException) -> BaseException:
    """Return the error that ended a handler. In an exception group, an error that defers the turn takes precedence."""
    if isinstance(error, BaseExceptionGroup):
        found: BaseException | None = error.subgroup(lambda each: _wait_for(each) is not None)
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return found or error
    return error


def _numbers(error: BaseException) -> dict[str, object]:
    """Return the facts of an error that may be logged: numbers, and names that Linq defines, but no message."""
    if isinstance(error, LinqApiError):
        return {"call": error.call, "status": error.status, "code": error.code, "trace_id": error.trace_id}
    return {"rule": error.rule} if isinstance(error, RuleBroken) else {}
