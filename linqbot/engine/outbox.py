"""The outbox of one turn: it makes the turn's calls, one after the other, and has the journal record each.

A call takes these steps. The first three are read in `_run`, the others in `_perform`.

1. Hints and reads are made at once, without an entry. Any other call gets its slot before anything is awaited, and before
   the outbound middleware of plugins runs, so a veto never shifts the numbers of later calls.
2. The call waits for the calls before it. After a deferral, or after the end of the turn, it is not made.
3. The middleware of plugins may change the call, refuse it, or make others.
4. If an earlier run may have made the call, its entry answers it, or it is repeated; `earlier_runs.py` finds the entry.
5. The journal stores the key and the content of the call.
6. Before each attempt, the guards of features may stop the call.
7. Linq answers, and the journal keeps the outcome.

Next step: `engine/turns.py` stores the outcomes in the commit that ends the turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import structlog

from linqbot.branch import running_root
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.outcome import is_deleted_before, refuses_content
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
from linqbot.engine.rate_limit import Attempts, CallNotMade, SendRateLimit
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

Guard: TypeAlias = Callable[[Call, Run, TurnJournal, str], Awaitable[None] | None]
"""Returns the check of a call by features, before an attempt; None while no feature has to be asked: see `Catalogue.guard`."""

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

    def next(self) -> str:
        name = f"{self.name}+{self.used}" if self.used else self.name
        self.used += 1
        return name


_within: ContextVar[_Slot | None] = ContextVar("linqbot_within_call", default=None)


class _ToMake(NamedTuple):
    """A call that is still to be made.

    Attributes:
        slot: The slot of its entry.
        refused: The entry of an earlier run, whose call Linq has refused.
        begun: The entry of an earlier run, which may have made the call. It is repeated.
    """

    call: Call
    slot: str
    refused: JournalEntry | None = None
    begun: JournalEntry | None = None


class Outbox:
    """Makes the calls of one run of a turn, after `wrap`."""

    # The number of blocks of `under_way` that have begun and not ended; `_idle` is set when it is 0 again.
    _under_way = 0
    _idle: asyncio.Event | None = None
    _send: Run

    def __init__(self, journal: TurnJournal, rate_limit: SendRateLimit, guard: Guard) -> None:
        self.journal = journal
        self._rate_limit = rate_limit
        self._guard = guard
        # Held by the call that is made or matched.
        self._call_lock = asyncio.Lock()
        self._call_ended = asyncio.Event()

    def wrap(self, send: Run) -> Run:
        """Return the `run` of the turn's client. `send` makes a call at Linq."""
        self._send = send
        return self._run

    async def _run(self, call: Call) -> ApiResponse:
        """Make a call of the turn's client. Raises as `Client.run`, and TurnDeferred, Refused or Suspended."""
        journal = self.journal
        if journal.is_interrupted:
            journal.cancel_if_interrupted()
        if call.safety == "hint":
            return await self._make_hint(call)
        if journal.is_suspended:
            raise Suspended("The handler waits for an answer.")
        if call.safety == "read":
            return await self._read(call)
        within = _within.get()
        if within is not None and within.outbox is self and within.is_open:
            # Outbound middleware makes a call while it decides about another call, which holds the lock.
            return await self._through_plugins(call, within)
        if journal.closed is not None:
            raise journal.error_after_end(call.name, journal.closed)
        # Number the call before anything is awaited, so that gathered sends keep the order of the code.
        slot = journal.slots.of_call(call)
        with self.under_way():
            await self._call_lock.acquire()  # not `async with`: it would add two coroutines to each call
            try:
                if journal.closed is not None or journal.deferred is not None or journal.is_past:
                    return self._answer_unmade(call, slot)
                if journal.outbound.is_empty:
                    return await self._perform(call, slot)
                with self._open(slot) as within:
                    return await self._through_plugins(call, within)
            except (Exception, TurnDeferred) as error:
                journal.note_failure(error, call)
                raise
            finally:
                self._call_lock.release()
                self._call_ended.set()

    async def _perform(self, call: Call, slot: str) -> ApiResponse:
        """Make a call, unless an earlier run has made it: then return the answer from then.

        Raises TurnDeferred if it cannot be made now, Stopped if it must not be, and the error with which it has ended.
        """
        journal, to_make = self.journal, _ToMake(call, slot)
        if journal.earlier is not None:
            found = await self._find(call, journal.earlier.match(call, slot))
            if isinstance(found, ApiResponse):
                return found
            to_make = found
        call, entry = await self._begin(to_make)
        is_repeated = to_make.begun is not None
        attempts = Attempts(call, self._rate_limit, journal.clock, journal.observers, may_be_made=is_repeated)
        try:
            while True:
                if attempts.wait_s:
                    await attempts.wait()
                try:
                    # Before each attempt, because a feature may wake up while Linq is away.
                    if (guards := self._guard(call, self._send, journal, entry.key)) is not None:
                        await guards
                    answer = await self._send(call)
                    break
                except LinqApiError as error:
                    if not await attempts.go_on_after(error):
                        raise
            self._rate_limit.sent(attempts.pair)
        except (CallNotMade, Stopped, LinqApiError) as error:
            made = await self._made_before(error, call, entry, attempts, is_repeated=is_repeated)
            if made is None:
                raise
            answer = made
        await journal.note_outcome(entry, "accepted", answer.to_json(), answer)
        journal.note_made(call, answer)
        return answer

    async def _make_hint(self, call: Call) -> ApiResponse:
        journal = self.journal
        # A conversation's past has no effects, and neither has what follows a question.
        if (journal.is_past or journal.is_suspended) and running_root() is journal.slots.root:
            return ApiResponse(204)
        return await journal.outbound.wrap(self._send_hint)(call)

    async def _send_hint(self, call: Call) -> ApiResponse:
        """Make a hint, which is left out without a word if a guard stops it."""
        if (guards := self._guard(call, self._send, self.journal, "")) is not None:
            try:
                await guards
            except (LinqApiError, Refused, TurnDeferred):
                return ApiResponse(204)
        return await self._send(call)

    async def _read(self, call: Call) -> ApiResponse:
        try:
            return await _defer_without_verdict(self.journal.outbound.wrap(self._send)(call))
        except (Exception, TurnDeferred) as error:
            self.journal.note_failure(error)
            raise

    def _answer_unmade(self, call: Call, slot: str) -> ApiResponse:
        """Answer a call that is not made. The turn has ended or is deferred since the call waits, or a conversation is in its past."""
        journal = self.journal
        if journal.closed is not None:
            raise too_late(f"{call.name} was not made: {journal.closed}.")
        if journal.deferred is not None:
            raise TurnDeferred(str(journal.deferred), after_s=journal.deferred.after_s)
        assert journal.earlier is not None, "it is set by `TurnJournal.enter`"
        return journal.earlier.answer_from_past(call, slot, journal.turn)

    @contextmanager
    def _open(self, slot: str) -> Iterator[_Slot]:
        """Let outbound middleware make calls of its own in the block, while it decides about the call of a slot."""
        within = _Slot(self, slot)
        token = _within.set(within)
        try:
            yield within
        finally:
            within.is_open = False
            _within.reset(token)

    async def _through_plugins(self, call: Call, within: _Slot) -> ApiResponse:
        async def perform(call: Call) -> ApiResponse:
            return await self._perform(call, within.next())

        return await _defer_without_verdict(self.journal.outbound.wrap(perform)(call))

    async def _find(self, call: Call, match: Match) -> ApiResponse | _ToMake:
        """Return the answer of the earlier run that made a call. If none has made it, or that is not known, return what to make.

        Raises AmbiguousCall if it must not be repeated, and the error with which the call has ended.
        """
        journal, known = self.journal, match.entry
        if match.still_to_make is not None:
            await self._make_late(match.still_to_make)
        if known is None:
            return _ToMake(call, match.slot)
        journal.come_to(known.slot)
        if known.status == "refused":
            refusal = error_of(known, call)
            if isinstance(refusal, Refused) or (call.refusal_stands and refuses_content(refusal)):
                raise refusal
            # Linq sent nothing under the key of a refused call, so a corrected call may use the key.
            return _ToMake(call, match.slot, refused=known)
        stored = Call.from_json(known.call)
        if match.diverged:
            log.warning("send.diverged", turn=journal.turn, slot=match.slot, stored=stored.name, now=call.name)
        if known.status == "accepted":
            if lacks_chat(known, stored):
                answer = await opened_chat(known, self._send)
                await journal.note_outcome(known, "accepted", answer.to_json(), answer)
            else:
                answer = answer_of(known, call)
            journal.note_answered(call, answer)
            return answer
        if stored.safety == "once":
            return await self._look_up(stored, known)
        # The journal does not keep these fields, which the code that makes the call now has.
        stored = replace(stored, refusal_stands=call.refusal_stands, purpose=call.purpose)
        return _ToMake(stored, match.slot, begun=known)

    async def _make_late(self, call: Call) -> None:
        """Make a call that was answered from another call's entry and was therefore not made: see `Match.still_to_make`."""
        try:
            await self._perform(call, self.journal.slots.numbered("owed:"))
        except (LinqApiError, MessageGone) as error:
            # The code that made the call already has an answer, so the error can only be logged.
            log.error("send.refused", turn=self.journal.turn, call=call.name, error=str(error))

    async def _look_up(self, call: Call, entry: JournalEntry) -> ApiResponse:
        """Return the answer of a call that must not be repeated, by looking for its effect at Linq; else AmbiguousCall."""
        journal = self.journal
        found = None if entry.status == "ambiguous" else await find(call, entry, self._send, journal.storage.has_sent)
        if found is not None:
            await journal.note_outcome(entry, "accepted", found.to_json(), found)
            return found
        if entry.status != "ambiguous":
            log.error("send.ambiguous", turn=journal.turn, slot=entry.slot, call=call.name)
            await journal.note_outcome(entry, "ambiguous", b"null")
        return ambiguous_answer(call)

    async def _begin(self, to_make: _ToMake) -> tuple[Call, JournalEntry]:
        """Store the entry of a call, unless an earlier run has. Return the call with its key, and the entry."""
        call, slot, refused, begun = to_make
        if begun is not None:
            return call, begun
        journal = self.journal
        key = journal.key_of(slot)
        if call.key is None:
            # An author's own key stays: the same call in another turn is to do the same thing only once.
            call = call.with_key(key)
        entry = journal.new_entry(slot, call.safety, call.to_json(), key)
        if refused is None:
            await journal.begin(entry)
        else:
            entry = replace(entry, first_at=refused.first_at)
            await journal.store_state(slot)
            await journal.storage.settle(entry)
        return call, entry

    async def _made_before(
        self,
        error: CallNotMade | Stopped | LinqApiError,
        call: Call,
        entry: JournalEntry,
        attempts: Attempts,
        *,
        is_repeated: bool,
    ) -> ApiResponse | None:
        """Return the answer of a call that an attempt has made before the one that has failed. None if it was not made.

        The journal then keeps the outcome. Raises TurnDeferred if the call was not made, and a later run may make it.
        """
        journal = self.journal
        if isinstance(error, CallNotMade):
            if entry.safety == "once":
                # Otherwise the next run would look for a call that was never made, and report it as ambiguous.
                await journal.note_outcome(entry, "refused", NOT_MADE)
            # By its public class: plugins name the class of an error, and alerts leave out those of an outage by name.
            raise TurnDeferred(str(error), after_s=error.after_s) from error
        if isinstance(error, Stopped):
            if not is_repeated:
                # On record, so that no later run makes the call when the mute, or the like, is over: it would be out of place then.
                await journal.note_outcome(entry, "refused", stopped_json(error), at_once=True)
            return None
        if attempts.may_be_made and is_deleted_before(call, error):
            return ApiResponse(204)
        if isinstance(error, LinqUnavailable) or error.status is None:
            return None
        is_gone = is_repeated and error.status == 404 and entry.safety == "keyed"
        if is_gone and not (call.refusal_stands and await lacks_target(call, self._send)):
            # Linq answers 404 to a repeated key if its message was deleted (rules.md, idempotency): it was sent.
            await journal.note_outcome(entry, "accepted", GONE)
            raise MessageGone(call.name) from error
        made = await change_made(call, entry, error, self._send)
        if made is None:
            await journal.note_outcome(entry, "refused", error_json(error), at_once=call.refusal_stands)
        return made

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


async def _defer_without_verdict(answer: Awaitable[ApiResponse]) -> ApiResponse:
    try:
        return await answer
    except NoVerdict as error:
        raise TurnDeferred(str(error)) from error
