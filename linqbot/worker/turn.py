"""One turn: a delivery understood, its handler run, and everything it did closed in one commit.

Here is decided what a failure means. A handler's own error is retried with growing pauses and buried after a few
attempts; Linq being away is nobody's error and only parks the turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sysconfig
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import structlog

from linqbot.bot.context import OPTED_OUT, Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import (
    AmbiguousEffect,
    LeaseLost,
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    NoVerdict,
    RateLimited,
    Refused,
    RuleBroken,
    StorageUnavailable,
)
from linqbot.events.delivery import PROBE_ID
from linqbot.events.event import Event
from linqbot.events.message import MessageDelivered, MessageFailed, MessageRead, MessageReceived, MessageSent
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.hookspecs import End
from linqbot.plugins import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Bury, Finish, Lease, Outcome, Park, Retry
from linqbot.storage.outbox import DeliveryStatus
from linqbot.worker.due import DueSend, due_send
from linqbot.worker.ledger import Ledger, TurnParked
from linqbot.worker.origin import origin_of
from linqbot.worker.outbound import Outbound
from linqbot.worker.pace import Pace

log = structlog.get_logger("linqbot.worker")

RECEIPTS: Final[dict[str, DeliveryStatus]] = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.read": "read",
    "message.failed": "failed",
}
ENDS: Final[dict[type[Outcome], Literal["ack", "retry", "park", "bury"]]] = {
    Ack: "ack",
    Retry: "retry",
    Park: "park",
    Bury: "bury",
}
_OTHERS: Final = tuple({str(Path(__file__).parent.parent), *(str(Path(p)) for p in sysconfig.get_paths().values())})
"""Where code lies that is not the bot's: linqbot, the standard library, installed packages."""
STORAGE_PAUSE_S = 1.0
"""How long to leave a storage alone that could not write."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are retried.

    Attributes:
        attempts: Runs of a handler before its delivery is buried.
        first_s, most_s: Pause after the first failure, doubled each time up to the most; a quarter of it is chance.
        crashes: Times the process may die over a delivery before it is buried.
        deadline_s: Longest a handler may run; then it counts as failed.
        park_s: Pause when Linq is away and does not say for how long.
        park_for_s: Longest a turn stays parked, counted from its delivery.
    """

    attempts: int = 5
    first_s: float = 1.0
    most_s: float = 300.0
    crashes: int = 3
    deadline_s: float = 900.0
    park_s: float = 30.0
    park_for_s: float = 86_400.0

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        pause = min(self.first_s * 2.0 ** (failures - 1), self.most_s)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True)
class Turns:
    """Runs turns. What one needs stands here; what it does is `run`."""

    dispatcher: Dispatcher
    client: Client
    storage: Storage
    clock: Clock
    pace: Pace
    patience: Patience = Patience()
    log_tracebacks: bool = False
    outbound: Outbound = field(default_factory=lambda: Outbound(Plugins()))

    @property
    def plugins(self) -> Plugins:
        return self.outbound.plugins

    async def run(self, lease: Lease) -> None:
        """Handle a claimed delivery and finish it.

        Raises:
            StorageError: the outcome could not be written. The delivery stays, and will be handled again.
        """
        began = time.perf_counter()
        if self.plugins.taken is not None:
            waited_s = self.clock.now() - lease.delivery.received_at
            told = {"attempts": lease.attempts, "crashes": lease.crashes, "run": lease.run}
            self.plugins.take(lease.delivery, waited_s=waited_s, **told)
        end: End = "lost"
        try:
            end = await self._run(lease, began)
        finally:
            if (finished := self.plugins.finished) is not None:
                finished(delivery=lease.delivery, outcome=end, took_s=time.perf_counter() - began)

    async def _run(self, lease: Lease, began: float) -> End:
        delivery = lease.delivery
        if lease.crashes >= self.patience.crashes:
            reason = f"The process died {lease.crashes} times while handling it."
            return await self._finish(lease, Bury(reason), None)
        if delivery.id.startswith(PROBE_ID) or (
            delivery.type not in RECEIPTS and self.dispatcher.is_nobodys(delivery.type)
        ):
            return await self._finish(lease, Ack(), None)
        known = [] if lease.is_first_run else await self.storage.effects(delivery.id, lease.run)
        ledger = Ledger(
            self.storage,
            self.clock,
            self.pace,
            turn=delivery.id,
            run=lease.run,
            known=known,
            outbound=self.outbound,
            off_the_record=delivery.is_off_the_record,
        )
        due = due_send(delivery)
        outcome = await (
            self._outcome(lease, ledger, began) if due is None else self._send_due(lease, due, ledger, began)
        )
        return await self._finish(lease, outcome, ledger)

    async def _outcome(self, lease: Lease, ledger: Ledger, began: float) -> Outcome:
        ctx: Context | None = None
        try:
            event = await self._understood(lease)
            ledger.origin = origin_of(event)
            ctx = self.dispatcher.context(event, self.client.wrapped(ledger.wrap), ledger)
            handling = time.perf_counter()
            await self.dispatcher.dispatch(event, ctx)
        except asyncio.CancelledError:
            # The worker stops: give the delivery back at once, it was not its fault.
            return Park(self.clock.now(), "stopped")
        except BaseException as error:  # noqa: BLE001 - whatever ends a handler is decided here
            return self._told(lease, error, ctx, self._decided(lease, error, ctx), began)
        if (handled := self.plugins.handled) is not None:
            took_s = time.perf_counter() - handling
            handled(delivery=lease.delivery, event=event, handler=ctx.handler, took_s=took_s)
        return Ack()

    def _told(self, lease: Lease, error: BaseException, ctx: Context | None, outcome: Outcome, began: float) -> Outcome:
        """The outcome, once plugins know what it came from."""
        if (failed := self.plugins.failed) is not None:
            failed(
                delivery=lease.delivery,
                event=ctx.event if ctx else None,
                handler=ctx.handler if ctx else None,
                error=error,
                outcome=ENDS[type(outcome)],
                took_s=time.perf_counter() - began,
            )
        return outcome

    async def _send_due(self, lease: Lease, due: DueSend, ledger: Ledger, began: float) -> Outcome:
        """Make the calls of a send whose time has come. What Linq refuses now, it would refuse again."""
        late_s = self.clock.now() - due.due
        if late_s > due.grace_s:
            return Bury(f"It was due {late_s:.0f} s ago, and {due.grace_s:.0f} s late was the most that was allowed.")
        ledger.origin = due.origin
        run = ledger.wrap(self.client.run)
        try:
            for call in due.calls:
                with contextlib.suppress(MessageGone):
                    await run(call)
        except asyncio.CancelledError:
            return Park(self.clock.now(), "stopped")
        except BaseException as error:  # noqa: BLE001 - decided here, as for handlers
            outcome: Outcome
            if isinstance(error, LinqUnavailable | RateLimited) or not isinstance(error, LinqApiError):
                outcome = self._decided(lease, error, None)
            else:
                outcome = Ack() if error.code == OPTED_OUT else Bury(str(error))
            return outcome if isinstance(outcome, Ack) else self._told(lease, error, None, outcome, began)
        return Ack()

    def _decided(self, lease: Lease, error: BaseException, ctx: Context | None) -> Outcome:
        handler = ctx.handler if ctx else None
        cause = _cause(error)
        if isinstance(cause, TurnParked):
            return self._park(lease, str(cause), cause.after_s)
        if isinstance(cause, LinqUnavailable | RateLimited):
            return self._park(lease, str(cause), cause.retry_after_s)
        if isinstance(cause, LinqApiError) and cause.status == 401:
            # A wrong key is the operator's to mend, and must not cost anybody their message.
            return self._park(lease, f"{cause} Check LINQ_API_V3_API_KEY.", None)
        if isinstance(cause, StorageUnavailable | NoVerdict):
            return self._park(lease, str(cause), STORAGE_PAUSE_S if isinstance(cause, StorageUnavailable) else None)
        if isinstance(cause, AmbiguousEffect | EventNotUnderstood | Refused):
            # Running again would end the same way: a person, or the next release, decides.
            return Bury(_refusal(lease, cause) if isinstance(cause, Refused) else str(cause), handler)
        if not isinstance(error, Exception):
            raise error
        return self._failed(lease, error, handler, (ctx.attempts if ctx else None) or self.patience.attempts)

    async def _understood(self, lease: Lease) -> Event:
        event = parse(lease.delivery)
        if isinstance(event, MessageSent | MessageDelivered | MessageRead | MessageFailed):
            await self._note_receipt(event)
            return event
        if not (isinstance(event, MessageReceived) and event.is_group and event.reply_to is not None):
            return event
        # Only a group needs to know it, and only there is a question to Linq worth its time.
        is_ours = await self._is_ours(event.reply_to.message_id)
        return event.model_copy(update={"replies_to_me": is_ours})

    async def _note_receipt(self, event: MessageSent | MessageDelivered | MessageRead | MessageFailed) -> None:
        """Write down what became of a message of ours. It may tell of a send whose answer we never saw."""
        status = RECEIPTS[event.type]
        key = None if isinstance(event, MessageFailed) else event.idempotency_key
        await self.storage.settle_receipt(key, event.message_id, status)
        if status == "failed":
            log.warning("send.failed", message_id=event.message_id, chat_id=event.chat_id, event_id=event.event_id)

    async def _is_ours(self, message_id: str) -> bool:
        """Whether we wrote a message: our ledger knows the recent ones, Linq the rest."""
        if await self.storage.has_sent(message_id):
            return True
        try:
            return (await self.client.messages.retrieve(message_id)).is_from_me
        except (LinqUnavailable, RateLimited):
            raise
        except LinqApiError:
            return False

    def _park(self, lease: Lease, reason: str, after_s: float | None) -> Outcome:
        now = self.clock.now()
        if now - lease.delivery.received_at > self.patience.park_for_s:
            return Bury(f"It waited in vain for {self.patience.park_for_s / 3600:.0f} hours: {reason}")
        log.warning("turn.parked", delivery=lease.delivery.id, reason=reason)
        return Park(now + (self.patience.park_s if after_s is None else after_s), reason)

    def _failed(self, lease: Lease, error: Exception, handler: str | None, attempts: int) -> Outcome:
        failures = lease.attempts + 1
        facts = {
            "delivery": lease.delivery.id,
            "handler": handler,
            "attempt": failures,
            "error": type(error).__name__,
            "at": _place(error),
            **_numbers(error),
            # A traceback quotes what the handler was given, so it is for one's own terminal.
            "exc_info": error if self.log_tracebacks else None,
        }
        if failures >= attempts:
            log.error("turn.buried", **facts, see="linqbot inbox dead")
            return Bury("".join(traceback.format_exception(error)), handler, failed=True)
        pause_s = self.patience.pause_s(failures)
        log.warning("turn.failed", **facts, again_in_s=round(pause_s, 1))
        return Retry(self.clock.now() + pause_s, f"{type(error).__name__} at {_place(error)}")

    async def _finish(self, lease: Lease, outcome: Outcome, ledger: Ledger | None) -> End:
        # What a failed run put off, its next run puts off again.
        timers = ledger.timers if ledger and isinstance(outcome, Ack) else ()
        finish = Finish(
            outcome,
            ledger.outcomes if ledger else (),
            timers=timers,
            off_the_record=lease.delivery.is_off_the_record,
        )
        while True:
            try:
                await self.storage.finish(lease, finish)
            except LeaseLost:
                # Somebody else has the lane; what we did stands in the ledger, so they will not do it again.
                log.warning("turn.lease_lost", delivery=lease.delivery.id)
                return "lost"
            except StorageUnavailable as error:
                # The lane is held until the end of its turn is on disk: going on would answer twice after a crash.
                log.error("turn.unfinished", delivery=lease.delivery.id, error=str(error))
                await self.clock.wait_until(self.clock.now() + STORAGE_PAUSE_S)
                continue
            return ENDS[type(outcome)]


