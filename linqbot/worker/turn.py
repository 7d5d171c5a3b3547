"""One turn: a delivery is parsed, its handler runs, and one commit stores the outcome.

Every error of a handler ends here, and becomes an outcome (`failure.py`). If the worker itself stops, the delivery is
released without counting an attempt. This is the last step of an event's way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, Protocol

import structlog

from linqbot.bot.context import OPTED_OUT, Context
from linqbot.bot.deadline import Deadline
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import (
    LeaseLost,
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    RateLimited,
    StorageError,
    StorageUnavailable,
)
from linqbot.events.delivery import PROBE_ID
from linqbot.events.event import Event
from linqbot.events.message import MessageDelivered, MessageFailed, MessageRead, MessageSent
from linqbot.events.parse import parse
from linqbot.frames import place_of_task
from linqbot.hookspecs import End
from linqbot.interrupts import is_closing, is_ctrl_c
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Finish, Lease, Outcome, Retry
from linqbot.storage.journal import DeliveryStatus
from linqbot.worker.failure import STORAGE_PAUSE_S, RetryPolicy, TurnFailure, decide, readable
from linqbot.worker.origin import origin_of
from linqbot.worker.outbound_plugins import Outbound
from linqbot.worker.rate_limit import SendRateLimit
from linqbot.worker.reply_target import with_replies_to_me
from linqbot.worker.scheduled_send import SendMissed, due_send
from linqbot.worker.turn_journal import TurnJournal

log = structlog.get_logger("linqbot.worker")

RECEIPTS: Final[dict[str, DeliveryStatus]] = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.read": "read",
    "message.failed": "failed",
}
"""The delivery status of a sent message, by the event type of its receipt."""
ENDS: Final[dict[type[Outcome], Literal["ack", "retry", "defer", "dead_letter"]]] = {
    Ack: "ack",
    Retry: "retry",
    Defer: "defer",
    DeadLetter: "dead_letter",
}
"""The names of outcomes for the hooks of plugins."""


class Owner(Protocol):
    """The worker that a turn belongs to."""

    @property
    def is_stopping(self) -> bool:
        """True if the worker has cancelled its turns."""
        ...

    def detach(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        """Count a turn's task as ended although it still runs, and start a task for `instead`."""
        ...


