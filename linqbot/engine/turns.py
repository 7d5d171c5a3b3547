"""Running turns: a delivery is parsed, its handler runs, and one commit stores the outcome.

Every error of a handler ends here, and becomes an outcome (`failure.py`). If the worker was asked to stop, the delivery is
released without counting an attempt. If the process ends without being asked to, the delivery stays leased, and the next
start counts a crash.

`Turns.run` drives the steps 6 to 10 of the path of an event: `_open` may end the turn before them, `prepare` parses,
`dispatch` routes and handles, and `_finish` stores the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import structlog

from linqbot.client.alarms import Alarms
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.engine import reasons, turn_record
from linqbot.engine.bag import Bag
from linqbot.engine.deadline import Deadline
from linqbot.engine.dispatching import Dispatching
from linqbot.engine.failure import (
    LEFT,
    OTHER_RELEASE_S,
    STORAGE_PAUSE_S,
    ChoiceFailed,
    OfOtherRelease,
    RetryPolicy,
    StateQueue,
    TurnFailure,
    conflict_of,
    decide,
    outdated,
    reason_of,
    unreachable,
)
from linqbot.engine.feature import Catalogue, Feature
from linqbot.engine.helpers import Helpers
from linqbot.engine.opening import Opening
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.outbox import Outbox
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn import (
    ANSWERS_WITHOUT_CHAT,
    Turn,
    TurnOwner,
    origin_of,
)
from linqbot.engine.turn_journal import TurnJournal
from linqbot.error_details import readable
from linqbot.errors import (
    AskEnded,
    LeaseLost,
    LinqApiError,
    SendMissed,
    StateConflict,
    StorageBusy,
    StorageError,
    StorageUnavailable,
    Suspended,
    TurnDeferred,
    error_name,
)
from linqbot.frames import place_of, place_of_task
from linqbot.interrupts import is_closing, is_ctrl_c
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.news import warn_of_news
from linqbot.linq.events.parse import parse
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Outcome, Retry
from linqbot.storage.journal import RECEIPTS, JournalEntry
from linqbot.storage.timers import Timer
from linqbot.turn_events import AwaitForgotten, End, TurnEnded, TurnReport, TurnTaken

if TYPE_CHECKING:
    from linqbot.engine.routing import HandlerRun

log = structlog.get_logger("linqbot.worker")

NEEDED: Final = frozenset(RECEIPTS) | ANSWERS_WITHOUT_CHAT | {"message.received"}
"""The event types that are looked at even if no handler takes them. A message may be STOP, START or HELP."""
ENDS: Final[dict[type[Outcome], End]] = {
    Ack: "ack",
    Retry: "retry",
    Defer: "defer",
    DeadLetter: "dead_letter",
}
"""The names of outcomes."""
_RUNS_AGAIN: Final = frozenset({"retry", "defer"})
STUCK: Final = "It exceeded its time limit, was cancelled, and still runs."
"""The error of a handler that ignores its cancellation."""


@dataclass(slots=True)
class Turns:
    """Runs turns, with everything that turns share.

    Attributes:
        log_tracebacks: True logs the tracebacks of failed handlers. They may quote texts of people.
        log_turns: True logs a line for each turn that is acked. Turns that fail are always logged.
        shared_since: The Unix time at which this process began to share the storage with others; infinite if it is alone.
        serving_since: The Unix time at which this process began to serve.
        make_features: Makes the features of the process, in the order of all calls: see `features/catalog.py`.
        options: Options of the process for features.
    """

    dispatcher: Dispatching
    client: Client
    storage: Storage
    clock: Clock
    rate_limit: SendRateLimit
    make_features: Callable[[Turns], Sequence[Feature]]
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    log_tracebacks: bool = False
    outbound: Outbound = field(default_factory=lambda: Outbound(Plugins()))
    log_turns: bool = False
    state_queue: StateQueue = field(default_factory=StateQueue)
    alarms: Alarms = field(default_factory=Alarms)
    shared_since: float = math.inf
    serving_since: float = 0.0
    options: Bag = field(default_factory=Bag)
    features: Catalogue = field(init=False)
    keeps_records: bool = field(init=False)

    def __post_init__(self) -> None:
        self.features = Catalogue(self.make_features(self))
        self.keeps_records = self.storage.keep_outcomes_days > 0

    async def run(self, lease: Lease, owner: TurnOwner | None = None) -> None:
        """Handle a leased delivery and finish it, however long the storage is away."""
        observers = self.outbound.plugins.observers
        report = self._new_report(lease) if TurnEnded in observers or TurnTaken in observers else None
        ended: TurnEnded | Literal["lost"] | None = "lost"
        began = time.perf_counter()
        try:
            turn = self.new_turn(lease, owner, began)
            turn.report = report
            ended = await self._run(turn)
        except Exception as error:  # noqa: BLE001 - a mistake in linqbot, not in a handler; or the turn could not begin
            ended = await self.give_back(lease, self._crashed(lease, error))
        finally:
            runs_again = isinstance(ended, TurnEnded) and ended.outcome in _RUNS_AGAIN
            self.state_queue.leave(lease.delivery.id, runs_again=runs_again)
            if ended is not None and report is not None:
                self._notify_ended(report, self._lost(self._bare(lease)) if ended == "lost" else ended, began)

    def _crashed(self, lease: Lease, error: Exception) -> Outcome:
        """Return the outcome of a turn that could not begin, or in which linqbot itself has failed.

        Without an outcome, the chat would wait as long as the process runs.
        """
        at = place_of(error)
        if not isinstance(error, StorageError):
            log.error("turn.crashed", delivery=lease.delivery.id, error=type(error).__name__, at=at)
        if isinstance(error, StorageError | OSError | MemoryError):
            # The storage is away, or the machine has run out of something, such as open files. The next run may find more.
            return self._judged(lease, error)
        return DeadLetter(f"linqbot itself failed with {error_name(error)} at {at}. Please report this.")

    async def end_broken_off(self, lease: Lease, error: GeneratorExit) -> None:
        """End a turn that could not store its end itself, because its coroutines were closed; see `worker.py`."""
        await self._finish(self.new_turn(lease, None, time.perf_counter()), self._judged(lease, error))

    async def give_back(self, lease: Lease, outcome: Outcome) -> TurnEnded:
        """End a lease with the outcome alone, however long the storage fails. Else its chat would wait for its end."""
        return await self._finish(self._bare(lease), outcome)

    def _new_report(self, lease: Lease) -> TurnReport:
        """Notify the observers of a turn that begins, and return its report."""
        waited_s = self.clock.now() - lease.delivery.received_at
        report = TurnReport(lease.delivery, waited_s, lease.attempts, lease.crashes, lease.replay)
        self.outbound.plugins.notify_taken(report)
        return report

    def _notify_ended(self, report: TurnReport, ended: TurnEnded, began: float) -> None:
        """Complete what is known of the end of a turn, and notify the observers."""
        if (notify := self.outbound.plugins.observers.get(TurnEnded)) is not None:
            ended.delivery, ended.waited_s = report.delivery, report.waited_s
            ended.calls, ended.steps = report.calls, report.steps
            ended.took_s = time.perf_counter() - began
            notify(ended)

    def _log_acked(self, ended: TurnEnded) -> None:
        """Log a turn that was acked, with ids only. Receipts without a handler are the journal's, and are not logged."""
        delivery, handler = ended.delivery, ended.handler
        if handler is None and delivery.type in RECEIPTS:
            return
        log.bind().info(  # bound first: see `WebhookEndpoint`
            "turn.acked",
            delivery=delivery.id,
            type=delivery.type,
            handler=handler,
            attempt=ended.attempts + 1,
            ms=round(ended.took_s * 1000, 1),
        )

    def _bare(self, lease: Lease) -> Turn:
        """Return a turn whose end stores nothing of any feature."""
        delivery = lease.delivery
        opening = Opening(delivery.id, lease.replay, off_the_record=delivery.is_off_the_record)
        return Turn(lease, opening, self.features.kind_of(delivery))

    def new_turn(self, lease: Lease, owner: TurnOwner | None, began: float) -> Turn:
        turn = self._bare(lease)
        turn.owner, turn.began, turn.points = owner, began, self.features.points(lease)
        turn.ends += turn.points.end
        return turn

    def next_run(self, turn: Turn, *, lease: Lease | None = None, opening: Opening | None = None) -> Turn:
        """Return the turn in which the handler runs again, with another lease, or with another opening, which is complete."""
        found = self.new_turn(lease or turn.lease, turn.owner, turn.began)
        found.report = turn.report
        if opening is not None:
            found.opening, found.is_opened = opening, True
        return found

    async def store_run(self, entries: Sequence[JournalEntry], timers: Sequence[Timer] = ()) -> None:
        """Store the outcomes of the calls of a run, and its scheduled sends, because its turn begins again without a commit."""
        settled = (self.storage.settle(entry) for entry in entries)
        await asyncio.gather(*settled, *(self.storage.schedule(timer) for timer in timers))

    async def _run(self, turn: Turn) -> TurnEnded | None:
        """Return the end of the turn; None if the turn was given up and another task ends it."""
        try:
            outcome = None if turn.is_opened else await self._open(turn)
        except (StorageUnavailable, StorageBusy, OfOtherRelease, LinqApiError) as error:
            # The turn must not begin without its journal, or it would repeat calls, and not without its handler or what Linq
            # is asked for before. It is deferred for a short time.
            outcome = self._judged(turn.lease, error)
        except ChoiceFailed as failed:
            outcome = self._failed(turn, failed.__cause__ or failed)
        if outcome is None:
            return await self._run_handler(turn)
        return await self._finish(turn, outcome)

    async def _open(self, turn: Turn) -> Outcome | None:
        """Find out what a turn begins with. Return its outcome if it needs no handler; None if it does."""
        lease = turn.lease
        if turn.kind.open is not None and (outcome := await turn.kind.open(turn)) is not None:
            return outcome
        if not lease.is_first_run:
            turn.opening.known = await self.storage.entries(lease.delivery.id, lease.replay)
        for open_ in turn.points.open:
            if (outcome := await open_(turn)) is not None:
                return outcome
        if (
            not turn.opening.data
            and turn.kind.run is None
            and lease.delivery.type not in NEEDED
            and self.dispatcher.has_no_handler(lease.delivery.type)
        ):
            turn.why = reasons.NO_HANDLER
            return Ack()
        if lease.crashes and await self._is_poison(lease, turn.opening):
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

    async def _run_handler(self, turn: Turn) -> TurnEnded | None:
        """Run the code of a turn with a journal, and store its end. Returns as `_run` does."""
        task = asyncio.current_task()
        assert task is not None
        turn.task, turn.is_running = task, True
        turn.journal = TurnJournal(
            self.storage, self.clock, self.outbound, turn.opening, turn.lease, data=turn.data, report=turn.report
        )
        turn.outbox = Outbox(turn.journal, self.rate_limit, self.features.guard)
        turn.helpers = Helpers(
            self.dispatcher,
            turn.journal,
            turn.lease,
            turn.opening,
            ends=turn.ends,
            make_steps=self.features.steps_of,
        )
        turn.client = self.client.wrapped(turn.outbox.wrap)
        turn.deadline = Deadline(self.dispatcher.deadline_s, partial(self._give_up, turn), self.alarms)
        try:
            return await self._code_ended(turn, await self._run_code(turn))
        finally:
            turn.deadline.close()
            if turn.ctx is not None:
                turn.ctx.discard_plugins()

    async def _run_code(self, turn: Turn) -> BaseException | None:
        """Run the code of the turn, and return the error that it raised.

        The error's traceback holds the frames of this function and of its caller. So neither keeps the error in a variable:
        only the garbage collector would free both, and with them all that the failed handler had in memory.
        """
        try:
            try:
                if turn.kind.run is not None:
                    await turn.kind.run(turn)
                else:
                    ctx = await self.prepare(turn, turn.lease.delivery)
                    await self.dispatcher.dispatch(turn.event, ctx)
            except (Suspended, AskEnded, BaseExceptionGroup) as ended:
                if not is_end_of_ask(ended):
                    raise
            finally:
                for stop in turn.points.stop:
                    stop(turn)
            if not turn.outbox.is_idle:
                with turn.deadline:
                    await turn.outbox.wait_for_calls()
            if turn.ctx is not None and (writes := turn.ctx.turn_state.close()):
                if turn.journal.off_the_record:
                    log.info("state.not_stored", delivery=turn.lease.delivery.id, why="Its line has zero retention.")
                else:
                    turn.journal.state = writes
        except BaseException as raised:
            if is_ctrl_c(raised) or (isinstance(raised, GeneratorExit) and is_closing(turn.task)):
                raise
            return raised
        return None

    async def prepare(self, turn: Turn, delivery: Delivery) -> HandlerRun:
        """Parse a delivery, and return the context of the handler that is about to run."""
        if turn.opening.event is not None:
            turn.event = turn.opening.event
        else:
            turn.event = parse(delivery)
            # Nearly nothing reads it from now on, and a turn that waits for Linq holds less memory.
            delivery.decoded = None
        warn_of_news(turn.event)
        if not turn.lease.is_first_run:
            await self.state_queue.enter(delivery.id, self.clock)  # it may wait for a minute
        for begin in turn.points.begin:
            await begin(turn)
        turn.ctx = ctx = self.dispatcher.context(turn, self.storage)
        turn.journal.origin = origin_of(ctx.root)
        if not turn.lease.is_first_run:
            ctx.rerun = turn.lease
        turn.handling = time.perf_counter()
        return ctx

    async def _code_ended(self, turn: Turn, error: BaseException | None) -> TurnEnded | None:
        """End a turn whose code has ended or raised an error, or let the handler run again. Returns as `_run` does."""
        if turn.given_up:
            return None
        if error is not None and turn.owner is not None:
            if turn.owner.has_cancelled_turns:
                return await self._close(turn, Defer(self.clock.now(), "stopped"))
            if turn.owner.was_cancelled:
                # The process ends, perhaps because of this turn: an end on record would hide the crash.
                return self._lost(turn)
        error = await self._error_of(turn, error)
        next_run: Turn | None = None
        try:
            for again in turn.points.again:
                next_run = next_run or await again(turn, error)
        except (StorageError, OfOtherRelease) as failed:
            # Nothing is lost: the turn runs again with its journal, and newer messages wait in the lane.
            return await self._close(turn, self._judged(turn.lease, failed))
        if next_run is None:
            outcome = self._outcome(turn, error)
            del error  # and with it all that the handler had in memory: to store the end may take long
            return await self._close(turn, outcome)
        del error
        return await self._run(next_run)

    async def _error_of(self, turn: Turn, raised: BaseException | None) -> BaseException | None:
        """Return the error that decides the outcome of a turn, once its calls have ended; None if the turn has succeeded."""
        if turn.task.cancelling():
            await _forget_cancellations(turn.task)
        turn.journal.close()
        if raised is not None:
            # The tasks of a failed handler may still make calls, whose outcome must be journalled.
            turn.deadline.give_extra_time()
            with contextlib.suppress(TimeoutError), turn.deadline:
                await turn.outbox.wait_for_calls()
        # A call that was deferred or failed decides the outcome, even if the handler swallowed its error.
        deferral: TurnDeferred | None = None
        for defers in turn.points.defers:
            deferral = deferral or defers(turn)
        error = deferral or turn.journal.deferred or raised or turn.journal.unobserved_failure()
        if coroutines := turn.journal.never_awaited():
            if (notify := turn.journal.observers.get(AwaitForgotten)) is not None:
                notify(AwaitForgotten(coroutines))
            if error is None:
                error = self.dispatcher.never_awaited(coroutines, turn.ctx, turn.lease.delivery.id)
        return error

    def _outcome(self, turn: Turn, error: BaseException | None) -> Outcome:
        """Return the outcome of a turn that ends, by the error that decides it."""
        ctx = turn.ctx
        if error is None:
            if turn.report is not None and ctx is not None:
                turn.handler_s = time.perf_counter() - turn.handling
            return outdated(turn.lease) if ctx is not None and ctx.is_outdated else Ack()
        if (conflict := conflict_of(error)) is not None:
            self._note_conflict(turn, conflict)
        if ctx is None and (why := unreachable(error)) is not None:
            # A person who opts out means it. A group that was left may be a mistake, or another conflict that Linq added.
            (log.warning if why is LEFT else log.info)(f"send.{why.word}", delivery=turn.lease.delivery.id)
            turn.why = why.why
            return Ack()
        return self._failed(turn, error)

    async def _close(self, turn: Turn, outcome: Outcome) -> TurnEnded:
        """Store the end of a turn whose code has run, and log it if it was acked."""
        try:
            for close in turn.points.close:
                await close(turn, outcome)
        except StorageError as error:
            outcome = self._judged(turn.lease, error)
        ended = await self._finish(turn, outcome)
        if self.log_turns and ended.outcome == "ack":
            self._log_acked(ended)
        return ended

    async def _finish(self, turn: Turn, outcome: Outcome) -> TurnEnded:
        """Store the end of a turn, however long the storage is away, and return it. It is `lost` if it could not be stored."""
        (commit, ended), delivery_id = self._commit(turn, outcome), turn.lease.delivery.id
        is_logged = has_failed = False
        while True:
            try:
                await self.storage.finish(turn.lease, commit)
            except LeaseLost:
                # Another turn has the lane. The journal has the calls of this turn, so the other does not repeat them.
                log.warning("turn.lease_lost", delivery=delivery_id)
                ended.outcome, ended.reason, ended.again_in_s = "lost", None, None
                return ended
            except StateConflict as error:
                self._note_conflict(turn, error)
                failure = turn.journal.failure_of(error)
                # A conflict is no failure of the handler, which runs again at once. State that is lost is one.
                outcome = self._judged(turn.lease, failure) if failure is error else self._failed(turn, failure)
                commit, ended = self._commit(turn, outcome)
            except StorageError as error:
                if isinstance(error, StorageUnavailable) or turn.is_bare:
                    # Keep the lane until the outcome is on disk. Going on without it could send twice after a crash.
                    if not is_logged:
                        log.error("turn.unfinished", delivery=delivery_id, error=str(error))
                    is_logged = True
                    await self.clock.wait_until(self.clock.now() + STORAGE_PAUSE_S)
                    continue
                # The same write would fail again and block the lane. So store a dead letter without the calls, or else the
                # outcome alone.
                log.error("turn.unwritable", delivery=delivery_id, error=str(error))
                if has_failed:
                    bare = self._bare(turn.lease)
                    bare.error = turn.error
                    turn = bare
                    commit, ended = self._commit(turn, self._judged(turn.lease, error))
                else:
                    turn.why, why = "StorageError", f"Its outcome could not be stored: {readable(str(error))}"
                    commit, ended = self._commit(turn, DeadLetter(why))
                    commit.entries = []
                has_failed = True
            else:
                if isinstance(commit.outcome, Retry | Defer):
                    ended.again_in_s = max(0.0, commit.outcome.at - self.clock.now())
                ended.took_s = time.perf_counter() - turn.began
                return ended

    def _commit(self, turn: Turn, outcome: Outcome) -> tuple[Commit, TurnEnded]:
        """Return the commit that ends a turn with an outcome, and the end from which its row, its log line and observers learn."""
        reason = None if isinstance(outcome, Ack) else outcome.reason if isinstance(outcome, Defer) else outcome.error
        commit, ended = turn.commit(outcome), _end_of(turn, ENDS[type(outcome)], reason)
        if self.keeps_records:
            commit.record = ended.row = turn_record.row_of(turn, ended, outcome)
        return commit, ended

    def _lost(self, turn: Turn) -> TurnEnded:
        """Return the end of a turn whose end is not stored, so that its delivery is handled again."""
        return _end_of(turn, "lost", None)

    def _judged(self, lease: Lease, error: BaseException) -> Retry | Defer | DeadLetter:
        """Decide the outcome of a turn that ended with an error outside of the bot's code."""
        return decide(lease, TurnFailure(error), self.retry_policy, now=self.clock.now())

    def _failed(self, turn: Turn, error: BaseException, *, at: str | None = None) -> Retry | Defer | DeadLetter:
        """Decide the outcome of a turn in which the bot's code has failed."""
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
        turn.why = reason_of(failure)
        if turn.report is not None:
            turn.error = failure.error
        now = self.clock.now()
        return decide(turn.lease, failure, self.retry_policy, now=now, log_tracebacks=self.log_tracebacks)

    def _note_conflict(self, turn: Turn, conflict: StateConflict) -> None:
        turn.journal.keep(turn.journal.conflict())
        self.state_queue.note(turn.lease.delivery.id, conflict)

    def _give_up(self, turn: Turn) -> None:
        """End a turn whose code ignores its cancellation: refuse its further calls, and decide the outcome without it."""
        at = place_of_task(turn.task)
        turn.given_up = True
        turn.journal.close("its turn had been ended, because it exceeded its time limit")
        log.error("handler.stuck", delivery=turn.lease.delivery.id, handler=turn.handler, at=at)
        error = TimeoutError(STUCK)
        outcome = self._failed(turn, error, at=at)
        if turn.owner is not None:
            turn.owner.detach(turn.task, self._end_given_up(turn, outcome))

    async def _end_given_up(self, turn: Turn, outcome: Outcome) -> None:
        ended = self._lost(turn)
        try:
            ended = await self._finish(turn, outcome)
        finally:
            if turn.report is not None:
                self._notify_ended(turn.report, ended, turn.began)


def _end_of(turn: Turn, outcome: End, reason: str | None) -> TurnEnded:
    lease, ctx = turn.lease, turn.ctx
    return TurnEnded(
        lease.delivery,
        lease.attempts,
        lease.crashes,
        lease.replay,
        outcome,
        reason,
        None if ctx is None else ctx.event,
        None if ctx is None else ctx.handler,
        turn.handler_s,
        turn.error,
        time.perf_counter() - turn.began,
    )


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
