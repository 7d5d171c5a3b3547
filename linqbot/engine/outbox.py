"""The outbox of one turn: it makes the turn's calls, one after the other, and has the journal record each.

A call takes these steps. The first two are in `Outbox.wrap`, the others in `Outbox._perform`:

1. Slot: hints and reads are made at once, without an entry. Any other call gets its slot before anything is awaited, and
   before the outbound middleware of plugins runs, so a veto never shifts the numbers of later calls. Then it waits for the calls before
   it. After a deferral, or after the end of the turn, it is not made.
2. Plugins: their middleware may change the call, refuse it, or make others.
3. Earlier run: if one may have made the call, its entry answers it, or it is repeated; `earlier_runs.py` finds the entry.
4. Begin: the journal stores its key and content.
5. Attempt: the guards of features may stop it. Linq answers, and the journal keeps the outcome.

Next step: `engine/turns.py` stores the outcomes in the commit that ends the turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

import structlog

from linqbot.branch import running_root
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.outcome import refuses_content
from linqbot.engine.call_lookup import (
    GONE,
    NOT_MADE,
    ambiguous_answer,
    answer_of,
    change_made,
    error_json,
    error_of,
    find,
    lacks_chat,
    lacks_target,
    opened_chat,
    stopped_json,
)
from linqbot.engine.earlier_runs import Match
from linqbot.engine.rate_limit import CallNotMade, SendRateLimit, call_with_retries
from linqbot.engine.turn_journal import TurnJournal, too_late
from linqbot.errors import (
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    NoVerdict,
    Refused,
    Stopped,
    Suspended,
    TurnDeferred,
)
from linqbot.storage.journal import JournalEntry

Gated: TypeAlias = Callable[[Call, Run, TurnJournal, str], Run]
"""Returns what makes one attempt of a call, behind the guards of features: see `Catalogue.gated`."""

log = structlog.get_logger("linqbot.worker")


@dataclass(slots=True)
class _Slot:
    """The slot of a call while its outbound middleware runs, and the slots of the calls which that middleware makes.

    Attributes:
        name: The slot of the first call. The next calls append `+1`, `+2`, ….
        used: The number of slots given out.
        is_open: False once the middleware has ended.
    """

    outbox: Outbox
    name: str
    used: int = 0
    is_open: bool = True

    @contextmanager
    def entered(self) -> Iterator[_Slot]:
        """Let the calls that middleware makes inside of the block belong to this call."""
        token = _within.set(self)
        try:
            yield self
        finally:
            self.is_open = False
            _within.reset(token)

    def next(self) -> str:
        name = f"{self.name}+{self.used}" if self.used else self.name
        self.used += 1
        return name


class ToMake(NamedTuple):
    """A call that is still to be made.

    Attributes:
        entry: The entry that an earlier run has stored for it; None if there is none.
        is_repeated: True if an earlier run has begun the call, and its answer is not known.
    """

    call: Call
    slot: str
    entry: JournalEntry | None
    is_repeated: bool


_within: ContextVar[_Slot | None] = ContextVar("linqbot_within_call", default=None)


class Outbox:
    """Makes the calls of one run of a turn."""

    # The number of blocks of `under_way` that have begun and not ended; `_idle` is set when it is 0 again.
    _under_way = 0
    _idle: asyncio.Event | None = None

    def __init__(self, journal: TurnJournal, rate_limit: SendRateLimit, gated: Gated) -> None:
        self.journal = journal
        self._rate_limit = rate_limit
        self._gated = gated
        # Held by the call that is made or matched.
        self._call_lock = asyncio.Lock()
        self._call_ended = asyncio.Event()

    def wrap(self, run: Run) -> Run:
        async def journalled(call: Call) -> ApiResponse:
            journal = self.journal
            if journal.is_interrupted:
                journal.cancel_if_interrupted()
            if call.safety in ("hint", "read"):
                return await self._make_unjournalled(call, run)
            if journal.is_suspended:
                raise Suspended("The handler waits for an answer.")
            within = _within.get()
            if within is not None and within.outbox is self and within.is_open:
                # Outbound middleware makes a call while it decides about another call, which holds the lock.
                return await self._through_plugins(call, within, run)
            if journal.closed is not None:
                raise journal.error_after_end(call.name, journal.closed)
            # Number the call before anything is awaited, so that gathered sends keep the order of the code.
            slot = journal.slots.of_call(call)
            with self.under_way():
                try:
                    await self._call_lock.acquire()  # not `async with`: it would add two coroutines to each call
                    try:
                        if (past := self._past_answer(call, slot)) is not None:
                            return past
                        if journal.outbound.is_empty:
                            return await self._perform(call, slot, run)
                        with _Slot(self, slot).entered() as within:
                            return await self._through_plugins(call, within, run)
                    finally:
                        self._call_lock.release()
                except (Exception, TurnDeferred) as error:
                    journal.note_failure(error, call)
                    raise
                finally:
                    self._call_ended.set()

        return journalled

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Let `wait_for_calls` wait for the end of the block: a call, or what comes before one, such as the upload of a file."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way and self._idle is not None:
                self._idle.set()

    @property
    def is_idle(self) -> bool:
        """True if no task of the handler can be making a call."""
        return not (self._under_way or self.journal.slots.root.has_children)

    async def wait_for_calls(self) -> None:
        """Wait for the calls that the handler's tasks are still making, including those of tasks started just now."""
        if self.journal.slots.root.has_children and self.journal.closed is None:
            # A task that the handler started last has not run yet, so let it begin its call.
            for _ in range(2):
                await asyncio.sleep(0)
        while self._under_way:
            self._idle = asyncio.Event()
            await self._idle.wait()

    async def reach_earlier_runs(self) -> None:
        """Wait until no calls of earlier runs are ahead."""
        while self.journal.calls_ahead():
            self._call_ended.clear()
            await self._call_ended.wait()

    async def _make_unjournalled(self, call: Call, run: Run) -> ApiResponse:
        journal = self.journal
        if call.safety == "hint":
            # A conversation's past has no effects, and neither has what follows a question.
            if (journal.is_past or journal.is_suspended) and running_root() is journal.slots.root:
                return ApiResponse(204)
            return await journal.outbound.wrap(self._gated(call, run, journal, ""))(call)
        if journal.is_suspended:
            raise Suspended("The handler waits for an answer.")
        try:
            return await _defer_without_verdict(journal.outbound.wrap(run)(call))
        except (Exception, TurnDeferred) as error:
            journal.note_failure(error)
            raise

    def _past_answer(self, call: Call, slot: str) -> ApiResponse | None:
        """Return the answer of a call that the past of a conversation repeats; None if it is to be made now.

        Raises an error if the turn makes no calls any more.
        """
        journal = self.journal
        if journal.closed is not None:
            raise too_late(f"{call.name} was not made: {journal.closed}.")
        if journal.deferred is not None:
            raise TurnDeferred(str(journal.deferred), after_s=journal.deferred.after_s)
        if not journal.is_past:
            return None
        assert journal.earlier is not None, "it is set by `TurnJournal.enter`"
        return journal.earlier.answer_from_past(call, slot, journal.turn)

    async def _through_plugins(self, call: Call, within: _Slot, run: Run) -> ApiResponse:
        async def perform(call: Call) -> ApiResponse:
            return await self._perform(call, within.next(), run)

        return await _defer_without_verdict(self.journal.outbound.wrap(perform)(call))

    async def _perform(self, call: Call, slot: str, run: Run) -> ApiResponse:
        """Return the answer to a call that has a slot: of an earlier run, or of Linq once the journal has the call's entry.

        Raises TurnDeferred if it cannot be made now, Stopped if it must not be made, AmbiguousCall if it must not be repeated,
        and the error with which the call has ended.
        """
        journal, is_repeated, entry = self.journal, False, None
        if journal.earlier is not None:
            found = await self._earlier(call, journal.earlier.match(call, slot), run)
            if isinstance(found, ApiResponse):
                return found
            call, slot, entry, is_repeated = found
        if entry is None or not is_repeated:
            call, entry = await self._begun(call, slot, entry)
        try:
            answer = await call_with_retries(
                call,
                # For each attempt, because a feature may wake up while Linq is away.
                partial(self._gated, call, run, journal, entry.key),
                self._rate_limit,
                journal.clock,
                journal.observers,
                may_be_made=is_repeated,
            )
        except CallNotMade as error:
            if entry.safety == "once":
                # Otherwise the next run would look for a call that was never made, and report it as ambiguous.
                await journal.note_outcome(entry, "refused", NOT_MADE)
            # By its public class: plugins name the class of an error, and alerts leave out those of an outage by name.
            raise TurnDeferred(str(error), after_s=error.after_s) from error
        except Stopped as error:
            if not is_repeated:
                # On record, so that no later run makes the call when the mute, or the like, is over: it would be out of place then.
                await journal.note_outcome(entry, "refused", stopped_json(error), at_once=True)
            raise
        except LinqApiError as error:
            answer = await self._made_despite(error, call, entry, run, repeated=is_repeated)
        await journal.note_outcome(entry, "accepted", answer.to_json(), answer)
        journal.note_made(call, answer)
        return answer

    async def _begun(self, call: Call, slot: str, known: JournalEntry | None) -> tuple[Call, JournalEntry]:
        """Store the entry of a call before its first attempt, and return both.

        `known` is the entry of an earlier run whose call Linq has refused.
        """
        journal = self.journal
        key = journal.key_of(slot)
        if call.key is None:
            # An author's own key stays: the same call in another turn is to do the same thing only once.
            call = call.with_key(key)
        entry = journal.new_entry(slot, call.safety, call.to_json(), key)
        if known is None:
            await journal.begin(entry)
        else:
            entry = replace(entry, first_at=known.first_at)
            await journal.store_state(slot)
            await journal.storage.settle(entry)
        return call, entry

    async def _earlier(self, call: Call, match: Match, run: Run) -> ApiResponse | ToMake:
        """Return the answer of the earlier run that made a call. If none has made it, or that is not known, return what to make.

        Raises AmbiguousCall if it must not be repeated, and the error with which the call has ended.
        """
        journal, known = self.journal, match.entry
        if match.still_to_make is not None:
            await self._make_late(match.still_to_make, run)
        if known is None:
            return ToMake(call, match.slot, None, is_repeated=False)
        journal.come_to(known.slot)
        if known.status == "refused":
            refusal = error_of(known, call)
            if isinstance(refusal, Refused) or (call.refusal_stands and refuses_content(refusal)):
                raise refusal
            # Linq sent nothing under the key of a refused call, so a corrected call may use the key.
            return ToMake(call, match.slot, known, is_repeated=False)
        stored = Call.from_json(known.call)
        if match.diverged:
            log.warning("send.diverged", turn=journal.turn, slot=match.slot, stored=stored.name, now=call.name)
        if known.status == "accepted":
            if lacks_chat(known, stored):
                answer = await opened_chat(known, run)
                await journal.note_outcome(known, "accepted", answer.to_json(), answer)
            else:
                answer = answer_of(known, call)
            journal.note_answered(call, answer)
            return answer
        if stored.safety == "once":
            return await self._look_up(stored, known, run)
        # The journal does not keep these fields, which the code that makes the call now has.
        stored = replace(stored, refusal_stands=call.refusal_stands, purpose=call.purpose)
        return ToMake(stored, known.slot, known, is_repeated=True)

    async def _make_late(self, call: Call, run: Run) -> None:
        """Make a call that was answered from another call's entry and was therefore not made: see `Match.still_to_make`."""
        try:
            await self._perform(call, self.journal.slots.numbered("owed:"), run)
        except (LinqApiError, MessageGone) as error:
            # The code that made the call already has an answer, so the error can only be logged.
            log.error("send.refused", turn=self.journal.turn, call=call.name, error=str(error))

    async def _look_up(self, call: Call, entry: JournalEntry, run: Run) -> ApiResponse:
        """Return the answer of a call that must not be repeated, by looking for its effect at Linq; else AmbiguousCall."""
        journal = self.journal
        found = None if entry.status == "ambiguous" else await find(call, entry, run, journal.storage.has_sent)
        if found is not None:
            await journal.note_outcome(entry, "accepted", found.to_json(), found)
            return found
        if entry.status != "ambiguous":
            log.error("send.ambiguous", turn=journal.turn, slot=entry.slot, call=call.name)
            await journal.note_outcome(entry, "ambiguous", b"null")
        return ambiguous_answer(call)

    async def _made_despite(
        self, error: LinqApiError, call: Call, entry: JournalEntry, run: Run, *, repeated: bool
    ) -> ApiResponse:
        """Return the answer of a refused call that an attempt before has made; else raise the refusal."""
        if isinstance(error, LinqUnavailable) or error.status is None:
            raise error
        is_gone = repeated and error.status == 404 and entry.safety == "keyed"
        if is_gone and not (call.refusal_stands and await lacks_target(call, run)):
            # Linq answers 404 to a repeated key if its message was deleted (rules.md, idempotency): it was sent.
            await self.journal.note_outcome(entry, "accepted", GONE)
            raise MessageGone(call.name) from error
        if (done := await change_made(call, entry, error, run)) is None:
            await self.journal.note_outcome(entry, "refused", error_json(error), at_once=call.refusal_stands)
            raise error
        return done


async def _defer_without_verdict(answer: Awaitable[ApiResponse]) -> ApiResponse:
    try:
        return await answer
    except NoVerdict as error:
        raise TurnDeferred(str(error)) from error