def _refusal(lease: Lease, error: Refused) -> str:
    log.info("turn.refused", delivery=lease.delivery.id, plugin=error.plugin, reason=str(error))
    return f"A call was refused by {error.plugin or 'outbound middleware'}: {error}"


def _cause(error: BaseException) -> BaseException:
    """What ended a handler, also when it came out of a task group: a parked turn wins over what it cancelled."""
    if isinstance(error, BaseExceptionGroup):
        found: BaseException | None = error.subgroup(
            (TurnParked, LinqUnavailable, MessageGone, NoVerdict, RateLimited, StorageUnavailable)
        )
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return found or error
    return error


def _place(error: BaseException) -> str:
    """Where an error came from, as `file:line` of the bot's own code if it passed through any.

    The message is left out: it may quote what a person wrote.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OTHERS)]
    frame = (own or frames)[-1:]
    return f"{Path(frame[0].filename).name}:{frame[0].lineno}" if frame else "?"


def _numbers(error: BaseException) -> dict[str, object]:
    """What may be told of an error beside its name: numbers and names of Linq's, no words."""
    if isinstance(error, LinqApiError):
        return {"call": error.call, "status": error.status, "code": error.code, "trace_id": error.trace_id}
    return {"rule": error.rule} if isinstance(error, RuleBroken) else {}
