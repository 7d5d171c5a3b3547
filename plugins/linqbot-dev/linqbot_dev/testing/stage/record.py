"""A record of a test: a line for each thing that happened, for the message of a failed wait, and the failures of handlers.

The errors of failed waits are assertion errors, so that a failed wait is a failed test.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from linqbot import hookimpl, tracebacks
from linqbot.bot import never_awaited
from linqbot.bot.context import Context
from linqbot.bot.handlers import NO_HANDLER, NOT_ADDRESSED, untaken
from linqbot.bot.turn_context import TurnContext
from linqbot.branch import UnawaitedCoroutine
from linqbot.clock import Clock
from linqbot.engine.failure import TurnFailure
from linqbot.errors import NeverAwaited
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import understood
from linqbot.linq.types.files import running_turn
from linqbot.storage.inbox import Commit
from linqbot.storage.journal import RECEIPTS
from linqbot.turn_events import AwaitForgotten, CalledTooLate, Observers, Routed, TurnEnded
from linqbot_dev.testing.stage import bot_run
from linqbot_dev.testing.stage.connections import ApiCall

LAST_LINES = 25


@dataclass(slots=True)
class _Turn:
    """The context of a turn, once a handler was looked for, and the coroutines that its code never awaited."""

    ctx: TurnContext | None = None
    never_awaited: Sequence[UnawaitedCoroutine] = ()


class Record:
    """Watches the turns of the bot, as a plugin, and its calls."""

    name = "linqbot-testing"

    def __init__(self, clock: Clock) -> None:
        self.calls: list[ApiCall] = []  # the bot's requests, oldest first
        # A line for each thing that happened. The message of a failed wait shows the last lines.
        self.history: list[str] = []
        self._clock = clock
        self._turns = defaultdict[Any, _Turn](_Turn)
        self._failures: list[tuple[str, BaseException | None]] = []

    def forget_turns(self) -> None:
        self._turns.clear()

    def called(self, call: ApiCall) -> None:
        self.calls.append(call)
        self.history.append(f"the bot calls {call.name or call.path}: {call.status or 'no answer'}")

    # Failures

    def failures(self) -> list[BaseException]:
        """Return the failures that no call has reported yet: exceptions of handlers.

        An event that was dead-lettered without an exception is returned as a `HandlerFailed`.
        """
        failures, self._failures = self._failures, []
        for _, error in failures:
            _trim(error)
        return [error or HandlerFailed(text) for text, error in failures]

    def raise_failure(self) -> None:
        """Raise the first unreported failure. Its message counts the others, which then count as reported."""
        __tracebackhide__ = True
        if not self._failures:
            return
        (text, error), *more = self._failures
        self._failures = []
        others = f"\n{len(more)} more failed." if more else ""
        _trim(error)
        raise HandlerFailed(text + others) from error

    def add_failures_to(self, error: BaseException) -> None:
        """Note the unreported failures on the error that ends the test, since they may be why it failed."""
        for text, _ in self._failures:
            error.add_note(f"Before that, a handler had failed: {text}")
        self._failures = []

    def complain(self, what: str) -> NoReturn:
        __tracebackhide__ = True
        self.raise_failure()
        lines = self.history[-LAST_LINES:] or ["nothing"]
        raise NothingCame("\n  ".join([f"{what}\nWhat did happen, oldest first:", *lines]))

    # Watching

    @hookimpl
    def register_observers(self) -> Observers:
        return {
            Routed: self._routed,
            AwaitForgotten: self._await_forgotten,
            CalledTooLate: self._called_too_late,
            TurnEnded: self._turn_ended,
        }

    def _routed(self, _: Routed) -> None:
        ctx = running_turn.get()
        assert ctx is None or isinstance(ctx, TurnContext)
        self._turns[bot_run.turn.get()].ctx = ctx

    def _await_forgotten(self, event: AwaitForgotten) -> None:
        self._turns[bot_run.turn.get()].never_awaited = event.coroutines

    def _called_too_late(self, event: CalledTooLate) -> None:
        self.history.append(str(event.error))
        self._failures.append((str(event.error), event.error))

    def stored(self, commit: Commit) -> None:
        now = self._clock.now()
        self.history.extend(f"a message waits to be sent in {timer.due - now:.1f} s" for timer in commit.timers)

    def _turn_ended(self, turn: TurnEnded) -> None:
        this = self._turns.pop(bot_run.turn.get(), _Turn())
        ctx, who = this.ctx, turn.handler or "no handler"
        what = f"{turn.delivery.type}: "
        if turn.outcome in {"retry", "dead_letter"}:
            # Only an exception of the bot's code is shown as such. Of a call that was deferred for too long, or that had no
            # `await`, the reason says more.
            is_raised = turn.event is not None and isinstance(turn.error, Exception)
            error = turn.error if is_raised and not isinstance(turn.error, NeverAwaited) else None
            why = _failure(error, who, ctx) if error else str(turn.reason).strip().removesuffix(".")
            then = "It was given up." if turn.again_in_s is None else f"It runs again in {turn.again_in_s:.1f} s."
            what += f"{why} {then}" if why.endswith(("?", "!")) else f"{why}. {then}"
            self._failures.append((what, error))
        elif turn.outcome == "defer":
            what += f"waits for {turn.again_in_s:.1f} s more: {turn.reason}"
        elif turn.outcome == "lost":
            return
        elif turn.handler is None and (event := turn.event or _passed_over(turn.delivery)) is not None:
            if event.is_own or event.type in RECEIPTS:
                return
            if event.type == "chat.created":
                return  # it comes before the first message of each chat, and few bots handle it
            what += _untaken(ctx) if turn.event is not None else untaken(NO_HANDLER, ())
        else:
            what += f"taken by {who}"
        self.history.append(what)
        if ctx is not None and turn.outcome != "dead_letter":
            self.history.extend(never_awaited.report(each, who, ctx.handler_at) for each in this.never_awaited)


def _failure(error: BaseException, who: str, ctx: Context | None) -> str:
    # The same place as in the worker's log.
    stuck_at, handler_at = (ctx.stuck_at, ctx.handler_at) if ctx is not None else (None, None)
    place = TurnFailure(error, at=stuck_at, handler_at=handler_at).place
    message = _first_line(error)
    if (first := tracebacks.first_cause(error)) is not error:
        message += f"; the first is {type(first).__name__}: {_first_line(first)}"
    return f"{type(error).__name__} in {who} at {place}" + (f": {message}" if message else "")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].removesuffix(".")


def _trim(error: BaseException | None) -> None:
    if error is not None and not os.environ.get(tracebacks.FULL):
        tracebacks.trim(error)


def _passed_over(delivery: Delivery) -> Event | None:
    """Return the event of a delivery whose turn has not read it, because no handler takes its type; None if it has none."""
    return None if delivery.is_internal else understood(delivery)


def _untaken(ctx: TurnContext | None) -> str:
    if ctx is None or ctx.passed_over is None:
        return "no handler took it"
    more = "; see Bot(groups=)" if ctx.passed_over == NOT_ADDRESSED else ""
    return untaken(ctx.passed_over, ctx.tried) + more


class HandlerFailed(AssertionError):
    """A handler raised, an event was dead-lettered, or a call came after its turn. `__cause__` is the exception.

    Where a test expects the exception, `await phone.errors()` returns it instead.
    """

    __module__ = "linqbot.testing"  # where authors import it from: pytest shows this name


class NothingCame(AssertionError):
    """The expected reply, tapback or typing did not come, and nothing more happens until the clock moves.

    The message lists what happened instead.
    """

    __module__ = "linqbot.testing"  # where authors import it from: pytest shows this name
