"""One turn: a delivery is parsed, its handler runs, and one commit stores the outcome.

Every error of a handler ends here, and becomes an outcome (`failure.py`). If the worker was asked to stop, the delivery is
released without counting an attempt. If the process ends without being asked to, the delivery stays leased, and the next
start counts a crash. This is the last step of the path of an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal, TypeAlias

import structlog

from linqbot.bot.deadline import Deadline
from linqbot.bot.dispatch import ChoiceFailed, Dispatcher
from linqbot.bot.routing.opt_out import opts_out
from linqbot.bot.turn_context import TurnContext, turn_watcher
from linqbot.client.alarms import Alarms
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import (
    AskEnded,
    LeaseLost,
    LinqApiError,
    StateConflict,
    StorageBusy,
    StorageError,
    StorageUnavailable,
    Suspended,
)
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.events.lane import chat_of_lane
from linqbot.events.message import MessageEvent, MessageReceipt
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.frames import place_of, place_of_task
from linqbot.hookspecs import End
from linqbot.interrupts import is_closing, is_ctrl_c
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, DeadLetter, Defer, Finish, Lease, Outcome, Retry
from linqbot.storage.journal import RECEIPTS, Receipt
from linqbot.worker import never_awaited, trouble
from linqbot.worker.asking.arrivals import ANSWERS_WITHOUT_CHAT, NOTHING, Arrival, arrival, in_chat
from linqbot.worker.asking.opening import Opening, end_of_arrival, first_opening, open_turn
from linqbot.worker.asking.records import ORDER_PREFIX
from linqbot.worker.asking.turn_session import TurnSession
from linqbot.worker.calls import own_changes
from linqbot.worker.calls.outbound_plugins import Outbound
from linqbot.worker.calls.rate_limit import SendRateLimit
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.due import SendMissed, unreachable
from linqbot.worker.failure import (
    OTHER_RELEASE_S,
    STORAGE_PAUSE_S,
    OfOtherRelease,
    RetryPolicy,
    TurnFailure,
    conflict_of,
    decide,
    outdated,
    readable,
)
from linqbot.worker.kinds import kind_of
from linqbot.worker.lookups import KnownChats, is_from_us, look_up_chat, with_answers, with_replies_to_me
from linqbot.worker.missed import FOUND_ID
from linqbot.worker.optout import opt_out
from linqbot.worker.overlapping import StateQueue, TurnOverlap
from linqbot.worker.turn_end import Owner, Turn, origin_of

log = structlog.get_logger("linqbot.worker")

NEEDED: Final = frozenset(RECEIPTS) | ANSWERS_WITHOUT_CHAT
"""The event types that are looked at even if no handler takes them."""
ENDS: Final[dict[type[Outcome], Literal["ack", "retry", "defer", "dead_letter"]]] = {
    Ack: "ack",
    Retry: "retry",
    Defer: "defer",
    DeadLetter: "dead_letter",
}
"""The names of outcomes for the hooks of plugins."""
STUCK: Final = "It exceeded its time limit, was cancelled, and still runs."
"""The error of a handler that ignores its cancellation."""
LONGEST_STORAGE_PAUSE_S: Final = 60.0
"""Most seconds between two attempts to give a lease back."""
RESTART: Final = "restart"
"""The end of a run that a newer message of the person has interrupted. It is no outcome: the turn begins again."""
GO_LIVE: Final = "live"
"""The end of a run whose handler did not come to the open question. It is no outcome: the handler runs again, and what it
does on its new way counts; see `Opening.live_from`."""
ANSWER: Final = "answer"
"""The end of a run in which no handler with `during_ask=True` took the event. It is no outcome: the event answers the open
question, whose handler runs."""
Stored: TypeAlias = Outcome | Literal["lost"]
"""The outcome that was stored; `lost` if none could be stored."""


@dataclass(slots=True)
class Turns:
    """Runs turns, with everything that turns share.

    Attributes:
        log_tracebacks: True logs the tracebacks of failed handlers. They may quote texts of people.
        log_turns: True logs a line for each turn that is acked. Turns that fail are always logged.
        shared_since: The Unix time at which this process began to share the storage with others; infinite if it is alone.
        serving_since: The Unix time at which this process began to serve.
    """

    dispatcher: Dispatcher
    client: Client
    storage: Storage
    clock: Clock
    rate_limit: SendRateLimit
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    log_tracebacks: bool = False
    outbound: Outbound = field(default_factory=lambda: Outbound(Plugins()))
    log_turns: bool = False
    state_queue: StateQueue = field(default_factory=StateQueue)
    known_chats: KnownChats = field(default_factory=KnownChats)
    alarms: Alarms = field(default_factory=Alarms)
    shared_since: float = math.inf
    serving_since: float = 0.0
    _ends: list[Callable[[Turn, Finish], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._ends = [self._end_notices]
        if own_changes.are_awaited(self.dispatcher.handled):
            self._ends.append(self._end_own_changes)

    async def run(self, lease: Lease, owner: Owner | None = None) -> None:
        """Handle a leased delivery and finish it, however long the storage is away."""
        plugins = self.outbound.plugins
        if plugins.taken is not None:
            waited_s = self.clock.now() - lease.delivery.received_at
            counts = {"attempts": lease.attempts, "crashes": lease.crashes, "replay": lease.replay}
            plugins.notify_taken(lease.delivery, waited_s=waited_s, **counts)
        turn = self._new_turn(lease)
        turn.owner = owner
        end: Stored | None = "lost"
        try:
            end = await self._run(turn)
        except StorageError as error:
            # The turn could not begin.
            end = await self.give_back(lease, self._judged(lease, error))
        except Exception as error:  # noqa: BLE001 - a mistake in linqbot, not in a handler
            end = await self._end_crashed(lease, error)
        finally:
            self.state_queue.leave(lease.delivery.id, runs_again=isinstance(end, Retry | Defer))
            if end is not None and plugins.finished is not None:
                self._finished(lease, end, turn.began)

    async def _end_crashed(self, lease: Lease, error: Exception) -> Stored:
        """End a turn in which linqbot itself has failed. Else the chat would wait for it as long as the process runs."""
        at = place_of(error)
        log.error("turn.crashed", delivery=lease.delivery.id, error=type(error).__name__, at=at)
        if isinstance(error, OSError | MemoryError):
            # The machine has run out of something, such as open files. The next run may find more.
            return await self.give_back(lease, self._judged(lease, error))
        dead = DeadLetter(f"linqbot itself failed with {type(error).__name__} at {at}. Please report this.")
        return await self.give_back(lease, dead)

    async def end_broken_off(self, lease: Lease, error: GeneratorExit) -> None:
        """End a turn that could not store its end itself, because its coroutines were closed; see `worker.py`."""
        await self._finish(self._new_turn(lease), self._judged(lease, error))

    async def give_back(self, lease: Lease, outcome: Outcome) -> Stored:
        """End a lease with the outcome alone, however long the storage fails. Else its chat would wait for its end."""
        return await self._finish(_bare(lease), outcome)

    def _finished(self, lease: Lease, end: Stored, began: float) -> None:
        if (finished := self.outbound.plugins.finished) is None:
            return
        name: End = "lost" if end == "lost" else ENDS[type(end)]
        again_in_s = max(0.0, end.at - self.clock.now()) if isinstance(end, Retry | Defer) else None
        reason = end.reason if isinstance(end, Defer) else end.error if isinstance(end, Retry | DeadLetter) else None
        took_s = time.perf_counter() - began
        finished(delivery=lease.delivery, outcome=name, took_s=took_s, again_in_s=again_in_s, reason=reason)

    def _log_acked(self, turn: Turn) -> None:
        """Log a turn that was acked, with ids only. Receipts without a handler are the journal's, and are not logged."""
        delivery = turn.lease.delivery
        if (handler := turn.handler) is None and delivery.type in RECEIPTS:
            return
        ms = round((time.perf_counter() - turn.began) * 1000, 1)
        log.info(
            "turn.acked",
            delivery=delivery.id,
            type=delivery.type,
            handler=handler,
            attempt=turn.lease.attempts + 1,
            ms=ms,
        )

    def _needs_no_turn(self, delivery: Delivery) -> bool:
        """Return True if no handler takes events of this type, and neither the journal nor a question needs it."""
        return (
            delivery.type not in NEEDED
            and self.dispatcher.has_no_handler(delivery.type)
            and not (delivery.type == "message.received" and _is_opt_out(delivery))
        )

    async def _run(self, turn: Turn) -> Stored | None:
        """Return the stored outcome, for `finished`; None if the turn was given up and another task ends it."""
        try:
            outcome = await self._open(turn)
        except (StorageUnavailable, StorageBusy, OfOtherRelease) as error:
            # The turn must not begin without its journal, or it would repeat calls, and not without its handler. It is
            # deferred for a short time.
            outcome = self._judged(turn.lease, error)
        except ChoiceFailed as failed:
            outcome = self._failed(turn, failed.__cause__ or failed)
        if outcome is None:
            return await self._run_handler(turn)
        return await self._finish(turn, outcome)

    async def _open(self, turn: Turn) -> Outcome | None:
        """Find out what a turn begins with. Return its outcome if it needs no handler; None if it does."""
        lease, delivery = turn.lease, turn.lease.delivery
        chat_id = chat_of_lane(delivery.lane)
        kind = turn.kind
        if kind is not None and kind.open is not None and (outcome := await kind.open(self, turn)) is not None:
            return outcome
        arrived = NOTHING
        asked = () if chat_id is None else self.storage.conversations_in(chat_id)
        if asked or delivery.id.startswith(ORDER_PREFIX):
            arrived = await arrival(
                delivery,
                asked,
                self.dispatcher,
                self.storage,
                put_back=lease.put_back,
                others_since=self.shared_since if self.may_be_of_other_release(delivery) else math.inf,
            )
        if arrived is NOTHING and self._needs_no_turn(delivery):
            return Ack()
        has_no_chat = chat_id is None and delivery.type in ANSWERS_WITHOUT_CHAT
        if has_no_chat and (answer := await in_chat(delivery, self.storage)) is not None:
            await self.storage.put(answer)
            return Ack()
        is_found = delivery.id.startswith(FOUND_ID)
        # No handler gets what was found at Linq, also none with `during_ask=True`: its webhook may still come.
        arrived = (arrived.answer or arrived) if is_found else arrived
        if arrived.is_void or arrived.counted is not None or (is_found and arrived.outcome is None):
            turn.opening.arrival = arrived
            turn.ends.append(end_of_arrival)
            watcher = turn_watcher.get()
            if arrived.counted is not None and watcher is not None and arrived.question is not None:
                watcher.met_question(arrived.question.text, arrived.counted.handler, "counted")
            return Ack()
        if arrived is not NOTHING or not lease.is_first_run:
            turn.opening = await open_turn(lease, arrived, self.storage)
        if lease.crashes > 0 and await self._is_poison(lease, turn.opening):
            is_opt_out = chat_id is not None and delivery.type == "message.received" and _is_opt_out(delivery)
            ended = await opt_out(chat_id or "", self.storage, self.clock.now()) if is_opt_out else None
            turn.ends.append(end_of_arrival if ended is None else ended.end)
            return DeadLetter(f"The process died {lease.crashes} times while handling it, or its turn never ended.")
        return None

    async def _is_poison(self, lease: Lease, opening: Opening) -> bool:
        """Return True if a delivery has crashed the process too often without its turn going on, or too often in all."""
        # The entries before an answer arrived are those of the earlier parts of its conversation.
        progress = opening.progress_after(lease.delivery.received_at)
        crashes = lease.crashes - await self.storage.note_progress(lease, progress)
        return crashes >= self.retry_policy.crashes or lease.crashes >= self.retry_policy.crashes_in_all

    def may_be_of_other_release(self, delivery: Delivery) -> bool:
        """Return True if a process with another release of the bot may serve too, as during a rolling update.

        Only for a while after the arrival: if the other release was withdrawn, no process has its handlers.
        """
        return self.shared_since < math.inf and self.clock.now() < delivery.received_at + OTHER_RELEASE_S

    async def _run_handler(self, turn: Turn) -> Stored | None:
        """Run the handler and store the end of the turn; see `_run`."""
        self._begin(turn)
        try:
            outcome = await self._outcome(turn, await self._raised(turn))
        finally:
            turn.deadline.close()
            if turn.ctx is not None:
                turn.ctx.discard_plugins()
        if turn.given_up:
            return None
        if outcome == "lost":
            return outcome
        if isinstance(outcome, str):
            begin = {GO_LIVE: self._live_opening, ANSWER: self._answer_opening, RESTART: self._begin_again}[outcome]
            again = await begin(turn)
            if isinstance(again, Opening):
                return await self._run_handler(self._new_turn(turn.lease, turn, again))
            if isinstance(again, Lease):
                return await self._run(self._new_turn(again, turn))
            outcome = again
        if isinstance(outcome, Ack) and turn.overlap is not None:
            outcome = await self._put_back_untaken(turn, turn.overlap)
        if turn.overlap is not None:
            turn.lease = turn.overlap.lease
        end = await self._finish(turn, outcome)
        if self.log_turns and isinstance(end, Ack):
            self._log_acked(turn)
        return end

    def _new_turn(self, lease: Lease, before: Turn | None = None, opening: Opening | None = None) -> Turn:
        """Return a turn. It goes on for `before`, whose handler must run again."""
        turn = _bare(lease)
        turn.ends += self._ends
        if opening is not None:
            turn.opening = opening
        if before is not None:
            turn.owner, turn.began = before.owner, before.began
        return turn

    def _begin(self, turn: Turn) -> None:
        """Let a turn run in the current task: give it what its handler needs."""
        lease, opening = turn.lease, turn.opening
        turn.task = asyncio.current_task()
        turn.is_running = True
        journal = turn.journal = TurnJournal(
            self.storage,
            self.clock,
            self.rate_limit,
            turn=opening.turn,
            replay=opening.replay,
            known=opening.known,
            outbound=self.outbound,
            off_the_record=opening.off_the_record,
            task=turn.task,
            lease=lease,
        )
        turn.client = self.client.wrapped(journal.wrap)
        turn.deadline = Deadline(self.dispatcher.deadline_s, partial(self._give_up, turn), self.alarms)
        turn.asking = TurnSession(turn.ends, journal, self.storage, self.dispatcher, self.clock, lease, opening)
        if turn.task is not None and (self.dispatcher.overlaps or _has_taken(lease)):
            turn.overlap = TurnOverlap(
                lease,
                journal,
                turn.task,
                self.storage,
                self.dispatcher,
                asking=None if opening.conversation is not None else turn.asking,
                known=opening.known,
                root=None if opening.conversation is None else opening.conversation.root,
            )

    async def _live_opening(self, turn: Turn) -> Opening | Outcome:
        """Return the opening with which a handler runs again that has ended without coming to the open question.

        It took another way than before: its code has changed, or what it looks at. Its calls on that way were not made.
        """
        opening, session = turn.opening, turn.asking.session
        assert session is not None
        log.warning("ask.not_reached", conversation=opening.turn, handler=turn.handler)
        try:
            await asyncio.gather(*map(self.storage.settle, turn.journal.outcomes(with_digests=True)))
            known = await self.storage.entries(opening.turn, opening.replay)
        except (StorageError, LeaseLost) as error:
            return self._judged(turn.lease, error)
        return replace(opening, known=known, live_from=session.missed_in)

    async def _answer_opening(self, turn: Turn) -> Opening | Outcome:
        """Return the opening with which an event that no handler has taken aside answers the open question."""
        answer = turn.opening.arrival.answer
        assert answer is not None
        try:
            await asyncio.gather(*map(self.storage.settle, turn.journal.outcomes(with_digests=True)))
            return await open_turn(turn.lease, answer, self.storage)
        except (StorageError, LeaseLost) as error:
            return self._judged(turn.lease, error)

    async def _begin_again(self, turn: Turn) -> Lease | Outcome:
        """Store what an interrupted turn has done, and join the newer messages to it. Return the lease to go on with."""
        assert turn.overlap is not None
        try:
            done = turn.commit(Defer(self.clock.now(), "restarted"))
            settled = (self.storage.settle(entry) for entry in done.entries)
            waiting = (self.storage.schedule(timer) for timer in done.timers)
            await asyncio.gather(*settled, *waiting)
            return await turn.overlap.restarted(turn.journal.texts_sent())
        except (StorageError, LeaseLost) as error:
            # Nothing is lost: the newer messages wait in the lane, and the turn runs again with its journal.
            return self._judged(turn.lease, error)

    async def _put_back_untaken(self, turn: Turn, overlap: TurnOverlap) -> Outcome:
        """Give the messages turns of their own that only an earlier run of the handler has taken, before the ack drops them."""
        try:
            await overlap.put_back_untaken()
        except StorageError as error:
            return self._judged(turn.lease, error)
        return Ack()

    async def _raised(self, turn: Turn) -> BaseException | None:
        """Run the code of the turn, and return the error that it raised.

        The error's traceback holds the frames of this function and of its caller. So neither keeps the error in a variable:
        only the garbage collector would free both, and with them all that the failed handler had in memory.
        """
        try:
            try:
                await self._handle(turn)
            except (Suspended, AskEnded, BaseExceptionGroup) as ended:
                if not is_end_of_ask(ended):
                    raise
            if not turn.journal.is_settled:
                with turn.deadline:
                    await turn.journal.settle()
            self._note_state(turn)
        except BaseException as raised:
            if is_ctrl_c(raised) or (isinstance(raised, GeneratorExit) and is_closing(turn.task)):
                raise
            return raised
        return None

    async def _outcome(
        self, turn: Turn, error: BaseException | None
    ) -> Outcome | Literal["restart", "live", "answer", "lost"]:
        """Turn the result of the turn's code into an outcome, or the error that it raised."""
        if turn.given_up or (turn.owner is not None and turn.owner.is_stopping and error is not None):
            return Defer(self.clock.now(), "stopped")
        if turn.owner is not None and turn.owner.was_cancelled and error is not None:
            # The process ends, perhaps because of this turn: an end on record would hide the crash.
            return "lost"
        if turn.task is not None and turn.task.cancelling():
            await _forget_cancellations(turn.task)
        turn.journal.close()
        if error is not None:
            await self._wait_for_calls(turn)
            if turn.is_to_begin_again:
                return RESTART
        # A call that was deferred or failed decides the outcome, even if the handler swallowed its error.
        error = turn.deferred or error or turn.journal.unobserved_failure()
        if (coroutines := turn.journal.never_awaited()) and error is None:
            after = self.dispatcher.after_middleware
            error = never_awaited.error_of(coroutines, turn.ctx, after, turn.lease.delivery.id)
        if error is None:
            return self._handled(turn)
        if (conflict := conflict_of(error)) is not None:
            self._note_conflict(turn, conflict)
        if turn.ctx is None and (why := unreachable(error)) is not None:
            # A person who opts out means it. A group that was left may be a mistake, or another conflict that Linq added.
            (log.warning if why == "left" else log.info)(f"send.{why}", delivery=turn.lease.delivery.id)
            return Ack()
        return self._failed(turn, error)

    def _note_conflict(self, turn: Turn, conflict: StateConflict) -> None:
        """Note that a turn runs again because another turn has changed a value first."""
        turn.journal.note_conflict()
        self.state_queue.note(turn.lease.delivery.id, conflict)

    def _note_state(self, turn: Turn) -> None:
        """Note the state that a successful handler changed, for the commit that ends the turn."""
        writes = turn.ctx.close_state() if turn.ctx is not None else ()
        if writes and turn.journal.off_the_record:
            log.info("state.not_stored", delivery=turn.lease.delivery.id, why="Its line has zero retention.")
        else:
            turn.journal.state = writes

    async def _handle(self, turn: Turn) -> None:
        """Do what the kind of the delivery asks for, or run the handler of the event."""
        if not turn.lease.is_first_run:
            await self.state_queue.enter(turn.lease.delivery.id, self.clock)
        if turn.kind is not None and turn.kind.run is not None:
            await turn.kind.run(self, turn)
            return
        arrived = turn.opening.arrival
        if arrived is not NOTHING:
            turn.asking()
        event = await self.event(turn, turn.lease.delivery if arrived.event is None else arrived.event)
        if opts_out(event) and event.chat_id is not None:
            turn.journal.muted_chat = event.chat_id
            turn.ends.append((await opt_out(event.chat_id, self.storage, self.clock.now())).end)
        ctx = await self.context(turn, event)
        try:
            await self.dispatcher.dispatch(event, ctx)
        finally:
            if turn.overlap is not None:
                turn.overlap.end()

    async def event(self, turn: Turn, of: Delivery | Event) -> Event:
        """Return the event of a delivery, with what the webhook does not say."""
        event = await self._parse(of) if isinstance(of, Delivery) else of
        if not self._is_only_noted(event, turn.opening.arrival):
            event = await self.known_chats.complete(event, partial(look_up_chat, self.client))
        if event.type in own_changes.EVENT_TYPES:
            event = await self._with_author(event, turn)
        return event

    async def context(self, turn: Turn, event: Event) -> TurnContext:
        """Return the context of the handler that is about to run."""
        arrived, session = turn.opening.arrival, turn.asking.session
        resumption = session if turn.opening.conversation is not None else None
        turn.journal.origin = origin_of(event if resumption is None else resumption.root)
        turn.ctx = self.dispatcher.context(
            event,
            turn.client,
            turn.journal,
            turn.deadline,
            self.storage,
            asking=turn.asking,
            resumption=resumption,
            side=session if arrived.is_side else None,
            after_ask=arrived.after_ask,
            overlap=turn.overlap,
        )
        turn.ctx.note_lease(turn.lease)
        if turn.overlap is not None:
            await turn.overlap.forget_put_back()
        turn.handling = time.perf_counter()
        return turn.ctx

    async def _wait_for_calls(self, turn: Turn) -> None:
        """Wait for the calls that the tasks of a failed handler are still making, so that their outcome is journalled."""
        turn.deadline.give_extra_time()
        with contextlib.suppress(TimeoutError), turn.deadline:
            await turn.journal.settle()

    def _handled(self, turn: Turn) -> Outcome | Literal["live", "answer"]:
        session = turn.asking.session
        if session is not None and session.missed_in is not None:
            return GO_LIVE
        if turn.ctx is not None and turn.ctx.is_answer:
            return ANSWER
        if turn.ctx is not None and turn.ctx.is_outdated:
            return outdated(turn.lease)
        if (handled := self.outbound.plugins.handled) is not None and turn.ctx is not None:
            took_s = time.perf_counter() - turn.handling
            handled(delivery=turn.lease.delivery, event=turn.ctx.event, handler=turn.handler, took_s=took_s)
        return Ack()

    def _judged(self, lease: Lease, error: BaseException) -> Retry | Defer | DeadLetter:
        """Decide the outcome of a turn that ended with an error outside of the bot's code."""
        return decide(lease, TurnFailure(error), self.retry_policy, now=self.clock.now())

    def _failed(self, turn: Turn, error: BaseException, *, at: str | None = None) -> Retry | Defer | DeadLetter:
        """Decide the outcome of a turn in which the bot's code has failed, and notify the plugins."""
        ctx = turn.ctx
        failure = TurnFailure(
            error,
            turn.handler,
            ctx.attempts if ctx else None,
            at or (ctx.stuck_at if ctx else None),
            ctx.handler_at if ctx else None,
            # Linq would refuse the same scheduled send again, so a retry is useless.
            is_final=ctx is None and isinstance(error, LinqApiError | SendMissed),
        )
        now = self.clock.now()
        outcome = decide(turn.lease, failure, self.retry_policy, now=now, log_tracebacks=self.log_tracebacks)
        if (failed := self.outbound.plugins.failed) is not None:
            failed(
                delivery=turn.lease.delivery,
                event=ctx.event if ctx else None,
                handler=failure.handler,
                error=failure.error,
                outcome=ENDS[type(outcome)],
                took_s=time.perf_counter() - turn.began,
            )
        return outcome

    def _give_up(self, turn: Turn) -> None:
        """End a turn whose code ignores its cancellation: refuse its further calls, and decide the outcome without it."""
        assert turn.task is not None
        at = place_of_task(turn.task)
        turn.given_up = True
        turn.journal.close("its turn had been ended, because it exceeded its time limit")
        log.error("handler.stuck", delivery=turn.lease.delivery.id, handler=turn.handler, at=at)
        error = TimeoutError(STUCK)
        outcome = self._failed(turn, error, at=at)
        if turn.owner is not None:
            turn.owner.detach(turn.task, self._end_given_up(turn, outcome))

    async def _end_given_up(self, turn: Turn, outcome: Outcome) -> None:
        end: Stored = "lost"
        try:
            end = await self._finish(turn, outcome)
        finally:
            self._finished(turn.lease, end, turn.began)

    async def _parse(self, delivery: Delivery) -> Event:
        event = parse(delivery)
        # Nearly nothing reads it from now on, and a turn that waits for Linq holds less memory.
        delivery.decoded = None
        if isinstance(event, MessageReceipt):
            await self._note_receipt(event)
            return event
        if event.is_group:
            event = await with_replies_to_me(event, partial(is_from_us, self.client, self.storage))
        return await with_answers(event, self.storage.entry_of) if self.storage.has_made_scheduled_sends else event

    async def _with_author(self, event: Event, turn: Turn) -> Event:
        """Return an event about the people of a group, with `by_me` set if the bot has caused it."""
        if (waiting := await own_changes.expected(event, self.storage)) is None:
            return event
        turn.journal.cancelled.append(waiting)
        return event.model_copy(update={"by_me": True})

    async def _note_receipt(self, event: MessageReceipt) -> None:
        """Store the delivery status of a message of ours. It also settles a send whose answer was lost."""
        receipt = Receipt(
            event.idempotency_key if isinstance(event, MessageEvent) else None, event.message_id, RECEIPTS[event.type]
        )
        await self.storage.settle_receipt(receipt)
        if receipt.status == "failed":
            log.warning("send.failed", message_id=event.message_id, chat_id=event.chat_id, event_id=event.event_id)

    def _is_only_noted(self, event: Event, arrived: Arrival) -> bool:
        """Return True for an event whose chat no code looks at: a receipt for the journal alone, or the timeout of a question."""
        is_timeout = arrived.event is not None and event.actor is None
        return is_timeout or (event.type in RECEIPTS and self.dispatcher.has_no_handler(event.type))

    def _end_notices(self, turn: Turn, commit: Finish) -> None:
        trouble.end(turn, commit, self.dispatcher, self.clock.now())

    def _end_own_changes(self, turn: Turn, commit: Finish) -> None:
        if turn.is_running:
            commit.timers += own_changes.timers(turn.journal.made, self.clock)

    async def _finish(self, turn: Turn, outcome: Outcome) -> Stored:
        """Store the end of a turn, however long the storage is away, and return the outcome that was stored."""
        commit, delivery_id = turn.commit(outcome), turn.lease.delivery.id
        pause_s, is_logged = STORAGE_PAUSE_S, False
        unwritten: DeadLetter | None = None
        while True:
            try:
                await self.storage.finish(turn.lease, commit)
            except LeaseLost:
                # Another turn has the lane. The journal has the calls of this turn, so the other does not repeat them.
                log.warning("turn.lease_lost", delivery=delivery_id)
                return "lost"
            except StateConflict as error:
                self._note_conflict(turn, error)
                commit = turn.commit(self._judged(turn.lease, turn.journal.failure_of(error)))
            except StorageUnavailable as error:
                # Keep the lane until the outcome is on disk. Going on without it could send twice after a crash.
                if not is_logged:
                    log.error("turn.unfinished", delivery=delivery_id, error=str(error))
                    is_logged = True
                await self.clock.wait_until(self.clock.now() + STORAGE_PAUSE_S)
            except StorageError as error:
                log.error("turn.unwritable", delivery=delivery_id, error=str(error))
                # The same write would fail again and block the lane. So store a dead letter without the calls, or else the
                # outcome alone.
                if commit.outcome is not unwritten and turn.ends:
                    unwritten = DeadLetter(f"Its outcome could not be stored: {readable(str(error))}")
                    commit = turn.commit(unwritten)
                    commit.entries = []
                elif turn.ends:
                    turn = _bare(turn.lease)
                    commit = turn.commit(self._judged(turn.lease, error))
                else:
                    await self.clock.wait_until(self.clock.now() + pause_s)
                    pause_s = min(2 * pause_s, LONGEST_STORAGE_PAUSE_S)
            else:
                return commit.outcome


def _bare(lease: Lease) -> Turn:
    """Return a turn whose end stores nothing of any feature."""
    return Turn(lease, first_opening(lease), kind_of(lease.delivery))


def _has_taken(lease: Lease) -> bool:
    """Return True if an earlier run has taken messages, perhaps with another version of the bot."""
    return (lease.put_back or not lease.is_first_run) and any(lease.delivery.joined.incoming)


def _is_opt_out(delivery: Delivery) -> bool:
    """Return True if a delivery is a message by which a person opts out."""
    try:
        return opts_out(parse(delivery))
    except EventNotUnderstood:
        return False


def is_end_of_ask(error: BaseException) -> bool:
    """Return True if a question ended the handler: it was asked just now, or it was over without an answer."""
    if isinstance(error, BaseExceptionGroup):
        return error.split((Suspended, AskEnded))[1] is None
    return isinstance(error, Suspended | AskEnded)


async def _forget_cancellations(task: asyncio.Task[None]) -> None:
    """Clear cancellations that the handler requested for its own task, so that they do not interrupt the turn's end."""
    while task.cancelling():
        task.uncancel()
    # A cancellation that was requested but not raised yet is raised at the next await.
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