@dataclass(slots=True)
class _Running:
    """A running turn.

    Attributes:
        began: The time at which the turn began, by `time.perf_counter`.
        owner: The worker; None if the turn is run without one, as in tests.
        handling: The time at which dispatch began, by `time.perf_counter`.
        ctx: The context of the handler; None until the event is parsed.
        given_up: True if the turn's code ignored its cancellation, and the outcome was decided without waiting for it.
    """

    lease: Lease
    journal: TurnJournal
    began: float
    task: asyncio.Task[None] | None
    owner: Owner | None
    handling: float = 0.0
    ctx: Context | None = None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Turns:
    """Runs turns, with everything that turns share.

    Attributes:
        log_tracebacks: True logs the tracebacks of failed handlers. They may quote texts of people.
    """

    dispatcher: Dispatcher
    client: Client
    storage: Storage
    clock: Clock
    rate_limit: SendRateLimit
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    log_tracebacks: bool = False
    outbound: Outbound = field(default_factory=lambda: Outbound(Plugins()))

    @property
    def plugins(self) -> Plugins:
        return self.outbound.plugins

    async def run(self, lease: Lease, owner: Owner | None = None) -> None:
        """Handle a leased delivery and finish it.

        Raises:
            StorageError: the outcome could not be stored. The delivery stays in its lane, and is handled again.
        """
        began = time.perf_counter()
        if self.plugins.taken is not None:
            waited_s = self.clock.now() - lease.delivery.received_at
            counts = {"attempts": lease.attempts, "crashes": lease.crashes, "replay": lease.replay}
            self.plugins.notify_taken(lease.delivery, waited_s=waited_s, **counts)
        end: End | None = "lost"
        try:
            end = await self._run(lease, began, owner)
        finally:
            if end is not None:
                self._finished(lease, end, began)

    def _finished(self, lease: Lease, end: End, began: float) -> None:
        if (finished := self.plugins.finished) is not None:
            finished(delivery=lease.delivery, outcome=end, took_s=time.perf_counter() - began)

    async def _run(self, lease: Lease, began: float, owner: Owner | None) -> End | None:
        """Return the end of the turn for the `finished` hook; None if the turn was given up and another task ends it."""
        delivery = lease.delivery
        if lease.crashes >= self.retry_policy.crashes:
            reason = f"The process died {lease.crashes} times while handling it, or its turn never ended."
            return await self._finish(lease, DeadLetter(reason), None)
        if delivery.id.startswith(PROBE_ID) or (
            delivery.type not in RECEIPTS and self.dispatcher.has_no_handler(delivery.type)
        ):
            return await self._finish(lease, Ack(), None)
        try:
            known = [] if lease.is_first_run else await self.storage.entries(delivery.id, lease.replay)
        except StorageUnavailable as error:
            # The turn must not begin without its journal, or it would repeat calls. It is deferred for a short time.
            failure = TurnFailure(error)
            return await self._finish(lease, decide(lease, failure, self.retry_policy, now=self.clock.now()), None)
        journal = TurnJournal(
            self.storage,
            self.clock,
            self.rate_limit,
            turn=delivery.id,
            replay=lease.replay,
            known=known,
            outbound=self.outbound,
            off_the_record=delivery.is_off_the_record,
        )
        turn = _Running(lease, journal, began, asyncio.current_task(), owner)
        outcome = await self._outcome(turn)
        return None if turn.given_up else await self._finish(lease, outcome, journal)

    async def _outcome(self, turn: _Running) -> Outcome:
        """Run the code of the turn, and turn its result or its error into an outcome."""
        deadline = Deadline(self.dispatcher.deadline_s, partial(self._give_up, turn))
        try:
            return await self._outcome_within(turn, deadline)
        finally:
            deadline.close()

    async def _outcome_within(self, turn: _Running, deadline: Deadline) -> Outcome:
        error: BaseException | None = None
        try:
            await self._handle(turn, deadline)
            with deadline:
                await turn.journal.settle()
        except BaseException as raised:
            if is_ctrl_c(raised) or (isinstance(raised, GeneratorExit) and is_closing(turn.task)):
                raise
            error = raised
        if turn.given_up or (turn.owner is not None and turn.owner.is_stopping and error is not None):
            return Defer(self.clock.now(), "stopped")
        if turn.task is not None and turn.task.cancelling():
            await _forget_cancellations(turn.task)
        turn.journal.close()
        if error is not None:
            await self._wait_for_calls(turn, deadline)
        # A call that was deferred or failed decides the outcome, even if the handler swallowed its error.
        error = turn.journal.deferred or error or turn.journal.unobserved_failure()
        if error is None:
            return self._handled(turn)
        if isinstance(error, LinqApiError) and error.code == OPTED_OUT and turn.ctx is None:
            log.info("send.opted_out", delivery=turn.lease.delivery.id)
            return Ack()
        return self._failed(turn, error)

    async def _handle(self, turn: _Running, deadline: Deadline) -> None:
        """Make the calls of a due scheduled send; for any other delivery, run the handler of its event."""
        client = self.client.wrapped(turn.journal.wrap)
        due = due_send(turn.lease.delivery)
        if due is not None:
            due.check(self.clock.now())
            turn.journal.origin = due.origin
            with deadline:
                for call in due.calls:
                    with contextlib.suppress(MessageGone):
                        await client.run(call)
            return
        event = await self._parse(turn.lease)
        turn.journal.origin = origin_of(event)
        turn.ctx = self.dispatcher.context(event, client, turn.journal, deadline)
        turn.handling = time.perf_counter()
        await self.dispatcher.dispatch(event, turn.ctx)

    async def _wait_for_calls(self, turn: _Running, deadline: Deadline) -> None:
        """Wait for the calls that the tasks of a failed handler are still making, so that their outcome is journalled."""
        deadline.give_extra_time()
        with contextlib.suppress(TimeoutError), deadline:
            await turn.journal.settle()

    def _handled(self, turn: _Running) -> Outcome:
        if (handled := self.plugins.handled) is not None and turn.ctx is not None:
            took_s = time.perf_counter() - turn.handling
            handled(delivery=turn.lease.delivery, event=turn.ctx.event, handler=turn.ctx.handler, took_s=took_s)
        return Ack()

    def _failed(self, turn: _Running, error: BaseException, *, at: str | None = None) -> Retry | Defer | DeadLetter:
        ctx = turn.ctx
        failure = TurnFailure(
            error,
            ctx.handler if ctx else None,
            ctx.attempts if ctx else None,
            at or (ctx.stuck_at if ctx else None),
            ctx.handler_at if ctx else None,
            # Linq would refuse the same scheduled send again, so a retry is useless.
            is_final=ctx is None and isinstance(error, LinqApiError | SendMissed),
        )
        outcome = decide(
            turn.lease, failure, self.retry_policy, now=self.clock.now(), log_tracebacks=self.log_tracebacks
        )
        if (failed := self.plugins.failed) is not None:
            failed(
                delivery=turn.lease.delivery,
                event=ctx.event if ctx else None,
                handler=failure.handler,
                error=error,
                outcome=ENDS[type(outcome)],
                took_s=time.perf_counter() - turn.began,
            )
        return outcome

    def _give_up(self, turn: _Running) -> None:
        """End a turn whose code ignores its cancellation: refuse its further calls, and decide the outcome without it."""
        assert turn.task is not None
        at = place_of_task(turn.task)
        turn.given_up = True
        turn.journal.close("its turn had been ended, because it exceeded its time limit")
        handler = turn.ctx.handler if turn.ctx else None
        log.error("handler.stuck", delivery=turn.lease.delivery.id, handler=handler, at=at)
        error = TimeoutError("It exceeded its time limit, was cancelled, and still runs.")
        outcome = self._failed(turn, error, at=at)
        if turn.owner is not None:
            turn.owner.detach(turn.task, self._end_given_up(turn, outcome))

    async def _end_given_up(self, turn: _Running, outcome: Outcome) -> None:
        end: End = "lost"
        try:
            end = await self._finish(turn.lease, outcome, turn.journal)
        finally:
            self._finished(turn.lease, end, turn.began)

    async def _parse(self, lease: Lease) -> Event:
        event = parse(lease.delivery)
        if isinstance(event, MessageSent | MessageDelivered | MessageRead | MessageFailed):
            await self._note_receipt(event)
            return event
        return await with_replies_to_me(event, self._is_from_us)

    async def _note_receipt(self, event: MessageSent | MessageDelivered | MessageRead | MessageFailed) -> None:
        """Store the delivery status of a message of ours. It also settles a send whose answer was lost."""
        status = RECEIPTS[event.type]
        key = None if isinstance(event, MessageFailed) else event.idempotency_key
        await self.storage.settle_receipt(key, event.message_id, status)
        if status == "failed":
            log.warning("send.failed", message_id=event.message_id, chat_id=event.chat_id, event_id=event.event_id)

    async def _is_from_us(self, message_id: str) -> bool:
        """Return True if we sent a message: the journal knows the recent ones, and Linq the others."""
        if await self.storage.has_sent(message_id):
            return True
        try:
            return (await self.client.messages.retrieve(message_id)).is_from_me
        except (LinqUnavailable, RateLimited):
            raise
        except LinqApiError:
            return False

    async def _finish(self, lease: Lease, outcome: Outcome, journal: TurnJournal | None) -> End:
        # The scheduled sends of a failed run are not stored: its next run schedules them again.
        is_done = isinstance(outcome, Ack)
        finish = Finish(
            outcome,
            journal.outcomes(with_digests=not is_done) if journal else (),
            timers=journal.timers if journal and is_done else (),
            off_the_record=lease.delivery.is_off_the_record,
        )
        while True:
            try:
                await self.storage.finish(lease, finish)
            except LeaseLost:
                # Another turn has the lane. The journal has the calls of this turn, so the other does not repeat them.
                log.warning("turn.lease_lost", delivery=lease.delivery.id)
                return "lost"
            except StorageUnavailable as error:
                # Keep the lane until the outcome is on disk. Going on without it could send twice after a crash.
                log.error("turn.unfinished", delivery=lease.delivery.id, error=str(error))
                await self.clock.wait_until(self.clock.now() + STORAGE_PAUSE_S)
            except StorageError as error:
                if finish.outcome is not outcome:
                    raise
                # The same write would fail again and block the lane, so store a dead letter without the calls instead.
                log.error("turn.unwritable", delivery=lease.delivery.id, error=str(error))
                finish = Finish(DeadLetter(f"Its outcome could not be stored: {readable(str(error))}"))
            else:
                return ENDS[type(finish.outcome)]


async def _forget_cancellations(task: asyncio.Task[None]) -> None:
    """Clear cancellations that the handler requested for its own task, so that they do not interrupt the turn's end."""
    while task.cancelling():
        task.uncancel()
    # A cancellation that was requested but not raised yet is raised at the next await.
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
