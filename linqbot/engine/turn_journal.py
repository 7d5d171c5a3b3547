"""The journal of one turn: the key and content of each call are stored before its first attempt, its outcome after it.

`outbox.py` makes the calls. The journal says if a call may still be made, gives its entry and its key, and notes what became
of it; questions, steps, streams and changes of state have entries too. When a handler runs again after a crash or a failure,
`earlier_runs.py` matches each call with its entry from the earlier run. Next step: `engine/turns.py` stores the outcomes in
the commit that ends the turn.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog
from pydantic_core import to_json

from linqbot.branch import UnawaitedCoroutine, running_root
from linqbot.client.call import ApiResponse, Call
from linqbot.clock import Clock
from linqbot.engine.bag import Bag
from linqbot.engine.call_lookup import content_of, ids_in
from linqbot.engine.earlier_runs import EarlierRuns
from linqbot.engine.opening import Opening
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.reasons import failed_call, step_facts
from linqbot.engine.slots import OUTSIDE, OUTSIDE_FIRST, Slots, digest, is_in_step, outside_of_answer, step_around
from linqbot.engine.state import TurnState
from linqbot.engine.state_journal import STATE_SLOT, StateJournal, call_of_changes
from linqbot.errors import BotError, StateChanged, StateConflict, Suspended, TurnDeferred
from linqbot.frames import place_of_caller
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.types.message import texts_of
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, Lease
from linqbot.storage.journal import RECORDED, EntryStatus, JournalEntry
from linqbot.storage.state import ChangedValue, StateWrite
from linqbot.turn_events import CalledTooLate, CallMade, StepEnded, TurnCall, TurnReport

log = structlog.get_logger("linqbot.worker")

_MOST_FAILED: Final = 20
_MOST_STEPS: Final = 100
"""Most failed calls, and most steps, that the record of a run has."""

MESSAGES: Final = "/v3/messages/"
_CHATS: Final = "/v3/chats/"

_CONFLICT: Final = to_json({"noun": "ctx", "verb": "conflict"})


def journal_key(install: str, turn: str, replay: int, slot: str) -> str:
    """Return the idempotency key of a journal entry: the same in every run of the turn.

    The key includes `install`, the id of the installation, because event ids are the same for all subscriptions and
    Linq's keys are per account. Without it, two bots of one account would use the same keys, and only the first bot's
    sends would go out. Raises BotError if a `key=` of the author has half of a character (a lone surrogate) or U+0000 in it:
    repaired, two keys could become equal.
    """
    try:
        named = f"{install}|{turn}|{replay}|0|{slot}".encode()
    except UnicodeEncodeError:
        named = b"\0"
    if b"\0" in named:
        raise BotError(
            "A key= has half of a character (a lone surrogate) or U+0000 in it, which no storage can hold. Give another key."
        )
    return "lb" + hashlib.sha256(named).hexdigest()[:30]


class SentInTurn(NamedTuple):
    """The sends of a turn, as its journal knows them.

    Attributes:
        made: The calls that this run has made so far, in order, with their answers. A call that the journal answered,
            because an earlier run made it, counts as made.
        ids: The ids of all messages of the turn, those of earlier runs and of all parts of its conversation included.
        earlier: The ids of the messages of earlier parts, their questions included.
        is_past: True in a part of a conversation that an earlier run has ended.
        unsettled: Calls of an earlier run that may have been made, without a known answer.
    """

    made: Sequence[tuple[Call, ApiResponse]] = ()
    ids: frozenset[str] = frozenset()
    earlier: frozenset[str] = frozenset()
    is_past: bool = False
    unsettled: Sequence[Call] = ()


class TurnJournal:
    """The record of one run of a turn, and of its earlier runs. It must be created in the turn's own task.

    Args:
        lease: The lease of the turn. When it is over, no further call is begun.
        report: The report for observers; None if no plugin observes turns.

    Attributes:
        observers: The observers of events about turns.
        turn: The id of the turn: the delivery being handled, or the one that began its conversation.
        delivery: The delivery that is handled.
        replay: 0, then one more for each deliberate replay of the turn. A replay uses new idempotency keys.
        off_the_record: True keeps no content of the turn's calls after they are made.
        deferred: The error of the first call that had to be deferred; None if there was none. After it, no further call
            is made in this run.
        origin: The people and the chat of the turn, as JSON: see `engine/turn.py`. Set before the first call.
        state: The state that the handler changed. Set when the handler has succeeded.
        cancelled: The ids of timers that the commit that ends the turn deletes, before it stores those of scheduled
            sends.
        steps: The known entries that are no API calls, by slot.
        progress: The entries of what this run has done in part, such as the sends of a stream, by slot. A further run needs what
            they say, and an ended turn does not.
        is_interrupted: True cancels the tasks that make further calls: the turn is to begin again.
        is_suspended: True after the handler has asked a question. Then every call raises Suspended.
        is_past: True while the handler of a conversation runs through a part that an earlier answer has ended. Calls
            are answered from their entries; a call without one is not made.
        closed: The reason why no call is made any more, as a clause; None while calls are made.
        earlier: The calls of earlier runs; None if there are none.
        failed_calls: The calls of this run that were refused or failed, for its record.
        ended_steps: The last steps of this run, for its record.
        data: What features keep for the turn, by its class.
        ends: Functions that add what such data say to the commit that ends the turn. They must not refer to the journal.
    """

    deferred: TurnDeferred | None = None
    origin: bytes | None = None
    state: Sequence[StateWrite] = ()
    is_interrupted = False
    is_suspended = False
    is_past = False
    failed_calls: Sequence[dict[str, Any]] = ()
    ended_steps: Sequence[dict[str, Any]] = ()
    earlier: EarlierRuns | None = None
    closed: str | None = None
    # Set once the handler uses state, or if an earlier run has stored some with a call.
    _state: StateJournal | None = None
    # The number of entries that this run has stored.
    _begun = 0

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        outbound: Outbound,
        opening: Opening,
        lease: Lease,
        *,
        data: Bag,
        report: TurnReport | None = None,
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.outbound = outbound
        self.observers = outbound.plugins.observers
        self._lease = lease
        self._report = report
        self.data = data
        self._task = asyncio.current_task()
        self.delivery = lease.delivery
        self.turn = opening.turn_id
        self.replay = opening.replay
        self._keyed_by = opening.keyed_by(lease.delivery)
        first = next(iter(opening.known), None)
        if first is not None and first.key == journal_key(self.storage.install, self.turn, self.replay, first.slot):
            # The turn goes on as it began: with another release, or with a message that was put back, whose delivery has no
            # key. Its handler finds its scheduled sends by these keys.
            self._keyed_by = self.turn
        self.off_the_record = opening.off_the_record
        self.slots = Slots()
        # The part of what is done outside of the handler.
        self._outside = OUTSIDE_FIRST if self.delivery.id == self.turn else outside_of_answer(self.delivery.id)
        # The accepted calls of this run, in order, those included that were answered from their entries.
        self._made: list[tuple[Call, ApiResponse]] = []
        # The entries whose outcome is not stored yet, by slot.
        self._outcomes: dict[str, JournalEntry] = {}
        # The tasks of the handler in which a call has failed, and the error.
        self._failed: list[tuple[asyncio.Task[Any], BaseException]] = []
        self.cancelled: list[str] = []
        self.progress: dict[str, JournalEntry] = {}
        self.ends: list[Callable[[TurnJournal, Commit], None]] = []
        self.steps: dict[str, JournalEntry] = {}
        if known := opening.known:
            self.steps = {entry.slot: entry for entry in known if entry.safety in RECORDED}
            self.earlier = self._runs([entry for entry in known if entry.safety not in RECORDED])
            if self.has_stored_state:
                self._state = StateJournal(self.steps.values(), self.delivery.id)

    # What the handler may still do

    @property
    def is_in_own_task(self) -> bool:
        """True if the running task is the turn's own, and not one that the handler has started."""
        return asyncio.current_task() is self._task

    def refuse_after_end(self, what: str) -> None:
        """Raise Suspended if the handler has asked a question, or BotError if the turn has ended: it can do no more."""
        if self.is_suspended:
            raise Suspended("The handler waits for an answer.")
        if self.closed is not None:
            raise self.error_after_end(what, self.closed)

    def error_after_end(self, what: str, why: str) -> BotError:
        """Log a call that comes after the end of its turn, and return its error."""
        at = place_of_caller()
        log.error("call.too_late", turn=self.turn, call=what, at=at, why=why)
        error = too_late(
            f"{what} was called at {at} when {why}, so it was not made. Await calls, and the tasks that make "
            "them, before the handler returns. Use ctx.send_later for sends at a later time, and the ctx of the newest "
            "event instead of a stored one."
        )
        if (notify := self.observers.get(CalledTooLate)) is not None:
            notify(CalledTooLate(error))
        return error

    def cancel_if_interrupted(self) -> None:
        """Raise CancelledError in the running task of the turn, if the turn is to begin again."""
        if self.is_interrupted and running_root() is self.slots.root:
            raise asyncio.CancelledError("A newer message of the person interrupts the turn.")

    def close(self, why: str = "its turn had ended") -> None:
        """Refuse all later calls of the turn, with the reason as a clause."""
        self.closed = self.closed or why

    # The parts of a conversation

    def enter(
        self, part: str, known: Sequence[JournalEntry], *, is_past: bool, earlier: Iterable[JournalEntry] = ()
    ) -> None:
        """Go on with the next part of a conversation. Each part numbers its calls from 0, behind the prefix `part`.

        `known` are the entries of calls that the part may make, `earlier` those of the calls since the last part was
        entered, those of the question included.
        """
        self.slots.part = part
        self.earlier = self.earlier or self._runs(())
        self.earlier.enter(known, earlier)
        self.is_past = is_past

    def match_in_this_part(self, entries: Iterable[JournalEntry], part: str) -> None:
        """Match the next calls also with these entries, which earlier runs have made in the part with the prefix `part`."""
        assert self.earlier is not None, "entries are known, so earlier runs are"
        self.earlier.add({f"{self.slots.part}{entry.slot.removeprefix(part)}": entry for entry in entries})

    def enter_handler(self) -> None:
        """Go on with what the handler does. In a conversation, `enter` follows."""
        self.slots.part = ""

    def leave_handler(self) -> None:
        """Go on with what is done outside of the handler. In a conversation it belongs to the answer, not to a part."""
        self.slots.part = self._outside
        self.is_past = False
        if self.earlier is not None and self._outside != OUTSIDE_FIRST:
            self.earlier.leave_handler(self._outside)

    # Entries

    def key_of(self, slot: str) -> str:
        return journal_key(self.storage.install, self._keyed_by, self.replay, slot)

    def new_entry(self, slot: str, safety: str, call: bytes, key: str | None = None) -> JournalEntry:
        """Return the entry of a call, a question or a step, which begins now."""
        return JournalEntry(
            turn=self.turn,
            replay=self.replay,
            slot=slot,
            key=key or self.key_of(slot),
            safety=safety,
            call=call,
            status="attempting",
            first_at=self.clock.now(),
            origin=self.origin,
            off_the_record=self.off_the_record,
        )

    def begin(self, entry: JournalEntry) -> Awaitable[None]:
        """Store an entry, and the state that was changed, before the first attempt of what the entry records.

        Raises StateChanged or TurnDeferred if another turn has changed a value that this one has stored with an earlier
        call, or has read. Then nothing was stored.
        """
        self._begun += 1
        if self._state is None:
            return self.storage.begin(entry, self._lease)
        return self._store_state(self._state, entry.slot, entry)

    async def store(self, entry: JournalEntry) -> None:
        """Store an entry with its outcome at once. One whose outcome may wait for the end of the turn is given to `keep`."""
        self._begun += 1
        await self.storage.settle(entry)

    async def cancel_timer(self, timer_id: str, entry: JournalEntry) -> bool:
        """Delete a timer and store its entry, in one commit. Return True if the timer was still waiting."""
        self._begun += 1
        return await self.storage.cancel(timer_id, entry)

    def keep(self, entry: JournalEntry) -> None:
        """Keep an entry with its outcome for the commit that ends the turn."""
        self._outcomes[entry.slot] = entry

    def note_step(self, entry: JournalEntry) -> None:
        """Note an entry of this run that is no API call, and that is stored."""
        self._begun += 1
        self.steps[entry.slot] = entry

    async def note_outcome(
        self,
        entry: JournalEntry,
        status: EntryStatus,
        data: bytes,
        answer: ApiResponse | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        """Keep the outcome of a call for the commit that ends the turn, or store it now if it must not be lost."""
        message_id, chat_id = ids_in(answer) if answer is not None else (None, None)
        closed = entry.with_outcome(status, data, message_id=message_id, chat_id=chat_id)
        if entry.safety == "once" or at_once:
            # Such a call must not be repeated, so its outcome must be on disk before the handler continues.
            await self.storage.settle(_with_digest(closed))
        else:
            self._outcomes[entry.slot] = closed

    # The state that the handler changes

    def use_state(self, state: TurnState) -> None:
        """Store what is changed of this state with the next call of the turn."""
        if self._state is None:
            self._state = StateJournal(self.steps.values(), self.delivery.id)
        self._state.use(state)

    async def store_state(self, slot: str) -> None:
        """Store the state that was changed before a call or a step whose entry an earlier run has stored; see `begin`."""
        if self._state is not None:
            await self._store_state(self._state, slot, None)

    async def _store_state(self, state: StateJournal, slot: str, entry: JournalEntry | None) -> None:
        """Store the state that was changed, with the entry of the slot if it begins; see `begin`."""

        async def begin(changes: Sequence[ChangedValue]) -> None:
            writes = [change.write for change in changes]
            if not changes:
                if entry is not None:
                    await self.storage.begin(entry, self._lease)
                return
            record = self.record_of_state(slot, changes)
            if entry is None:
                await self.storage.begin(record, self._lease, state=writes, instead=self.conflict())
            else:
                await self.storage.begin(entry, self._lease, state=writes, changes=record, instead=self.conflict())
            self.note_step(record)

        try:
            await state.store(begin, off_the_record=self.off_the_record)
        except TurnDeferred as deferred:
            self.note_failure(deferred)
            raise

    def record_of_state(self, slot: str, changes: Sequence[ChangedValue], *, is_tally: bool = False) -> JournalEntry:
        """Return the entry that records changes of state, which are stored with the call or the step of a slot."""
        count = sum(each.startswith(STATE_SLOT) for each in self.steps)
        call = call_of_changes(changes, delivery_id=self.delivery.id, slot=slot, is_tally=is_tally)
        return replace(self.new_entry(f"{STATE_SLOT}{count}:{slot}", "step", call), status="accepted")

    async def labelled(self, messages: Collection[str], label: str) -> frozenset[str]:
        """Return those of some messages that calls with a label have made, in any turn that is on record."""
        return await self.storage.labelled(messages, label)

    def come_to(self, slot: str, made: str | None = None) -> None:
        """Show the state as it is after a call or a step that an earlier run has made.

        `made` is the name of a step whose result is on record: the calls inside of it are not made again.
        """
        if self._state is not None:
            self._state.come_to(slot, made)

    @property
    def has_stored_state(self) -> bool:
        """True if the turn has stored a change of state with a call, so that it must not begin again with other input."""
        return any(slot.startswith(STATE_SLOT) for slot in self.steps)

    def conflict(self) -> JournalEntry:
        """Return the entry that says that the turn runs again because its state was changed.

        The calls of a turn that has it are matched by content alone.
        """
        return replace(self.new_entry(self._conflict_slot, "step", _CONFLICT), status="accepted")

    def failure_of(self, conflict: StateConflict) -> StateConflict | StateChanged:
        return conflict if self._state is None else self._state.failure_of(conflict)

    @property
    def _conflict_slot(self) -> str:
        return f"conflict:{self.delivery.id}"

    # Earlier runs

    def _runs(self, calls: Sequence[JournalEntry]) -> EarlierRuns:
        return EarlierRuns(calls, by_content=self._conflict_slot in self.steps)

    def calls_of_earlier_runs(self) -> Sequence[JournalEntry]:
        """Return the entries with which the next calls of this part may be matched."""
        return () if self.earlier is None else self.earlier.calls

    def unmatched(self) -> list[JournalEntry]:
        return [] if self.earlier is None else self.earlier.unmatched()

    def calls_ahead(self) -> list[JournalEntry]:
        """Return the calls of earlier runs of the handler, made or perhaps made, that this run has not come to.

        Without those inside of a step, which are not made again if the step is on record.
        """
        ahead = (each for each in self.unmatched() if each.status != "refused" and not step_around(each.slot))
        return [each for each in ahead if not each.slot.startswith(OUTSIDE)]

    # What this run has done

    def note_made(self, call: Call, answer: ApiResponse) -> None:
        self._made.append((call, answer))
        if self._report is not None:
            self._report.calls.append(TurnCall(call, answer))

    def note_answered(self, call: Call, answer: ApiResponse) -> None:
        """Note a call that an earlier run has made, and its answer from then."""
        if (notify := self.observers.get(CallMade)) is not None:
            notify(CallMade(call, answer, None, 0.0, from_journal=True))
        self._made.append((call, answer))
        if self._report is not None:
            self._report.calls.append(TurnCall(call, answer, from_journal=True))

    def note_failure(self, error: Exception | TurnDeferred, call: Call | None = None) -> None:
        """Note a call or an upload that was deferred or failed, so that code that swallows its error does not lose the call."""
        if call is not None:
            self.failed_calls = [*self.failed_calls, failed_call(call.name, error)][:_MOST_FAILED]
            if self._report is not None:
                self._report.calls.append(TurnCall(call, error=error))
        running = asyncio.current_task()
        task = None if running is self._task else running
        if not isinstance(error, TurnDeferred):
            if task is not None:
                self._failed.append((task, error))
            return
        self.deferred = self.deferred or error
        if task is not None:
            # The turn handles the deferral. Retrieve the error, so that asyncio does not log it as never retrieved.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def note_ended_step(self, step: StepEnded) -> None:
        """Note a step that has ended, and notify observers."""
        self.ended_steps = [*self.ended_steps[1 - _MOST_STEPS :], step_facts(step)]
        if self._report is not None:
            self._report.steps.append(step)
        if (notify := self.observers.get(StepEnded)) is not None:
            notify(step)

    @property
    def made(self) -> list[Call]:
        """The accepted calls of this run, those included that an earlier run has made."""
        return [call for call, _ in self._made]

    def made_in_step(self, name: str) -> list[Call]:
        outcomes = self._outcomes.values()
        made = [each for each in outcomes if is_in_step(each.slot, name) and each.status == "accepted"]
        return [Call.from_json(each.call) for each in made]

    def texts_sent(self) -> list[str]:
        return texts_of(content_of(call) or () for call, _ in self._made)

    def sent_in_turn(self) -> SentInTurn:
        """Return the calls that this run has made so far, and what is known of those of earlier runs."""
        made, earlier = tuple(self._made), self.earlier
        ids = frozenset(entry.message_id for entry in self._outcomes.values() if entry.message_id)
        if earlier is None:
            return SentInTurn(made, ids)
        return SentInTurn(made, ids | earlier.sent, earlier.sent_in_parts, self.is_past, earlier.unsettled())

    async def chat_of(self, call: Call) -> str | None:
        """Return the id of the chat that a call is for; None if it names none."""
        if call.path.startswith(_CHATS):
            return call.path.removeprefix(_CHATS).partition("/")[0]
        if call.path.startswith(MESSAGES):
            entry = await self.storage.entry_of(call.path.removeprefix(MESSAGES).partition("/")[0])
            # A message that is not on record is nearly always one of the chat that is handled.
            return chat_of_lane(self.delivery.lane) if entry is None else entry.chat_id
        return None

    def unobserved_failure(self) -> BaseException | None:
        """Return the error of a call that made its task fail, if no code has retrieved that task's error."""
        for task, error in self._failed:
            # asyncio sets `_log_traceback` until the error is retrieved, in order to log errors that never are.
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                found = task.exception()
                if found is error:
                    return error
        return None

    def never_awaited(self) -> tuple[UnawaitedCoroutine, ...]:
        """Return the coroutines that the turn never awaited. From now on, Python warns about them as usual."""
        found, self.slots.root.never_awaited = self.slots.root.never_awaited, None
        return found or ()

    # The end of the turn

    def outcomes(self, *, with_digests: bool) -> list[JournalEntry]:
        """Return the entries whose outcome is not stored yet. The commit that ends the turn stores them.

        `with_digests` adds a digest of each call, for a turn that will run again: then a call must be recognized
        although its text may have been deleted.
        """
        outcomes = list(self._outcomes.values())
        if with_digests:
            outcomes += self.progress.values()
        elif self.progress:
            # The turn is over, so nothing needs the texts that are stored.
            outcomes += [replace(entry, answer=None) for entry in self.progress.values() if entry.slot in self.steps]
        return [_with_digest(entry) for entry in outcomes] if with_digests else outcomes

    def end(self, commit: Commit) -> None:
        """Add what the turn has done to the commit that ends it. What its questions add must be there already."""
        is_done = isinstance(commit.outcome, Ack)
        # A conversation goes on with later deliveries, so its entries need digests even after an ack.
        commit.entries += self.outcomes(with_digests=not is_done or bool(commit.conversations))
        commit.off_the_record = self.off_the_record
        # `outcomes` returns every entry that this run has stored.
        commit.has_all_entries &= self._begun == len(self._outcomes)
        if is_done:
            commit.state = self.state
        for end in self.ends:
            end(self, commit)
        if self.cancelled and (is_done or commit.rearmed):
            commit.cancelled += self.cancelled


def too_late(message: str) -> BotError:
    error = BotError(message)
    # Whether a handler uses the context of an ended turn depends on what ran before, so a retry may succeed.
    error.is_final = False
    return error


def _with_digest(entry: JournalEntry) -> JournalEntry:
    if entry.digest or entry.safety in RECORDED:
        return entry
    return replace(entry, digest=digest(Call.from_json(entry.call)))
